//! Credentials of devices that speak another system's protocol: a MAC address, an access token, the id and key of a thing.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::App;
use crate::adapter::Adapter;
use crate::adapters::{insighio, thingsboard};
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::modules::{Scope, check_settings};
use crate::request::{Admin, Captures, JsonBody};
use crate::store::{Writing, is_taken};
use crate::token;

pub(crate) async fn list_credentials(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(device): Captures<String>,
) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.credentials_of(admin.project_id, &device).await?;
    let shown: Vec<Value> = rows
        .iter()
        .map(|row| {
            // An access token is kept as its hash only.
            let id = if row.adapter == Adapter::Thingsboard.as_str() { Value::Null } else { json!(row.name) };
            let settings: Value = serde_json::from_str(&row.settings).unwrap_or_default();
            json!({"number": row.id, "adapter": row.adapter, "id": id, "settings": settings})
        })
        .collect();
    Ok(Json(json!({"credentials": shown})))
}

/// By what a device is to be known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialBody {
    adapter: String,
    /// Made at random when it is left out.
    id: Option<String>,
    /// A key, where the system has one.
    secret: Option<String>,
    #[serde(default)]
    settings: Map<String, Value>,
}

impl CredentialBody {
    /// A credential with an id made at random.
    pub(super) fn of(adapter: Adapter, secret: String, settings: Map<String, Value>) -> Self {
        Self { adapter: adapter.as_str().into(), id: None, secret: Some(secret), settings }
    }
}

pub(crate) async fn create_credential(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<CredentialBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let device = app.store.device(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let scope = Scope { project_id: admin.project_id, package: &device.package, channel: &device.channel };
    check(&app, scope, &body).await?;
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let shown = add(&mut writing, device.id, body).await?;
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "credential made");
    Ok(created(shown))
}

/// What a credential says besides, all of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsBody {
    settings: Map<String, Value>,
}

pub(crate) async fn change_credential(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((name, number)): Captures<(String, i64)>,
    JsonBody(body): JsonBody<SettingsBody>,
) -> Result<Json<Value>, ApiFailure> {
    let device = app.store.device(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let rows = app.store.credentials_of(admin.project_id, &name).await?;
    let row = rows.into_iter().find(|row| row.id == number).ok_or_else(|| not_found("credential", number))?;
    let scope = Scope { project_id: admin.project_id, package: &device.package, channel: &device.channel };
    check_of(&app, scope, &row.adapter, &body.settings).await?;
    let (given, settings) = complete(Adapter::parse(&row.adapter)?, body.settings)?;
    let mut writing = app.store.begin().await?;
    writing.set_credential_settings(number, &settings).await?;
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "settings of a credential changed");
    Ok(Json(json!({"number": number, "adapter": row.adapter, "settings": given})))
}

/// Checks the settings that an adapter could not follow later.
///
/// # Errors
/// `Invalid` with what is wrong with them.
pub(crate) async fn check(app: &Arc<App>, scope: Scope<'_>, body: &CredentialBody) -> Result<(), Failure> {
    check_of(app, scope, &body.adapter, &body.settings).await
}

async fn check_of(
    app: &Arc<App>,
    scope: Scope<'_>,
    adapter: &str,
    settings: &Map<String, Value>,
) -> Result<(), Failure> {
    if Adapter::parse(adapter)? == Adapter::Sensorclass {
        check_settings(app, scope, settings).await?;
    }
    Ok(())
}

/// Settings with what is missing of them, and as they are stored.
fn complete(adapter: Adapter, given: Map<String, Value>) -> Result<(Map<String, Value>, String), Failure> {
    let given = match adapter {
        Adapter::Insighio => insighio::complete(given, token::random)?,
        _ => given,
    };
    let settings = serde_json::to_string(&given).context("settings are JSON")?;
    if adapter == Adapter::Thingsboard {
        thingsboard::provision::check_settings(&settings)?;
    }
    Ok((given, settings))
}

/// Adds a credential and returns what the board must show: the only time that it is told.
pub(crate) async fn add(writing: &mut Writing, device_id: i64, body: CredentialBody) -> Result<Value, Failure> {
    let adapter = Adapter::parse(&body.adapter)?;
    let id = match body.id {
        Some(id) => id,
        None if adapter == Adapter::Sensorclass => {
            return Err(Failure::Invalid("id: the MAC address of the board is wanted".into()));
        }
        None => token::random()?,
    };
    let stored = adapter.stored_id(&id)?;
    let secret = match body.secret {
        None if adapter == Adapter::Insighio => Some(token::random()?),
        secret => secret,
    };
    let (given, settings) = complete(adapter, body.settings)?;
    let hash = secret.as_deref().map(token::hash);
    let added = writing.add_credential(device_id, adapter.as_str(), &stored, hash.as_deref(), &settings).await;
    let number = added.map_err(|error| {
        if is_taken(&error) {
            let text = format!("another device is known to {} by this", adapter.as_str());
            return Failure::Conflict(text, "remove that credential first, or take another id");
        }
        error.into()
    })?;
    Ok(json!({"number": number, "adapter": adapter.as_str(), "id": id, "secret": secret, "settings": given}))
}

pub(crate) async fn delete_credential(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((name, number)): Captures<(String, i64)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    if !writing.remove_credential(device.id, number).await? {
        return Err(not_found("credential", number).into());
    }
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "credential removed");
    Ok(no_content())
}
