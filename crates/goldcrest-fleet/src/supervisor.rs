//! The task that plays the hardware around one board: power, resets, watchdog, timers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::control::Control;
use crate::process::{Line, Process};
use crate::{BoardEvent, BoardSettings, ResetCause};

/// Code that has not let a timer through after this long gets the reset that a hardware timer would have caused.
const TIMER_GRACE: Duration = Duration::from_secs(1);
/// A board that has not run a timer's callback after this long is looked at, as often, whether it waits in a call.
const TIMER_PATIENCE: Duration = Duration::from_millis(100);
/// Timers of one board.
const TIMERS_MAX: usize = 64;
/// A process that ends by itself this often without reaching boot.py cannot be a board.
const EXITS_MAX: u32 = 5;

/// What does not change while a board exists.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) settings: BoardSettings,
    pub(crate) entry: PathBuf,
    pub(crate) image: PathBuf,
}

/// Flash operations since the board was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlashCounters {
    /// Program operations, each of up to one block.
    pub programs: u64,
    /// Block erases.
    pub erases: u64,
}

/// Counters that the task writes and the owner of the board reads.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    programs: AtomicU64,
    erases: AtomicU64,
}

impl Counted {
    pub(crate) fn read(&self) -> FlashCounters {
        FlashCounters { programs: self.programs.load(Ordering::Acquire), erases: self.erases.load(Ordering::Acquire) }
    }
}

/// What the owner of a board can ask of the task; answered when it is done.
#[derive(Debug)]
pub(crate) enum Command {
    PowerOn(oneshot::Sender<Result<()>>),
    PowerCut(oneshot::Sender<Result<()>>),
}

/// A timer that is due.
#[derive(Clone, Copy)]
struct Ringing {
    since: Instant,
    /// When to look whether the board waits in a call; `None` when it was interrupted, because MicroPython takes a second
    /// interrupt as the order to end.
    look: Option<Instant>,
}

/// The state of the hardware around one board.
pub(crate) struct Supervisor {
    pub(crate) machine: Arc<Machine>,
    pub(crate) counted: Arc<Counted>,
    pub(crate) events: broadcast::Sender<BoardEvent>,
    pub(crate) log: File,
    process: Option<Process>,
    memory: Vec<u8>,
    watchdog: Option<(Duration, Instant)>,
    timers: BTreeMap<u32, Instant>,
    /// Set from a timer's deadline until the board runs its callback.
    ringing: Option<Ringing>,
    wake: Option<Instant>,
    exits: u32,
}

impl Supervisor {
    pub(crate) fn new(
        machine: Arc<Machine>,
        counted: Arc<Counted>,
        events: broadcast::Sender<BoardEvent>,
        log: File,
    ) -> Self {
        Self {
            machine,
            counted,
            events,
            log,
            process: None,
            memory: Vec::new(),
            watchdog: None,
            timers: BTreeMap::new(),
            ringing: None,
            wake: None,
            exits: 0,
        }
    }

    /// Serves the board until its owner drops the sender of `commands`.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let next = self.next_deadline();
            let step = tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                line = next_line(&mut self.process) => match line {
                    Some(line) => self.take(line).await,
                    None => self.ended().await,
                },
                () = until(next) => self.deadline().await,
            };
            if let Err(error) = step {
                tracing::error!(board.name = self.machine.settings.name, error = format!("{error:#}"), "board failed");
                self.tell(BoardEvent::Exit(format!("{error:#}")));
            }
        }
        if let Err(error) = self.stop().await {
            tracing::warn!(error = format!("{error:#}"), "board did not stop cleanly");
        }
    }

    async fn obey(&mut self, command: Command) -> Result<()> {
        let (answer, result) = match command {
            Command::PowerOn(answer) => {
                let result = if self.process.is_some() { Ok(()) } else { self.start(ResetCause::PowerOn) };
                (answer, result)
            }
            Command::PowerCut(answer) => (answer, self.power_off().await),
        };
        // An owner that no longer waits for the answer has dropped the board: the loop ends next.
        drop(answer.send(result));
        Ok(())
    }

    async fn power_off(&mut self) -> Result<()> {
        self.stop().await?;
        self.memory.clear();
        self.wake = None;
        self.exits = 0;
        self.tell(BoardEvent::Off);
        Ok(())
    }

    fn start(&mut self, cause: ResetCause) -> Result<()> {
        self.wake = None;
        self.process = Some(Process::start(&self.machine, cause, &self.memory)?);
        Ok(())
    }

    /// Kills the process and counts what it still did.
    async fn stop(&mut self) -> Result<()> {
        self.watchdog = None;
        self.timers.clear();
        self.ringing = None;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().await?;
        while let Some(line) = process.line().await {
            match line {
                Line::Control(Control::Program | Control::Erase | Control::RtcMemory(_)) | Line::Console(_) => {
                    self.note(line);
                }
                Line::Control(_) => {}
            }
        }
        Ok(())
    }

    async fn restart(&mut self, cause: ResetCause) -> Result<()> {
        self.stop().await?;
        self.tell(BoardEvent::Reset(cause));
        self.start(cause)
    }

    async fn ended(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.kill().await?;
        self.stop().await?;
        self.tell(BoardEvent::Exit(status.to_string()));
        self.exits += 1;
        if self.exits >= EXITS_MAX {
            self.tell(BoardEvent::Off);
            return Ok(());
        }
        self.tell(BoardEvent::Reset(ResetCause::Hard));
        self.start(ResetCause::Hard)
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Control(Control::Reset) => self.restart(ResetCause::Hard).await,
            Line::Control(Control::SoftReset) => self.restart(ResetCause::Soft).await,
            Line::Control(Control::DeepSleep { time_ms }) => {
                self.stop().await?;
                self.wake = time_ms.map(|time| Instant::now() + Duration::from_millis(time));
                self.tell(BoardEvent::Off);
                Ok(())
            }
            other => {
                self.note(other);
                Ok(())
            }
        }
    }

    /// Lines that change only our own state.
    fn note(&mut self, line: Line) {
        let now = Instant::now();
        match line {
            Line::Console(text) => self.tell(BoardEvent::Console(text)),
            Line::Control(control) => match control {
                Control::Program => drop(self.counted.programs.fetch_add(1, Ordering::AcqRel)),
                Control::Erase => drop(self.counted.erases.fetch_add(1, Ordering::AcqRel)),
                Control::RtcMemory(bytes) => self.memory = bytes,
                Control::Boot { heap_free } => self.booted(heap_free),
                Control::Repl => self.tell(BoardEvent::Repl),
                Control::Watchdog { timeout_ms } => {
                    let timeout = Duration::from_millis(timeout_ms);
                    self.watchdog = Some((timeout, now + timeout));
                }
                Control::Feed => {
                    if let Some((timeout, due)) = &mut self.watchdog {
                        *due = now + *timeout;
                    }
                }
                Control::Timer { id, period_ms } => {
                    if self.timers.len() < TIMERS_MAX {
                        self.timers.insert(id, now + Duration::from_millis(period_ms));
                    }
                }
                Control::TimerOff { id } => drop(self.timers.remove(&id)),
                Control::TimerRan => self.ringing = None,
                Control::Reset | Control::SoftReset | Control::DeepSleep { .. } => {}
            },
        }
    }

    fn booted(&mut self, heap_free: u64) {
        self.exits = 0;
        let cause = self.process.as_ref().map_or(ResetCause::PowerOn, Process::cause);
        self.tell(BoardEvent::Boot { cause, heap_free });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.values().min().copied();
        let watchdog = self.watchdog.map(|(_, due)| due);
        let grace = self.ringing.map(|ringing| ringing.since + TIMER_GRACE);
        let look = self.ringing.and_then(|ringing| ringing.look);
        [timer, watchdog, grace, look, self.wake].into_iter().flatten().min()
    }

    async fn deadline(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.wake.is_some_and(|due| due <= now) {
            self.tell(BoardEvent::Reset(ResetCause::DeepSleep));
            return self.start(ResetCause::DeepSleep);
        }
        if self.watchdog.is_some_and(|(_, due)| due <= now) {
            return self.restart(ResetCause::Watchdog).await;
        }
        if self.ringing.is_some_and(|ringing| ringing.since + TIMER_GRACE <= now) {
            return self.restart(ResetCause::Hard).await;
        }
        let armed = self.timers.len();
        self.timers.retain(|_, due| *due > now);
        if self.timers.len() < armed && self.ringing.is_none() {
            self.ringing = Some(Ringing { since: now, look: Some(now + TIMER_PATIENCE) });
            if let Some(process) = &mut self.process {
                process.ring();
            }
        }
        if let Some(Ringing { look: Some(at), .. }) = self.ringing
            && at <= now
        {
            let interrupted = self.process.as_ref().is_none_or(Process::interrupt_if_blocked);
            let look = (!interrupted).then_some(now + TIMER_PATIENCE);
            self.ringing = self.ringing.map(|ringing| Ringing { look, ..ringing });
        }
        Ok(())
    }

    fn tell(&mut self, event: BoardEvent) {
        let text = match &event {
            BoardEvent::Console(line) => format!("{line}\n"),
            other => format!("-- {other:?}\n"),
        };
        if let Err(error) = self.log.write_all(text.as_bytes()) {
            tracing::warn!(board.name = self.machine.settings.name, %error, "cannot write the board's log");
        }
        // Nobody has to listen.
        drop(self.events.send(event));
    }
}

async fn next_line(process: &mut Option<Process>) -> Option<Line> {
    match process {
        Some(process) => process.line().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
