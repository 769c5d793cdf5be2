//! Feeds: packages opened to boards of other systems.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::{ChannelName, PackageName};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::adapter::Adapter;
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::git::GitSettings;
use crate::request::{Admin, Captures, JsonBody, QueryOf};
use crate::store::{FeedRow, NewFeed, is_taken};
use crate::{App, adapters, token};

/// Most feeds of a project.
const MAX_FEEDS: i64 = 1024;
/// Most segments of a feed's path.
const MAX_SEGMENTS: usize = 8;
/// Most bytes of a feed's path.
const MAX_PATH: usize = 256;
/// Most bytes of user and password, or of a token.
const MAX_SECRET: usize = 256;
/// In the place of a secret.
const HIDDEN: &str = "***";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    package: Option<String>,
}

pub(crate) async fn list_feeds(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.feeds(admin.project_id, query.package.as_deref()).await?;
    let mut feeds = Vec::new();
    for row in &rows {
        feeds.push(answer(&app, row).await?);
    }
    Ok(Json(json!({"feeds": feeds})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    adapter: String,
    path: String,
    package: Option<PackageName>,
    channel: Option<ChannelName>,
    #[serde(default)]
    settings: Map<String, Value>,
    /// `user:password` for Basic, or a token.
    secret: Option<String>,
}

pub(crate) async fn create_feed(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let adapter = Adapter::parse(&body.adapter)?;
    if !adapter.has_feeds() {
        let text = format!("{} has no feeds: its boards are devices with a credential", adapter.as_str());
        return Err(Failure::Invalid(text).into());
    }
    let path = check_path(&body.path)?;
    let settings = serde_json::to_string(&body.settings).context("settings are JSON")?;
    if adapter == Adapter::Gogs {
        check_git(&app, &path, &settings, body.package.is_some())?;
    }
    if body.secret.as_ref().is_some_and(|secret| secret.is_empty() || secret.len() > MAX_SECRET) {
        return Err(Failure::Invalid(format!("secret is not 1 to {MAX_SECRET} bytes")).into());
    }
    let mut writing = app.store.begin().await?;
    if writing.count_feeds(admin.project_id).await? >= MAX_FEEDS {
        let text = format!("the project has {MAX_FEEDS} feeds");
        return Err(Failure::Conflict(text, "remove one that no board asks for").into());
    }
    let package_id = match &body.package {
        Some(package) => Some(writing.ensure_package(admin.project_id, package.as_str()).await?),
        None => None,
    };
    let feed = NewFeed {
        project_id: admin.project_id,
        adapter: adapter.as_str(),
        path: path.clone(),
        package_id,
        channel: body.channel.map_or_else(|| "stable".to_owned(), |channel| channel.to_string()),
        settings,
        secret_hash: body.secret.as_deref().map(token::hash),
    };
    let id = writing.add_feed(&feed, app.clock.now_ms()).await.map_err(|error| {
        if is_taken(&error) {
            let text = format!("{} has a feed at {path:?} already", adapter.as_str());
            return Failure::Conflict(text, "remove it first, or choose another path");
        }
        error.into()
    })?;
    writing.commit().await?;
    tracing::info!(feed.id = id, feed.path = path, adapter = adapter.as_str(), token.name = admin.token, "feed made");
    let rows = app.store.feeds(admin.project_id, None).await?;
    let row = rows.iter().find(|row| row.id == id).ok_or_else(|| not_found("feed", id))?;
    if adapter == Adapter::Gogs {
        app.mirrors.look(id);
    }
    let mut shown = answer(&app, row).await?;
    shown["warnings"] = json!(warnings(&app, row).await?);
    Ok(created(shown))
}

/// What the boards behind a feed could not take of the release that they are shown now.
async fn warnings(app: &Arc<App>, feed: &FeedRow) -> anyhow::Result<Vec<String>> {
    let Some(package) = feed.package.as_deref() else { return Ok(Vec::new()) };
    if feed.adapter == Adapter::Gogs.as_str() && GitSettings::parse(&feed.settings).is_ok_and(|s| s.is_git()) {
        // Its boards get what is in the repository.
        return Ok(Vec::new());
    }
    let Some(channel) = app.store.channel(feed.project_id, package, &feed.channel).await? else {
        return Ok(vec![format!(
            "channel {} of {package} points at no release yet: boards are told that nothing is there",
            feed.channel
        )]);
    };
    let release = app.store.release(feed.project_id, package, &channel.version).await?;
    match release {
        Some(release) => adapters::warnings(app, feed.project_id, package, release.id).await,
        None => Ok(Vec::new()),
    }
}

pub(crate) async fn delete_feed(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    if !writing.remove_feed(admin.project_id, id).await? {
        return Err(not_found("feed", id).into());
    }
    writing.commit().await?;
    tracing::info!(feed.id = id, token.name = admin.token, "feed removed");
    Ok(no_content())
}

/// The path without `/` at its ends.
fn check_path(path: &str) -> Result<String, Failure> {
    let path = path.trim_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~-@+".contains(c);
    let mut segments = path.split('/').filter(|_| !path.is_empty());
    let is_fine = segments.all(|s| !s.is_empty() && s != "." && s != ".." && s.chars().all(is_plain));
    if !is_fine || path.len() > MAX_PATH || path.split('/').count() > MAX_SEGMENTS {
        let rule = "segments of A-Z a-z 0-9 . _ ~ - @ + with / between them";
        return Err(Failure::Invalid(format!("path {path:?} is not up to {MAX_SEGMENTS} {rule}")));
    }
    let own = ["d", "api", "healthz", "hooks", "metrics", "mqtt", "repos"];
    if let Some(first) = path.split('/').next().filter(|first| own.contains(first)) {
        return Err(Failure::Invalid(format!("path {path:?} begins with {first:?}, which is the server's own")));
    }
    Ok(path.to_owned())
}

/// Whether a feed of the Gogs adapter has something to show.
fn check_git(app: &App, path: &str, settings: &str, has_package: bool) -> Result<(), Failure> {
    if !path.contains('/') {
        return Err(Failure::Invalid(format!("path {path:?} is not that of a repository: owner/name")));
    }
    let refused = |error: anyhow::Error| Failure::Invalid(format!("settings: {error:#}"));
    let settings = GitSettings::parse(settings).map_err(refused)?;
    if !settings.is_git() && !has_package {
        return Err(Failure::Invalid("neither package, nor git or remote in settings: one of them is shown".into()));
    }
    if let Some(remote) = &settings.remote {
        app.repositories.check_remote(remote).map_err(refused)?;
    }
    if settings.git.is_some() {
        // A new feed has no mirror, so its id does not matter.
        app.repositories.open(0, &settings).map_err(refused)?;
    }
    Ok(())
}

async fn answer(app: &App, row: &FeedRow) -> anyhow::Result<Value> {
    let mut settings: Value = serde_json::from_str(&row.settings).unwrap_or_default();
    if settings["webhook_secret"].is_string() {
        settings["webhook_secret"] = json!(HIDDEN);
    }
    let shown = settings["remote"].as_str().map(without_login);
    if let Some(shown) = shown {
        settings["remote"] = json!(shown);
    }
    let mut feed = json!({
        "id": row.id, "adapter": row.adapter, "path": row.path, "package": row.package, "channel": row.channel,
        "settings": settings, "secret": row.secret_hash.is_some(),
    });
    if let Some(seen) = app.store.git_feed(row.id).await? {
        let trouble: Value = serde_json::from_str(&seen.trouble).unwrap_or_default();
        feed["git"] = json!({
            "looked_ms": seen.looked_ms, "error": seen.error, "branch": seen.branch, "commit": seen.sha,
            "trouble": trouble,
        });
    }
    Ok(feed)
}

/// The address with its user and password hidden.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}
