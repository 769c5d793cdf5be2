//! Archives of other systems: tar in the forms that are in use (ustar, PAX, GNU), plain, as gzip, or as microfreezer's "gzip".

use std::io::Read;

use flate2::bufread::{GzDecoder, ZlibDecoder};

use super::MAX_FILE;
use crate::Result;
use crate::failure::Failure;
use crate::foreign::Files;

const BLOCK: usize = 512;
/// Most plain bytes of an archive.
const MAX_TAR: u64 = 80 << 20;
/// Most files.
const MAX_FILES: usize = 4096;
/// Bytes of the head that microfreezer writes before a zlib stream, after gzip's.
const PSEUDO_HEAD: usize = 8;

/// What was wrapped, as a fragment for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Plain,
    Gzip,
    /// `gzip -t` refuses it: eight bytes, then zlib.
    PseudoGzip,
}

/// The files of an archive by path. What is no file is named in `left`.
///
/// # Errors
/// `format` and `truncated` for what is no such archive, and what is above a limit.
pub(crate) fn read(bytes: &[u8], left: &mut Vec<String>) -> Result<(Files, Wrapping)> {
    let (tar, wrapping) = unwrap(bytes)?;
    entries(&tar, left).map(|files| (files, wrapping))
}

fn unwrap(bytes: &[u8]) -> Result<(Vec<u8>, Wrapping)> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok((bytes.to_vec(), Wrapping::Plain));
    }
    // Its check sum tells them apart: what microfreezer writes inflates as gzip, but sums up other bytes.
    if let Ok(tar) = inflated(GzDecoder::new(bytes)) {
        return Ok((tar, Wrapping::Gzip));
    }
    let body = bytes.get(PSEUDO_HEAD..).unwrap_or_default();
    let tar = inflated(ZlibDecoder::new(body)).map_err(|e| {
        Failure::refused("format", format!("it begins as gzip, but is neither that nor microfreezer's: {e}"))
    })?;
    Ok((tar, Wrapping::PseudoGzip))
}

fn inflated(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(MAX_TAR + 1).read_to_end(&mut plain)?;
    if plain.len() as u64 > MAX_TAR {
        return Err(std::io::Error::other(format!("it inflates to more than {MAX_TAR} bytes")));
    }
    Ok(plain)
}

fn entries(tar: &[u8], left: &mut Vec<String>) -> Result<Files> {
    let mut files = Files::new();
    let (mut rest, mut long_name) = (tar, None);
    while rest.len() >= BLOCK && rest[..BLOCK].iter().any(|b| *b != 0) {
        let head = &rest[..BLOCK];
        check_sum(head)?;
        let size = number(&head[124..136]).filter(|size| *size <= MAX_FILE);
        let size = size.ok_or_else(|| Failure::refused("format", "an entry has no size, or one above 16 MiB"))?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let content =
            rest.get(BLOCK..BLOCK + size).ok_or_else(|| Failure::refused("truncated", "the archive ends early"))?;
        rest = rest.get(BLOCK + size.next_multiple_of(BLOCK)..).unwrap_or_default();
        match head[156] {
            b'x' => long_name = pax_path(content).or(long_name),
            b'L' => long_name = Some(text(content)),
            b'g' | b'K' => {}
            kind => {
                let name = long_name.take().unwrap_or_else(|| name(head));
                take(&name, kind, content, &mut files, left)?;
            }
        }
    }
    if rest.len() < BLOCK {
        return Err(Failure::refused("truncated", "the archive ends early: a block of zeros is to be at its end"));
    }
    if files.is_empty() {
        return Err(Failure::refused("format", "no file is in the archive"));
    }
    Ok(files)
}

fn take(name: &str, kind: u8, content: &[u8], files: &mut Files, left: &mut Vec<String>) -> Result<()> {
    let path = name.trim_start_matches("./").trim_matches('/').to_owned();
    match kind {
        // p4bloOS's packages have an entry for the root, named "".
        b'5' => {}
        _ if path.is_empty() => {}
        b'0' | 0 if path.split('/').any(|s| s == "..") || name.starts_with('/') => {
            left.push(format!("{name}: the path leaves the root"));
        }
        b'0' | 0 => {
            files.insert(path, content.to_vec());
        }
        _ => left.push(format!("{name}: a link or a special file")),
    }
    if files.len() > MAX_FILES {
        return Err(Failure::refused("format", format!("more than {MAX_FILES} files")));
    }
    Ok(())
}

fn check_sum(head: &[u8]) -> Result<()> {
    let sum: u64 =
        head.iter().enumerate().map(|(at, b)| u64::from(if (148..156).contains(&at) { b' ' } else { *b })).sum();
    if number(&head[148..156]) == Some(sum) {
        return Ok(());
    }
    Err(Failure::refused("format", "not a tar archive, or a damaged one"))
}

/// Octal, or GNU's binary form for large files.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().try_fold(0_u64, |sum, b| sum.checked_mul(256)?.checked_add(u64::from(*b)));
    }
    let digits = text(field);
    u64::from_str_radix(digits.trim(), 8).ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn name(head: &[u8]) -> String {
    let (prefix, name) = (text(&head[345..500]), text(&head[..100]));
    let is_posix = head[257..263] == *b"ustar\0";
    if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// The `path` of a PAX header: records of `length key=value`.
fn pax_path(content: &[u8]) -> Option<String> {
    let (mut rest, mut path) = (content, None);
    while let Some(space) = rest.iter().position(|b| *b == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length.checked_sub(1)?)?;
        if let Some(value) = record.strip_prefix(b"path=") {
            path = Some(String::from_utf8_lossy(value).into_owned());
        }
        rest = &rest[length..];
    }
    path
}
