//! Devices: made here, with a token that is shown once.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::{ChannelName, DeviceName, PackageName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::credentials::{self, CredentialBody};
use super::page;
use crate::App;
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::modules::Scope;
use crate::request::{Admin, Captures, JsonBody, QueryOf};
use crate::rollout::Touched;
use crate::rollout::advance::settle;
use crate::rollout::start::follow_channel;
use crate::store::{DeviceFilter, DeviceRow, NewDevice, is_taken};
use crate::token::{self, TokenKind};

const MAX_LABELS: usize = 32;
const MAX_LABEL_CHARS: usize = 64;
const MAX_HARDWARE_ID: usize = 64;
/// Values of `state`.
const STATES: [&str; 5] = ["new", "in-sync", "updating", "trial", "failed"];

/// A device as the API shows it.
#[derive(Debug, Serialize)]
struct DeviceAnswer {
    name: String,
    id: i64,
    package: String,
    channel: String,
    labels: Value,
    hardware_id: Option<String>,
    state: String,
    running: Option<String>,
    desired: Option<String>,
    failed: Option<String>,
    last_seen_ms: Option<i64>,
    facts: Value,
}

impl DeviceAnswer {
    fn of(row: DeviceRow) -> Self {
        let object = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!({}));
        Self {
            labels: object(&row.labels),
            facts: object(&row.facts),
            name: row.name,
            id: row.id,
            package: row.package,
            channel: row.channel,
            hardware_id: row.hardware_id,
            state: row.state,
            running: row.running,
            desired: row.desired,
            failed: row.failed,
            last_seen_ms: row.last_seen_ms,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    package: Option<String>,
    channel: Option<String>,
    state: Option<String>,
    label: Option<String>,
    #[serde(default)]
    after: String,
    limit: Option<i64>,
}

pub(crate) async fn list_devices(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    if let Some(state) = query.state.as_deref().filter(|state| !STATES.contains(state)) {
        return Err(Failure::Invalid(format!("state {state:?} is none of {}", STATES.join(", "))).into());
    }
    let label = query.label.as_deref().map(label_filter).transpose()?;
    let filter = DeviceFilter { package: query.package, channel: query.channel, state: query.state, label };
    let rows = app.store.devices(admin.project_id, &filter, &query.after, limit).await?;
    let next = page::next(&rows, limit, |row| row.name.clone());
    let devices: Vec<DeviceAnswer> = rows.into_iter().map(DeviceAnswer::of).collect();
    Ok(Json(json!({"devices": devices, "next": next})))
}

/// `k=v` as it stands in the stored JSON.
///
/// # Errors
/// `Invalid` when there is no `=` or the label breaks the rule for labels.
pub(crate) fn label_filter(text: &str) -> Result<String, Failure> {
    let malformed = || Failure::Invalid(format!("label {text:?} is not key=value"));
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let stored = labels_json(&BTreeMap::from([(key.to_owned(), value.to_owned())]))?;
    Ok(stored.trim_start_matches('{').trim_end_matches('}').to_owned())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    name: DeviceName,
    package: PackageName,
    channel: Option<ChannelName>,
    hardware_id: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// By what an adapter is to know it.
    credential: Option<CredentialBody>,
}

pub(crate) async fn create_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    if body.hardware_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_HARDWARE_ID) {
        return Err(Failure::Invalid(format!("hardware_id is not 1 to {MAX_HARDWARE_ID} bytes")).into());
    }
    let labels = labels_json(&body.labels)?;
    let channel = body.channel.map_or_else(|| "stable".to_owned(), |channel| channel.to_string());
    if let Some(credential) = &body.credential {
        let scope = Scope { project_id: admin.project_id, package: body.package.as_str(), channel: &channel };
        credentials::check(&app, scope, credential).await?;
    }
    let token = token::make(TokenKind::Device)?;
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let package_id = writing.ensure_package(admin.project_id, body.package.as_str()).await?;
    let device = NewDevice {
        project_id: admin.project_id,
        package_id,
        name: body.name.to_string(),
        channel: channel.clone(),
        hardware_id: body.hardware_id,
        labels,
        token_hash: token::hash(&token),
    };
    let id = writing.add_device(&device, now_ms).await.map_err(|error| name_taken(error, &body.name))?;
    let credential = match body.credential {
        Some(credential) => Some(credentials::add(&mut writing, id, credential).await?),
        None => None,
    };
    follow_channel(&mut writing, id, package_id, &channel, now_ms).await?;
    writing.commit().await?;
    let mut answer = json!({"device": load(&app, &admin, body.name.as_str()).await?, "token": token});
    if let Some(credential) = credential {
        answer["credential"] = credential;
    }
    Ok(created(answer))
}

pub(crate) async fn get_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    Ok(Json(load(&app, &admin, &name).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeBody {
    name: Option<DeviceName>,
    channel: Option<ChannelName>,
    labels: Option<BTreeMap<String, String>>,
}

pub(crate) async fn change_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let labels = body.labels.as_ref().map(labels_json).transpose()?;
    let channel = body.channel.as_ref().map(ChannelName::as_str);
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let changed = writing.change_device(device.id, body.name.as_ref(), channel, labels.as_deref()).await;
    let new_name = body.name.as_ref().map_or(name.as_str(), DeviceName::as_str);
    changed.map_err(|error| name_taken(error, new_name))?;
    if let Some(channel) = channel {
        follow_channel(&mut writing, device.id, device.package_id, channel, now_ms).await?;
    }
    writing.commit().await?;
    Ok(Json(load(&app, &admin, new_name).await?))
}

pub(crate) async fn delete_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let touched: Touched = writing.rollouts_of_device(device.id).await?.into_iter().collect();
    writing.remove_device(device.id).await?;
    // A stage may have waited for it.
    settle(&mut writing, touched, app.clock.now_ms()).await?;
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "device deleted");
    Ok(no_content())
}

pub(crate) async fn replace_token(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<Json<Value>, ApiFailure> {
    let token = token::make(TokenKind::Device)?;
    let mut writing = app.store.begin().await?;
    if !writing.set_device_token(admin.project_id, &name, &token::hash(&token)).await? {
        return Err(not_found("device", &name).into());
    }
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "device token replaced");
    Ok(Json(json!({"token": token})))
}

async fn load(app: &App, admin: &Admin, name: &str) -> Result<impl Serialize + use<>, Failure> {
    let row = app.store.device(admin.project_id, name).await?;
    row.map(DeviceAnswer::of).ok_or_else(|| not_found("device", name))
}

fn labels_json(labels: &BTreeMap<String, String>) -> Result<String, Failure> {
    if labels.len() > MAX_LABELS {
        return Err(Failure::Invalid(format!("{} labels: {MAX_LABELS} are allowed", labels.len())));
    }
    let is_fine = |text: &str| text.chars().count() <= MAX_LABEL_CHARS && !text.chars().any(char::is_control);
    if let Some((key, _)) = labels.iter().find(|(key, value)| key.is_empty() || !is_fine(key) || !is_fine(value)) {
        let text = format!("label {key:?} is not 1 to {MAX_LABEL_CHARS} characters with a value of at most as many");
        return Err(Failure::Invalid(text));
    }
    Ok(serde_json::to_string(labels).context("labels are JSON")?)
}

fn name_taken(error: anyhow::Error, name: impl std::fmt::Display) -> Failure {
    if is_taken(&error) {
        return Failure::Conflict(format!("a device named {name} is there already"), "choose another name");
    }
    error.into()
}
