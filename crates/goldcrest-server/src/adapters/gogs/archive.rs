//! A commit as one file: `.tar.gz` (ustar) or `.zip`, with everything below a folder named like the repository.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

use super::contents;
use super::source::Source;
use crate::failure::Failure;
use crate::git::{Commit, Kind, Sha};

/// Most plain bytes of an archive.
const MAX_BYTES: u64 = 64 << 20;
/// Most files and folders of an archive; a zip without its 64-bit form has no more.
const MAX_ENTRIES: usize = 20_000;
/// Most folders in one another.
const MAX_DEPTH: usize = 64;
/// Made on Unix (3), by version 2.0 (20).
const ZIP_MADE_BY: u16 = 0x0314;
const ZIP_VERSION: u16 = 20;
/// File names are UTF-8.
const ZIP_FLAGS: u16 = 1 << 11;
/// 1980-01-01, the first day that zip knows.
const ZIP_DATE: u16 = (1 << 5) | 1;

/// How it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    TarGz,
    Zip,
}

impl Form {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::TarGz => "application/gzip",
            Self::Zip => "application/zip",
        }
    }
}

/// A file, link or folder of an archive.
struct Item {
    path: String,
    kind: Kind,
    id: Sha,
}

/// Packs a commit. Submodules are left out, as git does.
///
/// # Errors
/// `TooLarge` above the limits.
pub(super) fn pack(source: &Source, commit: &Commit, name: &str, form: Form) -> Result<Vec<u8>, Failure> {
    let mut items = Vec::new();
    list(source, commit.tree, &format!("{name}/"), MAX_DEPTH, &mut items)?;
    let mut left = MAX_BYTES;
    let mut read = |item: &Item| -> Result<Vec<u8>, Failure> {
        if item.kind == Kind::Folder {
            return Ok(Vec::new());
        }
        Ok(contents::present(source, item.id, &mut left)?.into())
    };
    match form {
        Form::TarGz => {
            let mut out = GzEncoder::new(Vec::new(), Compression::fast());
            for item in &items {
                tar_entry(&mut out, item, &read(item)?, commit.committer.time_s)?;
            }
            out.write_all(&[0; 1024])?;
            Ok(out.finish()?)
        }
        Form::Zip => {
            let mut zip = Zip::default();
            for item in &items {
                zip.add(item, &read(item)?)?;
            }
            Ok(zip.finish()?)
        }
    }
}

fn list(source: &Source, tree: Sha, above: &str, depth: usize, items: &mut Vec<Item>) -> Result<(), Failure> {
    items.push(Item { path: above.to_owned(), kind: Kind::Folder, id: tree });
    for entry in source.tree(tree)?.unwrap_or_default() {
        if items.len() >= MAX_ENTRIES || depth == 0 {
            return Err(Failure::TooLarge(format!("the tree has more than {MAX_ENTRIES} entries or is too deep")));
        }
        let path = format!("{above}{}", entry.name);
        match entry.kind {
            Kind::Folder => list(source, entry.id, &format!("{path}/"), depth - 1, items)?,
            Kind::Submodule => {}
            Kind::File | Kind::Executable | Kind::Symlink => items.push(Item { path, kind: entry.kind, id: entry.id }),
        }
    }
    Ok(())
}

/// The rights of an item.
fn mode(kind: Kind) -> u32 {
    match kind {
        Kind::Folder | Kind::Executable | Kind::Submodule => 0o755,
        Kind::File => 0o644,
        Kind::Symlink => 0o777,
    }
}

fn tar_entry(out: &mut impl Write, item: &Item, content: &[u8], time_s: i64) -> Result<(), Failure> {
    let (link, body) = if item.kind == Kind::Symlink { (content, &[][..]) } else { (&[][..], content) };
    for (text, kind) in [(item.path.as_bytes(), b'L'), (link, b'K')] {
        // What does not fit into its field goes before it, as GNU tar does.
        if text.len() > 100 {
            let long = [text, b"\0"].concat();
            out.write_all(&tar_head(b"././@LongLink", b"", kind, long.len(), 0o644, 0))?;
            padded(out, &long)?;
        }
    }
    let kind = match item.kind {
        Kind::Folder => b'5',
        Kind::Symlink => b'2',
        Kind::File | Kind::Executable | Kind::Submodule => b'0',
    };
    out.write_all(&tar_head(item.path.as_bytes(), link, kind, body.len(), mode(item.kind), time_s))?;
    padded(out, body)
}

fn tar_head(path: &[u8], link: &[u8], kind: u8, size: usize, mode: u32, time_s: i64) -> [u8; 512] {
    let mut head = [0; 512];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, &path[..path.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    // Eleven octal digits last until 2242.
    put(136, format!("{:011o}", time_s.clamp(0, 0o77_777_777_777)).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

fn padded(out: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    out.write_all(bytes)?;
    Ok(out.write_all(&[0; 512][..bytes.len().next_multiple_of(512) - bytes.len()])?)
}

/// A zip file that is being written.
#[derive(Default)]
struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl Zip {
    fn add(&mut self, item: &Item, content: &[u8]) -> anyhow::Result<()> {
        let mut crc = Crc::new();
        crc.update(content);
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(content)?;
        let packed = deflate.finish()?;
        // Stored where deflating does not help: folders, pictures, .mpy.
        let is_smaller = packed.len() < content.len();
        let (method, body): (u16, &[u8]) = if is_smaller { (8, &packed) } else { (0, content) };
        let name = item.path.as_bytes();
        let at = u32::try_from(self.out.len())?;
        let mut shared = Vec::new();
        for number in [ZIP_VERSION, ZIP_FLAGS, method, 0, ZIP_DATE] {
            shared.extend_from_slice(&number.to_le_bytes());
        }
        for number in [crc.sum(), u32::try_from(body.len())?, u32::try_from(content.len())?] {
            shared.extend_from_slice(&number.to_le_bytes());
        }
        shared.extend_from_slice(&u16::try_from(name.len())?.to_le_bytes());
        shared.extend_from_slice(&0_u16.to_le_bytes());
        self.out.extend_from_slice(b"PK\x03\x04");
        self.out.extend_from_slice(&shared);
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(body);
        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&ZIP_MADE_BY.to_le_bytes());
        self.directory.extend_from_slice(&shared);
        // No comment, first disk, no internal attributes.
        self.directory.extend_from_slice(&[0; 6]);
        let kind: u32 = match item.kind {
            Kind::Folder => 0o040_000,
            Kind::Symlink => 0o120_000,
            Kind::File | Kind::Executable | Kind::Submodule => 0o100_000,
        };
        self.directory.extend_from_slice(&((kind | mode(item.kind)) << 16).to_le_bytes());
        self.directory.extend_from_slice(&at.to_le_bytes());
        self.directory.extend_from_slice(name);
        self.entries += 1;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<Vec<u8>> {
        let at = u32::try_from(self.out.len())?;
        let size = u32::try_from(self.directory.len())?;
        self.out.append(&mut self.directory);
        self.out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        self.out.extend_from_slice(&self.entries.to_le_bytes());
        self.out.extend_from_slice(&self.entries.to_le_bytes());
        self.out.extend_from_slice(&size.to_le_bytes());
        self.out.extend_from_slice(&at.to_le_bytes());
        self.out.extend_from_slice(&[0; 2]);
        Ok(self.out)
    }
}
