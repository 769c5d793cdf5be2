//! `cargo xtask power-cut --mutations`: a sweep that finds nothing proves something only if it finds faults that are there.
//!
//! Each mutation takes one safeguard out of a copy of the agent. Without a cut the agent must still work; with cuts the sweep must see it.

use std::fs;
use std::path::Path;

use super::{folder, prepare, run_jobs};
use crate::venv::Tools;

/// A fault to plant: `from`, which stands exactly once in `file`, becomes `to`.
struct Mutation {
    name: &'static str,
    /// Under agent/.
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// Jobs of powercut.py, of which one must see it.
    jobs: &'static [&'static str],
}

const MUTATIONS: [Mutation; 1] = [Mutation {
    name: "no first act in boot.py",
    file: "boot.py",
    from: "        os.remove(\".ota/-\")\n",
    to: "        pass\n",
    jobs: &["littlefs-32-2M/small update/0"],
}];

pub(super) fn run(root: &Path, tools: &Tools) -> Result<(), String> {
    let mut missed = Vec::new();
    for mutation in &MUTATIONS {
        let caught = plant(mutation, root, tools)?;
        println!("{:<44} {}", mutation.name, caught.as_deref().unwrap_or("MISSED"));
        if caught.is_none() {
            missed.push(mutation.name);
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("the sweep missed {}", missed.join(", "))) }
}

/// Sweeps an agent with the fault. -> how many cuts of which job saw it; none when it was missed.
fn plant(mutation: &Mutation, root: &Path, tools: &Tools) -> Result<Option<String>, String> {
    let source = folder(root, "mutated-source");
    copy(&root.join("agent"), &source).map_err(|e| format!("cannot copy agent/: {e}"))?;
    let path = source.join(mutation.file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", mutation.file))?;
    let found = text.matches(mutation.from).count();
    if found != 1 {
        return Err(format!("mutation {:?}: its text stands {found} times in agent/{}", mutation.name, mutation.file));
    }
    fs::write(&path, text.replace(mutation.from, mutation.to)).map_err(|e| format!("{}: {e}", mutation.file))?;
    let agent = folder(root, "mutated");
    prepare(&source, &agent, tools)?;
    for result in run_jobs(root, tools, &agent, mutation.jobs.iter().map(|job| (*job).to_owned()).collect()) {
        match result.figures {
            Ok((_, 0)) => {}
            Ok((cuts, bad)) => {
                let first = result.bad.first().map_or("", String::as_str);
                return Ok(Some(format!("{bad} of {cuts} cuts of {}: {first}", result.job)));
            }
            Err(why) => return Err(format!("mutation {:?} breaks {} without a cut: {why}", mutation.name, result.job)),
        }
    }
    Ok(None)
}

/// boot.py and the modules.
fn copy(agent: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to.join("goldcrest"))?;
    fs::copy(agent.join("boot.py"), to.join("boot.py"))?;
    for entry in fs::read_dir(agent.join("goldcrest"))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join("goldcrest").join(name))?;
        }
    }
    Ok(())
}
