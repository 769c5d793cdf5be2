//! Branches, tags, releases and commits.

use axum::response::Response;
use serde_json::{Value, json};

use super::answers::json_answer;
use super::bytes;
use super::source::Source;
use super::{Asked, TEXT, commit_of, etagged, if_known};
use crate::failure::Failure;
use crate::git::Ref;

/// Items of a page, unless the caller says otherwise, and at most.
const PAGE: usize = 30;
const MAX_PAGE: usize = 100;

pub(super) fn repository(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let branch = source.default_branch()?;
    let is_empty = source.branches()?.is_empty();
    Ok(json_answer(&asked.place.describe(branch.as_deref(), is_empty)))
}

/// One commit: as its id in plain text for a ref with `/` in it (this is what the Gogs updater asks for) and for who asks for text.
pub(super) fn commit(source: &Source, asked: &Asked, of: &[&str]) -> Result<Option<Response>, Failure> {
    let Some(id) = source.resolve(&of.join("/"))? else { return Ok(None) };
    if let Some(known) = if_known(asked, &id) {
        return Ok(Some(known));
    }
    if of.len() > 1 || asked.accept.contains(".sha") {
        return Ok(Some(etagged(bytes(TEXT, id.to_string()), &id)));
    }
    let commit = source.commit(id)?;
    Ok(commit.map(|commit| etagged(json_answer(&asked.place.commit(&commit)), &id)))
}

/// The newest commits of a branch, along first parents.
pub(super) fn commits(source: &Source, asked: &Asked) -> Result<Option<Response>, Failure> {
    let Some(first) = commit_of(source, asked.query("sha"))? else { return Ok(None) };
    let (skip, take) = page(asked);
    let mut shown = Vec::new();
    let mut next = Some(first);
    for number in 0..(skip + take).min(MAX_PAGE * PAGE) {
        let Some(commit) = next.take() else { break };
        if let Some(parent) = commit.parents.first() {
            next = source.commit(*parent)?;
        }
        if number >= skip {
            shown.push(asked.place.commit(&commit));
        }
    }
    Ok(Some(json_answer(&json!(shown))))
}

pub(super) fn branches(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let mut shown = Vec::new();
    for branch in paged(asked, source.branches()?) {
        if let Some(commit) = source.commit(branch.commit)? {
            shown.push(asked.place.branch(&branch.name, &commit));
        }
    }
    Ok(json_answer(&json!(shown)))
}

/// One branch, with its commit as `ETag`: a poll that finds nothing new is one 304.
pub(super) fn branch(source: &Source, asked: &Asked, name: &str) -> Result<Option<Response>, Failure> {
    let Some(id) = source.branch(name)? else { return Ok(None) };
    if let Some(known) = if_known(asked, &id) {
        return Ok(Some(known));
    }
    let commit = source.commit(id)?;
    Ok(commit.map(|commit| etagged(json_answer(&asked.place.branch(name, &commit)), &id)))
}

pub(super) fn tags(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let shown: Vec<Value> =
        paged(asked, source.tags()?).iter().map(|tag| asked.place.tag(&tag.name, &tag.commit)).collect();
    Ok(json_answer(&json!(shown)))
}

pub(super) fn releases(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let tags = newest_first(source)?;
    let numbered = tags.iter().enumerate().map(|(at, tag)| (tags.len() - at, tag)).collect();
    let mut shown = Vec::new();
    for (number, tag) in paged(asked, numbered) {
        shown.extend(source.commit(tag.commit)?.map(|commit| asked.place.release(number, &tag.name, &commit)));
    }
    Ok(json_answer(&json!(shown)))
}

pub(super) fn latest_release(source: &Source, asked: &Asked) -> Result<Option<Response>, Failure> {
    let tags = newest_first(source)?;
    tags.first().map_or(Ok(None), |tag| release_at(source, asked, tags.len(), tag))
}

pub(super) fn release(source: &Source, asked: &Asked, name: &str) -> Result<Option<Response>, Failure> {
    let tags = newest_first(source)?;
    let at = tags.iter().position(|tag| tag.name == name);
    at.map_or(Ok(None), |at| release_at(source, asked, tags.len() - at, &tags[at]))
}

fn release_at(source: &Source, asked: &Asked, number: usize, tag: &Ref) -> Result<Option<Response>, Failure> {
    if let Some(known) = if_known(asked, &tag.commit) {
        return Ok(Some(known));
    }
    let commit = source.commit(tag.commit)?;
    let shown = |commit| etagged(json_answer(&asked.place.release(number, &tag.name, &commit)), &tag.commit);
    Ok(commit.map(shown))
}

/// Every tag. A package's come in the order they were published, others by the time of their commits.
fn newest_first(source: &Source) -> Result<Vec<Ref>, Failure> {
    let tags = source.tags()?;
    if matches!(source, Source::Package(_)) {
        return Ok(tags);
    }
    let mut dated = Vec::new();
    for tag in tags {
        let time_s = source.commit(tag.commit)?.map_or(i64::MIN, |commit| commit.committer.time_s);
        dated.push((time_s, tag));
    }
    dated.sort_by(|a, b| (b.0, &b.1.name).cmp(&(a.0, &a.1.name)));
    Ok(dated.into_iter().map(|(_, tag)| tag).collect())
}

/// What of a list the caller asked for: all of a short one unless it asked for a page, and never the same again for the next one.
fn paged<T>(asked: &Asked, items: Vec<T>) -> Vec<T> {
    let is_short = items.len() <= MAX_PAGE;
    if is_short && ["page", "per_page", "limit"].iter().all(|name| asked.query(name).is_empty()) {
        return items;
    }
    let (skip, take) = page(asked);
    items.into_iter().skip(skip).take(take).collect()
}

/// How many items are skipped, and how many are shown.
fn page(asked: &Asked) -> (usize, usize) {
    let number = |name: &str| asked.query(name).parse::<usize>().ok().filter(|number| *number > 0);
    let size = number("per_page").or(number("limit")).or(number("pageSize")).unwrap_or(PAGE).min(MAX_PAGE);
    let before = number("page").unwrap_or(1) - 1;
    (before.saturating_mul(size), size)
}
