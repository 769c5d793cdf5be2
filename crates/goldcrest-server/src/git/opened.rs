//! Repositories that stay open: to open one takes longer than to answer a board from it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::Repository;

/// Most that are open; then all are closed, and those in use come back.
const MAX_OPEN: usize = 256;

/// Open repositories by their path. What others change in one is seen: names are read at each request, and objects that are not
/// known yet are looked for anew.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<HashMap<PathBuf, Held>>);

struct Held {
    /// Device and number of the folder: another folder at the same path is another repository.
    folder: (u64, u64),
    inner: gix::ThreadSafeRepository,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.folder).finish()
    }
}

impl Opened {
    /// The repository at this path. Blocks.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn at(&self, path: &Path) -> anyhow::Result<Repository> {
        let shown = || format!("cannot open the git repository {}", path.display());
        let folder = path.metadata().with_context(shown)?;
        let folder = (folder.dev(), folder.ino());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get(path).filter(|held| held.folder == folder) {
            return Ok(Repository { inner: held.inner.to_thread_local() });
        }
        let repository = Repository::open(path)?;
        if all.len() == MAX_OPEN {
            all.clear();
        }
        all.insert(path.to_owned(), Held { folder, inner: repository.inner.clone().into_sync() });
        Ok(repository)
    }
}
