//! What the line formats (manifest, keyring) share: lines, decimal numbers, the split before the signatures.

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::refusal::{Refusal, Refused};
use crate::signature::{KeyId, Signature};

/// Most bytes of one line, without its line end.
pub(crate) const MAX_LINE: usize = 1024;
/// Largest number: what a double holds exactly.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A signed text: its body lines, the signatures under it, and the digest of the signed bytes.
pub(crate) struct SignedText<'a> {
    /// Everything before the first `sig ` line.
    pub(crate) body: &'a str,
    pub(crate) digest: Digest,
    pub(crate) signatures: Vec<Signature>,
}

/// Splits a text into the signed bytes and its signatures; checks what holds for every line.
///
/// # Errors
/// `format` for other than UTF-8 with LF line ends, a line that is too long, no signature, too many, or one that is malformed.
pub(crate) fn split_signed(bytes: &[u8], max_bytes: usize, max_signatures: usize) -> Result<SignedText<'_>, Refused> {
    if bytes.len() > max_bytes {
        return Err(Refusal::Format.because(format!("{} bytes: {max_bytes} are allowed", bytes.len())));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Refusal::Format.because(format!("not UTF-8 text after {} bytes", error.valid_up_to())))?;
    if !text.ends_with('\n') {
        return Err(Refusal::Format.because("the last line has no line end: the text is cut off"));
    }
    for (index, line) in text.split_terminator('\n').enumerate() {
        if line.len() > MAX_LINE {
            return Err(Refusal::Format.because(format!("line {} has more than {MAX_LINE} bytes", index + 1)));
        }
        if line.contains('\r') {
            return Err(Refusal::Format.because(format!("line {} has a carriage return: use LF line ends", index + 1)));
        }
    }
    let body_len = match text.find("\nsig ") {
        Some(at) => at + 1,
        None => return Err(Refusal::Format.because("no signature line")),
    };
    let (body, tail) = text.split_at(body_len);
    let signatures = tail.split_terminator('\n').map(parse_signature).collect::<Result<Vec<_>, _>>()?;
    if signatures.len() > max_signatures {
        return Err(Refusal::Format.because(format!("more than {max_signatures} signatures")));
    }
    Ok(SignedText { body, digest: Digest::of(body.as_bytes()), signatures })
}

/// The signed text with a line per signature under it.
pub(crate) fn join_signed(body: &str, signatures: &[Signature]) -> Vec<u8> {
    let mut text = body.to_owned();
    for signature in signatures {
        writeln!(text, "sig {} {}", signature.key_id, signature.to_base64()).expect("writing to a string cannot fail");
    }
    text.into_bytes()
}

/// A decimal number without sign or leading zeros, at most 2^53 - 1.
pub(crate) fn parse_number(text: &str) -> Result<u64, Refused> {
    let malformed = || Refusal::Format.because(format!("{text:?} is not a decimal number of at most 2^53 - 1"));
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_digit()) || (text.len() > 1 && text.starts_with('0')) {
        return Err(malformed());
    }
    text.parse().ok().filter(|&number| number <= MAX_NUMBER).ok_or_else(malformed)
}

fn parse_signature(line: &str) -> Result<Signature, Refused> {
    let malformed =
        || Refusal::Format.because(format!("{line:?} is not a signature line, and only those end the text"));
    let rest = line.strip_prefix("sig ").ok_or_else(malformed)?;
    let (key_id, base64) = rest.split_once(' ').ok_or_else(malformed)?;
    Signature::from_base64(key_id.parse::<KeyId>()?, base64)
}
