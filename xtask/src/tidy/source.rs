//! Reads the tree that tidy checks: our own Rust and Python files, nothing generated.

use std::fs;
use std::path::Path;

use super::{Source, bytes, relative};

const FOLDERS: [&str; 5] = ["agent", "crates", "examples", "vectors", "xtask"];

/// Every `.rs` and `.py` file under the source folders, in order of path.
pub(super) fn files(root: &Path) -> Result<Vec<Source>, String> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(root, &root.join(folder), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) -> Result<(), String> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "__pycache__" | "node_modules") {
                walk(root, &path, found)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "py") {
            found.push(Source { path: relative(root, &path), text: read(&path)? });
        }
    }
    Ok(())
}

/// A text file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|_| format!("{}: not UTF-8", path.display()))
}

/// Names of the folders in `folder`.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}
