//! Profiles: with a profile's key and secret, boards make devices of themselves; and claims, by which people take such devices.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::{ChannelName, DeviceName, PackageName};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::telemetry::device;
use crate::App;
use crate::adapters::thingsboard::{claims, provision};
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::request::{Admin, Captures, JsonBody};
use crate::store::{NewProfile, ProfileRow, is_taken};
use crate::token;

/// Most profiles of a project.
const MAX_PROFILES: i64 = 100;
/// Devices that a profile may make, unless it says so.
const DEFAULT_DEVICES: i64 = 1_000;
/// Most that it may.
const MAX_DEVICES: i64 = 100_000;

pub(crate) async fn list_profiles(State(app): State<Arc<App>>, admin: Admin) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.profiles(admin.project_id).await?;
    let profiles: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Json(json!({"profiles": profiles})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    name: DeviceName,
    package: PackageName,
    channel: Option<ChannelName>,
    #[serde(default)]
    settings: Map<String, Value>,
    max_devices: Option<i64>,
}

/// Makes a profile; its secret is told this once.
pub(crate) async fn create_profile(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let max_devices = body.max_devices.unwrap_or(DEFAULT_DEVICES);
    if !(1..=MAX_DEVICES).contains(&max_devices) {
        return Err(Failure::Invalid(format!("max_devices {max_devices} is not 1 to {MAX_DEVICES}")).into());
    }
    let settings = serde_json::to_string(&body.settings).context("settings are JSON")?;
    provision::check_settings(&settings)?;
    let (key, secret) = (token::random()?, token::random()?);
    let channel = body.channel.map_or_else(|| "stable".to_owned(), |channel| channel.to_string());
    let mut writing = app.store.begin().await?;
    if writing.count_profiles(admin.project_id).await? >= MAX_PROFILES {
        let text = format!("the project has {MAX_PROFILES} profiles");
        return Err(Failure::Conflict(text, "remove one that no board uses").into());
    }
    let profile = NewProfile {
        project_id: admin.project_id,
        name: body.name.to_string(),
        key: key.clone(),
        secret_hash: token::hash(&secret),
        package_id: writing.ensure_package(admin.project_id, body.package.as_str()).await?,
        channel: channel.clone(),
        settings,
        max_devices,
    };
    writing.add_profile(&profile, app.clock.now_ms()).await.map_err(|error| {
        if is_taken(&error) {
            return Failure::Conflict(format!("a profile named {} is there already", body.name), "choose another name");
        }
        error.into()
    })?;
    writing.commit().await?;
    tracing::info!(profile.name = %body.name, token.name = admin.token, "profile made");
    Ok(created(json!({
        "name": body.name, "package": body.package, "channel": channel, "settings": body.settings,
        "max_devices": max_devices, "made": 0, "key": key, "secret": secret,
    })))
}

/// Removes a profile; the devices that it made stay.
pub(crate) async fn delete_profile(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    if !writing.remove_profile(admin.project_id, &name).await? {
        return Err(not_found("profile", name).into());
    }
    writing.commit().await?;
    tracing::info!(profile.name = name, token.name = admin.token, "profile removed");
    Ok(no_content())
}

/// What is to be known of a profile, but its secret.
fn shown(row: &ProfileRow) -> Value {
    let settings: Value = serde_json::from_str(&row.settings).unwrap_or_default();
    json!({
        "name": row.name, "package": row.package, "channel": row.channel, "settings": settings, "key": row.key,
        "max_devices": row.max_devices, "made": row.made,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimBody {
    #[serde(default)]
    secret: String,
}

/// Takes a device that offers itself.
pub(crate) async fn claim_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<Json<Value>, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    claims::claim(&app, device.id, &body.secret, &admin.token).await?;
    tracing::info!(device.name = name, token.name = admin.token, "device claimed");
    Ok(Json(json!({"device": name, "claimed_by": admin.token})))
}

/// Gives it back: it may offer itself again.
pub(crate) async fn delete_claim(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    let mut writing = app.store.begin().await?;
    if !writing.remove_claim(device.id).await? {
        return Err(not_found("claim of device", name).into());
    }
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "claim given back");
    Ok(no_content())
}
