//! The file form of a release: one ustar archive that has exactly one spelling (docs/release-format.md, "File form").

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::manifest::{MAX_FILE_SIZE, MAX_FILES, MAX_MANIFEST};
use crate::refusal::{Refusal, Refused};

mod check;

pub use check::{VerifiedObject, VerifiedRelease, check_archive};

/// Most bytes of an archive: all files plain, with headers and the manifest, and room to spare.
pub const MAX_ARCHIVE: usize = 80 << 20;

const BLOCK: usize = 512;
/// The entry of the folder that the objects are in.
pub const FOLDER: &str = "objects/";

/// An archive as it was read: slices of its bytes. Nothing in it is verified.
#[derive(Debug)]
pub struct Archive<'a> {
    /// The manifest with its signatures.
    pub manifest: &'a [u8],
    /// Wire forms by the digest that names them.
    pub objects: BTreeMap<Digest, &'a [u8]>,
}

/// Writes the archive of a manifest with its signatures and of objects in wire form.
pub fn write(manifest_bytes: &[u8], objects: &BTreeMap<Digest, Vec<u8>>) -> Vec<u8> {
    let mut tar = Vec::new();
    push_file(&mut tar, "manifest", manifest_bytes);
    tar.extend_from_slice(&header(FOLDER, 0));
    for (digest, wire) in objects {
        push_file(&mut tar, &format!("{FOLDER}{digest}"), wire);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

/// Reads an archive that [`write`] could have written.
///
/// # Errors
/// `truncated` when it ends early; `format` for everything that [`write`] does not do.
pub fn read(bytes: &[u8]) -> Result<Archive<'_>, Refused> {
    if bytes.len() > MAX_ARCHIVE {
        return Err(
            Refusal::Format.because(format!("the archive has {} bytes: {MAX_ARCHIVE} are allowed", bytes.len()))
        );
    }
    let mut rest = bytes;
    let (name, manifest) = next_entry(&mut rest)?.unwrap_or_default();
    if name != "manifest" || manifest.len() > MAX_MANIFEST {
        return Err(Refusal::Format.because(format!("the first entry is {name:?}, not a manifest of at most 1 MiB")));
    }
    let (name, _) = next_entry(&mut rest)?.unwrap_or_default();
    if name != FOLDER {
        return Err(Refusal::Format.because(format!("the second entry is {name:?}, not the folder {FOLDER}")));
    }
    let mut objects: BTreeMap<Digest, &[u8]> = BTreeMap::new();
    while let Some((name, wire)) = next_entry(&mut rest)? {
        let Some(Ok(digest)) = name.strip_prefix(FOLDER).map(str::parse::<Digest>) else {
            return Err(Refusal::Format.because(format!("entry {name:?} is not an object")));
        };
        let follows = objects.last_key_value().is_none_or(|(last, _)| *last < digest);
        if !follows || objects.len() == MAX_FILES || wire.len() as u64 > MAX_FILE_SIZE {
            return Err(Refusal::Format.because(format!("entry {name:?} is out of order, too large or one too many")));
        }
        objects.insert(digest, wire);
    }
    match rest.len() {
        0 => Ok(Archive { manifest, objects }),
        extra => Err(Refusal::Format.because(format!("{extra} bytes after the end of the archive"))),
    }
}

/// Takes one entry off the front: its name and content, or `None` at the two zero blocks that end the archive.
fn next_entry<'a>(rest: &mut &'a [u8]) -> Result<Option<(&'a str, &'a [u8])>, Refused> {
    let found = take(rest, BLOCK)?;
    if found.iter().all(|&byte| byte == 0) {
        if take(rest, BLOCK)?.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        return Err(Refusal::Format.because("one zero block within the archive"));
    }
    let name_len = found.iter().position(|&byte| byte == 0).unwrap_or(0).min(100);
    let name = std::str::from_utf8(&found[..name_len]).unwrap_or_default();
    let size = std::str::from_utf8(&found[124..135]).ok().and_then(|octal| usize::from_str_radix(octal, 8).ok());
    // Rather than to interpret a header: it must be the one that would have been written.
    let size = match size {
        Some(size) if found == header(name, size as u64) && (size == 0 || name != FOLDER) => size,
        _ => return Err(Refusal::Format.because(format!("the header of entry {name:?} is damaged or not plain ustar"))),
    };
    let content = take(rest, size)?;
    let padding = take(rest, size.next_multiple_of(BLOCK) - size)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(Refusal::Format.because(format!("the padding of entry {name:?} is not zero")));
    }
    Ok(Some((name, content)))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Refused> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or_else(|| Refusal::Truncated.because("the archive ends early: send it again"))?;
    *rest = left;
    Ok(taken)
}

fn push_file(tar: &mut Vec<u8>, name: &str, content: &[u8]) {
    tar.extend_from_slice(&header(name, content.len() as u64));
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

/// The one header of an entry (POSIX.1-1988 ustar): a name that ends in `/` is a folder. `name` has at most 100 bytes; of a longer one the
/// first 100 are taken.
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let name = &name[..name.floor_char_boundary(100)];
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    let is_folder = name.ends_with('/');
    put(0, name);
    put(100, if is_folder { "0000755" } else { "0000644" });
    put(108, "0000000"); // uid
    put(116, "0000000"); // gid
    put(124, &format!("{size:011o}"));
    put(136, "00000000000"); // mtime
    put(148, "        "); // the checksum counts itself as spaces
    put(156, if is_folder { "5" } else { "0" });
    put(257, "ustar");
    put(263, "00");
    put(329, "0000000"); // devmajor
    put(337, "0000000"); // devminor
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests;
