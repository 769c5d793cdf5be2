//! `cargo xtask wasm`: the agent's tests on MicroPython 1.23 to 1.29, as the 32-bit WASM builds that npm has of them.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::apt;

/// What npm calls the package of every build.
const PACKAGE: &str = "micropython-";
/// Builds that run at the same time.
const WORKERS: usize = 2;

pub(crate) fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let builds = install(root)?;
    let script = root.join("agent/tests/wasm/check.mjs");
    let queue = Mutex::new(VecDeque::from(builds));
    let failed = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.pop_front();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(build) = next() {
                    if let Err(why) = check(&script, &build, words)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().map_err(|_| "a worker stopped half-way".to_owned())?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Runs the tests on one build and prints its line.
fn check(script: &Path, build: &Path, words: &[String]) -> Result<(), String> {
    let name = build.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = Command::new("node").arg(script).arg(build).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{name}: node does not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        eprintln!("   {}", said.lines().next_back().unwrap_or_default());
        return Ok(());
    }
    eprint!("{}{said}", String::from_utf8_lossy(&output.stderr));
    Err(format!("{name}: {}", output.status))
}

/// Fetches the builds into target/wasm, unless they are there as the lock file asks for. npm checks the SHA-512 of each.
fn install(root: &Path) -> Result<Vec<PathBuf>, String> {
    let wanted = root.join("agent/tests/wasm");
    let folder = root.join("target/wasm");
    let lock = read(&wanted.join("package-lock.json"))?;
    let stamp = folder.join("goldcrest-package-lock.json");
    need_node()?;
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        eprintln!("xtask: fetching the builds of agent/tests/wasm/package.json into target/wasm");
        fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(wanted.join(name), folder.join(name)).map_err(|e| format!("cannot copy {name}: {e}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
        let output = npm.stdin(Stdio::null()).output().map_err(|e| format!("npm does not start: {e}\n{}", hint()))?;
        if !output.status.success() {
            return Err(format!("npm ci: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
        }
        fs::write(&stamp, lock).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
    }
    builds(&folder.join("node_modules"))
}

/// The installed builds, sorted by name.
fn builds(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PACKAGE)))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("{} holds no build of MicroPython", folder.display()));
    }
    Ok(found)
}

/// An error when there is no Node.js 18 or newer, after the try to install it where that can work.
fn need_node() -> Result<(), String> {
    let has_both = || node_major().is_some() && Command::new("npm").arg("--version").output().is_ok();
    if !has_both()
        && let Some(outcome) = apt::install("npm")
    {
        outcome?;
    }
    match node_major() {
        _ if !has_both() => {
            Err(format!("node or npm is missing: the WASM builds of MicroPython need them\n{}", hint()))
        }
        Some(major) if major < 18 => {
            Err(format!("node is version {major}, the WASM builds of MicroPython need 18\n{}", hint()))
        }
        _ => Ok(()),
    }
}

fn hint() -> &'static str {
    if apt::is_debian() { "try: apt-get install npm" } else { "install Node.js 18 or newer, with npm" }
}

/// The first number of what `node --version` says: `v20.20.2`.
fn node_major() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}
