//! Files, folders, trees and blobs.

use axum::response::Response;
use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::answers::{encode, json_answer};
use super::source::Source;
use super::{Asked, commit_of, etagged, file};
use crate::failure::Failure;
use crate::git::{Entry, Kind, MAX_BLOB, Sha, is_lfs_pointer};

/// Most plain bytes of the files in one listing.
const MAX_LISTING: u64 = 32 << 20;
/// Most entries of a folder that is listed with its files.
const MAX_ENTRIES: usize = 10_000;
/// Most entries of a tree that is listed with the trees below it; more are left out, and the answer says so.
const MAX_TREE: usize = 20_000;
/// Most folders in one another.
const MAX_DEPTH: usize = 64;

/// A file or a folder at a ref. A folder comes as a list in which every file has its bytes: the Gogs updater asks for nothing else.
pub(super) fn contents(source: &Source, asked: &Asked, path: &[&str]) -> Result<Option<Response>, Failure> {
    let of = asked.query("ref");
    let Some(commit) = commit_of(source, of)? else { return Ok(None) };
    let Some(found) = source.find(commit.tree, path)? else { return Ok(None) };
    let mut left = MAX_LISTING;
    let of = if of.is_empty() { commit.id.to_string() } else { of.to_owned() };
    if found.kind != Kind::Folder {
        let shown = entry(source, asked, &of, &path.join("/"), &found, &mut left)?;
        return Ok(Some(etagged(json_answer(&shown), &found.id)));
    }
    let entries = source.tree(found.id)?.unwrap_or_default();
    if entries.len() > MAX_ENTRIES {
        return Err(Failure::TooLarge(format!("the folder has more than {MAX_ENTRIES} entries")));
    }
    let mut shown = Vec::with_capacity(entries.len());
    for found in &entries {
        let path = path.iter().copied().chain([found.name.as_str()]).collect::<Vec<_>>().join("/");
        shown.push(entry(source, asked, &of, &path, found, &mut left)?);
    }
    Ok(Some(etagged(json_answer(&json!(shown)), &found.id)))
}

fn entry(
    source: &Source,
    asked: &Asked,
    of: &str,
    path: &str,
    entry: &Entry,
    left: &mut u64,
) -> Result<Value, Failure> {
    let kind = match entry.kind {
        Kind::File | Kind::Executable => "file",
        Kind::Folder => "dir",
        Kind::Symlink => "symlink",
        Kind::Submodule => "submodule",
    };
    let place = &asked.place;
    let itself = place.api(&format!("contents/{path}")) + "?ref=" + &encode(of);
    let git = place.api(&format!("git/{}s/{}", if entry.kind == Kind::Folder { "tree" } else { "blob" }, entry.id));
    let html = place.web(&format!("src/{of}/{path}"));
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| drop(shown.insert(key.to_owned(), value));
    put("type", json!(kind));
    put("size", json!(0));
    put("name", json!(name));
    put("path", json!(path));
    put("sha", json!(entry.id.to_string()));
    put("_links", json!({"git": git, "self": itself, "html": html}));
    put("url", json!(itself));
    put("git_url", json!(git));
    put("html_url", json!(html));
    put("download_url", Value::Null);
    match entry.kind {
        Kind::Folder => {}
        Kind::Submodule => put("submodule_git_url", Value::Null),
        Kind::Symlink => {
            let target = present(source, entry.id, left)?;
            put("target", json!(String::from_utf8_lossy(&target)));
        }
        Kind::File | Kind::Executable => {
            let content = present(source, entry.id, left)?;
            put("size", json!(content.len()));
            put("encoding", json!("base64"));
            put("content", json!(BASE64.encode(&content)));
            put("download_url", json!(place.web(&format!("raw/{of}/{path}"))));
            if is_lfs_pointer(&content) {
                // Content is elsewhere: said here, because a client can't tell a small text file from it.
                put("lfs_pointer", json!(true));
            }
        }
    }
    Ok(Value::Object(shown))
}

/// A blob that a tree names.
pub(super) fn present(source: &Source, id: Sha, left: &mut u64) -> Result<bytes::Bytes, Failure> {
    let missing = || Failure::Internal(anyhow::anyhow!("blob {id} is missing"));
    file(source, id, left)?.ok_or_else(missing)
}

/// A tree by its id or by a ref; with `recursive`, the trees below it too.
pub(super) fn tree(source: &Source, asked: &Asked, of: &str) -> Result<Option<Response>, Failure> {
    let by_ref = commit_of(source, of)?.map(|commit| commit.tree);
    let Some(id) = by_ref.or_else(|| of.parse().ok()) else { return Ok(None) };
    let Some(entries) = source.tree(id)? else { return Ok(None) };
    let is_recursive = !matches!(asked.query("recursive"), "" | "0" | "false");
    let mut listed = Listed { source, asked, is_recursive, shown: Vec::new(), is_truncated: false };
    listed.add("", entries, MAX_DEPTH)?;
    let answer = json!({
        "sha": id.to_string(), "url": asked.place.api(&format!("git/trees/{id}")),
        "tree": listed.shown, "truncated": listed.is_truncated,
    });
    Ok(Some(etagged(json_answer(&answer), &id)))
}

/// A tree that is being listed.
struct Listed<'a> {
    source: &'a Source,
    asked: &'a Asked,
    is_recursive: bool,
    shown: Vec<Value>,
    is_truncated: bool,
}

impl Listed<'_> {
    fn add(&mut self, above: &str, entries: Vec<Entry>, depth: usize) -> Result<(), Failure> {
        for entry in entries {
            if self.shown.len() == MAX_TREE {
                self.is_truncated = true;
                return Ok(());
            }
            let path = format!("{above}{}", entry.name);
            let object = entry.kind.object();
            let mut shown = json!({
                "path": path, "mode": entry.kind.mode(), "type": object, "sha": entry.id.to_string(),
                "url": self.asked.place.api(&format!("git/{object}s/{}", entry.id)),
            });
            if object == "blob" {
                shown["size"] = json!(self.source.blob_size(entry.id)?);
            }
            self.shown.push(shown);
            if entry.kind != Kind::Folder || !self.is_recursive {
                continue;
            }
            if depth == 0 {
                self.is_truncated = true;
                continue;
            }
            let below = self.source.tree(entry.id)?.unwrap_or_default();
            self.add(&format!("{path}/"), below, depth - 1)?;
        }
        Ok(())
    }
}

/// A blob by its id, as base64.
pub(super) fn blob(source: &Source, asked: &Asked, id: &str) -> Result<Option<Response>, Failure> {
    let Ok(id) = id.parse::<Sha>() else { return Ok(None) };
    let Some(content) = file(source, id, &mut { MAX_BLOB })? else { return Ok(None) };
    let answer = json!({
        "sha": id.to_string(), "size": content.len(), "encoding": "base64", "content": BASE64.encode(&content),
        "url": asked.place.api(&format!("git/blobs/{id}")),
    });
    Ok(Some(etagged(json_answer(&answer), &id)))
}
