//! A package on its way to a board, a chunk at a time. A download stays at the package that it began with, whatever is announced meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::Device;
use super::announce::announced;
use super::package::Package;
use crate::App;

/// A package that a board is fetching.
#[derive(Debug)]
pub(super) struct Download {
    package: Arc<Package>,
    /// What the board calls it.
    request: String,
    pub(super) touched: Instant,
    /// The board told how it went.
    pub(super) is_over: bool,
}

/// What a board asks for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Which download of the board this belongs to.
    pub(super) request: String,
    pub(super) chunk: usize,
    /// Bytes of each chunk; 0: all of it in one.
    pub(super) size: usize,
}

/// A part of a package.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) package: Arc<Package>,
    pub(super) range: Range<usize>,
}

impl Download {
    /// Title and version of what is fetched.
    pub(super) fn names(&self) -> (String, String) {
        (self.package.title.clone(), self.package.version.clone())
    }
}

impl Wanted {
    /// Where its bytes are in `length` bytes; empty when it is past their end.
    fn range(&self, length: usize) -> Range<usize> {
        if self.size == 0 {
            return if self.chunk == 0 { 0..length } else { length..length };
        }
        let start = self.chunk.saturating_mul(self.size).min(length);
        start..start.saturating_add(self.size).min(length)
    }
}

/// The part of the package that a board asks for; `None` when there is none for it.
pub(super) async fn slice(app: &Arc<App>, device: Device, wanted: &Wanted) -> anyhow::Result<Option<Slice>> {
    let under_way = app.boards.with(device.id, |board| {
        let download = board.download.as_mut().filter(|download| download.request == wanted.request)?;
        download.touched = Instant::now();
        // Whoever asks for the first chunk begins anew.
        (wanted.chunk > 0).then(|| Arc::clone(&download.package))
    });
    let package = match under_way {
        Some(package) => package,
        None => match announced(app, device.id).await? {
            Some(announced) => begin(app, device, wanted, announced.package),
            None => return Ok(None),
        },
    };
    let range = wanted.range(package.bytes.len());
    Ok(Some(Slice { package, range }))
}

fn begin(app: &Arc<App>, device: Device, wanted: &Wanted, package: Arc<Package>) -> Arc<Package> {
    let request = wanted.request.clone();
    let download = Download { package: Arc::clone(&package), request, touched: Instant::now(), is_over: false };
    app.boards.with(device.id, |board| board.download = Some(download));
    package
}

/// A board's connection is gone, and no other took its place: what was held back for it is not told to the next, because nothing is told to
/// a board that just came. It asks.
pub(super) fn connection_lost(app: &App, device_id: i64) {
    if let Some(board) = app.boards.lock().get_mut(&device_id) {
        board.held.clear();
        board.must_announce = false;
        if let Some(download) = &mut board.download {
            download.is_over = true;
        }
    }
}

/// Cuts packages of some lengths: for `fuzz/`.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(wanted: &Wanted) {
    for length in [0, 1, 1_000, 100_000] {
        let range = wanted.range(length);
        assert!(range.start <= range.end && range.end <= length, "{wanted:?} of {length} is {range:?}");
        assert!(wanted.size == 0 || range.len() <= wanted.size, "{wanted:?} of {length} is {range:?}");
    }
}
