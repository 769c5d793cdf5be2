//! A git repository that the Gogs updater reads: its branch as a channel, its tags and the branch's head as releases.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Feed, MAX_FILE, Plan, Release, is_version, natural, package_name};
use crate::Result;
use crate::failure::Failure;
use crate::foreign::Files;

/// Most tags that become releases: the newest.
const MAX_TAGS: usize = 50;
/// Most files of a commit.
const MAX_FILES: usize = 4096;
/// Characters of a commit that are a version.
const VERSION_CHARS: usize = 12;
/// What a file begins with that git LFS keeps elsewhere.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Where to look, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// `https://host/owner/repo`, or a folder.
    pub(crate) place: String,
    pub(crate) branch: String,
    /// The folder that goes to the boards.
    pub(crate) subdir: String,
    pub(crate) package: Option<String>,
}

/// Reads a repository; one that is not on this machine is cloned for it.
pub(crate) fn plan(source: &Source) -> Result<Plan> {
    let is_remote = source.place.contains("://");
    let clone = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a folder for the clone: {e}")))?;
    let dir = if is_remote {
        let to = clone.path().to_str().unwrap_or_default();
        git(Path::new("."), &["clone", "--quiet", "--bare", "--", &source.place, to])?;
        clone.path().to_owned()
    } else {
        Path::new(&source.place).to_owned()
    };
    let (owner, repo) = owner_and_repo(&source.place)?;
    let package = source.package.clone().map_or_else(|| package_name(&repo), Ok)?;
    let mut plan = Plan::default();
    let head = String::from_utf8_lossy(
        &git(&dir, &["rev-parse", "--verify", &format!("refs/heads/{}^{{commit}}", source.branch)])
            .map_err(|f| f.hint(format!("is there a branch {}? --branch names another", source.branch)))?,
    )
    .trim()
    .to_owned();
    let mut tags = tags(&dir)?;
    tags.sort_by_key(|tag| natural(tag));
    for tag in &tags[..tags.len().saturating_sub(MAX_TAGS)] {
        plan.left.push(format!("tag {tag}: older than the {MAX_TAGS} newest"));
    }
    for tag in &tags[tags.len().saturating_sub(MAX_TAGS)..] {
        if !is_version(tag) {
            plan.left.push(format!("tag {tag}: it cannot be the version of a release"));
            continue;
        }
        let files = tree(&dir, &format!("refs/tags/{tag}"), &source.subdir, &mut plan.left)?;
        if files.is_empty() {
            plan.left.push(format!("tag {tag}: nothing is in {}", source.subdir));
        } else {
            plan.releases.push(Release { package: package.clone(), version: tag.clone(), files });
        }
    }
    let version = head[..VERSION_CHARS.min(head.len())].to_owned();
    let files = tree(&dir, &head, &source.subdir, &mut plan.left)?;
    if files.is_empty() {
        let why = format!("nothing is in {} of branch {}", source.subdir, source.branch);
        return Err(Failure::not_found(why).hint("--subdir names the folder that goes to the boards; . for all"));
    }
    let channel = package_name(&source.branch)?;
    plan.channels.push((package.clone(), channel.clone(), version.clone()));
    plan.releases.push(Release { package: package.clone(), version, files });
    let path = format!("{owner}/{repo}");
    plan.feeds.push(Feed { adapter: "gogs", path, package: Some(package), channel });
    plan.next.push("point gogsRemote of the boards at this server: docs/migrate-gogs.md".to_owned());
    plan.next.push("to go on with git, let the feed read the repository itself: docs/adapters.md, \"gogs\"".to_owned());
    Ok(plan)
}

/// As they stand in the address that boards ask.
fn owner_and_repo(place: &str) -> Result<(String, String)> {
    let trimmed = place.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = trimmed.rsplit('/').filter(|part| !part.is_empty());
    let clean = |text: &str| {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect::<String>()
    };
    let repo = parts.next().map(clean).filter(|r| !r.trim_matches('.').is_empty());
    let repo = repo.ok_or_else(|| Failure::usage(format!("{place:?} does not end in the name of a repository")))?;
    let owner = parts.next().filter(|_| place.contains("://")).map(clean).filter(|o| !o.trim_matches('.').is_empty());
    Ok((owner.unwrap_or_else(|| "git".to_owned()), repo))
}

fn tags(dir: &Path) -> Result<Vec<String>> {
    let listed = git(dir, &["for-each-ref", "--format=%(refname:short)", "refs/tags"])?;
    Ok(String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect())
}

/// The files of a commit below a folder, by their paths below it.
fn tree(dir: &Path, commit: &str, subdir: &str, left: &mut Vec<String>) -> Result<Files> {
    let subdir = subdir.trim_matches('/').trim_start_matches("./");
    let subdir = if subdir == "." { "" } else { subdir };
    let spec = if subdir.is_empty() { commit.to_owned() } else { format!("{commit}:{subdir}") };
    // A tag from before the folder was made has none of it.
    let Ok(listed) = git(dir, &["ls-tree", "-r", "-z", "-l", "--end-of-options", &spec]) else {
        return Ok(Files::new());
    };
    let mut files = Files::new();
    for line in listed.split(|b| *b == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line).into_owned();
        let (about, path) = line.split_once('\t').unwrap_or_default();
        let mut words = about.split_whitespace();
        let (mode, _, id, size) = (words.next(), words.next(), words.next().unwrap_or_default(), words.next());
        let why = match mode {
            Some("120000") => Some("a link"),
            Some("160000") => Some("a submodule"),
            _ if size.and_then(|s| s.parse::<u64>().ok()).is_none_or(|size| size > MAX_FILE) => {
                Some("larger than 16 MiB")
            }
            _ if files.len() >= MAX_FILES => Some("one file too many"),
            _ => None,
        };
        if let Some(why) = why {
            left.push(format!("{path}: {why}"));
            continue;
        }
        let bytes = git(dir, &["cat-file", "blob", id])?;
        if bytes.starts_with(LFS) {
            left.push(format!("{path}: its content is in git LFS, not in the repository"));
        } else {
            files.insert(path.to_owned(), bytes);
        }
    }
    Ok(files)
}

fn git(dir: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0");
    let output = command.output().map_err(|e| Failure::failed(format!("cannot run git: {e}")).hint("install git"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // An address may hold a token: git repeats it in what it says.
    Err(Failure::failed(format!("git {} failed: {}", args[0], without_login(said.trim()))))
}

fn without_login(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.split_once('@') {
        Some((login, after)) if !login.contains(['/', ' ', '\'']) => format!("{before}://{after}"),
        _ => text.to_owned(),
    }
}
