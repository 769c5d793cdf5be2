//! Objects on the wire: zlib with a window small enough for a board's memory, or plain (docs/release-format.md, "Objects").

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::digest::Digest;
use crate::manifest::MAX_FILE_SIZE;
use crate::refusal::{Refusal, Refused};

/// Bits of the window that releases are packed with: 1 KiB on the board.
pub const DEFAULT_WINDOW_BITS: u8 = 10;
/// Smallest window.
pub const MIN_WINDOW_BITS: u8 = 9;
/// Largest window that a board must accept: 4 KiB.
pub const MAX_WINDOW_BITS: u8 = 12;

/// The wire form: a zlib stream if that is shorter, else the plain bytes. A window outside of 9 to 12 bits is taken to the nearest.
///
/// # Panics
/// Never: compressing in memory cannot fail.
pub fn to_wire(plain: &[u8], window_bits: u8) -> Vec<u8> {
    let window_bits = window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
    let mut deflate = Compress::new_with_window_bits(Compression::best(), true, window_bits);
    // One byte less than plain: a stream that does not fit is not worth having.
    let mut wire = Vec::with_capacity(plain.len().saturating_sub(1));
    if wire.capacity() == 0 {
        return plain.to_vec();
    }
    wire.resize(plain.len() - 1, 0);
    let status = deflate.compress(plain, &mut wire, FlushCompress::Finish).expect("the stream was just opened");
    if status != Status::StreamEnd {
        return plain.to_vec();
    }
    wire.truncate(usize::try_from(deflate.total_out()).expect("the stream is in memory"));
    wire
}

/// The plain bytes of an object that must have this size and digest. Never inflates more than `size` bytes and one.
///
/// # Errors
/// `endless` for more bytes than announced, before or after inflating; `truncated` for fewer; `format` for a zlib header with a
/// window above 12 bits or a dictionary; `hash` for a damaged stream or other bytes.
pub fn from_wire(wire: &[u8], size: u64, digest: &Digest) -> Result<Vec<u8>, Refused> {
    if size > MAX_FILE_SIZE {
        return Err(Refusal::Format.because(format!("object {digest} of {size} bytes: {MAX_FILE_SIZE} are allowed")));
    }
    let wire_len = wire.len() as u64;
    if wire_len > size {
        return Err(Refusal::Endless.because(format!("object {digest} has {wire_len} bytes of {size}")));
    }
    let plain = if wire_len == size { wire.to_vec() } else { inflate(wire, size, digest)? };
    let actual = Digest::of(&plain);
    if actual != *digest {
        return Err(Refusal::Hash.because(format!("object {digest} has the bytes of {actual}")));
    }
    Ok(plain)
}

fn inflate(wire: &[u8], size: u64, digest: &Digest) -> Result<Vec<u8>, Refused> {
    check_zlib_header(wire, digest)?;
    let limit = usize::try_from(size).expect("a file's size fits") + 1;
    let mut plain = vec![0; limit];
    let mut inflater = Decompress::new_with_window_bits(true, MAX_WINDOW_BITS);
    let status = inflater
        .decompress(wire, &mut plain, FlushDecompress::Finish)
        .map_err(|error| Refusal::Hash.because(format!("object {digest} is damaged: {error}")))?;
    let (read, written) = (inflater.total_in(), inflater.total_out());
    if written > size {
        return Err(Refusal::Endless.because(format!("object {digest} inflates to more than {size} bytes")));
    }
    if status != Status::StreamEnd || written < size {
        return Err(Refusal::Truncated.because(format!("object {digest} inflates to {written} of {size} bytes")));
    }
    if read < wire.len() as u64 {
        let extra = wire.len() as u64 - read;
        return Err(Refusal::Endless.because(format!("object {digest} has {extra} bytes after its zlib stream")));
    }
    plain.truncate(limit - 1);
    Ok(plain)
}

/// RFC 1950, section 2.2: compression method, window and the check of both.
fn check_zlib_header(wire: &[u8], digest: &Digest) -> Result<(), Refused> {
    let &[method, flags, ..] = wire else {
        return Err(Refusal::Truncated.because(format!("object {digest} ends within its zlib header")));
    };
    let is_zlib = method & 0xf == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31) && flags & 0x20 == 0;
    if !is_zlib {
        return Err(Refusal::Format.because(format!("object {digest} is shorter than announced but not a zlib stream")));
    }
    let window_bits = (method >> 4) + 8;
    if window_bits > MAX_WINDOW_BITS {
        let detail =
            format!("object {digest} needs a window of 2^{window_bits} bytes: 2^{MAX_WINDOW_BITS} is the limit");
        return Err(Refusal::Format.because(detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
