//! Deltas: how a board makes an object or a manifest out of one that it has (docs/release-format.md, "Deltas").

use data_encoding::{BASE64, HEXLOWER};

use crate::digest::Digest;
use crate::manifest::{MAX_FILE_SIZE, MAX_MANIFEST};
use crate::refusal::{Refusal, Refused};

mod encode;
mod inflate;
mod plan;

pub use encode::create;

use inflate::Inflater;

/// Bits of the window that deltas are deflated with: 1 KiB on the board.
pub const WINDOW_BITS: u8 = 10;
/// Largest base or target that a delta is made of. Larger ones travel whole.
pub const MAX_DELTA_OBJECT: u64 = 1 << 20;
/// Most bytes of a number.
const MAX_NUMBER_BYTES: u32 = 5;
/// Numbers are below this: the largest file in an op of the widest kind.
const MAX_NUMBER: u64 = 1 << 28;
/// A delta is kept when it has at most this many tenths of the object's wire form …
const MOST_TENTHS: u64 = 7;
/// … and saves at least so many bytes: about what the head of a second response costs when the delta does not fit.
const LEAST_SAVING: u64 = 64;

/// What an op does: the two low bits of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The next bytes of the delta are output.
    Insert,
    /// Bytes of the base are output.
    Copy,
    /// Bytes of the base, each with the next byte of the delta added to it, are output.
    Add,
    /// The next bytes of the delta are output as text: hex digits or base64.
    Text,
}

/// Whether a delta is worth being kept instead of the object's wire form of so many bytes.
pub fn pays(delta: u64, wire: u64) -> bool {
    delta.saturating_mul(10) <= wire.saturating_mul(MOST_TENTHS) && delta.saturating_add(LEAST_SAVING) <= wire
}

/// The object that a delta makes out of `base`. It must have this size and digest.
///
/// # Errors
/// `format` for a malformed op or bytes outside of the base; `truncated` for an end within an op or fewer bytes than announced;
/// `endless` for more of them, or bytes after the stream; `hash` for a damaged stream or another digest.
pub fn apply_to_object(base: &[u8], delta: &[u8], size: u64, digest: &Digest) -> Result<Vec<u8>, Refused> {
    if size > MAX_FILE_SIZE {
        return Err(Refusal::Format.because(format!("object {digest} of {size} bytes: {MAX_FILE_SIZE} are allowed")));
    }
    let made = apply(base, delta, size)?;
    if (made.len() as u64) < size {
        return Err(Refusal::Truncated.because(format!("the delta makes {} of {size} bytes", made.len())));
    }
    let actual = Digest::of(&made);
    if actual != *digest {
        return Err(Refusal::Hash.because(format!("the delta makes {actual} instead of {digest}")));
    }
    Ok(made)
}

/// The manifest with its signature lines that a delta makes out of the signed part of another one, not yet read or verified.
///
/// # Errors
/// As [`apply_to_object`], without announced size and digest: a manifest has at most 1 MiB.
pub fn apply_to_manifest(signed_part: &[u8], delta: &[u8]) -> Result<Vec<u8>, Refused> {
    apply(signed_part, delta, MAX_MANIFEST as u64)
}

/// Runs the ops of a delta. Never makes more than `limit` bytes.
fn apply(base: &[u8], delta: &[u8], limit: u64) -> Result<Vec<u8>, Refused> {
    let mut ops = Inflater::new(delta);
    let mut made: Vec<u8> = Vec::new();
    // Position in the base minus position in the output.
    let mut shift = 0_i64;
    while let Some(first) = ops.next()? {
        let number = number(&mut ops, first)?;
        let mut length = number >> 2;
        let kind = [Kind::Insert, Kind::Copy, Kind::Add, Kind::Text][usize::try_from(number & 3).unwrap_or(0)];
        let is_base64 = kind == Kind::Text && length & 1 == 1;
        if kind == Kind::Text {
            length >>= 1;
        }
        if length == 0 {
            return Err(Refusal::Format.because("an op of the delta makes nothing"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let size = match kind {
            Kind::Text if is_base64 => length.div_ceil(3) * 4,
            Kind::Text => length * 2,
            _ => length,
        };
        if (made.len() + size) as u64 > limit {
            return Err(Refusal::Endless.because(format!("the delta makes more than {limit} bytes")));
        }
        let source = if matches!(kind, Kind::Copy | Kind::Add) {
            shift += signed(expected_number(&mut ops)?);
            in_base(base, made.len(), shift, length)?
        } else {
            &[]
        };
        match kind {
            Kind::Insert => made.extend(ops.take(length)?),
            Kind::Copy => made.extend(source),
            Kind::Add => {
                let added = ops.take(length)?;
                made.extend(source.iter().zip(added).map(|(old, add)| old.wrapping_add(add)));
            }
            Kind::Text if is_base64 => made.extend(BASE64.encode(&ops.take(length)?).into_bytes()),
            Kind::Text => made.extend(HEXLOWER.encode(&ops.take(length)?).into_bytes()),
        }
    }
    Ok(made)
}

/// The bytes of the base that stand `shift` after the end of the output.
fn in_base(base: &[u8], made: usize, shift: i64, length: usize) -> Result<&[u8], Refused> {
    let start = i64::try_from(made).ok().and_then(|made| made.checked_add(shift));
    let start = start.and_then(|start| usize::try_from(start).ok());
    let found = start.and_then(|start| base.get(start..start.checked_add(length)?));
    found.ok_or_else(|| Refusal::Format.because(format!("the delta reads outside of its base of {} bytes", base.len())))
}

/// A number whose first byte was read: 7 bits per byte, low ones first.
fn number(ops: &mut Inflater<'_>, first: u8) -> Result<u64, Refused> {
    let (mut number, mut byte, mut read) = (u64::from(first & 0x7f), first, 1);
    while byte >= 0x80 {
        if read == MAX_NUMBER_BYTES {
            return Err(Refusal::Format.because("a number of the delta is too long"));
        }
        byte = expected_byte(ops)?;
        number |= u64::from(byte & 0x7f) << (7 * read);
        read += 1;
    }
    if number >= MAX_NUMBER {
        return Err(Refusal::Format.because(format!("a number of the delta is {number}: {MAX_NUMBER} is too much")));
    }
    Ok(number)
}

fn expected_number(ops: &mut Inflater<'_>) -> Result<u64, Refused> {
    let first = expected_byte(ops)?;
    number(ops, first)
}

fn expected_byte(ops: &mut Inflater<'_>) -> Result<u8, Refused> {
    ops.next()?.ok_or_else(|| Refusal::Truncated.because("the delta ends within an op"))
}

/// 0, -1, 1, -2, 2, … for 0, 1, 2, 3, 4, …
fn signed(zigzag: u64) -> i64 {
    let half = i64::try_from(zigzag >> 1).unwrap_or(i64::MAX);
    if zigzag & 1 == 0 { half } else { -1 - half }
}

#[cfg(test)]
mod tests;
