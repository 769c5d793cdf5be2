//! What is behind a feed, asked in the same words: a package of this server, or a git repository.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::package::Package;
use crate::App;
use crate::failure::{Failure, not_found};
use crate::git::{Blob, Commit, Entry, GitSettings, Kind, Ref, Repository, Sha};
use crate::store::FeedRow;

/// A repository, or what is shown as one. All methods block.
#[derive(Debug)]
pub(super) enum Source {
    Package(Package),
    Git(Box<Repository>),
}

impl Source {
    /// # Errors
    /// `NotFound` when the feed has neither, or its repository can't be opened (its state is in the list of feeds).
    pub(super) fn open(
        app: &Arc<App>,
        handle: &Handle,
        feed: &FeedRow,
        settings: &GitSettings,
    ) -> Result<Self, Failure> {
        let missing = || not_found("repository", &feed.path);
        if settings.is_git() {
            let opened = app.repositories.open(feed.id, settings);
            return opened.map(|repository| Self::Git(Box::new(repository))).map_err(|error| {
                tracing::warn!(feed.id = feed.id, error = format!("{error:#}"), "repository not readable");
                missing()
            });
        }
        let package = Package::of(app, handle, feed, settings.base()).ok_or_else(missing)?;
        Ok(Self::Package(package))
    }

    pub(super) fn default_branch(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Package(package) => Ok(Some(package.default_branch().to_owned())),
            Self::Git(repository) => repository.default_branch(),
        }
    }

    pub(super) fn branches(&self) -> anyhow::Result<Vec<Ref>> {
        match self {
            Self::Package(package) => package.branches(),
            Self::Git(repository) => repository.branches(),
        }
    }

    pub(super) fn tags(&self) -> anyhow::Result<Vec<Ref>> {
        match self {
            Self::Package(package) => package.tags(),
            Self::Git(repository) => repository.tags(),
        }
    }

    /// The commit of a branch.
    pub(super) fn branch(&self, name: &str) -> anyhow::Result<Option<Sha>> {
        match self {
            Self::Package(package) => package.branch(name),
            Self::Git(repository) => repository.commit_of_ref(&format!("refs/heads/{name}")),
        }
    }

    /// The commit of a tag.
    pub(super) fn tag(&self, name: &str) -> anyhow::Result<Option<Sha>> {
        match self {
            Self::Package(package) => package.tag(name),
            Self::Git(repository) => repository.commit_of_ref(&format!("refs/tags/{name}")),
        }
    }

    pub(super) fn commit(&self, id: Sha) -> anyhow::Result<Option<Commit>> {
        match self {
            Self::Package(package) => package.commit(id),
            Self::Git(repository) => repository.commit(id),
        }
    }

    pub(super) fn tree(&self, id: Sha) -> anyhow::Result<Option<Vec<Entry>>> {
        match self {
            Self::Package(package) => package.tree(id),
            Self::Git(repository) => repository.tree(id),
        }
    }

    pub(super) fn blob_size(&self, id: Sha) -> anyhow::Result<Option<u64>> {
        match self {
            Self::Package(package) => package.blob_size(id),
            Self::Git(repository) => repository.blob_size(id),
        }
    }

    /// A blob, when it has at most `max` bytes.
    pub(super) fn blob(&self, id: Sha, max: u64) -> anyhow::Result<Option<Blob>> {
        match self {
            Self::Package(package) => package.blob(id, max),
            Self::Git(repository) => repository.blob(id, max),
        }
    }

    /// The commit that a name leads to: an id, `HEAD` or nothing, a full ref, a branch, a tag; in this order.
    pub(super) fn resolve(&self, name: &str) -> anyhow::Result<Option<Sha>> {
        if let Ok(id) = name.parse::<Sha>()
            && self.commit(id)?.is_some()
        {
            return Ok(Some(id));
        }
        if name.is_empty() || name == "HEAD" {
            let branch = self.default_branch()?;
            return branch.map_or(Ok(None), |branch| self.branch(&branch));
        }
        for prefix in ["refs/heads/", "heads/"] {
            if let Some(branch) = name.strip_prefix(prefix) {
                return self.branch(branch);
            }
        }
        for prefix in ["refs/tags/", "tags/"] {
            if let Some(tag) = name.strip_prefix(prefix) {
                return self.tag(tag);
            }
        }
        match self.branch(name)? {
            Some(id) => Ok(Some(id)),
            None => self.tag(name),
        }
    }

    /// The entry at a path below a tree; the tree itself for an empty path.
    pub(super) fn find(&self, tree: Sha, path: &[&str]) -> anyhow::Result<Option<Entry>> {
        let mut at = Entry { name: String::new(), kind: Kind::Folder, id: tree };
        for name in path {
            if at.kind != Kind::Folder {
                return Ok(None);
            }
            let entries = self.tree(at.id)?.unwrap_or_default();
            let Some(found) = entries.into_iter().find(|entry| entry.name == *name) else { return Ok(None) };
            at = found;
        }
        Ok(Some(at))
    }
}
