//! Progress on stderr: a bar on a terminal, one line for each tenth elsewhere, nothing when quiet.

use std::io::{self, IsTerminal, Read};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Output};

/// Progress over a known number of bytes.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    done: u64,
    tenths: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(output: &'a Output, what: &str, total: u64) -> Progress<'a> {
        let draw = io::stderr().is_terminal() && !output.is_quiet();
        let bar = draw.then(|| {
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.with_message(what.to_owned())
        });
        Progress { output, bar, what: what.to_owned(), total, done: 0, tenths: 0 }
    }

    /// A reader over the bytes that moves the progress on.
    pub(crate) fn reader<'b>(self, bytes: &'b [u8]) -> impl Read + use<'a, 'b> {
        Counted { inner: bytes, progress: self }
    }

    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            if self.done == self.total {
                bar.finish_and_clear();
            }
            return;
        }
        let tenths = self.done * 10 / self.total.max(1);
        if tenths > self.tenths {
            self.tenths = tenths;
            self.output.note(&format!("{} {}0 % of {}", self.what, tenths, output::size(self.total)));
        }
    }
}

struct Counted<'a, 'b> {
    inner: &'b [u8],
    progress: Progress<'a>,
}

impl Read for Counted<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read);
        Ok(read)
    }
}
