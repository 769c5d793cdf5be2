//! `Range` and `If-Range` (RFC 9110, section 14): which bytes of an object a board asks for.

use axum::http::{HeaderMap, header};

/// Which part of an object is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, with 200.
    Whole,
    /// The bytes from `first` to `last`, both included, with 206.
    Bytes { first: u64, last: u64 },
    /// Nothing of it: 416.
    Unsatisfiable,
}

/// The part of an object of `size` bytes and this entity tag that the headers ask for.
///
/// What is malformed, has another unit or several ranges is ignored, so it gets the whole object (RFC 9110, section 14.2).
pub(crate) fn part_of(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Part::Whole };
    // A date, a weak or another tag: the board's first part may be of something else (section 13.1.5).
    if headers.get(header::IF_RANGE).is_some_and(|value| value.as_bytes() != etag.as_bytes()) {
        return Part::Whole;
    }
    parse(range, size).unwrap_or(Part::Whole)
}

fn parse(range: &str, size: u64) -> Option<Part> {
    let (unit, set) = range.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let part = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(0)) => Part::Unsatisfiable,
        (None, Some(_)) if size == 0 => Part::Unsatisfiable,
        (None, Some(count)) => Part::Bytes { first: size.saturating_sub(count), last: size - 1 },
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), _) if first >= size => Part::Unsatisfiable,
        (Some(first), last) => Part::Bytes { first, last: last.map_or(size - 1, |last| last.min(size - 1)) },
    };
    Some(part)
}

/// The outer `None`: not a number. The inner one: nothing there.
#[expect(clippy::option_option, reason = "absent and malformed are different things here")]
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
