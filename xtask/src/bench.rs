//! `cargo xtask bench`: the figures of docs/benchmarks.md, measured anew.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::apt;
use crate::steps::{cargo, run as call};
use crate::venv::Tools;

/// Prints tables, or with `--json` one line: `{"agent":{…},"one_board":{…},"five_boards":{…}}`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if args.first().is_some_and(|word| word == "device") {
        return device(root, &args[1..]);
    }
    if args.first().is_some_and(|word| word == "mqtt") {
        return mqtt(root, &args[1..]);
    }
    let json = match args {
        [] => false,
        [option] if option == "--json" => true,
        _ => return Err(format!("bench takes device, mqtt and --json, not {}", args.join(" "))),
    };
    let tools = Tools::install(root)?;
    // The boards' server is the program itself, which the end-to-end crate does not build.
    call(cargo(&["build", "--quiet", "--package", "goldcrest"]).current_dir(root))?;
    let mut agent = Command::new(tools.python());
    agent.arg(root.join("agent/tests/heap.py"));
    let mut boards = cargo(&["run", "--quiet", "--package", "goldcrest-e2e", "--bin", "measure"]);
    for command in [&mut agent, &mut boards] {
        command.current_dir(root);
        tools.set(command);
    }
    if !json {
        println!("the agent, bytes; heap of a 64-bit MicroPython, whose objects are twice those of a board");
        call(&mut agent)?;
        println!();
        return call(&mut boards);
    }
    let agent = figures(&output(&mut agent)?)?;
    let boards = output(boards.args(["--", "--json"]))?;
    let boards = boards.trim().strip_prefix('{').ok_or_else(|| format!("measure printed {boards:?}"))?;
    println!("{{\"agent\":{agent},{boards}");
    Ok(())
}

/// `cargo xtask bench device`: tables, or with `--json` one line.
fn device(root: &Path, args: &[String]) -> Result<(), String> {
    if let Some(word) = args.iter().find(|word| *word != "--json") {
        return Err(format!("bench device takes only --json, not {word}"));
    }
    let tools = Tools::install(root)?;
    if !has_nginx() {
        // Without root, or on another system, the bench itself says what is missing.
        apt::install("nginx-light").transpose()?;
    }
    call(cargo(&["build", "--quiet", "--package", "goldcrest"]).current_dir(root))?;
    let mut boards = cargo(&["run", "--quiet", "--package", "goldcrest-e2e", "--bin", "device", "--"]);
    tools.set(boards.args(args).current_dir(root));
    call(&mut boards)
}

/// `cargo xtask bench mqtt`: release builds of both sides, because a ratio of speeds is meant.
fn mqtt(root: &Path, args: &[String]) -> Result<(), String> {
    let tools = Tools::install(root)?;
    if !Path::new("/usr/sbin/mosquitto").is_file() {
        apt::install("mosquitto").transpose()?;
    }
    call(cargo(&["build", "--quiet", "--release", "--package", "goldcrest"]).current_dir(root))?;
    let mut bench = cargo(&["run", "--quiet", "--release", "--package", "goldcrest-e2e", "--bin", "mqtt", "--"]);
    tools.set(bench.args(args).current_dir(root));
    call(&mut bench)
}

fn has_nginx() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    std::env::var_os("NGINX").is_some()
        || Path::new("/usr/sbin/nginx").is_file()
        || folders.any(|f| f.join("nginx").is_file())
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("{name} does not start: {e}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{name} printed something that is not text"))
}

/// Lines that end in a number, as a JSON object: `boot.py  1893` and `smallest heap, 92 files: 45056`.
fn figures(text: &str) -> Result<String, String> {
    let pairs: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().rsplit_once([' ', ':']))
        .filter_map(|(label, number)| Some((label.trim_end_matches([' ', ':']), number.parse::<u64>().ok()?)))
        .map(|(label, number)| format!("{label:?}:{number}"))
        .collect();
    if pairs.is_empty() {
        return Err(format!("agent/tests/heap.py printed no figures: {text:?}"));
    }
    Ok(format!("{{{}}}", pairs.join(",")))
}

#[cfg(test)]
mod tests {
    //! What is taken for a figure.

    use super::figures;

    #[test]
    fn a_line_that_ends_in_a_number_is_a_figure() {
        let text = "guard.mpy        4094\nall .mpy        17954\nmade\nsmallest heap, 92 files, 632 KB: 45056\n";
        let expected = r#"{"guard.mpy":4094,"all .mpy":17954,"smallest heap, 92 files, 632 KB":45056}"#;
        assert_eq!(figures(text).as_deref(), Ok(expected));
        assert!(figures("Traceback (most recent call last):\n").is_err());
    }
}
