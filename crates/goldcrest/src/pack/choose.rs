//! Decides which files of the root are packed: include, exclude and kept patterns.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use goldcrest_core::path::DevicePath;

use super::walk::{self, Found};
use crate::Result;
use crate::failure::Failure;
use crate::project::{self, Project};

/// In every folder that `device add --board-files` wrote, with a token and an agent that are no part of a release.
const BOARD_MARK: &str = ".ota";

/// What is packed and what is not.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) files: Vec<Found>,
    pub(super) left_out: Vec<(String, &'static str)>,
    pub(super) notes: Vec<String>,
}

/// Walks the project's root. `output` is a file being written, which is no part of the release.
pub(super) fn choose(project: &Project, output: Option<&Path>) -> Result<Chosen> {
    let root = super::root(project)?;
    let pack = &project.file.pack;
    let include = globs("include", &pack.include)?;
    let exclude = globs("exclude", &pack.exclude)?;
    let raw = globs("raw", &pack.raw)?;
    let output = output.and_then(|o| o.canonicalize().ok());
    let mut left_out = Vec::new();
    let mut missing = None;
    let mut enter = |path: &str, is_folder: bool| {
        let reason = if exclude.is_match(path) {
            Some("excluded")
        } else if is_folder && root.join(path).join(BOARD_MARK).is_dir() {
            Some("the files of a board")
        } else {
            never_packed(path)
        };
        if let Some(reason) = reason {
            left_out.push((if is_folder { format!("{path}/") } else { path.to_owned() }, reason));
        } else if is_folder && is_submodule(project, &root.join(path)) {
            missing.get_or_insert_with(|| path.to_owned());
        }
        reason.is_none()
    };
    let mut files = walk::walk(&root, &mut enter)?;
    if let Some(path) = missing {
        return Err(Failure::refused("path", format!("{path} is a submodule: its files are in another repository"))
            .hint(
                "publish from a work tree that has them (git submodule update --init), or exclude it in goldcrest.toml",
            ));
    }
    let mut kept = Vec::new();
    files.retain_mut(|file| {
        let reason = if !include.is_match(&file.path) {
            "not included"
        } else if is_kept(project, &file.path) {
            kept.push(file.path.clone());
            "kept on the board"
        } else if output.as_ref() == Some(&file.file) {
            "the file being written"
        } else {
            file.raw = raw.is_match(&file.path);
            return true;
        };
        left_out.push((file.path.clone(), reason));
        false
    });
    for (pattern, matcher) in pack.include.iter().zip(single_globs("include", &pack.include)?) {
        if !files.iter().any(|f| matcher.is_match(&f.path)) {
            return Err(Failure::usage(format!("[pack] include {pattern:?} matches no file below {}", root.display()))
                .hint("globs match paths below [pack] root; goldcrest pack --list -v shows what is left out"));
        }
    }
    let notes =
        if kept.is_empty() { Vec::new() } else { vec![format!("kept on the board, not packed: {}", kept.join(", "))] };
    Ok(Chosen { files, left_out, notes })
}

fn is_submodule(project: &Project, folder: &Path) -> bool {
    project.submodules.iter().any(|path| project.dir.join(path).canonicalize().is_ok_and(|path| path == folder))
}

/// What no release holds: dot files (`.git`, `.env`), caches, and the project file.
fn never_packed(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "__pycache__" => Some("a cache"),
        project::FILE => Some("the project file"),
        _ if name.starts_with('.') => Some("a dot file"),
        _ => None,
    }
}

fn is_kept(project: &Project, path: &str) -> bool {
    // A path that no board could hold is not kept either; it becomes an error when it is packed.
    let Ok(path) = path.parse::<DevicePath>() else { return false };
    project.keep.iter().any(|pattern| pattern.matches(&path))
}

fn globs(key: &str, patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // A pattern that names a folder means everything below it.
        for text in [pattern.trim_end_matches('/').to_owned(), format!("{}/**", pattern.trim_end_matches('/'))] {
            let glob = GlobBuilder::new(&text).literal_separator(true).build();
            set.add(
                glob.map_err(|e| Failure::usage(format!("goldcrest.toml: [pack] {key} {pattern:?}: {}", e.kind())))?,
            );
        }
    }
    set.build().map_err(|e| Failure::usage(format!("goldcrest.toml: [pack] {key}: {e}")))
}

fn single_globs(key: &str, patterns: &[String]) -> Result<Vec<GlobSet>> {
    patterns.iter().map(|p| globs(key, std::slice::from_ref(p))).collect()
}
