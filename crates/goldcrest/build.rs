//! Lists the agent's files, so that the program carries them inside.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let agent = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../agent");
    let agent = agent.canonicalize().expect("the agent is in the repository");
    let mut list = String::from("&[\n");
    for path in files(&agent) {
        let name =
            path.strip_prefix(&agent).expect("found below it").to_str().expect("our own names are text").to_owned();
        list.extend([
            "    (",
            &format!("{name:?}"),
            ", include_str!(",
            &format!("{:?}", path.to_str().expect("a readable path")),
            ")),\n",
        ]);
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed={}", agent.join("goldcrest").display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("agent_files.rs"), list + "]").expect("the output folder is writable");
}

/// boot.py and the modules of the package, sorted.
fn files(agent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(agent.join("goldcrest")).expect("the agent has its package");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("a readable entry").path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "py"));
    found.push(agent.join("boot.py"));
    found.sort();
    found
}
