//! Which repository is behind a feed: the adapter's settings, and where on the disk it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::Repository;
use super::opened::Opened;

/// Seconds between two fetches of a mirror, unless the feed says otherwise.
const DEFAULT_INTERVAL_S: u64 = 300;
/// Fewest and most seconds between two fetches.
const INTERVALS_S: std::ops::RangeInclusive<u64> = 10..=86_400;
/// Most bytes of an address, and of a secret.
const MAX_TEXT: usize = 1024;
/// The folder that a package's files are shown in, unless the feed says otherwise: what the Gogs updater asks for.
const DEFAULT_BASE: &str = "src";

/// The settings of a feed of the Gogs adapter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GitSettings {
    /// A repository on the server's disk, below one of its git roots.
    pub(crate) git: Option<PathBuf>,
    /// Address of a repository that is mirrored: `https`, `http`, or `file` below a git root.
    pub(crate) remote: Option<String>,
    interval_s: Option<u64>,
    /// The branch that releases are made from; none: the repository's own default.
    pub(crate) branch: Option<String>,
    /// What the origin signs its calls of `/hooks/git/{feed}` with.
    pub(crate) webhook_secret: Option<String>,
    /// Without a repository: the folder that the package's files are shown in.
    base: Option<String>,
}

/// Where repositories may be.
#[derive(Debug)]
pub(crate) struct Repositories {
    /// Folder of the mirrors, one per feed.
    folder: PathBuf,
    /// Folders of repositories that others keep.
    roots: Vec<PathBuf>,
    opened: Opened,
}

impl GitSettings {
    /// # Errors
    /// What is wrong with them, as a fragment.
    pub(crate) fn parse(json: &str) -> anyhow::Result<Self> {
        let settings: Self = serde_json::from_str(json)?;
        ensure!(settings.git.is_none() || settings.remote.is_none(), "both git and remote are given: one repository");
        if let Some(interval_s) = settings.interval_s {
            let (least, most) = (INTERVALS_S.start(), INTERVALS_S.end());
            ensure!(INTERVALS_S.contains(&interval_s), "interval_s {interval_s} is not {least} to {most}");
        }
        for (name, text) in [("remote", &settings.remote), ("webhook_secret", &settings.webhook_secret)] {
            let is_fine = |text: &String| !text.is_empty() && text.len() <= MAX_TEXT && text.chars().all(is_visible);
            ensure!(text.as_ref().is_none_or(is_fine), "{name} is not 1 to {MAX_TEXT} visible ASCII characters");
        }
        if let Some(remote) = &settings.remote {
            let is_known = ["https://", "http://", "file:///"].iter().any(|scheme| remote.starts_with(scheme));
            ensure!(is_known, "remote does not begin with https://, http:// or file:///");
        }
        let is_folder = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0']);
        let base = settings.base();
        ensure!(base.is_empty() || base.split('/').all(is_folder), "base {base:?} is not a plain relative path");
        Ok(settings)
    }

    /// Whether a git repository is behind the feed, and not a package.
    pub(crate) fn is_git(&self) -> bool {
        self.git.is_some() || self.remote.is_some()
    }

    /// The folder that a package's files are shown in; empty: the root.
    pub(crate) fn base(&self) -> &str {
        self.base.as_deref().unwrap_or(DEFAULT_BASE).trim_matches('/')
    }

    /// Milliseconds between two looks at the repository.
    pub(crate) fn interval_ms(&self) -> i64 {
        i64::try_from(self.interval_s.unwrap_or(DEFAULT_INTERVAL_S) * 1000).unwrap_or(i64::MAX)
    }
}

fn is_visible(c: char) -> bool {
    c.is_ascii_graphic()
}

impl Repositories {
    /// Mirrors go to `data/git`; repositories of others may be read below `roots`.
    pub(crate) fn new(data: &Path, roots: Vec<PathBuf>) -> Self {
        Self { folder: data.join("git"), roots, opened: Opened::default() }
    }

    /// Folder of the mirrors.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of the mirror of a feed.
    pub(crate) fn mirror(&self, feed_id: i64) -> PathBuf {
        self.folder.join(format!("{feed_id}.git"))
    }

    /// The repository of a feed. Blocks.
    ///
    /// # Errors
    /// When there is none, or it is on the disk and not below a git root, also by way of a link.
    pub(crate) fn open(&self, feed_id: i64, settings: &GitSettings) -> anyhow::Result<Repository> {
        self.opened.at(&self.locate(feed_id, settings)?)
    }

    /// Where the repository of a feed is.
    fn locate(&self, feed_id: i64, settings: &GitSettings) -> anyhow::Result<PathBuf> {
        match &settings.git {
            Some(path) => self.below_root(path),
            None => Ok(self.mirror(feed_id)),
        }
    }

    /// The address to fetch from: as it stands, but a repository on the disk must be below a git root.
    pub(crate) fn check_remote(&self, remote: &str) -> anyhow::Result<String> {
        match remote.strip_prefix("file://") {
            Some(path) => Ok(format!("file://{}", self.below_root(Path::new(path))?.display())),
            None => Ok(remote.to_owned()),
        }
    }

    fn below_root(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let shown = path.display();
        ensure!(
            !self.roots.is_empty(),
            "{shown} is on the server's disk, and the server has no git root: goldcrest serve --git-root DIR"
        );
        // One text for what is not there and what is not allowed: nobody looks around on the disk with it.
        let outside = || format!("{shown} is not a folder below a git root of the server");
        let path = path.canonicalize().with_context(outside)?;
        let roots = self.roots.iter().filter_map(|root| root.canonicalize().ok());
        ensure!(roots.into_iter().any(|root| path.starts_with(root)), outside());
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
