//! Makes deltas: several plans, each written in several ways, and the shortest one after deflating wins.

use std::ops::Range;

use data_encoding::{BASE64, HEXLOWER};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::plan::{self, Costs, Places, Stretch};
use super::{Kind, WINDOW_BITS};

/// Shortest run of hex digits that is taken for a digest or key id.
const MIN_HEX: usize = 16;
/// Shortest run of base64 that is taken for a signature or key.
const MIN_BASE64: usize = 64;
/// Shortest piece of such a run that is packed.
const MIN_PACKED: usize = 8;
/// Above this many bytes of base and target together only [`FEW`] plans are tried: time grows with both.
const MANY_UP_TO: usize = 256 << 10;
/// The first plans are the ones that are best most often.
const FEW: usize = 2;
/// In a copy that is not exact, so many equal bytes in a row become an exact one; none: never.
const EXACT_FROM: [usize; 3] = [32, 256, usize::MAX];

const PLANS: [Costs; 4] = [
    Costs { insert: 6, differ: None, jump: 20, resume: 12, seed: 4 },
    Costs { insert: 6, differ: Some(9), jump: 26, resume: 10, seed: 4 },
    Costs { insert: 7, differ: None, jump: 30, resume: 12, seed: 6 },
    Costs { insert: 5, differ: None, jump: 36, resume: 20, seed: 8 },
];

/// The shortest delta found that makes `target` out of `base`. The same bytes give the same delta.
///
/// Made for up to [`super::MAX_DELTA_OBJECT`] bytes each: time grows with both. An empty base is fine; its delta only holds the target.
pub fn create(base: &[u8], target: &[u8]) -> Vec<u8> {
    let texts = texts(target);
    let mut text_cost = vec![0; target.len()];
    for text in &texts {
        text_cost[text.range.clone()].fill(if text.is_base64 { 97 } else { 64 });
    }
    let count = match base.len() + target.len() {
        _ if base.is_empty() => 1,
        size if size > MANY_UP_TO => FEW,
        _ => PLANS.len(),
    };
    let mut shortest: Option<Vec<u8>> = None;
    let places = Places::new(base);
    for costs in &PLANS[..count] {
        let plan = plan::plan(base, target, &places, costs, &text_cost);
        let ways = if costs.differ.is_some() { &EXACT_FROM[..] } else { &EXACT_FROM[..1] };
        for exact_from in ways {
            let wire = deflate(&Writer { base, target, texts: &texts, exact_from: *exact_from }.write(&plan));
            if shortest.as_ref().is_none_or(|shortest| wire.len() < shortest.len()) {
                shortest = Some(wire);
            }
        }
    }
    shortest.unwrap_or_else(|| deflate(&[]))
}

/// A run of hex digits or base64 in the target: random text that takes less room as bytes.
struct Text {
    range: Range<usize>,
    is_base64: bool,
}

fn texts(target: &[u8]) -> Vec<Text> {
    let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut found = Vec::new();
    let mut at = 0;
    while at < target.len() {
        let letters = target[at..].iter().take_while(is_base64).count();
        let padding = target[at + letters..].iter().take_while(|byte| **byte == b'=').take(2).count();
        let length = letters + padding;
        let range = at..at + length;
        if target[range.clone()].iter().all(is_hex) {
            if length >= MIN_HEX {
                found.push(Text { range, is_base64: false });
            }
        } else if length >= MIN_BASE64 {
            found.push(Text { range, is_base64: true });
        }
        at += length.max(1);
    }
    found
}

/// Writes the ops of a plan.
struct Writer<'a> {
    base: &'a [u8],
    target: &'a [u8],
    texts: &'a [Text],
    exact_from: usize,
}

impl Writer<'_> {
    fn write(&self, plan: &[Stretch]) -> Vec<u8> {
        let mut ops = Vec::new();
        let mut shift = 0;
        for stretch in plan {
            match *stretch {
                Stretch::Insert { start, length } => self.insert(&mut ops, start..start + length),
                Stretch::Copy { start, from, length } => {
                    let new_shift = plan::shift(from, start);
                    self.copy(&mut ops, start, from, length, new_shift - shift);
                    shift = new_shift;
                }
            }
        }
        ops
    }

    /// Bytes that are in the delta; runs of text as the bytes that they stand for.
    fn insert(&self, ops: &mut Vec<u8>, range: Range<usize>) {
        let mut at = range.start;
        let first = self.texts.partition_point(|text| text.range.end <= range.start);
        for text in self.texts[first..].iter().take_while(|text| text.range.start < range.end) {
            let (start, end) = (text.range.start.max(at), text.range.end.min(range.end));
            let group = if text.is_base64 { 4 } else { 2 };
            let end = start + (end - start) / group * group;
            let letters = &self.target[start..end];
            let coding = if text.is_base64 { BASE64 } else { HEXLOWER };
            // What the board would not write as the same letters travels as it is: the decoder also takes padding in the middle.
            let is_same = |packed: &Vec<u8>| letters.len() >= MIN_PACKED && coding.encode(packed).as_bytes() == letters;
            let Some(packed) = coding.decode(letters).ok().filter(is_same) else { continue };
            self.plain(ops, at..start);
            number(ops, (packed.len() as u64) << 3 | u64::from(text.is_base64) << 2 | Kind::Text as u64);
            ops.extend(packed);
            at = end;
        }
        self.plain(ops, at..range.end);
    }

    fn plain(&self, ops: &mut Vec<u8>, range: Range<usize>) {
        if !range.is_empty() {
            number(ops, (range.len() as u64) << 2 | Kind::Insert as u64);
            ops.extend(&self.target[range]);
        }
    }

    /// A copy, as exact pieces and pieces with differences. `jump` is how far its shift is from the last one.
    fn copy(&self, ops: &mut Vec<u8>, start: usize, from: usize, length: usize, mut jump: isize) {
        let (old, new) = (&self.base[from..from + length], &self.target[start..start + length]);
        let differences: Vec<u8> = new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)).collect();
        let mut at = 0;
        while at < length {
            let equal = zeros(&differences[at..]);
            let is_exact = equal >= self.exact_from || equal == length - at;
            let piece = if is_exact { equal } else { self.until_exact(&differences[at..]) };
            let kind = if is_exact { Kind::Copy } else { Kind::Add };
            number(ops, (piece as u64) << 2 | kind as u64);
            number(ops, ((jump << 1) ^ (jump >> (isize::BITS - 1))).cast_unsigned() as u64);
            jump = 0;
            if !is_exact {
                ops.extend(&differences[at..at + piece]);
            }
            at += piece;
        }
    }

    /// Where a run of zeros begins that is long enough to be a piece of its own; else the whole length.
    fn until_exact(&self, differences: &[u8]) -> usize {
        let mut at = 0;
        while at < differences.len() {
            let equal = zeros(&differences[at..]);
            if at > 0 && equal >= self.exact_from {
                return at;
            }
            at += equal.max(1);
        }
        differences.len()
    }
}

fn zeros(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == 0).count()
}

/// 7 bits per byte, low ones first.
fn number(ops: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        ops.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    ops.push(number.to_le_bytes()[0]);
}

/// A raw deflate stream with the window of the format.
pub(super) fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new_with_window_bits(Compression::best(), false, WINDOW_BITS);
    // Stored blocks have 5 bytes of overhead each, and hold at least 1 KiB at this window.
    let mut wire = vec![0; plain.len() + plain.len() / 64 + 64];
    let status = deflate.compress(plain, &mut wire, FlushCompress::Finish).expect("the stream was just opened");
    assert_eq!(status, Status::StreamEnd, "the output has room for the worst case");
    wire.truncate(usize::try_from(deflate.total_out()).expect("the stream is in memory"));
    wire
}
