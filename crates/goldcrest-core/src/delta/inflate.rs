//! Reads a raw deflate stream byte by byte without ever holding more of it than a small buffer.

use flate2::{Decompress, FlushDecompress, Status};

use super::WINDOW_BITS;
use crate::refusal::{Refusal, Refused};

/// Bytes inflated at a time.
const PIECE: usize = 4096;

/// The plain bytes of a delta, in order.
pub(super) struct Inflater<'a> {
    stream: &'a [u8],
    inflate: Decompress,
    piece: Vec<u8>,
    /// What of `piece` was not taken yet.
    start: usize,
    end: usize,
    is_over: bool,
}

impl<'a> Inflater<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Self {
        let inflate = Decompress::new_with_window_bits(false, WINDOW_BITS);
        Self { stream, inflate, piece: vec![0; PIECE], start: 0, end: 0, is_over: false }
    }

    /// The next byte; none after the last one of a whole stream.
    pub(super) fn next(&mut self) -> Result<Option<u8>, Refused> {
        if self.start == self.end {
            self.fill()?;
        }
        if self.start == self.end {
            return Ok(None);
        }
        self.start += 1;
        Ok(Some(self.piece[self.start - 1]))
    }

    /// Exactly the next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<u8>, Refused> {
        let mut taken = Vec::with_capacity(count.min(PIECE));
        while taken.len() < count {
            if self.start == self.end {
                self.fill()?;
            }
            if self.start == self.end {
                return Err(Refusal::Truncated.because("the delta ends within an op"));
            }
            let some = (count - taken.len()).min(self.end - self.start);
            taken.extend(&self.piece[self.start..self.start + some]);
            self.start += some;
        }
        Ok(taken)
    }

    fn fill(&mut self) -> Result<(), Refused> {
        (self.start, self.end) = (0, 0);
        while self.end == 0 && !self.is_over {
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let rest = &self.stream[usize::try_from(read).unwrap_or(usize::MAX).min(self.stream.len())..];
            let status = self
                .inflate
                .decompress(rest, &mut self.piece, FlushDecompress::None)
                .map_err(|error| Refusal::Hash.because(format!("the delta is damaged: {error}")))?;
            self.end = usize::try_from(self.inflate.total_out() - written).unwrap_or(0);
            if status == Status::StreamEnd {
                self.is_over = true;
                if self.inflate.total_in() < self.stream.len() as u64 {
                    return Err(Refusal::Endless.because("bytes after the delta's deflate stream"));
                }
            } else if self.end == 0 && self.inflate.total_in() == read {
                return Err(Refusal::Truncated.because("the delta's deflate stream is cut off"));
            }
        }
        Ok(())
    }
}
