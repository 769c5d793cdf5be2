//! `cargo xtask agent`: the agent's tests on CPython and on MicroPython, and its size as bytecode.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{Steps, run as call, run_quietly};
use crate::venv::Tools;

/// Bytes of the agent's modules together, as boards get them: the limit of docs/benchmarks.md.
const SIZE_LIMIT: u64 = 10 * 1024;
/// Packs a folder of bytecode as boards get it.
pub(crate) const PACK: &str = "agent/tests/packed.py";
/// All tests run in one process, with simulated flashes of several hundred KB: more than a board's heap. The larger, the slower is each collection.
const TEST_HEAP: &str = "heapsize=16M";

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let tools = Tools::install(root)?;
    let mut steps = Steps::new();
    add_steps(&mut steps, root, &tools, args);
    steps.finish()
}

/// Both test runs and the size check.
pub(crate) fn add_steps(steps: &mut Steps, root: &Path, tools: &Tools, args: &[String]) {
    let tests = root.join("agent/tests/run.py");
    let interpreters =
        [("CPython", tools.python(), &[][..]), ("MicroPython", tools.micropython().to_owned(), &["-X", TEST_HEAP][..])];
    for (name, interpreter, options) in interpreters {
        steps.step(&format!("agent tests on {name}"), || {
            let mut command = Command::new(&interpreter);
            command.args(options).arg(&tests).args(args).current_dir(root);
            tools.set(&mut command);
            run_quietly(&mut command)
        });
    }
    steps.step("agent size", || size(root, tools));
}

fn size(root: &Path, tools: &Tools) -> Result<(), String> {
    let output = root.join("target/agent-mpy");
    empty(&output)?;
    for source in modules(&root.join("agent/goldcrest"))? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = compile(tools, &source, &format!("goldcrest/{name}.py"), &output.join(format!("{name}.mpy")))?;
        println!("   {name:<12} {bytes:>6} bytes");
    }
    call(Command::new(tools.python()).arg(root.join(PACK)).arg(&output))?;
    let package = length(&output.join("__init__.mpy"))?;
    let pack = length(&output.join("agent.z"))?;
    let total = package + pack;
    println!("   as boards get it: __init__.mpy {package}, agent.z {pack}, together {total} bytes of {SIZE_LIMIT}");
    let output = output.join("sources");
    empty(&output)?;
    for source in modules(&root.join("agent/sources"))? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes =
            compile(tools, &source, &format!("goldcrest/sources/{name}.py"), &output.join(format!("{name}.mpy")))?;
        println!("   sources/{name:<12} {bytes:>6} bytes");
    }
    if total > SIZE_LIMIT {
        return Err(format!("the agent has {total} bytes, the limit is {SIZE_LIMIT}"));
    }
    Ok(())
}

/// Makes a folder with nothing in it.
pub(crate) fn empty(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| format!("cannot remove {}: {e}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))
}

/// Compiles a module; `shown` is its name in tracebacks, which is part of the file. -> bytes
fn compile(tools: &Tools, source: &Path, shown: &str, output: &Path) -> Result<u64, String> {
    call(Command::new(tools.mpy_cross()).args(["-O3", "-s", shown, "-o"]).arg(output).arg(source))?;
    length(output)
}

fn length(file: &Path) -> Result<u64, String> {
    Ok(fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?.len())
}

/// The modules of a folder of the agent, sorted by name.
pub(crate) fn modules(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("{} holds no module", folder.display()));
    }
    Ok(found)
}
