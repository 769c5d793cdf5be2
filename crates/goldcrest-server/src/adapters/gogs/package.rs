//! A package shown as a git repository: channels are its branches, releases its tags, the files are below a folder.
//!
//! Ids of trees and blobs are the ones git would give them, so clients can verify what they fetched. The id of a commit comes from
//! the release's digest: it never changes, and it is known without reading a file.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use goldcrest_core::manifest::FileEntry;
use tokio::runtime::Handle;

use crate::App;
use crate::content::{files, foreign_path, read_plain};
use crate::git::{Blob, Commit, Entry, Kind, Person, Ref, Sha, blob_id, tree_id};
use crate::store::{FeedRow, ReleaseRow};

/// Most releases that are tags: the newest.
const MAX_RELEASES: i64 = 1000;
/// Most channels that are branches.
const MAX_CHANNELS: i64 = 1000;
/// Newest releases in which a tree or blob is looked for by its id alone.
const MAX_SEARCHED: usize = 32;
/// Branches that a client may have been told of where there was a git server before: they are the feed's channel.
const ALIASES: [&str; 2] = ["master", "main"];

/// See the module's words.
#[derive(Debug)]
pub(super) struct Package {
    app: Arc<App>,
    handle: Handle,
    project_id: i64,
    name: String,
    channel: String,
    base: String,
    /// The releases, read once for this request.
    listed: OnceCell<Vec<ReleaseRow>>,
    /// Releases that were looked into for this request.
    seen: RefCell<BTreeMap<i64, Arc<Snapshot>>>,
}

/// What a release is as a commit.
#[derive(Debug)]
struct Snapshot {
    commit: Commit,
    trees: BTreeMap<Sha, Vec<Entry>>,
    blobs: BTreeMap<Sha, FileEntry>,
}

/// A folder while a tree is made.
#[derive(Default)]
struct Folder {
    folders: BTreeMap<String, Folder>,
    files: BTreeMap<String, Sha>,
}

impl Package {
    /// `None` when the feed has no package.
    pub(super) fn of(app: &Arc<App>, handle: &Handle, feed: &FeedRow, base: &str) -> Option<Self> {
        Some(Self {
            app: Arc::clone(app),
            handle: handle.clone(),
            project_id: feed.project_id,
            name: feed.package.clone()?,
            channel: feed.channel.clone(),
            base: base.to_owned(),
            listed: OnceCell::new(),
            seen: RefCell::default(),
        })
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    pub(super) fn default_branch(&self) -> &str {
        &self.channel
    }

    pub(super) fn branches(&self) -> anyhow::Result<Vec<Ref>> {
        let rows = self.wait(self.app.store.channels(self.project_id, Some(&self.name), 0, MAX_CHANNELS))?;
        Ok(rows.into_iter().map(|row| Ref { commit: self.commit_id(&row.digest), name: row.name }).collect())
    }

    pub(super) fn branch(&self, name: &str) -> anyhow::Result<Option<Sha>> {
        let channel = |name| self.wait(self.app.store.channel(self.project_id, &self.name, name));
        let found = match channel(name)? {
            None if ALIASES.contains(&name) => channel(&self.channel)?,
            found => found,
        };
        Ok(found.map(|row| self.commit_id(&row.digest)))
    }

    /// The newest first.
    pub(super) fn tags(&self) -> anyhow::Result<Vec<Ref>> {
        let tag = |row: &ReleaseRow| Ref { commit: self.commit_id(&row.digest), name: row.version.clone() };
        Ok(self.releases()?.iter().map(tag).collect())
    }

    pub(super) fn tag(&self, version: &str) -> anyhow::Result<Option<Sha>> {
        let row = self.wait(self.app.store.release(self.project_id, &self.name, version))?;
        Ok(row.map(|row| self.commit_id(&row.digest)))
    }

    pub(super) fn commit(&self, id: Sha) -> anyhow::Result<Option<Commit>> {
        let release = self.releases()?.iter().find(|row| self.commit_id(&row.digest) == id);
        release.map(|row| Ok(self.snapshot(row)?.commit.clone())).transpose()
    }

    pub(super) fn tree(&self, id: Sha) -> anyhow::Result<Option<Vec<Entry>>> {
        self.search(|snapshot| snapshot.trees.get(&id).cloned())
    }

    pub(super) fn blob_size(&self, id: Sha) -> anyhow::Result<Option<u64>> {
        self.search(|snapshot| snapshot.blobs.get(&id).map(|file| file.size))
    }

    pub(super) fn blob(&self, id: Sha, max: u64) -> anyhow::Result<Option<Blob>> {
        match self.search(|snapshot| snapshot.blobs.get(&id).cloned())? {
            None => Ok(None),
            Some(file) if file.size > max => Ok(Some(Blob::Larger)),
            Some(file) => Ok(Some(Blob::Whole(read_plain(&self.app, &file.digest, file.size)?))),
        }
    }

    /// Looks into the releases of this request, then into the newest ones.
    fn search<T>(&self, look: impl Fn(&Snapshot) -> Option<T>) -> anyhow::Result<Option<T>> {
        if let Some(found) = self.seen.borrow().values().find_map(|snapshot| look(snapshot)) {
            return Ok(Some(found));
        }
        for row in self.releases()?.iter().take(MAX_SEARCHED) {
            if let Some(found) = look(&*self.snapshot(row)?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn releases(&self) -> anyhow::Result<&[ReleaseRow]> {
        if self.listed.get().is_none() {
            let rows = self.app.store.releases(self.project_id, Some(&self.name), i64::MAX, MAX_RELEASES);
            // Only this thread has the cell.
            drop(self.listed.set(self.wait(rows)?));
        }
        Ok(self.listed.get().map_or(&[], Vec::as_slice))
    }

    fn commit_id(&self, digest: &str) -> Sha {
        // The folder belongs to it: the same release below another one is another tree.
        Sha::of_parts(&[b"goldcrest release ", digest.as_bytes(), b" in ", self.base.as_bytes()])
    }

    fn snapshot(&self, row: &ReleaseRow) -> anyhow::Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.seen.borrow().get(&row.id) {
            return Ok(Arc::clone(snapshot));
        }
        let files = self.wait(files(&self.app, row.id))?;
        let ids = self.blob_ids(&files)?;
        let mut root = Folder::default();
        let mut blobs = BTreeMap::new();
        for (file, id) in files.into_iter().zip(ids) {
            let path = format!("{}/{}", self.base, foreign_path(file.path.as_str()));
            root.add(path.trim_start_matches('/'), id);
            blobs.insert(id, file);
        }
        let mut trees = BTreeMap::new();
        let tree = root.finish(&mut trees);
        let author = Person {
            name: "Goldcrest".into(),
            email: "goldcrest@localhost".into(),
            time_s: row.created_ms.div_euclid(1000),
        };
        let message = format!("{} {}\n\nRelease {}\n", row.package, row.version, row.digest);
        let id = self.commit_id(&row.digest);
        let commit = Commit { id, tree, parents: Vec::new(), message, committer: author.clone(), author };
        let snapshot = Arc::new(Snapshot { commit, trees, blobs });
        self.seen.borrow_mut().insert(row.id, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The git ids of files, in their order; those that nobody asked for before are computed and kept.
    fn blob_ids(&self, files: &[FileEntry]) -> anyhow::Result<Vec<Sha>> {
        let digests: Vec<String> = files.iter().map(|file| file.digest.to_string()).collect();
        let mut known: BTreeMap<String, String> = self.wait(self.app.store.git_blobs(&digests))?.into_iter().collect();
        let mut new = Vec::new();
        for (file, digest) in files.iter().zip(&digests) {
            if !known.contains_key(digest) {
                let id = blob_id(&read_plain(&self.app, &file.digest, file.size)?).to_string();
                new.push((digest.clone(), id.clone()));
                known.insert(digest.clone(), id);
            }
        }
        if !new.is_empty() {
            self.wait(async {
                let mut writing = self.app.store.begin().await?;
                for (digest, id) in &new {
                    writing.add_git_blob(digest, id).await?;
                }
                writing.commit().await
            })?;
        }
        let id = |digest: &String| known.get(digest).and_then(|id| id.parse().ok()).context("a git id is damaged");
        digests.iter().map(id).collect()
    }
}

impl Folder {
    fn add(&mut self, path: &str, id: Sha) {
        match path.split_once('/') {
            Some((folder, rest)) => self.folders.entry(folder.to_owned()).or_default().add(rest, id),
            None => drop(self.files.insert(path.to_owned(), id)),
        }
    }

    /// Puts this tree and those below into `trees` and returns its id.
    fn finish(self, trees: &mut BTreeMap<Sha, Vec<Entry>>) -> Sha {
        let file = |(name, id)| Entry { name, kind: Kind::File, id };
        let mut entries: Vec<Entry> = self.files.into_iter().map(file).collect();
        for (name, folder) in self.folders {
            entries.push(Entry { name, kind: Kind::Folder, id: folder.finish(trees) });
        }
        let id = tree_id(&mut entries);
        trees.insert(id, entries);
        id
    }
}
