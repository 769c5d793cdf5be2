//! The parts of a static export, one by one, so that only what is new is fetched.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use goldcrest_core::Digest;
use serde_json::Value;

use crate::failure::{ApiFailure, not_found};
use crate::request::{Admin, Captures};
use crate::{App, adapters};

/// The manifest of a release with its signature lines.
pub(crate) async fn get_manifest(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((package, version)): Captures<(String, String)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let row = app.store.release(admin.project_id, &package, &version).await?;
    let row = row.ok_or_else(|| not_found("release", format!("{package} {version}")))?;
    let manifest = app.store.manifest(row.id).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], manifest))
}

/// An object in its wire form.
pub(crate) async fn get_object(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    let digest: Digest = name.parse().map_err(|_| not_found("object", "of that name"))?;
    app.store.object(admin.project_id, &name).await?.ok_or_else(|| not_found("object", digest))?;
    let shared = Arc::clone(&app);
    let read = tokio::task::spawn_blocking(move || -> anyhow::Result<Vec<u8>> {
        let opened = shared.blobs.read(&digest)?;
        let (mut file, _) = opened.with_context(|| format!("the file of object {digest} is gone"))?;
        let mut wire = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut wire).with_context(|| format!("cannot read object {digest}"))?;
        Ok(wire)
    });
    let wire = read.await.context("reading an object died")??;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], wire))
}

/// Lists and modules of the boards of a feed.
pub(crate) async fn get_modules(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<Json<Value>, ApiFailure> {
    let feeds = app.store.feeds(admin.project_id, None).await?;
    let feed = feeds.iter().find(|feed| feed.id == id).ok_or_else(|| not_found("feed", id))?;
    Ok(Json(adapters::export(&app, feed).await?))
}
