//! Git's objects as plain data, and their ids.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest;

/// Bytes that a pointer of git LFS begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// Most bytes of such a pointer.
const MAX_LFS_POINTER: usize = 1024;

/// The id of a git object: SHA-1, as 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sha(pub(super) [u8; 20]);

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Executable,
    Symlink,
    Folder,
    Submodule,
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// One segment of a path: never empty, `.`, `..` or with a separator in it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) id: Sha,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: Sha,
    pub(crate) tree: Sha,
    pub(crate) parents: Vec<Sha>,
    pub(crate) message: String,
    pub(crate) author: Person,
    pub(crate) committer: Person,
}

/// Who made a commit, and when (seconds since 1970).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) time_s: i64,
}

impl Kind {
    /// The mode as git writes it, with six digits.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Folder => "040000",
            Self::Submodule => "160000",
        }
    }

    /// The type of the object that the entry names.
    pub(crate) fn object(self) -> &'static str {
        match self {
            Self::File | Self::Executable | Self::Symlink => "blob",
            Self::Folder => "tree",
            Self::Submodule => "commit",
        }
    }

    /// Whether it is a file that a board can store.
    pub(crate) fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

/// The id of a blob with these bytes.
pub(crate) fn blob_id(bytes: &[u8]) -> Sha {
    object_id("blob", bytes)
}

/// The id of a tree with these entries, which come out in git's order.
pub(crate) fn tree_id(entries: &mut [Entry]) -> Sha {
    // Folders are ordered as if their names ended in `/`.
    entries.sort_by_key(|entry| entry.name.clone() + if entry.kind == Kind::Folder { "/" } else { "" });
    let mut bytes = Vec::new();
    for entry in entries.iter() {
        bytes.extend_from_slice(entry.kind.mode().trim_start_matches('0').as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(entry.name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&entry.id.0);
    }
    object_id("tree", &bytes)
}

fn object_id(kind: &str, bytes: &[u8]) -> Sha {
    Sha::of_parts(&[kind.as_bytes(), b" ", bytes.len().to_string().as_bytes(), b"\0", bytes])
}

/// Whether a file is not content but a pointer to content that git LFS keeps elsewhere.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_LFS_POINTER && bytes.starts_with(LFS_POINTER)
}

/// Whether a name can be one segment of a path on a board.
pub(super) fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\']) && !name.chars().any(char::is_control)
}

impl Sha {
    /// SHA-1 over these parts. Git's ids are no proof of anything here: releases are signed.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        for part in parts {
            hash.update(part);
        }
        let mut bytes = [0; 20];
        bytes.copy_from_slice(hash.finish().as_ref());
        Self(bytes)
    }
}

impl FromStr for Sha {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 40 {
            return Err(());
        }
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ())?;
        Ok(Self(bytes.try_into().map_err(|_| ())?))
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
