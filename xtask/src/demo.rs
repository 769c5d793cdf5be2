//! `cargo xtask demo`: installs what the demo needs, builds the program and hands over to `goldcrest demo`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::steps::{self, cargo};
use crate::venv::Tools;

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let tools = Tools::install(root)?;
    eprintln!("xtask: building goldcrest");
    steps::run(cargo(&["build", "--package", "goldcrest"]).current_dir(root))?;
    let program = target_folder(root).join("debug/goldcrest");
    let mut command = Command::new(&program);
    tools.set(&mut command);
    // Takes our place, so that Ctrl-C and the exit code are the program's.
    let error = command.arg("demo").args(args).exec();
    Err(format!("cannot run {}: {error}", program.display()))
}

fn target_folder(root: &Path) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}
