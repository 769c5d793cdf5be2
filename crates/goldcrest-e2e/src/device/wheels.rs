//! Python packages that cannot live beside those of requirements.txt: installed from PyPI into a folder of their own under `target/`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Names the Python whose pip installs them.
const PYTHON_VARIABLE: &str = "GOLDCREST_PYTHON";
/// Names the folder for what is fetched.
const DOWNLOADS_VARIABLE: &str = "GOLDCREST_DOWNLOADS";
/// One installation at a time within a process.
static TURN: Mutex<()> = Mutex::new(());

/// The folder for `PYTHONPATH` with the packages of `device/<name>.txt`, installed unless they are there as that file wants them.
///
/// # Errors
/// When there is no Python with pip, or PyPI can't be reached.
pub fn install(name: &str) -> Result<PathBuf> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("device").join(format!("{name}.txt"));
    let wanted = std::fs::read_to_string(&pins).with_context(|| format!("cannot read {}", pins.display()))?;
    let downloads = std::env::var_os(DOWNLOADS_VARIABLE).filter(|name| !name.is_empty());
    let folder = downloads.map_or_else(|| PathBuf::from("target/downloads"), PathBuf::from).join(name);
    let folder = std::path::absolute(folder)?;
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
    let output = pip.arg(&folder).arg("-r").arg(&pins).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("pip cannot install {}: {}", pins.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    std::fs::write(stamp, wanted)?;
    Ok(folder)
}

/// The Python that tests run clients with.
pub fn python() -> OsString {
    std::env::var_os(PYTHON_VARIABLE).filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into())
}
