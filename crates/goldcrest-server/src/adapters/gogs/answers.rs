//! The JSON of the API: Gogs' fields, and beside them those that Gitea and GitHub have for the same thing.

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::git::{Commit, Person, Sha};
use crate::store::FeedRow;

/// Longest host name that is repeated in an answer.
const MAX_HOST: usize = 255;

/// Where the repository is, as the caller sees it.
#[derive(Debug)]
pub(super) struct Place {
    /// `http://host`.
    server: String,
    /// The feed's path.
    path: String,
}

impl Place {
    pub(super) fn of(feed: &FeedRow, headers: &HeaderMap) -> Self {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_plain = |host: &&str| {
            host.len() <= MAX_HOST && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        };
        let host = text(header::HOST).filter(is_plain).unwrap_or("localhost");
        let is_tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        Self { server: format!("http{}://{host}", if is_tls { "s" } else { "" }), path: feed.path.clone() }
    }

    /// The last segment of the path.
    pub(super) fn repository(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// An address of the API.
    pub(super) fn api(&self, rest: &str) -> String {
        format!("{}/api/v1/repos/{}/{}", self.server, self.path, encode(rest))
    }

    /// An address of the web pages.
    pub(super) fn web(&self, rest: &str) -> String {
        format!("{}/{}/{}", self.server, self.path, encode(rest))
    }

    /// The repository itself.
    pub(super) fn describe(&self, default_branch: Option<&str>, is_empty: bool) -> Value {
        let (owner, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        json!({
            "name": name, "full_name": self.path, "owner": {"username": owner, "login": owner},
            "empty": is_empty, "default_branch": default_branch.unwrap_or_default(), "mirror": false,
            "html_url": format!("{}/{}", self.server, self.path),
            "permissions": {"admin": false, "push": false, "pull": true},
        })
    }

    /// A commit.
    pub(super) fn commit(&self, commit: &Commit) -> Value {
        let url = self.api(&format!("commits/{}", commit.id));
        let meta = |id: &Sha, kind: &str| json!({"sha": id.to_string(), "url": self.api(&format!("{kind}/{id}"))});
        let parents: Vec<Value> = commit.parents.iter().map(|parent| meta(parent, "commits")).collect();
        json!({
            "url": url, "sha": commit.id.to_string(), "html_url": self.web(&format!("commit/{}", commit.id)),
            "commit": {
                "url": url, "author": person(&commit.author), "committer": person(&commit.committer),
                "message": commit.message, "tree": meta(&commit.tree, "git/trees"),
            },
            "author": null, "committer": null, "parents": parents,
        })
    }

    /// A branch.
    pub(super) fn branch(&self, name: &str, commit: &Commit) -> Value {
        let payload = |person: &Person| json!({"name": person.name, "email": person.email, "username": ""});
        json!({
            "name": name, "protected": false,
            "commit": {
                "id": commit.id.to_string(), "sha": commit.id.to_string(), "message": commit.message,
                "url": self.api(&format!("commits/{}", commit.id)),
                "author": payload(&commit.author), "committer": payload(&commit.committer),
                "added": null, "removed": null, "modified": null, "verification": null,
                "timestamp": rfc3339(commit.committer.time_s),
            },
        })
    }

    /// A tag.
    pub(super) fn tag(&self, name: &str, id: &Sha) -> Value {
        json!({
            "name": name, "id": id.to_string(),
            "commit": {"sha": id.to_string(), "url": self.api(&format!("commits/{id}"))},
            "zipball_url": self.web(&format!("archive/{name}.zip")),
            "tarball_url": self.web(&format!("archive/{name}.tar.gz")),
        })
    }

    /// A release: a tag and its commit.
    pub(super) fn release(&self, number: usize, name: &str, commit: &Commit) -> Value {
        let at = rfc3339(commit.committer.time_s);
        json!({
            "id": number, "tag_name": name, "target_commitish": commit.id.to_string(), "name": name,
            "body": commit.message, "draft": false, "prerelease": false, "author": null,
            "created_at": at, "published_at": at, "assets": [],
            "url": self.api(&format!("releases/tags/{name}")),
            "zipball_url": self.web(&format!("archive/{name}.zip")),
            "tarball_url": self.web(&format!("archive/{name}.tar.gz")),
        })
    }
}

pub(super) fn json_answer(value: &Value) -> Response {
    Json(value).into_response()
}

fn person(person: &Person) -> Value {
    json!({"name": person.name, "email": person.email, "date": rfc3339(person.time_s)})
}

/// The characters that are no part of a path's segment are written as `%` and two digits.
pub(super) fn encode(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let written = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(written).collect()
}

/// `2026-01-31T12:00:00Z`. Days are counted as in "chrono-Compatible Low-Level Date Algorithms" (`civil_from_days`).
pub(super) fn rfc3339(time_s: i64) -> String {
    let (day, second) = (time_s.div_euclid(86_400), time_s.rem_euclid(86_400));
    let shifted = day.saturating_add(719_468);
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
