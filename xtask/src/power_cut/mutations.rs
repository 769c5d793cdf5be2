//! `cargo xtask power-cut --mutations`: a sweep that finds nothing proves something only if it finds faults that are there.
//!
//! Each mutation takes one safeguard out of a copy of the agent, and the sweep must see it.

use std::fs;
use std::path::Path;

use super::{folder, prepare, run_jobs};
use crate::venv::Tools;

/// A fault to plant.
struct Mutation {
    name: &'static str,
    /// Under agent/.
    file: &'static str,
    /// What stands exactly once in the file, and what it becomes.
    edits: &'static [(&'static str, &'static str)],
    /// Jobs of powercut.py, of which one must see it.
    jobs: &'static [&'static str],
}

const MUTATIONS: [Mutation; 16] = [
    Mutation {
        name: "boot.py without its first act",
        file: "boot.py",
        edits: &[("        os.remove(\".ota/-\")\n", "        pass\n")],
        jobs: &["littlefs-32-2M/additions after a rollback/0"],
    },
    Mutation {
        name: "a staged file is not checked again",
        file: "goldcrest/update.py",
        edits: &[("        if digest and guard.sha(n) != digest:\n", "        if digest and not guard.kind(n):\n")],
        jobs: &["fat-2M/small update/0"],
    },
    Mutation {
        name: "the state is commit before the files are staged",
        file: "goldcrest/update.py",
        edits: &[
            ("    guard.set_state(\"commit\", etag, floor, run, max(floor, head[\"floor\"], key=int))\n", ""),
            (
                "    report(http, \"downloading\", etag)\n",
                "    report(http, \"downloading\", etag)\n    guard.set_state(\"commit\", etag, floor, run, max(floor, head[\"floor\"], key=int))\n",
            ),
        ],
        jobs: &["littlefs-32-2M/small update/60"],
    },
    Mutation {
        name: "the state names a keyring before it is there",
        file: "goldcrest/update.py",
        edits: &[
            ("    guard.set_state(*s[:6])\n", ""),
            (
                "    load(http, http.request(\"/d/v1/keyring\"), ",
                "    guard.set_state(*s[:6])\n    load(http, http.request(\"/d/v1/keyring\"), ",
            ),
        ],
        jobs: &["littlefs-32-2M/keyring/0"],
    },
    Mutation {
        name: "no saved copy",
        file: "goldcrest/guard.py",
        edits: &[("                    copy(p, o)\n", "                    pass\n")],
        jobs: &["fat-2M/small update/0"],
    },
    Mutation {
        name: "a saved copy is not checked",
        file: "goldcrest/guard.py",
        edits: &[("                if sha(o) != old:\n", "                if old and not kind(o):\n")],
        jobs: &["littlefs-32-2M/rollback of a crash/0"],
    },
    Mutation {
        name: "the trial begins before the files are in place",
        file: "goldcrest/guard.py",
        edits: &[
            ("                prune(p)\n    set_state(\"trial\")\n", "                prune(p)\n"),
            ("    for write in (False, True):", "    set_state(\"trial\")\n    for write in (False, True):"),
        ],
        jobs: &["littlefs-32-2M/small update/60"],
    },
    Mutation {
        name: "boots are not counted",
        file: "goldcrest/guard.py",
        edits: &[("            f.write(\".\")\n", "            pass\n")],
        jobs: &["littlefs-32-2M/rollback of a crash/20"],
    },
    Mutation {
        name: "a rollback keeps what was added",
        file: "goldcrest/guard.py",
        edits: &[(
            "            if kind(p) == _FILE:\n                os.remove(p)\n            prune(p)\n",
            "            prune(p)\n",
        )],
        jobs: &["littlefs-32-2M/rollback of a crash/20"],
    },
    Mutation {
        name: "a rollback removes its copies before the state is ok",
        file: "goldcrest/guard.py",
        edits: &[
            ("str(back))\n    clean()\n", "str(back))\n"),
            ("    back = int(back) + 1\n", "    back = int(back) + 1\n    clean()\n"),
        ],
        jobs: &["littlefs-32-2M/rollback of a crash/0"],
    },
    Mutation {
        name: "the target is not removed last",
        file: "goldcrest/guard.py",
        edits: &[("(name in \"journal tries trace\" ", "(name in \"journal tries trace target\" ")],
        jobs: &["fat-2M/small update/0", "littlefs-32-2M/small update/0"],
    },
    Mutation {
        name: "one state file",
        file: "goldcrest/guard.py",
        edits: &[("        write(\"s%d\" % (int(s[7]) & 1), ", "        write(\"s0\", ")],
        jobs: &["fat-2M/small update/0"],
    },
    Mutation {
        name: "FAT: a file is renamed over another",
        file: "goldcrest/guard.py",
        edits: &[("    if fat():\n        copy(name, path)", "    if False:\n        copy(name, path)")],
        jobs: &["fat-2M/small update/0", "fat-2M/rollback of a crash/0"],
    },
    Mutation {
        name: "source: the state is commit before the files are staged",
        file: "sources/tree.py",
        edits: &[
            ("    guard.set_state(\"commit\", etag, floor, run, floor)\n", ""),
            (
                "    report(http, \"downloading\", etag)\n",
                "    report(http, \"downloading\", etag)\n    guard.set_state(\"commit\", etag, floor, run, floor)\n",
            ),
        ],
        jobs: &["littlefs-32-2M/source static/60"],
    },
    Mutation {
        name: "FAT: noise in the agent's folder stops the guard",
        file: "goldcrest/guard.py",
        edits: &[(
            "        except ValueError:  # noise, or another name\n",
            "        except UnicodeError:\n            raise\n        except ValueError:\n",
        )],
        jobs: &["fat-256K/rollback of the first install/0"],
    },
    Mutation {
        name: "source: a failed version is news",
        file: "sources/source.py",
        edits: &[(" or failed in ids else 200", " else 200")],
        jobs: &["littlefs-32-2M/source static, rollback/0"],
    },
];

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
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", mutation.file))?;
    for (from, to) in mutation.edits {
        let found = text.matches(from).count();
        if found != 1 {
            return Err(format!(
                "mutation {:?}: {from:?} stands {found} times in agent/{}",
                mutation.name, mutation.file
            ));
        }
        text = text.replace(from, to);
    }
    fs::write(&path, text).map_err(|e| format!("{}: {e}", mutation.file))?;
    let agent = folder(root, "mutated");
    prepare(root, &source, &agent, tools)?;
    for result in run_jobs(root, tools, &agent, mutation.jobs.iter().map(|job| (*job).to_owned()).collect()) {
        match result.figures {
            Ok((_, 0)) => {}
            Ok((cuts, bad)) => {
                let first = result.bad.first().map_or("", String::as_str);
                return Ok(Some(format!("{bad} of {cuts} cuts of {}: {first}", result.job)));
            }
            Err(why) => {
                return Ok(Some(format!(
                    "{}, without a cut: {}",
                    result.job,
                    why.rsplit(" | ").next().unwrap_or_default()
                )));
            }
        }
    }
    Ok(None)
}

/// boot.py and the modules.
fn copy(agent: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for folder in ["goldcrest", "sources"] {
        fs::create_dir_all(to.join(folder))?;
        for entry in fs::read_dir(agent.join(folder))? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                fs::copy(&path, to.join(folder).join(name))?;
            }
        }
    }
    fs::copy(agent.join("boot.py"), to.join("boot.py")).map(drop)
}
