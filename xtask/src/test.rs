//! `cargo xtask test`: everything that must hold before a change goes in.

use std::path::Path;
use std::process::Command;

use crate::agent;
use crate::apt;
use crate::power_cut;
use crate::steps::{Steps, cargo, run as call};
use crate::venv::Tools;
use crate::wasm;

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let full = match args {
        [] => false,
        [option] if option == "--full" => true,
        _ => return Err(format!("test takes only --full, not {}", args.join(" "))),
    };
    let tools = Tools::install(root)?;
    let mut steps = Steps::new();
    let mut cargo_step = |name: &str, words: &[&str]| {
        let mut command = cargo(words);
        command.current_dir(root);
        tools.set(&mut command);
        if full {
            command.env("GOLDCREST_FULL", "1");
        }
        steps.step(name, || call(&mut command));
    };
    cargo_step("format", &["fmt", "--all", "--check"]);
    cargo_step("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    // The default members: the end-to-end tests come last, when what they stand on is known to hold.
    cargo_step("tests", &["test", "--quiet"]);
    agent::add_steps(&mut steps, root, &tools, &[]);
    steps.step("agent tests on MicroPython 1.23 to 1.29", || wasm::run(root, &[]));
    steps.step("power cuts", || power_cut::check(root, &tools, full));
    steps.step("tidy", || crate::tidy(root, &[]));
    let has_broker =
        ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().any(|path| Path::new(path).is_file());
    let has_clients = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    for package in [("mosquitto", has_broker), ("mosquitto-clients", has_clients)] {
        // Without it, its tests say that they were skipped; in CI they fail.
        if let (name, false) = package
            && let Some(Err(error)) = apt::install(name)
        {
            eprintln!("xtask: {error}");
        }
    }
    let mut end_to_end = cargo(&["test", "--quiet", "--package", "goldcrest-e2e"]);
    end_to_end.current_dir(root);
    tools.set(&mut end_to_end);
    if full {
        end_to_end.env("GOLDCREST_FULL", "1");
    }
    steps.step("end-to-end tests", || call(&mut end_to_end));
    steps.finish()
}
