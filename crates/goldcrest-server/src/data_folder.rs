//! The data folder: who owns it, and the first admin token.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::store::Store;
use crate::token::{self, TokenKind};

/// The project of a server that nobody told about others.
const DEFAULT_PROJECT: &str = "default";
/// Name of the first token.
const ADMIN: &str = "admin";

/// The lock of a data folder, held while the value lives.
#[derive(Debug)]
pub(crate) struct DataLock {
    file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that this process has started, and that is not yet its program, has the file open too.
        // An error leaves the lock to the process's end.
        let _ = self.file.unlock();
    }
}

/// Makes the folder when it is missing and takes it for this process.
pub(crate) fn open(data: &Path) -> anyhow::Result<DataLock> {
    if !data.exists() {
        make_private(data).with_context(|| format!("cannot make the data folder {}", data.display()))?;
    }
    let path = data.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { file }),
        Err(TryLockError::WouldBlock) => bail!("another server uses the data folder {}: stop it first", data.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Makes the default project and its admin token when there is none; returns the token when it is new.
pub(crate) async fn ensure_admin(data: &Path, store: &Store, now_ms: i64) -> anyhow::Result<Option<String>> {
    let mut writing = store.begin().await?;
    let project_id = writing.ensure_project(DEFAULT_PROJECT, now_ms).await?;
    if writing.has_token(project_id, ADMIN).await? {
        return Ok(None);
    }
    let token = token::make(TokenKind::Admin)?;
    writing.add_token(project_id, ADMIN, &token::hash(&token), now_ms, None).await?;
    // The file first: killed in between, the next start makes both anew.
    write_private(data, "admin.token", &format!("{token}\n"))?;
    writing.commit().await?;
    Ok(Some(token))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_private(data: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (path, temporary) = (data.join(name), data.join("tmp").join(name));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(data)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
