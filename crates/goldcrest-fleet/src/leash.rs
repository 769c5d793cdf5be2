//! Kills the boards of this process when this process dies, even by kill -9.
//!
//! A shell reads our pipe and kills what was named on it as soon as the pipe ends. (A parent-death signal would be
//! the other way: it needs unsafe code, and ends with the thread rather than with the process.)

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow};

const SCRIPT: &str = r#"
held=" "
while read -r op pid; do
  case "$op" in
    hold) held="$held$pid ";;
    free) case "$held" in *" $pid "*) held="${held%% $pid *} ${held#* $pid }";; esac;;
  esac
done
for pid in $held; do kill -9 "$pid"; done
"#;

static LEASH: OnceLock<Result<Mutex<ChildStdin>, String>> = OnceLock::new();

/// From now on the process `pid` ends with this one.
pub(crate) fn hold(pid: u32) -> Result<()> {
    tell("hold", pid)
}

/// The process `pid` has ended; its number may be another's soon.
pub(crate) fn free(pid: u32) -> Result<()> {
    tell("free", pid)
}

fn tell(operation: &str, pid: u32) -> Result<()> {
    let leash = LEASH.get_or_init(|| start().map_err(|error| format!("{error:#}"))).as_ref();
    let mut pipe = leash.map_err(|error| anyhow!("{error}"))?.lock().unwrap_or_else(PoisonError::into_inner);
    pipe.write_all(format!("{operation} {pid}\n").as_bytes()).context("the shell that guards the boards has ended")
}

fn start() -> Result<Mutex<ChildStdin>> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in the terminal must not end it before us.
        .process_group(0)
        .spawn()
        .context("cannot start sh, which guards the boards")?;
    shell.stdin.take().map(Mutex::new).context("sh has no stdin")
}
