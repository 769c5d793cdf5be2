//! `cargo xtask fuzz`: feeds the parsers of bytes from strangers with what breaks parsers, guided by coverage.
//!
//! What `cargo fuzz` does, without installing it: the same layout (`fuzz/`), coverage from the compiler that is there, and no sanitizer,
//! because nothing of ours is unsafe. A finding is an artifact that the same command runs again.

use std::path::Path;
use std::process::Command;

use crate::steps::run as call;

/// Every binary of `fuzz/Cargo.toml`.
const TARGETS: [&str; 7] = ["mqtt", "release", "delta", "messages", "address", "thingsboard", "insighio"];
const DEFAULT_SECONDS: u32 = 600;
/// Longest input, bytes.
const MAX_INPUT: u32 = 65_536;
/// Counters at every edge, comparisons for the dictionary.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Ccodegen-units=1";

/// Runs one target or all, one after the other, for some seconds each.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let (mut seconds, mut wanted) = (DEFAULT_SECONDS, Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|number| number.parse().ok());
            seconds = number.ok_or("--seconds takes a number")?;
        } else if let Some(target) = TARGETS.iter().find(|target| *target == word) {
            wanted.push(*target);
        } else {
            return Err(format!("fuzz takes --seconds NUMBER and {}, not {word}", TARGETS.join(", ")));
        }
    }
    let wanted = if wanted.is_empty() { TARGETS.to_vec() } else { wanted };
    let host = host()?;
    let folder = root.join("target/fuzz");
    let mut build = Command::new("cargo");
    build
        .args(["build", "--quiet", "--release", "--target", &host, "--manifest-path"])
        .arg(root.join("fuzz/Cargo.toml"));
    build.arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS);
    call(&mut build)?;
    for target in wanted {
        let corpus = folder.join("corpus").join(target);
        std::fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
        eprintln!("xtask: fuzz {target} for {seconds} s");
        let mut fuzz = Command::new(folder.join(&host).join("release").join(target));
        fuzz.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={MAX_INPUT}"));
        fuzz.arg("-print_final_stats=1").arg("-verbosity=0");
        fuzz.arg(format!("-artifact_prefix={}/{target}-", folder.display())).arg(&corpus);
        call(&mut fuzz).map_err(|e| format!("{e}: {target} has a finding, its input is in {}", folder.display()))?;
    }
    Ok(())
}

/// The triple of this machine: naming it keeps the flags away from build scripts.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|e| format!("rustc does not start: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc -vV says no host: {text:?}"))
}
