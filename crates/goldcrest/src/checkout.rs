//! The project as it is at a commit: taken out of a git repository into a folder of its own, whatever the work tree holds.
//!
//! For CI and for hooks of a bare repository. Filters, attributes and hooks of the repository are not run: its files are written as git has them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::project::git::WorkTree;
use crate::project::{FILE, Project};

/// Most files of a commit.
const MAX_FILES: usize = 100_000;
/// Most bytes of all its files.
const MAX_BYTES: u64 = 512 << 20;

/// A project in a temporary folder, which goes with the value.
pub(crate) struct Checkout {
    pub(crate) project: Project,
    /// Id of the commit.
    pub(crate) commit: String,
    _folder: TempDir,
}

/// One file, link or submodule of a commit.
struct Item {
    mode: String,
    id: String,
    path: String,
}

/// Takes the project at `revision` (branch, tag or commit) out of `git_dir`, else out of the repository that this folder is in.
pub(crate) fn take(revision: &str, git_dir: Option<&Path>, context: &Context) -> Result<Checkout> {
    let git = Git::find(git_dir, context)?;
    let wanted = format!("{revision}^{{commit}}");
    let commit = git.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]).map_err(|_| {
        Failure::not_found(format!("{revision:?} is no branch, tag or commit of {}", git.shown()))
            .hint("git branch, git tag; --git-dir DIR names another repository")
    })?;
    let items = git.list(&commit)?;
    if !items.iter().any(|item| item.path == FILE) {
        let place = if git.prefix.is_empty() { "its root".to_owned() } else { git.prefix.clone() };
        return Err(Failure::not_found(format!("{revision} has no {FILE} in {place}"))
            .hint("commit one (goldcrest init makes it), or name the project's folder with --project"));
    }
    let folder = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
    git.write(&items, folder.path())?;
    let mut project = Project::load(folder.path())?;
    let describe = git.line(&["describe", "--tags", "--always", "--abbrev=8", &commit])?;
    let committed = git.line(&["log", "-1", "--format=%ct", &commit])?.parse().unwrap_or(0);
    let describe = describe.strip_prefix('v').unwrap_or(&describe).to_owned();
    project.commit = Some(WorkTree { describe, dirty: false, committed });
    project.submodules = items.into_iter().filter(|item| item.mode == "160000").map(|item| item.path).collect();
    Ok(Checkout { project, commit, _folder: folder })
}

/// A repository, and the folder of the project in it: empty, or with `/` at its end.
struct Git {
    place: Vec<OsString>,
    prefix: String,
}

impl Git {
    fn find(git_dir: Option<&Path>, context: &Context) -> Result<Git> {
        if let Some(dir) = git_dir {
            let below = context.globals.project.as_deref().unwrap_or(Path::new(""));
            let below = below.to_str().unwrap_or_default().trim_matches('/');
            let prefix = if matches!(below, "" | ".") { String::new() } else { format!("{below}/") };
            let mut place = OsString::from("--git-dir=");
            place.push(dir);
            return Ok(Git { place: vec![place], prefix });
        }
        let start = context.start()?;
        let start = start.ancestors().find(|dir| dir.join(FILE).is_file()).unwrap_or(&start).to_owned();
        let mut git = Git { place: vec!["-C".into(), start.into()], prefix: String::new() };
        git.prefix = git.line(&["rev-parse", "--show-prefix"])?;
        Ok(git)
    }

    fn shown(&self) -> String {
        let place = self.place.last().map(|place| place.to_string_lossy().into_owned()).unwrap_or_default();
        place.strip_prefix("--git-dir=").unwrap_or(&place).to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(&self.place).args(args);
        command
    }

    fn output(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.command(args).stdin(Stdio::null()).output().map_err(|e| no_git(&e))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        Err(Failure::new(Exit::NotFound, format!("git {} in {}: {said}", args[0], self.shown()))
            .hint("--git-dir DIR names the repository"))
    }

    fn line(&self, args: &[&str]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.output(args)?).trim().to_owned())
    }

    /// What the commit holds below the project's folder, with paths from there.
    fn list(&self, commit: &str) -> Result<Vec<Item>> {
        let listed = self.output(&["ls-tree", "-r", "-z", "--full-tree", commit])?;
        let mut items = Vec::new();
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).map_err(|_| {
                let shown = String::from_utf8_lossy(line).into_owned();
                Failure::refused("path", format!("{shown}: the name is not UTF-8")).hint("rename it")
            })?;
            let (about, path) = line.split_once('\t').unwrap_or((line, ""));
            let Some(path) = path.strip_prefix(&self.prefix) else { continue };
            let mut about = about.split(' ');
            let (mode, id) = (about.next().unwrap_or_default(), about.nth(1).unwrap_or_default());
            let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_plain || path.is_empty() {
                return Err(Failure::refused("path", format!("{path:?} in commit {commit} leaves its folder"))
                    .hint("no git client makes such a commit: look at where it came from"));
            }
            items.push(Item { mode: mode.to_owned(), id: id.to_owned(), path: path.to_owned() });
            if items.len() > MAX_FILES {
                return Err(Failure::usage(format!("commit {commit} has more than {MAX_FILES} files")));
            }
        }
        Ok(items)
    }

    /// Writes files, then links: so no file is written through a link.
    fn write(&self, items: &[Item], folder: &Path) -> Result<()> {
        let mut places: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
        for item in items {
            let path = folder.join(&item.path);
            let dir = if item.mode == "160000" { path.as_path() } else { path.parent().unwrap_or(folder) };
            fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
            if item.mode != "160000" {
                places.entry(&item.id).or_default().push(item);
            }
        }
        let ids: Vec<&str> = places.keys().copied().collect();
        let mut links: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut left = MAX_BYTES;
        self.blobs(&ids, &mut |id, bytes| {
            for item in places.get(id).into_iter().flatten() {
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or_else(|| Failure::usage(format!("the commit has more than {MAX_BYTES} bytes")))?;
                let path = folder.join(&item.path);
                if item.mode == "120000" {
                    links.push((path, bytes.to_vec()));
                } else {
                    let mut file = fs::File::create_new(&path).map_err(|e| Failure::file("write", &path, &e))?;
                    file.write_all(bytes).map_err(|e| Failure::file("write", &path, &e))?;
                }
            }
            Ok(())
        })?;
        for (path, target) in links {
            let target = std::os::unix::ffi::OsStringExt::from_vec(target);
            let target: OsString = target;
            std::os::unix::fs::symlink(target, &path).map_err(|e| Failure::file("write", &path, &e))?;
        }
        Ok(())
    }

    /// Hands out the bytes of each of these blobs.
    fn blobs(&self, ids: &[&str], each: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
        let mut command = self.command(&["cat-file", "--batch"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|e| no_git(&e))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::failed("git cat-file has no pipes"));
        };
        let asked = ids.join("\n") + "\n";
        // Both ways at the same time: git answers before it has read every question.
        let asking = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
        let mut answers = BufReader::new(stdout);
        let broken = |e: std::io::Error| Failure::failed(format!("git cat-file: {e}"));
        let mut read = || -> Result<()> {
            for id in ids {
                let mut head = String::new();
                answers.read_line(&mut head).map_err(broken)?;
                let size = head.trim().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
                let size = size.filter(|size| *size <= MAX_BYTES && head.contains(" blob "));
                let size = size.ok_or_else(|| Failure::failed(format!("git has no blob {id}: {}", head.trim())))?;
                let mut bytes = Vec::new();
                answers.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(broken)?;
                if bytes.pop() != Some(b'\n') {
                    return Err(Failure::failed(format!("git cat-file ended in the middle of {id}")));
                }
                each(id, &bytes)?;
            }
            Ok(())
        };
        let done = read();
        // It may be in the middle of an answer that nobody wants any more.
        drop(child.kill());
        drop(child.wait());
        drop(asking.join());
        done
    }
}

fn no_git(why: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot run git: {why}")).hint("install git, or publish from the work tree without --git")
}
