//! Git repositories: read and mirrored, never written to by others. The only module that names gix.

mod mirror;
mod object;
mod opened;
mod place;

use std::fmt;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use gix::bstr::ByteSlice;
use gix::objs::tree::EntryKind;

pub(crate) use self::mirror::fetch;
pub(crate) use self::object::{Commit, Entry, Kind, Person, Sha, blob_id, is_lfs_pointer, tree_id};
pub(crate) use self::place::{GitSettings, Repositories};

/// Most bytes of a blob that is read.
pub(crate) const MAX_BLOB: u64 = 32 << 20;
/// Most branches, and most tags, that are listed.
const MAX_REFS: usize = 4096;
/// Packs that a repository may have at the same time.
const PACK_SLOTS: u16 = 1024;

/// A repository on this machine's disk. What its own configuration says is not followed; nobody else's is read.
pub(crate) struct Repository {
    inner: gix::Repository,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.inner.path()).finish()
    }
}

/// A branch or a tag, with the commit that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) name: String,
    pub(crate) commit: Sha,
}

/// A blob that was asked for with a limit.
#[derive(Debug)]
pub(crate) enum Blob {
    /// All its bytes.
    Whole(Bytes),
    /// It has more than the limit.
    Larger,
}

impl Repository {
    /// Opens a bare repository, or the `.git` of another.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let slots = gix::odb::store::init::Slots::Given(PACK_SLOTS);
        let options = gix::open::Options::isolated().object_store_slots(slots);
        let opened = gix::open_opts(path, options);
        let inner = opened.with_context(|| format!("cannot open the git repository {}", path.display()))?;
        Ok(Self { inner })
    }

    /// The branch that `HEAD` names, also when it has no commit yet.
    pub(crate) fn default_branch(&self) -> anyhow::Result<Option<String>> {
        let name = self.inner.head_name()?;
        Ok(name.and_then(|name| name.as_bstr().strip_prefix(b"refs/heads/")?.to_str().ok().map(str::to_owned)))
    }

    /// The branches in the order of their names.
    pub(crate) fn branches(&self) -> anyhow::Result<Vec<Ref>> {
        self.refs("refs/heads/")
    }

    /// The tags in the order of their names; those that lead to no commit are left out.
    pub(crate) fn tags(&self) -> anyhow::Result<Vec<Ref>> {
        self.refs("refs/tags/")
    }

    fn refs(&self, prefix: &str) -> anyhow::Result<Vec<Ref>> {
        let platform = self.inner.references()?;
        let mut found = Vec::new();
        for reference in platform.prefixed(prefix.as_bytes())?.take(MAX_REFS) {
            let Ok(mut reference) = reference else { continue };
            let name = reference.name().as_bstr().to_str().ok().and_then(|name| name.strip_prefix(prefix));
            let Some(name) = name.map(str::to_owned) else { continue };
            // A name may lead nowhere: its object was pruned, or it names a tree.
            let Ok(commit) = reference.peel_to_commit() else { continue };
            found.push(Ref { name, commit: Sha::of_gix(commit.id) });
        }
        Ok(found)
    }

    /// The commit of a full name such as `refs/heads/main`; `None` when there is no such name.
    pub(crate) fn commit_of_ref(&self, name: &str) -> anyhow::Result<Option<Sha>> {
        // A name that git forbids is one that nothing has.
        if gix::validate::reference::name(name.into()).is_err() {
            return Ok(None);
        }
        let Some(mut reference) = self.inner.try_find_reference(name)? else { return Ok(None) };
        Ok(reference.peel_to_commit().ok().map(|commit| Sha::of_gix(commit.id)))
    }

    /// The commit of this id.
    pub(crate) fn commit(&self, id: Sha) -> anyhow::Result<Option<Commit>> {
        let Some(object) = self.inner.try_find_object(id.to_gix())? else { return Ok(None) };
        let Ok(commit) = object.try_into_commit() else { return Ok(None) };
        let decoded = commit.decode().with_context(|| format!("commit {id} is damaged"))?;
        let person = |signature: gix::actor::SignatureRef<'_>| Person {
            name: signature.name.to_str_lossy().into_owned(),
            email: signature.email.to_str_lossy().into_owned(),
            time_s: signature.seconds(),
        };
        Ok(Some(Commit {
            id,
            tree: Sha::of_gix(decoded.tree()),
            parents: decoded.parents().map(Sha::of_gix).collect(),
            message: decoded.message.to_str_lossy().into_owned(),
            author: person(decoded.author().context("a commit without an author")?),
            committer: person(decoded.committer().context("a commit without a committer")?),
        }))
    }

    /// What is in the tree of this id. Entries with names that could not be a file's anywhere are left out.
    pub(crate) fn tree(&self, id: Sha) -> anyhow::Result<Option<Vec<Entry>>> {
        let Some(object) = self.inner.try_find_object(id.to_gix())? else { return Ok(None) };
        let Ok(tree) = object.try_into_tree() else { return Ok(None) };
        let decoded = tree.decode().with_context(|| format!("tree {id} is damaged"))?;
        let entries = decoded.entries.iter().filter_map(|entry| {
            let kind = match entry.mode.kind() {
                EntryKind::Tree => Kind::Folder,
                EntryKind::Blob => Kind::File,
                EntryKind::BlobExecutable => Kind::Executable,
                EntryKind::Link => Kind::Symlink,
                EntryKind::Commit => Kind::Submodule,
            };
            let name = entry.filename.to_str().ok().filter(|name| object::is_plain_name(name))?;
            Some(Entry { name: name.to_owned(), kind, id: Sha::of_gix(entry.oid) })
        });
        Ok(Some(entries.collect()))
    }

    /// How many bytes the blob of this id has.
    pub(crate) fn blob_size(&self, id: Sha) -> anyhow::Result<Option<u64>> {
        let header = self.inner.try_find_header(id.to_gix())?;
        Ok(header.filter(|header| header.kind() == gix::objs::Kind::Blob).map(|header| header.size()))
    }

    /// The blob of this id, when it has at most `max` bytes.
    pub(crate) fn blob(&self, id: Sha, max: u64) -> anyhow::Result<Option<Blob>> {
        match self.blob_size(id)? {
            None => Ok(None),
            Some(size) if size > max => Ok(Some(Blob::Larger)),
            Some(_) => Ok(Some(Blob::Whole(self.inner.find_blob(id.to_gix())?.take_data().into()))),
        }
    }
}

impl Sha {
    fn of_gix(id: impl AsRef<gix::oid>) -> Self {
        let mut bytes = [0; 20];
        // Without the feature `sha256`, every id has 20 bytes.
        bytes.copy_from_slice(id.as_ref().as_bytes());
        Self(bytes)
    }

    fn to_gix(self) -> gix::ObjectId {
        gix::ObjectId::from(self.0)
    }
}
