//! What git knows about the project: the version by tags, whether everything is committed, and when.

use std::path::Path;
use std::process::{Command, Stdio};

/// The state of the work tree that holds the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTree {
    /// `git describe --tags --always` without a leading `v`.
    pub describe: String,
    /// Whether a tracked file below the folder differs from the commit, or one is not tracked.
    pub dirty: bool,
    /// Time of the commit, seconds since 1970.
    pub committed: u64,
}

/// What git says about the folder; nothing when git is missing, the folder is in no work tree, or there is no commit.
pub fn work_tree(dir: &Path) -> Option<WorkTree> {
    let describe = git(dir, &["describe", "--tags", "--always", "--abbrev=8"])?;
    let describe = describe.strip_prefix('v').unwrap_or(&describe).to_owned();
    let dirty = !git(dir, &["status", "--porcelain", "--untracked-files=normal", "--", "."])?.is_empty();
    let committed = git(dir, &["log", "-1", "--format=%ct"])?.parse().ok()?;
    Some(WorkTree { describe, dirty, committed })
}

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let output =
        Command::new("git").arg("-C").arg(dir).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
