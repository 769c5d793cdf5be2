//! Rollouts: a release reaches the devices of a channel in stages, and stops by itself when too many fail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::{ChannelName, DeviceName, PackageName, Version};
use goldcrest_core::rollout::{MAX_STAGES, StageSize};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{deployments, devices, page};
use crate::App;
use crate::failure::{ApiFailure, Failure, created, not_found};
use crate::request::{Admin, Captures, JsonBody, QueryOf};
use crate::rollout::{Touched, advance};
use crate::store::{DeploymentFilter, DeviceFilter, NewRollout, ReleaseRow, RolloutRow, Writing};

/// Devices named one by one in a request.
const MAX_NAMED: usize = 1000;
/// Devices of one rollout.
const MAX_DEVICES: usize = 100_000;
/// Devices read at a time.
const DEVICE_PAGE: i64 = 1000;
/// Deployments shown with a rollout; GET /api/v1/deployments has the rest.
const SHOWN_DEPLOYMENTS: i64 = 1000;

pub(crate) async fn list_rollouts(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::ById>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let rows = app.store.rollouts(admin.project_id, query.after.unwrap_or(i64::MAX), limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let rollouts: Vec<Value> = rows.iter().map(answer).collect();
    Ok(Json(json!({"rollouts": rollouts, "next": next})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    package: PackageName,
    version: Version,
    channel: Option<ChannelName>,
    devices: Option<Vec<DeviceName>>,
    label: Option<String>,
    stages: Option<Vec<StageSize>>,
    #[serde(default)]
    max_failed: u32,
}

pub(crate) async fn create_rollout(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let stages = body.stages.clone().unwrap_or_else(|| vec![StageSize::Count(1), StageSize::Percent(100)]);
    if stages.is_empty() || stages.len() > MAX_STAGES {
        return Err(Failure::Invalid(format!("{} stages: 1 to {MAX_STAGES} are allowed", stages.len())).into());
    }
    let channel = body.channel.as_ref().map_or("stable", ChannelName::as_str).to_owned();
    let members = members(&app, &admin, &body, &channel).await?;
    if let Some(release) = app.store.release(admin.project_id, body.package.as_str(), body.version.as_str()).await? {
        app.deltas.prepare(release.id).await;
    }
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let release = writing.release(admin.project_id, body.package.as_str(), body.version.as_str()).await?;
    let release = release.ok_or_else(|| not_found("release", format!("{} {}", body.package, body.version)))?;
    if let Some(other) = writing.rollout_on(release.package_id, &channel).await? {
        let text = format!("rollout {other} is running on channel {channel}");
        return Err(Failure::Conflict(text, "halt it first, or wait until it is completed").into());
    }
    let new = NewRollout {
        package_id: release.package_id,
        release_id: release.id,
        channel,
        stages: serde_json::to_string(&stages)?,
        max_failed: i64::from(body.max_failed),
        moves_channel: body.devices.is_none()
            && body.label.is_none()
            && stages.last() == Some(&StageSize::Percent(100)),
    };
    let id = writing.add_rollout(&new, now_ms).await?;
    add_members(&mut writing, &admin, &release, id, &members).await?;
    tracing::info!(rollout.id = id, devices = members.len(), token.name = admin.token, "rollout created");
    advance::settle(&mut writing, Touched::from([id]), now_ms).await?;
    writing.commit().await?;
    Ok(created(load(&app, &admin, id).await?))
}

/// The names that a rollout is for: those given, those with the label, else all that follow the channel.
async fn members(app: &App, admin: &Admin, body: &CreateBody, channel: &str) -> Result<Vec<String>, Failure> {
    if let Some(names) = &body.devices {
        if body.label.is_some() {
            return Err(Failure::Invalid("devices and label exclude each other".into()));
        }
        if names.is_empty() || names.len() > MAX_NAMED {
            return Err(Failure::Invalid(format!("{} devices: 1 to {MAX_NAMED} are allowed", names.len())));
        }
        return Ok(names.iter().map(ToString::to_string).collect());
    }
    let label = body.label.as_deref().map(devices::label_filter).transpose()?;
    let package = Some(body.package.to_string());
    let filter = DeviceFilter { package, channel: Some(channel.to_owned()), label, ..DeviceFilter::default() };
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = app.store.devices(admin.project_id, &filter, &after, DEVICE_PAGE).await?;
        if page.is_empty() {
            break;
        }
        names.extend(page.into_iter().map(|row| row.name));
        if names.len() > MAX_DEVICES {
            return Err(Failure::Invalid(format!("more than {MAX_DEVICES} devices: narrow it down with a label")));
        }
    }
    if names.is_empty() {
        let text = format!("no device of {} on channel {channel} fits", body.package);
        return Err(Failure::Invalid(text));
    }
    Ok(names)
}

async fn add_members(
    writing: &mut Writing,
    admin: &Admin,
    release: &ReleaseRow,
    rollout_id: i64,
    names: &[String],
) -> Result<(), Failure> {
    for name in names {
        let device = writing.tracked_by_name(admin.project_id, name).await?.ok_or_else(|| not_found("device", name))?;
        if device.package_id != release.package_id {
            return Err(Failure::Invalid(format!("device {name} runs {}, not {}", device.package, release.package)));
        }
        writing.add_rollout_device(rollout_id, device.id).await?;
    }
    Ok(())
}

pub(crate) async fn get_rollout(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<Json<Value>, ApiFailure> {
    Ok(Json(load(&app, &admin, id).await?))
}

pub(crate) async fn halt_rollout(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<Json<Value>, ApiFailure> {
    in_state(&app, &admin, id, "running").await?;
    let mut writing = app.store.begin().await?;
    let row = writing.rollout(id).await?.filter(|row| row.state == "running");
    let row = row.ok_or_else(|| wrong_state(id, "no longer running"))?;
    let reason = format!("by {}", admin.token);
    advance::halt(&mut writing, &row, &reason, app.clock.now_ms()).await?;
    writing.commit().await?;
    Ok(Json(load(&app, &admin, id).await?))
}

pub(crate) async fn resume_rollout(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<Json<Value>, ApiFailure> {
    in_state(&app, &admin, id, "halted").await?;
    let mut writing = app.store.begin().await?;
    let row = writing.rollout(id).await?.filter(|row| row.state == "halted");
    let row = row.ok_or_else(|| wrong_state(id, "no longer halted"))?;
    if let Some(other) = writing.rollout_on(row.package_id, &row.channel).await? {
        return Err(Failure::Conflict(format!("rollout {other} runs on this channel"), "halt that one first").into());
    }
    tracing::info!(rollout.id = id, token.name = admin.token, "rollout resumed");
    advance::resume(&mut writing, &row, app.clock.now_ms()).await?;
    writing.commit().await?;
    Ok(Json(load(&app, &admin, id).await?))
}

/// Checks that the project has this rollout, in this state.
async fn in_state(app: &App, admin: &Admin, id: i64, state: &str) -> Result<(), Failure> {
    let row = app.store.rollout(admin.project_id, id).await?.ok_or_else(|| not_found("rollout", id))?;
    if row.state == state { Ok(()) } else { Err(wrong_state(id, &row.state)) }
}

fn wrong_state(id: i64, state: &str) -> Failure {
    let hint = "only a running rollout can be halted, and only a halted one resumed";
    Failure::Conflict(format!("rollout {id} is {state}"), hint)
}

async fn load(app: &App, admin: &Admin, id: i64) -> Result<Value, Failure> {
    let row = app.store.rollout(admin.project_id, id).await?.ok_or_else(|| not_found("rollout", id))?;
    let filter = DeploymentFilter { rollout: Some(id), ..DeploymentFilter::default() };
    let rows = app.store.deployments(admin.project_id, &filter, i64::MAX, SHOWN_DEPLOYMENTS).await?;
    let mut value = answer(&row);
    value["deployments"] = rows.iter().map(deployments::answer).collect();
    Ok(value)
}

fn answer(row: &RolloutRow) -> Value {
    let stages: Value = serde_json::from_str(&row.stages).unwrap_or_else(|_| json!([]));
    json!({
        "id": row.id, "package": row.package, "version": row.version, "channel": row.channel, "state": row.state,
        "stage": row.stage, "stages": stages, "max_failed": row.max_failed, "reason": row.reason, "total": row.total,
        "moves_channel": row.moves_channel,
        "confirmed": row.confirmed, "failed": row.failed, "created_ms": row.created_ms
    })
}
