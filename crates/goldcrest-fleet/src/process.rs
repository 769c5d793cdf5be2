//! One run of a board: its MicroPython process and the lines it writes.

use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::control::{self, Control};
use crate::supervisor::Machine;
use crate::{ResetCause, leash};

/// A longer console line is handed on in pieces, bytes.
const LINE_MAX: usize = 8 * 1024;
/// Lines read ahead of the supervisor.
const QUEUE: usize = 256;

/// What a board's process wrote.
#[derive(Debug)]
pub(crate) enum Line {
    Control(Control),
    Console(String),
}

/// A running board.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    cause: ResetCause,
    stdin: PipeWriter,
    lines: mpsc::Receiver<Line>,
}

impl Process {
    /// Starts the firmware with the given cause and RTC memory.
    pub(crate) fn start(machine: &Machine, cause: ResetCause, memory: &[u8]) -> Result<Self> {
        // One pipe for both, so that what happened and what was printed arrive in their order.
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let (input, stdin) = std::io::pipe().context("cannot make a pipe")?;
        let child = spawn(machine, cause, memory, input, writer)?;
        let pid = child.id().context("the board ended before it began")?;
        leash::hold(pid)?;
        let (sender, lines) = mpsc::channel(QUEUE);
        tokio::spawn(read_lines(nonblocking(reader)?, sender));
        Ok(Self { child, pid, cause, stdin, lines })
    }

    /// Why this run began.
    pub(crate) fn cause(&self) -> ResetCause {
        self.cause
    }

    /// The next line; `None` when the process has ended and everything it wrote was read.
    pub(crate) async fn line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// Tells the board that a timer is due: it runs the callback between two lines of the program.
    pub(crate) fn ring(&mut self) {
        if let Err(error) = self.stdin.write_all(b".") {
            tracing::debug!(board.pid = self.pid, %error, "the board was gone before its timer");
        }
    }

    /// Interrupts the board (SIGINT) if it waits in a call of the operating system. Anything else must not be
    /// interrupted: MicroPython breaks off whatever it does, its own garbage collection too.
    pub(crate) fn interrupt_if_blocked(&self) -> bool {
        // After the name, which may hold anything, in parentheses.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let blocked = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        if blocked
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::INT)
        {
            tracing::debug!(board.pid = self.pid, %error, "the board was gone before its timer");
        }
        blocked
    }

    /// Kills the process at once, if it still runs, and waits for its end. Lines already written can still be read.
    pub(crate) async fn kill(&mut self) -> Result<ExitStatus> {
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(board.pid = self.pid, %error, "the board had ended by itself");
        }
        let status = self.child.wait().await.context("waiting for a board's process")?;
        leash::free(self.pid)?;
        Ok(status)
    }
}

fn spawn(machine: &Machine, cause: ResetCause, memory: &[u8], input: PipeReader, output: PipeWriter) -> Result<Child> {
    let settings = &machine.settings;
    Command::new(settings.micropython.path())
        .arg("-X")
        .arg(format!("heapsize={}", settings.heap))
        .arg(&machine.entry)
        .arg("run")
        .args(settings.flash_arguments(&machine.image))
        .arg((cause as u8).to_string())
        .arg(format!("-{}", HEXLOWER.encode(memory)))
        .arg(HEXLOWER.encode(&settings.unique_id()))
        .stdin(input)
        .stdout(output.try_clone().context("cannot share a pipe")?)
        .stderr(output)
        // Ctrl-C in the terminal is for us; a board would take it for a timer.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", settings.micropython.path().display()))
}

fn nonblocking(reader: PipeReader) -> Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).context("cannot read a pipe")
}

async fn read_lines(mut source: pipe::Receiver, lines: mpsc::Sender<Line>) {
    let mut splitter = Splitter::default();
    let mut chunk = [0; 4096];
    // An error of a pipe is its end for us: there is nothing more to read.
    while let Ok(count) = source.read(&mut chunk).await
        && count > 0
    {
        for &byte in &chunk[..count] {
            if let Some(line) = splitter.push(byte)
                && lines.send(line).await.is_err()
            {
                return;
            }
        }
    }
    if !splitter.console.is_empty() {
        drop(lines.send(splitter.end()).await);
    }
}

/// Takes control lines out of the console output: they may come in the middle of one of its lines.
#[derive(Default)]
struct Splitter {
    console: Vec<u8>,
    /// The control line that is being read, its mark included.
    control: Option<Vec<u8>>,
}

impl Splitter {
    fn push(&mut self, byte: u8) -> Option<Line> {
        if let Some(control) = &mut self.control {
            if byte != b'\n' && control.len() < LINE_MAX {
                control.push(byte);
                return None;
            }
            let whole = self.control.take()?;
            return Control::parse(&whole).map(Line::Control).or_else(|| Some(Line::Console(text(&whole))));
        }
        match byte {
            control::MARK => self.control = Some(vec![byte]),
            b'\n' => return Some(self.end()),
            _ => {
                self.console.push(byte);
                if self.console.len() == LINE_MAX {
                    return Some(self.end());
                }
            }
        }
        None
    }

    /// The console line so far.
    fn end(&mut self) -> Line {
        let line = text(&self.console);
        self.console.clear();
        Line::Console(line)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\r').to_owned()
}
