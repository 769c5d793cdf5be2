//! The rules of a manifest that need more than one line to see.

use std::collections::{BTreeMap, HashSet};

use super::{MAX_FILE_SIZE, MAX_FILES, MAX_KEEP, MAX_TOTAL_SIZE, Manifest};
use crate::line::MAX_NUMBER;
use crate::path::DevicePath;
use crate::refusal::{Refusal, Refused};

/// Most characters of a board's name.
const MAX_BOARD: usize = 64;

pub(super) fn validate(manifest: &Manifest) -> Result<(), Refused> {
    check_header(manifest)?;
    check_sizes(manifest)?;
    check_order(manifest.files.iter().map(|file| &file.path))?;
    check_order(manifest.deletions.iter())?;
    check_clashes(manifest)?;
    check_kept(manifest)
}

fn check_header(manifest: &Manifest) -> Result<(), Refused> {
    let numbers = [manifest.counter, manifest.floor, manifest.created, manifest.expires.unwrap_or(0)];
    if numbers.iter().any(|&number| number > MAX_NUMBER) {
        return Err(Refusal::Format.because("a number of the header is above 2^53 - 1"));
    }
    if manifest.floor > manifest.counter {
        let detail = format!("floor {} is above the release's own counter {}", manifest.floor, manifest.counter);
        return Err(Refusal::Format.because(detail));
    }
    for board in &manifest.boards {
        let is_name = !board.is_empty() && board.len() <= MAX_BOARD && board.bytes().all(|c| c.is_ascii_graphic());
        if !is_name {
            return Err(Refusal::Format.because(format!("{board:?} is not the name of a board")));
        }
    }
    if manifest.keep.len() > MAX_KEEP {
        return Err(Refusal::Format.because(format!("more than {MAX_KEEP} keep patterns")));
    }
    if !manifest.keep.is_sorted_by(|a, b| a < b) {
        return Err(Refusal::Format.because("the keep lines are out of order, or one is there twice"));
    }
    Ok(())
}

fn check_sizes(manifest: &Manifest) -> Result<(), Refused> {
    if manifest.files.len() > MAX_FILES {
        return Err(Refusal::Format.because(format!("{} files: {MAX_FILES} are allowed", manifest.files.len())));
    }
    if manifest.deletions.len() > MAX_FILES {
        return Err(Refusal::Format.because(format!("{} deletions: {MAX_FILES} are allowed", manifest.deletions.len())));
    }
    let mut sizes = BTreeMap::new();
    let mut total: u64 = 0;
    for file in &manifest.files {
        if file.size > MAX_FILE_SIZE {
            return Err(Refusal::Format.because(format!("{} has more than {MAX_FILE_SIZE} bytes", file.path)));
        }
        if *sizes.entry(file.digest).or_insert(file.size) != file.size {
            return Err(Refusal::Format.because(format!("{} gives another size for the same object", file.path)));
        }
        total += file.size;
    }
    if total > MAX_TOTAL_SIZE {
        return Err(Refusal::Format.because(format!("the files have {total} bytes: {MAX_TOTAL_SIZE} are allowed")));
    }
    Ok(())
}

fn check_order<'a>(paths: impl Iterator<Item = &'a DevicePath>) -> Result<(), Refused> {
    let mut last: Option<&DevicePath> = None;
    for path in paths {
        match last.map(|last| last.cmp(path)) {
            Some(std::cmp::Ordering::Equal) => return Err(Refusal::Duplicate.because(format!("{path} is there twice"))),
            Some(std::cmp::Ordering::Greater) => return Err(Refusal::Format.because(format!("{path} is out of order"))),
            _ => last = Some(path),
        }
    }
    Ok(())
}

/// FAT folds case and every filesystem has files or folders under a name: what one board stores, all must be able to.
fn check_clashes(manifest: &Manifest) -> Result<(), Refused> {
    let mut seen: BTreeMap<String, &DevicePath> = BTreeMap::new();
    for file in &manifest.files {
        if let Some(other) = seen.insert(file.path.as_str().to_lowercase(), &file.path) {
            return Err(Refusal::Duplicate.because(format!("{} and {other} differ only by case", file.path)));
        }
    }
    for path in &manifest.deletions {
        if seen.contains_key(&path.as_str().to_lowercase()) {
            return Err(Refusal::Duplicate.because(format!("{path} is both a file and deleted")));
        }
    }
    let mut spelled: BTreeMap<String, &str> = BTreeMap::new();
    for path in manifest.files.iter().map(|file| &file.path) {
        for folder in path.folders() {
            let folded = folder.to_lowercase();
            if let Some(file) = seen.get(&folded) {
                return Err(Refusal::Path.because(format!("{file} is both a file and a folder of {path}")));
            }
            if let Some(other) = spelled.insert(folded, folder).filter(|other| *other != folder) {
                let detail = format!("the folders {folder} and {other} differ only by case");
                return Err(Refusal::Duplicate.because(detail));
            }
        }
    }
    Ok(())
}

fn check_kept(manifest: &Manifest) -> Result<(), Refused> {
    let deletions: HashSet<&DevicePath> = manifest.deletions.iter().collect();
    for path in manifest.files.iter().map(|file| &file.path).chain(&manifest.deletions) {
        if let Some(pattern) = manifest.keep.iter().find(|pattern| pattern.matches(path)) {
            let verb = if deletions.contains(path) { "deleted" } else { "packed" };
            return Err(Refusal::Path.because(format!("{path} is kept by the device (keep {pattern}) but {verb}")));
        }
    }
    Ok(())
}
