//! Gogs updater: the reading half of Gogs' API, over a package or a git repository, with the raw and archive forms of its web pages.
//!
//! What Gitea and GitHub clients ask for in the same words is answered in their words too. Nothing is written: pushing, issues and
//! users are the business of Gogs, Gitea and Forgejo, which this server mirrors.

mod answers;
mod archive;
mod contents;
mod package;
mod refs;
mod source;

pub(super) mod hook;
pub(super) mod problems;

use std::sync::Arc;

use anyhow::Context;
use axum::http::header;
use axum::response::Response;
use data_encoding::BASE64;
use tokio::sync::Semaphore;

use self::answers::Place;
use self::source::Source;
use super::{Call, bytes};
use crate::App;
use crate::failure::{Failure, not_found, not_modified};
use crate::git::{Blob, Commit, GitSettings, Kind, MAX_BLOB, Sha};
use crate::store::FeedRow;
use crate::token;

/// What an address of the API begins with: Gogs and Gitea, GitHub Enterprise, GitHub.
const API: [&str; 3] = ["api/v1/repos/", "api/v3/repos/", "repos/"];
/// Requests that are answered at the same time: each may hold a listing with its files in memory.
static READS: Semaphore = Semaphore::const_new(8);
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// What follows `api/v1/repos/`; `None` when it is no address of the API.
pub(super) fn below_api(path: &str) -> Option<&str> {
    API.iter().find_map(|prefix| path.strip_prefix(prefix))
}

/// Answers an address of the API; `rest` is what follows the feed's path.
pub(super) async fn answer_api(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    rest: &str,
) -> Result<Option<Response>, Failure> {
    read(app, feed, call, rest, api).await
}

/// Answers an address of the web pages.
pub(super) async fn answer_web(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    rest: &str,
) -> Result<Option<Response>, Failure> {
    if !rest.starts_with("raw/") && !rest.starts_with("archive/") {
        return Ok(None);
    }
    read(app, feed, call, rest, web).await
}

type Route = fn(&Source, &Asked) -> Result<Option<Response>, Failure>;

/// A request, ready to be answered on a thread that may block.
struct Asked {
    place: Place,
    /// What follows the feed's path.
    rest: Vec<String>,
    query: Vec<(String, String)>,
    accept: String,
    if_none_match: String,
}

impl Asked {
    /// A field of the query; empty when it is not there.
    fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

async fn read(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    rest: &str,
    route: Route,
) -> Result<Option<Response>, Failure> {
    if !call.is_read() {
        return Ok(None);
    }
    let text = |name: header::HeaderName| {
        call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let asked = Asked {
        place: Place::of(feed, &call.headers),
        rest: rest.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
        query: query_fields(&call.query),
        accept: text(header::ACCEPT),
        if_none_match: text(header::IF_NONE_MATCH),
    };
    check_token(feed, call, &asked)?;
    let settings = GitSettings::parse(&feed.settings).context("the settings of a feed are damaged")?;
    let _turn = READS.acquire().await.context("the server stops")?;
    let (app, feed) = (Arc::clone(app), feed.clone());
    let handle = tokio::runtime::Handle::current();
    let answered = tokio::task::spawn_blocking(move || {
        let source = Source::open(&app, &handle, &feed, &settings)?;
        route(&source, &asked)
    });
    answered.await.context("reading a repository died")?
}

/// Whether the caller showed the feed's token, in any of the places where clients put it.
///
/// # Errors
/// `NotFound` when not: what may not be seen is not there.
fn check_token(feed: &FeedRow, call: &Call, asked: &Asked) -> Result<(), Failure> {
    let Some(wanted) = &feed.secret_hash else { return Ok(()) };
    let is_right = |text: &str| token::hash(text) == *wanted;
    let header = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, shown) = header.split_once(' ').unwrap_or_default();
    let shown = shown.trim();
    let in_header = match scheme.to_ascii_lowercase().as_str() {
        "token" | "bearer" => is_right(shown),
        "basic" => {
            let login = BASE64.decode(shown.as_bytes()).ok().and_then(|login| String::from_utf8(login).ok());
            // A token may stand in for the user or for the password.
            login.is_some_and(|login| {
                let (user, password) = login.split_once(':').unwrap_or((&login, ""));
                is_right(&login) || is_right(user) || is_right(password)
            })
        }
        _ => false,
    };
    if in_header || is_right(asked.query("token")) || is_right(asked.query("access_token")) {
        return Ok(());
    }
    Err(not_found("repository", &feed.path))
}

/// The fields of a query, decoded. What can't be is no name that anything has.
fn query_fields(query: &str) -> Vec<(String, String)> {
    let field = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = super::percent_decoded(&value.replace('+', " "));
        (key.to_owned(), value.unwrap_or_else(|| char::REPLACEMENT_CHARACTER.to_string()))
    };
    query.split('&').map(field).collect()
}

/// The routes of the API below a repository.
fn api(source: &Source, asked: &Asked) -> Result<Option<Response>, Failure> {
    let rest: Vec<&str> = asked.rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        [] => refs::repository(source, asked).map(Some),
        ["commits"] => refs::commits(source, asked),
        ["commits", of @ ..] => refs::commit(source, asked, of),
        ["branches"] => refs::branches(source, asked).map(Some),
        ["branches", of @ ..] => refs::branch(source, asked, &of.join("/")),
        ["tags"] => refs::tags(source, asked).map(Some),
        ["releases"] => refs::releases(source, asked).map(Some),
        ["releases", "latest"] => refs::latest_release(source, asked),
        ["releases", "tags", of @ ..] => refs::release(source, asked, &of.join("/")),
        ["contents", path @ ..] => contents::contents(source, asked, path),
        ["git", "trees", of @ ..] => contents::tree(source, asked, &of.join("/")),
        ["git", "blobs", id] => contents::blob(source, asked, id),
        ["git", "commits", id] => refs::commit(source, asked, &[id]),
        // Gitea has the ref in the query, Gogs in the path.
        ["raw", path @ ..] if !asked.query("ref").is_empty() => raw(source, &[asked.query("ref")], path),
        ["raw", of @ ..] => raw_of(source, of),
        ["archive", of @ ..] => archive_of(source, asked, &of.join("/")),
        _ => Ok(None),
    }
}

/// The forms of the web pages.
fn web(source: &Source, asked: &Asked) -> Result<Option<Response>, Failure> {
    let rest: Vec<&str> = asked.rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        // Gitea says what kind of ref it is; a branch may have that name too.
        ["raw", "branch" | "tag" | "commit", of @ ..] => match raw_of(source, of)? {
            Some(response) => Ok(Some(response)),
            None => raw_of(source, &rest[1..]),
        },
        ["raw", of @ ..] => raw_of(source, of),
        ["archive", of @ ..] => archive_of(source, asked, &of.join("/")),
        _ => Ok(None),
    }
}

/// A file as plain bytes; the ref is as many segments as make one, the path is the rest.
fn raw_of(source: &Source, of: &[&str]) -> Result<Option<Response>, Failure> {
    for at in 1..of.len() {
        if let Some(response) = raw(source, &of[..at], &of[at..])? {
            return Ok(Some(response));
        }
    }
    Ok(None)
}

fn raw(source: &Source, of: &[&str], path: &[&str]) -> Result<Option<Response>, Failure> {
    let Some(commit) = commit_of(source, &of.join("/"))? else { return Ok(None) };
    let Some(found) = source.find(commit.tree, path)? else { return Ok(None) };
    let kind = if found.kind.is_file() { BYTES } else { TEXT };
    match found.kind {
        Kind::Folder | Kind::Submodule => Ok(None),
        // A link is shown as git has it, as the path it leads to, and not followed.
        Kind::File | Kind::Executable | Kind::Symlink => {
            let file = file(source, found.id, &mut { MAX_BLOB })?;
            Ok(file.map(|file| etagged(bytes(kind, file), &found.id)))
        }
    }
}

fn archive_of(source: &Source, asked: &Asked, name: &str) -> Result<Option<Response>, Failure> {
    let (of, form) = if let Some(of) = name.strip_suffix(".tar.gz") {
        (of, archive::Form::TarGz)
    } else if let Some(of) = name.strip_suffix(".zip") {
        (of, archive::Form::Zip)
    } else {
        return Ok(None);
    };
    let Some(commit) = commit_of(source, of)? else { return Ok(None) };
    let packed = archive::pack(source, &commit, asked.place.repository(), form)?;
    Ok(Some(etagged(bytes(form.content_type(), packed), &commit.id)))
}

/// The commit that a ref leads to.
fn commit_of(source: &Source, of: &str) -> Result<Option<Commit>, Failure> {
    match source.resolve(of)? {
        Some(id) => Ok(source.commit(id)?),
        None => Ok(None),
    }
}

/// The bytes of a blob, taken from what is `left` of an answer's room.
///
/// # Errors
/// `TooLarge` when it has more.
fn file(source: &Source, id: Sha, left: &mut u64) -> Result<Option<bytes::Bytes>, Failure> {
    match source.blob(id, MAX_BLOB.min(*left))? {
        None => Ok(None),
        Some(Blob::Larger) => Err(Failure::TooLarge(format!("with blob {id} the answer has too many bytes"))),
        Some(Blob::Whole(bytes)) => {
            *left -= bytes.len() as u64;
            Ok(Some(bytes))
        }
    }
}

/// The response with the id as its `ETag`.
fn etagged(mut response: Response, id: &Sha) -> Response {
    let tag = format!("\"{id}\"").try_into().ok();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    response
}

/// 304, when the caller has what belongs to this id: asked before anything is read.
fn if_known(asked: &Asked, id: &Sha) -> Option<Response> {
    let id_text = id.to_string();
    let mut known = asked.if_none_match.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    known.any(|tag| tag == id_text).then(|| etagged(not_modified(), id))
}
