//! micropython-ota: `<feed>/version`, then `<feed>/<version>_<file>` or `<feed>/<version>/<file>`, both layouts at once.
//!
//! Its boards do not say who they are or what they run, so there are no devices behind a feed: it shows what its channel points at.
//! `<version>_manifest` and `<version>/manifest` are those of its pull request 20: a path per line, folders with a `/` at the end.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use goldcrest_core::manifest::FileEntry;

use super::{Call, bytes, check_basic};
use crate::App;
use crate::content::{files, foreign_path, plain, read_plain};
use crate::failure::Failure;
use crate::store::FeedRow;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

pub(super) async fn answer(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    rest: &str,
) -> Result<Option<Response>, Failure> {
    let Some(package) = feed.package.as_deref().filter(|_| call.is_read() && !rest.is_empty()) else { return Ok(None) };
    check_basic(feed, &call.headers)?;
    if rest == "version" {
        let channel = app.store.channel(feed.project_id, package, &feed.channel).await?;
        return Ok(channel.map(|channel| bytes(TEXT, channel.version + "\n")));
    }
    // A version may hold `_` itself: the longest one that was published.
    for (at, mark) in rest.rmatch_indices(['_', '/']) {
        let (version, name) = (&rest[..at], &rest[at + mark.len()..]);
        let Some(release) = app.store.release(feed.project_id, package, version).await? else { continue };
        let files = files(app, release.id).await?;
        if let Some(file) = files.iter().find(|file| foreign_path(file.path.as_str()) == name) {
            return Ok(Some(bytes(BYTES, plain(app, file).await?)));
        }
        if name == "manifest" {
            return Ok(Some(bytes(TEXT, manifest(&files))));
        }
    }
    Ok(None)
}

/// Which files of a release the client can't take, and why: version 2.1.0 writes text, into the root. Call it where blocking is allowed.
pub(super) fn problems(app: &App, files: &[FileEntry]) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in files {
        let path = foreign_path(file.path.as_str());
        let why = if path.contains('/') {
            "makes no folders"
        } else if std::str::from_utf8(&read_plain(app, &file.digest, file.size)?).is_err() {
            "takes text only"
        } else {
            continue;
        };
        problems.push(format!("{path}: micropython-ota 2.1.0 {why}"));
    }
    Ok(problems)
}

/// Folders before the files in them, as the client makes them in this order.
fn manifest(files: &[FileEntry]) -> String {
    let (mut folders, mut text) = (BTreeSet::new(), String::new());
    for file in files {
        let path = foreign_path(file.path.as_str());
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..=at]) {
                text += &path[..=at];
                text += "\n";
            }
        }
        text += path;
        text += "\n";
    }
    text
}
