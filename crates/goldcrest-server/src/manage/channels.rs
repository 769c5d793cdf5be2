//! Channels: pointing one at a release sends every device there that follows it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use goldcrest_core::name::{ChannelName, PackageName, Version};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::{ApiFailure, Failure, not_found};
use crate::request::{Admin, Captures, JsonBody, QueryOf};
use crate::rollout::advance::settle;
use crate::rollout::start::{Audience, move_channel};
use crate::store::ChannelRow;

pub(crate) async fn list_channels(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::OfPackage>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let after = query.after.unwrap_or(0);
    let rows = app.store.channels(admin.project_id, query.package.as_deref(), after, limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let channels: Vec<Value> = rows.iter().map(answer).collect();
    Ok(Json(json!({"channels": channels, "next": next})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBody {
    version: Version,
}

pub(crate) async fn put_channel(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((package, name)): Captures<(String, String)>,
    JsonBody(body): JsonBody<PutBody>,
) -> Result<Json<Value>, ApiFailure> {
    let package: PackageName = package.parse().map_err(|_| not_found("package", &package))?;
    let name: ChannelName = name.parse().map_err(super::invalid)?;
    if let Some(release) = app.store.release(admin.project_id, package.as_str(), body.version.as_str()).await? {
        app.deltas.prepare(release.id).await;
    }
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let release = writing.release(admin.project_id, package.as_str(), body.version.as_str()).await?;
    let release = release.ok_or_else(|| not_found("release", format!("{package} {}", body.version)))?;
    if let Some(rollout) = writing.rollout_on(release.package_id, name.as_str()).await? {
        let text = format!("rollout {rollout} is running on channel {name}");
        return Err(Failure::Conflict(text, "halt the rollout first").into());
    }
    let (package_id, release_id) = (release.package_id, release.id);
    let touched = move_channel(&mut writing, package_id, name.as_str(), release_id, Audience::All, now_ms).await?;
    settle(&mut writing, touched, now_ms).await?;
    writing.commit().await?;
    tracing::info!(channel = %name, package = %package, version = %body.version, token.name = admin.token, "channel moved");
    let row = app.store.channel(admin.project_id, package.as_str(), name.as_str()).await?;
    Ok(Json(answer(&row.ok_or_else(|| not_found("channel", &name))?)))
}

fn answer(row: &ChannelRow) -> Value {
    json!({
        "package": row.package, "name": row.name, "version": row.version, "digest": row.digest, "devices": row.devices
    })
}
