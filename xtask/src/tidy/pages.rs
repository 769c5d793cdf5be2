//! Ties each page that describes bytes to the code that makes and reads them (invariant 2).
//!
//! `docs/pages.lock` holds one line per page: a hash over the page and its code. When either changes,
//! tidy fails until somebody has read them side by side and run `cargo xtask tidy --accept`.

use std::fs;
use std::path::Path;

use super::{bytes, relative};

const LOCK: &str = "docs/pages.lock";

/// A page and the files and folders whose behaviour it describes; a module's file stands for its folder too.
pub(super) const PAGES: [(&str, &[&str]); 2] = [
    (
        "docs/release-format.md",
        &[
            "crates/goldcrest-core/src/archive.rs",
            "crates/goldcrest-core/src/delta.rs",
            "crates/goldcrest-core/src/keyring.rs",
            "crates/goldcrest-core/src/line.rs",
            "crates/goldcrest-core/src/manifest.rs",
            "crates/goldcrest-core/src/name.rs",
            "crates/goldcrest-core/src/object.rs",
            "crates/goldcrest-core/src/path.rs",
            "crates/goldcrest-core/src/refusal.rs",
            "crates/goldcrest-core/src/signature.rs",
            "agent/goldcrest/update.py",
            "vectors",
        ],
    ),
    (
        "docs/protocol.md",
        &[
            "crates/goldcrest-core/src/deployment.rs",
            "crates/goldcrest-core/src/message.rs",
            "crates/goldcrest-server/src/native",
            "agent/goldcrest/checkin.py",
        ],
    ),
];

pub(super) fn check(root: &Path, accept: bool, problems: &mut Vec<String>) -> Result<(), String> {
    let mut lines = String::new();
    for (page, code) in PAGES {
        let mut hash = Fnv::new();
        add(root, &root.join(page), &mut hash)?;
        for path in code {
            let path = root.join(path);
            add(root, &path, &mut hash)?;
            let folder = path.with_extension("");
            if folder != path && folder.is_dir() {
                add(root, &folder, &mut hash)?;
            }
        }
        lines.push_str(&format!("{:016x} {page}\n", hash.0));
    }
    let lock = root.join(LOCK);
    if accept {
        return fs::write(&lock, lines).map_err(|e| format!("{LOCK}: {e}"));
    }
    let held = fs::read_to_string(&lock).unwrap_or_default();
    for line in lines.lines().filter(|l| !held.lines().any(|h| h == *l)) {
        let page = line.split(' ').nth(1).unwrap_or_default();
        problems.push(format!(
            "{page}: the page or its code changed: read one against the other, then `cargo xtask tidy --accept` (invariant 2)"
        ));
    }
    Ok(())
}

fn add(root: &Path, path: &Path, hash: &mut Fnv) -> Result<(), String> {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).map_err(|e| e.to_string())?.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            add(root, &entry.path(), hash)?;
        }
        return Ok(());
    }
    // Tests may grow without the page; what they hold in common with the board is in `vectors/`.
    if path.ends_with("tests.rs") || path.components().any(|c| c.as_os_str() == "__pycache__") {
        return Ok(());
    }
    hash.add(relative(root, path).as_bytes());
    hash.add(&bytes(path)?);
    Ok(())
}

/// FNV-1a, 64 bit: notices a change; nobody attacks it here.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
