//! Source packages from PyPI, pinned by version and SHA-256 in `device/sdists.txt`, under `target/`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const PINS: &str = include_str!("../../device/sdists.txt");
/// Names the Python whose pip fetches them.
const PYTHON_VARIABLE: &str = "GOLDCREST_PYTHON";
/// Names the folder for what is fetched.
const DOWNLOADS_VARIABLE: &str = "GOLDCREST_DOWNLOADS";

/// The unpacked packages.
#[derive(Clone, Debug)]
pub struct Sdists {
    folder: PathBuf,
}

impl Sdists {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// When there is no Python with pip, PyPI can't be reached, or the bytes are not those that were pinned.
    pub fn fetch() -> Result<Self> {
        let downloads = std::env::var_os(DOWNLOADS_VARIABLE).filter(|name| !name.is_empty());
        let folder = downloads.map_or_else(|| PathBuf::from("target/downloads"), PathBuf::from).join("sdists");
        let pins = script().with_file_name("sdists.txt");
        python(&["fetch".as_ref(), pins.as_ref(), folder.as_ref()])?;
        Ok(Self { folder })
    }

    /// The folder of one package.
    pub fn package(&self, name: &str, version: &str) -> PathBuf {
        self.folder.join(format!("{name}-{version}"))
    }
}

/// The pinned versions of a package, in the order of the file.
pub fn versions(name: &str) -> Vec<&'static str> {
    PINS.lines()
        .filter_map(|line| line.split_once(' ')?.0.split_once("=="))
        .filter(|(found, _)| *found == name)
        .map(|(_, version)| version)
        .collect()
}

/// Bytes of a folder as a .tar.gz.
///
/// # Errors
/// When it can't be packed.
pub fn tar_gz_bytes(folder: &Path) -> Result<u64> {
    let said = python(&["weigh".as_ref(), folder.as_ref()])?;
    said.trim().parse().with_context(|| format!("sdists.py weigh printed {said:?}"))
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("device/sdists.py")
}

fn python(words: &[&std::ffi::OsStr]) -> Result<String> {
    let name: OsString =
        std::env::var_os(PYTHON_VARIABLE).filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into());
    let output = Command::new(&name).arg(script()).args(words).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", name.display()))?;
    if !output.status.success() {
        bail!("sdists.py {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    //! What is pinned.

    use super::versions;

    #[test]
    fn the_history_has_twelve_releases_in_order() {
        let history = versions("microdot");
        assert_eq!((history.len(), history[0], history[11]), (12, "2.3.1", "2.7.0"));
        assert_eq!(versions("micropython-ota"), ["2.1.0"]);
    }
}
