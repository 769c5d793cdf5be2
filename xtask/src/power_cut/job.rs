//! One job of the sweep: its process is watched, because a filesystem in ruins can hang the interpreter itself.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{JobResult, script};
use crate::venv::Tools;

/// A cut takes about 40 ms of processor time, and making a case ready a few seconds: whoever computes this long without a word hangs.
const SILENCE_S: f64 = 30.0;
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Where the processor time of a process is not told: this long without a word.
const PATIENCE: Duration = Duration::from_mins(5);
/// Kernel ticks of a second in `/proc/<pid>/stat`.
const TICKS: f64 = 100.0;

/// What a job's process has printed, and how it ended.
enum End {
    /// All it printed.
    Done(String),
    Failed(String),
    /// The cut that it hangs in, and the bad ones before it.
    Hangs(u64, u64),
}

/// Runs a job to its end. A cut that hangs the interpreter is a bad one, and the job goes on behind it.
pub(super) fn run(root: &Path, tools: &Tools, folder: &Path, job: String) -> JobResult {
    let mut bad = Vec::new();
    let (mut done, mut bad_before) = (0, 0);
    loop {
        let words = [&job, &done.to_string(), &bad_before.to_string()].map(String::clone);
        match watch(root, tools, folder, &words, &mut bad) {
            End::Done(text) => return JobResult { job, figures: figures(&text), bad },
            End::Failed(why) => return JobResult { job, figures: Err(why), bad },
            // The same cut again, or none at all: it would never end.
            End::Hangs(at, _) if at <= done => {
                return JobResult { job, figures: Err(format!("silent for {SILENCE_S} s of processor time")), bad };
            }
            End::Hangs(at, before) => {
                bad.push(format!("cut {at}: the interpreter hangs"));
                (done, bad_before) = (at, before + 1);
            }
        }
    }
}

fn watch(root: &Path, tools: &Tools, folder: &Path, words: &[String; 3], bad: &mut Vec<String>) -> End {
    let [job, done, before] = words;
    let mut command = script(root, tools, folder, &["run", job, done, before]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return End::Failed(format!("{}: {e}", command.get_program().to_string_lossy())),
    };
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return End::Failed("no pipes".to_owned());
    };
    let (line, lines) = channel();
    let reader = thread::spawn(move || {
        for text in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    let said = thread::spawn(move || {
        let mut text = String::new();
        // What can't be read is missing from a message about something that is worse.
        BufReader::new(stderr).read_to_string(&mut text).ok();
        text
    });
    let (mut text, mut at) = (String::new(), (0, 0));
    let (mut heard, mut computed) = (Instant::now(), 0.0);
    let hangs = loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                heard = Instant::now();
                computed = processor_s(child.id()).unwrap_or(computed);
                if let Some(numbers) = line.strip_prefix("at ").and_then(pair) {
                    at = numbers;
                } else if let Some(what) = line.strip_prefix("bad: ") {
                    bad.push(what.to_owned());
                } else {
                    text += &line;
                    text.push('\n');
                }
            }
            Err(RecvTimeoutError::Timeout) => match processor_s(child.id()) {
                Some(now) if now - computed < SILENCE_S => {}
                None if heard.elapsed() < PATIENCE => {}
                _ => break true,
            },
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    if hangs {
        // It may have ended by itself meanwhile.
        child.kill().ok();
    }
    let status = child.wait();
    drop((reader.join(), lines));
    let said = said.join().unwrap_or_default();
    match status {
        _ if hangs => End::Hangs(at.0, at.1),
        Ok(status) if status.success() => End::Done(text),
        Ok(status) => End::Failed(format!("{status}: {}", tail(&(text + &said)))),
        Err(e) => End::Failed(e.to_string()),
    }
}

/// Seconds that a process has computed, where `/proc` tells.
fn processor_s(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: state is field 3, utime 14, stime 15.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / TICKS)
}

fn tail(text: &str) -> String {
    let last: Vec<&str> = text.lines().rev().take(6).collect();
    last.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// The numbers of the closing line `figures CUTS BAD`.
pub(super) fn figures(text: &str) -> Result<(u64, u64), String> {
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("figures ").and_then(pair).ok_or_else(|| format!("powercut.py ended with {last:?}"))
}

fn pair(text: &str) -> Option<(u64, u64)> {
    let (one, two) = text.split_once(' ')?;
    Some((one.parse().ok()?, two.parse().ok()?))
}
