//! Debian packages that a step needs and a fresh machine lacks.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether this is Debian or one of its kind.
pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

/// `apt-get install`, where that can work: on Debian, as root. `None` where it cannot.
pub(crate) fn install(package: &str) -> Option<Result<(), String>> {
    (is_debian() && is_root()).then(|| {
        eprintln!("xtask: apt-get install {package}");
        apt_get(&["update", "-qq"])?;
        apt_get(&["install", "-y", "-qq", "--no-install-recommends", package])
    })
}

fn apt_get(words: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    let output = command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("apt-get does not start: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("apt-get {}: {}: {}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
