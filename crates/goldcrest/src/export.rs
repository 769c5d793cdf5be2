//! A folder that any web server can serve: written file by file, each whole or not at all, and what points at others last.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::failure::Failure;

pub(crate) mod micropython_ota;
pub(crate) mod native;
pub(crate) mod sensorclass;
mod source;

pub(crate) use source::{Exported, Source};

/// What was written before: only such files are pruned.
const INDEX: &str = ".goldcrest-export";

/// The folder, and what happened to it.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// What an earlier export wrote.
    before: BTreeSet<String>,
    /// What belongs there now.
    now: BTreeSet<String>,
    pub(crate) written: usize,
    pub(crate) bytes: u64,
    pub(crate) same: usize,
    pub(crate) pruned: usize,
    /// What a layout's client cannot take, and what was left out.
    pub(crate) notes: Vec<String>,
}

impl Folder {
    /// Opens the folder; it is made when it is missing.
    pub(crate) fn open(root: &Path) -> Result<Folder> {
        fs::create_dir_all(root).map_err(|e| Failure::file("make", root, &e))?;
        let index = fs::read_to_string(root.join(INDEX)).unwrap_or_default();
        Ok(Folder {
            root: root.to_owned(),
            before: index.lines().map(str::to_owned).collect(),
            now: BTreeSet::new(),
            written: 0,
            bytes: 0,
            same: 0,
            pruned: 0,
            notes: Vec::new(),
        })
    }

    /// Puts a file there. What is there and the same is left alone.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let to = self.place(path)?;
        if fs::metadata(&to).is_ok_and(|about| about.len() == bytes.len() as u64)
            && fs::read(&to).is_ok_and(|there| there == bytes)
        {
            return Ok(());
        }
        let parent = to.parent().unwrap_or(&self.root);
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(parent)?;
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            file.write_all(bytes)?;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&to).map_err(|e| e.error)?;
            Ok(())
        };
        written().map_err(|e| Failure::file("write", &to, &e))?;
        self.written += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Whether a file that never changes is there; it then counts as belonging there.
    pub(crate) fn has(&mut self, path: &str) -> Result<bool> {
        Ok(self.place(path)?.is_file())
    }

    /// A file that may be missing: if it is there, it belongs there.
    pub(crate) fn keep_if_there(&mut self, path: &str) -> Result<()> {
        if !self.has(path)? {
            self.now.remove(path);
        }
        Ok(())
    }

    /// A file of this folder.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.root.join(path);
        fs::read(&path).map_err(|e| Failure::file("read", &path, &e))
    }

    /// Ends the export: the list of what was written, and with `prune` the removal of what is no part of it any more.
    pub(crate) fn finish(&mut self, prune: bool) -> Result<()> {
        self.same = self.now.len() - self.written;
        let old: Vec<String> = self.before.difference(&self.now).cloned().collect();
        if prune {
            for path in &old {
                let path = self.root.join(path);
                match fs::remove_file(&path) {
                    Ok(()) => self.pruned += 1,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(Failure::file("remove", &path, &e)),
                }
                // A folder goes when it is empty.
                for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
                    if fs::remove_dir(folder).is_err() {
                        break;
                    }
                }
            }
        } else {
            self.now.extend(old);
        }
        let mut index = String::new();
        for path in &self.now {
            index += path;
            index.push('\n');
        }
        let (written, bytes) = (self.written, self.bytes);
        self.put(INDEX, index.as_bytes())?;
        (self.written, self.bytes) = (written, bytes);
        Ok(())
    }

    /// Names come from a server: none of them leaves the folder.
    fn place(&mut self, path: &str) -> Result<PathBuf> {
        let is_fine =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && !segment.contains('\\');
        if path.contains(['\0', '\n']) || !path.split('/').all(is_fine) {
            return Err(Failure::refused("path", format!("{path:?} cannot be a file of an export")));
        }
        if path != INDEX {
            self.now.insert(path.to_owned());
        }
        Ok(self.root.join(path))
    }
}
