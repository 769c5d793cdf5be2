//! What happens on a board, as its observer sees it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Console lines that an error of [`Events::wait_for`] quotes.
const QUOTED_LINES: usize = 40;

/// One thing that happened on a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardEvent {
    /// The firmware runs; boot.py comes next.
    Boot {
        /// Why it started.
        cause: ResetCause,
        /// Free heap in bytes before boot.py.
        heap_free: u64,
    },
    /// One line of the console, without its line end.
    Console(String),
    /// main.py ended or raised; the board sits at its prompt.
    Repl,
    /// The board went down and starts again with this cause.
    Reset(ResetCause),
    /// No process runs: the power was cut, or the board sleeps without end.
    Off,
    /// The MicroPython process ended by itself, which a board's firmware never does.
    Exit(String),
}

/// Why a board started: the numbers of `machine.reset_cause()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// Power came on.
    PowerOn = 1,
    /// `machine.reset()`, or a timer that had to end code which could not be interrupted.
    Hard = 2,
    /// The watchdog was not fed.
    Watchdog = 3,
    /// `machine.deepsleep()` is over.
    DeepSleep = 4,
    /// `machine.soft_reset()`, or main.py raised `SystemExit`.
    Soft = 5,
}

/// Follows one board from the moment of [`crate::Board::events`].
#[derive(Debug)]
pub struct Events {
    pub(crate) name: String,
    pub(crate) receiver: broadcast::Receiver<BoardEvent>,
    pub(crate) recent: VecDeque<String>,
}

impl Events {
    /// Waits for the next event that `wanted` accepts, and returns it; those before it are passed over.
    ///
    /// # Errors
    ///
    /// When none came within `limit`, or the board was stopped. The text quotes the last console lines.
    pub async fn wait_for(&mut self, limit: Duration, wanted: impl Fn(&BoardEvent) -> bool) -> Result<BoardEvent> {
        let deadline = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(deadline, self.receiver.recv()).await {
                Ok(Ok(event)) => {
                    self.remember(&event);
                    if wanted(&event) {
                        return Ok(event);
                    }
                }
                Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
                    self.recent.push_back(format!("({missed} events were missed)"));
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => {
                    bail!("board {} was stopped; its last events:\n{}", self.name, self.quote());
                }
                Err(_) => {
                    bail!("board {}: not seen within {limit:?}; its last events:\n{}", self.name, self.quote());
                }
            }
        }
    }

    /// Waits for a console line that contains `part`, and returns the line.
    ///
    /// # Errors
    ///
    /// As [`Events::wait_for`].
    pub async fn wait_for_line(&mut self, limit: Duration, part: &str) -> Result<String> {
        match self.wait_for(limit, |event| matches!(event, BoardEvent::Console(line) if line.contains(part))).await? {
            BoardEvent::Console(line) => Ok(line),
            other => bail!("{other:?} is not a console line"),
        }
    }

    fn remember(&mut self, event: &BoardEvent) {
        if self.recent.len() == QUOTED_LINES {
            self.recent.pop_front();
        }
        self.recent.push_back(match event {
            BoardEvent::Console(line) => line.clone(),
            other => format!("{other:?}"),
        });
    }

    fn quote(&self) -> String {
        self.recent.iter().fold(String::new(), |text, line| text + "  " + line + "\n")
    }
}
