//! Object files: `DATA/objects/ab/<digest>` in wire form, written once and never changed; `DATA/tmp/` holds what is on its way.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use goldcrest_core::Digest;

/// The object files of one data folder.
#[derive(Debug)]
pub(crate) struct Blobs {
    objects: PathBuf,
    tmp: PathBuf,
    next_workspace: AtomicU64,
}

impl Blobs {
    /// Makes the folders and removes what an earlier process left unfinished. The caller holds the lock of the data folder.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let (objects, tmp) = (data.join("objects"), data.join("tmp"));
        for folder in [&objects, &tmp] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        for left in fs::read_dir(&tmp).context("cannot list the temporary folder")? {
            let path = left.context("cannot list the temporary folder")?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove the leftover {}", path.display()))?;
        }
        sync_folder(data).context("cannot write the data folder through to the disk")?;
        Ok(Self { objects, tmp, next_workspace: AtomicU64::new(1) })
    }

    /// A folder of its own for one upload, removed with the value.
    pub(crate) fn workspace(&self) -> io::Result<Workspace> {
        // The data folder belongs to one process and its tmp was emptied at the start: the number is free.
        let folder = self.tmp.join(format!("upload-{}", self.next_workspace.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&folder)?;
        Ok(Workspace { folder })
    }

    /// Opens an object for reading: the file and its bytes. `None` when it is not there.
    pub(crate) fn read(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path(digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores objects whose bytes were verified and returns how many bytes each has on disk. When this returns, power may fail.
    ///
    /// An object that is there already keeps its bytes: the same plain bytes may have several wire forms, and a board may be
    /// in the middle of fetching one.
    pub(crate) fn write_all<'a>(
        &self,
        workspace: &Workspace,
        objects: impl Iterator<Item = (Digest, &'a [u8])>,
    ) -> anyhow::Result<Vec<(Digest, u64)>> {
        let mut sizes = Vec::new();
        let mut folders = std::collections::BTreeSet::new();
        for (digest, wire) in objects {
            let path = self.path(&digest);
            let folder = path.parent().unwrap_or(&self.objects).to_owned();
            let on_disk = if let Ok(found) = fs::metadata(&path) {
                found.len()
            } else {
                write_new(&workspace.path(&digest.to_string()), &folder, &path, wire)
                    .with_context(|| format!("cannot store object {digest}"))?;
                wire.len() as u64
            };
            sizes.push((digest, on_disk));
            // Also for an object that was there: whoever wrote it may not have come this far.
            folders.insert(folder);
        }
        for folder in folders.iter().chain([&self.objects]) {
            sync_folder(folder).with_context(|| format!("cannot write {} through to the disk", folder.display()))?;
        }
        Ok(sizes)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.objects.join(&name[..2]).join(name)
    }
}

fn write_new(temporary: &Path, folder: &Path, path: &Path, wire: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(wire)?;
    file.sync_all()?;
    fs::create_dir_all(folder)?;
    fs::rename(temporary, path)
}

/// Makes the names in a folder survive a power failure.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A temporary folder of one upload.
#[derive(Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// Where a file of this name goes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(error = %error, folder = %self.folder.display(), "temporary folder not removed");
        }
    }
}
