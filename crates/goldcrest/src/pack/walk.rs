//! Walks the root in order. Nothing is dropped in silence: what cannot be followed is an error with its name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::failure::Failure;

/// Most files and folders that are looked at: more is a wrong root.
const MAX_ENTRIES: usize = 100_000;

/// A file below the root.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// `/`-separated, below the root.
    pub(super) path: String,
    /// Where it is on this machine.
    pub(super) file: PathBuf,
    /// Packed byte for byte; decided after the walk.
    pub(super) raw: bool,
}

/// Every file below `root`, sorted by path. `enter` decides with a path below the root whether to look at it at all.
pub(super) fn walk(root: &Path, enter: &mut dyn FnMut(&str, bool) -> bool) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut seen = 0;
    folder(root, root, "", &mut seen, enter, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn folder(
    root: &Path,
    dir: &Path,
    below: &str,
    seen: &mut usize,
    enter: &mut dyn FnMut(&str, bool) -> bool,
    found: &mut Vec<Found>,
) -> Result<()> {
    let unreadable = |e: &std::io::Error| Failure::file("read the folder", dir, e);
    let entries = fs::read_dir(dir).map_err(|e| unreadable(&e))?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(|e| unreadable(&e))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        *seen += 1;
        if *seen > MAX_ENTRIES {
            return Err(Failure::usage(format!("more than {MAX_ENTRIES} files below {}", root.display()))
                .hint("is [pack] root in goldcrest.toml the right folder?"));
        }
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Failure::refused("path", format!("{below}{}: the name is not UTF-8", name.to_string_lossy()))
                .hint("rename it or exclude its folder")
        })?;
        let path = format!("{below}{name}");
        let kind = entry.file_type().map_err(|e| Failure::file("look at", &entry.path(), &e))?;
        // Asked before a link is followed: what is excluded may dangle.
        if !enter(&path, kind.is_dir()) {
            continue;
        }
        let target = if kind.is_symlink() { follow(root, &path, &entry.path())? } else { entry.path() };
        let kind = fs::metadata(&target).map_err(|e| Failure::file("read", &target, &e))?.file_type();
        if kind.is_dir() {
            folder(root, &target, &format!("{path}/"), seen, enter, found)?;
        } else if kind.is_file() {
            found.push(Found { path, file: target, raw: false });
        } else {
            return Err(Failure::refused("path", format!("{path} is neither a file nor a folder"))
                .hint("exclude it in goldcrest.toml"));
        }
    }
    Ok(())
}

/// Where a symbolic link leads, if that is inside the root and not a folder that holds the link itself.
fn follow(root: &Path, path: &str, link: &Path) -> Result<PathBuf> {
    let leads_to = || fs::read_link(link).map_or_else(|_| "?".to_owned(), |t| t.display().to_string());
    let target = link.canonicalize().map_err(|_| {
        Failure::new(
            crate::failure::Exit::NotFound,
            format!("{path} is a symbolic link to {}, which is not there", leads_to()),
        )
        .named("missing")
        .hint("a git submodule that was not fetched? git submodule update --init; or exclude it in goldcrest.toml")
    })?;
    if !target.starts_with(root) {
        return Err(Failure::refused(
            "path",
            format!("{path} is a symbolic link to {}, outside of the root", leads_to()),
        )
        .hint("copy the file into the project, or exclude the link in goldcrest.toml"));
    }
    let parent = link.parent().and_then(|p| p.canonicalize().ok());
    if parent.is_some_and(|p| p.starts_with(&target)) {
        return Err(Failure::refused("path", format!("{path} is a symbolic link to a folder that holds it"))
            .hint("exclude it in goldcrest.toml"));
    }
    Ok(target)
}

impl Found {
    /// Whether it is Python source.
    pub(super) fn is_python(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == "py")
    }

    /// The bytes, if they are not more than `most`.
    pub(super) fn read(&self, most: u64) -> Result<Vec<u8>> {
        let bytes = fs::read(&self.file).map_err(|e| Failure::file("read", &self.file, &e))?;
        if bytes.len() as u64 > most {
            let why = format!("{} has {} bytes: {most} are allowed for one file", self.path, bytes.len());
            return Err(Failure::refused("format", why).hint("exclude it in goldcrest.toml"));
        }
        Ok(bytes)
    }
}
