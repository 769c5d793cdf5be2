//! Branches, tags, releases and commits.

use axum::response::Response;
use serde_json::{Value, json};

use super::answers::json_answer;
use super::bytes;
use super::source::Source;
use super::{Asked, TEXT, commit_of, unless_known};
use crate::failure::Failure;
use crate::git::{Commit, Ref};

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
    let Some(commit) = commit_of(source, &of.join("/"))? else { return Ok(None) };
    let is_text = of.len() > 1 || asked.accept.contains(".sha");
    let response = if is_text { bytes(TEXT, commit.id.to_string()) } else { json_answer(&asked.place.commit(&commit)) };
    Ok(Some(unless_known(asked, &commit.id, response)))
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
    let Some(commit) = source.commit(id)? else { return Ok(None) };
    Ok(Some(unless_known(asked, &id, json_answer(&asked.place.branch(name, &commit)))))
}

pub(super) fn tags(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let shown: Vec<Value> =
        paged(asked, source.tags()?).iter().map(|tag| asked.place.tag(&tag.name, &tag.commit)).collect();
    Ok(json_answer(&json!(shown)))
}

pub(super) fn releases(source: &Source, asked: &Asked) -> Result<Response, Failure> {
    let found = newest_first(source)?;
    let shown = |(number, (name, commit)): (usize, &(String, Commit))| asked.place.release(number, name, commit);
    let numbered = paged(asked, found.iter().enumerate().map(|(at, row)| (found.len() - at, row)).collect());
    let shown: Vec<Value> = numbered.into_iter().map(shown).collect();
    Ok(json_answer(&json!(shown)))
}

pub(super) fn latest_release(source: &Source, asked: &Asked) -> Result<Option<Response>, Failure> {
    let found = newest_first(source)?;
    let Some((name, commit)) = found.first() else { return Ok(None) };
    Ok(Some(unless_known(asked, &commit.id, json_answer(&asked.place.release(found.len(), name, commit)))))
}

pub(super) fn release(source: &Source, asked: &Asked, name: &str) -> Result<Option<Response>, Failure> {
    let found = newest_first(source)?;
    let Some(at) = found.iter().position(|(tag, _)| tag == name) else { return Ok(None) };
    let (name, commit) = &found[at];
    Ok(Some(json_answer(&asked.place.release(found.len() - at, name, commit))))
}

/// Every tag with its commit. A package's releases come in the order they were published, others by the time of their commits.
fn newest_first(source: &Source) -> Result<Vec<(String, Commit)>, Failure> {
    let mut found = Vec::new();
    for Ref { name, commit } in source.tags()? {
        if let Some(commit) = source.commit(commit)? {
            found.push((name, commit));
        }
    }
    if matches!(source, Source::Git(_)) {
        found.sort_by(|a, b| (b.1.committer.time_s, &b.0).cmp(&(a.1.committer.time_s, &a.0)));
    }
    Ok(found)
}

/// What of a list the caller asked for: everything unless it asked for a page, and never the same again for the next one.
fn paged<T>(asked: &Asked, items: Vec<T>) -> Vec<T> {
    if ["page", "per_page", "limit"].iter().all(|name| asked.query(name).is_empty()) {
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
