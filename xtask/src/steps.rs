//! Steps with a name and a time, and the line that sums them up.

use std::process::Command;
use std::time::Instant;

/// Runs steps one after the other; a failed one does not keep the next from running.
pub(crate) struct Steps {
    started: Instant,
    passed: usize,
    failed: Vec<String>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), passed: 0, failed: Vec::new() }
    }

    /// Runs one step and says how it went.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) {
        eprintln!("── {name}");
        let since = Instant::now();
        let outcome = work();
        let seconds = since.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                eprintln!("   ok, {seconds:.1} s");
            }
            Err(why) => {
                eprintln!("   FAILED, {seconds:.1} s: {why}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// The closing line; an error when a step failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        let seconds = self.started.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            eprintln!("all {} steps passed in {seconds:.1} s", self.passed);
            return Ok(());
        }
        let total = self.passed + self.failed.len();
        Err(format!("{} of {total} steps failed in {seconds:.1} s: {}", self.failed.len(), self.failed.join(", ")))
    }
}

/// Runs a command with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(e) => Err(format!("{name} does not start: {e}")),
    }
}

/// Runs a command whose output is of interest only when it fails; shows its last line otherwise.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name} does not start: {e}"))?;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        eprintln!("   {}", said.lines().next_back().unwrap_or_default());
        return Ok(());
    }
    eprint!("{complained}{said}");
    Err(format!("{name}: {}", output.status))
}

/// The cargo that runs us.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words);
    command
}
