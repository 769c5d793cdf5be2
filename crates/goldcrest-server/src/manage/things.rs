//! insigh.io things: commands and configurations for them, and keys that they fetch themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::credentials::{CredentialBody, add};
use crate::App;
use crate::adapter::{Adapter, mac};
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::request::{Admin, Captures, JsonBody};
use crate::store::{CredentialRow, NewBootstrap, is_taken};
use crate::token;

/// Most actions that a thing has not taken.
const MAX_ACTIONS: i64 = 16;
/// Most bytes of an action.
const MAX_CONTENT: usize = 8 << 10;
/// What the client shows for its key before it has one. It stands in its public source: the time that an offer lasts is the protection.
const FIRST_KEY: &str = "000000000000000000000";
/// Hours for which a key can be fetched.
const DEFAULT_HOURS: i64 = 24;
const MAX_HOURS: i64 = 24 * 30;

pub(crate) async fn list_actions(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<Json<Value>, ApiFailure> {
    let device = app.store.device(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let actions: Vec<Value> = app
        .store
        .thing_actions(device.id)
        .await?
        .into_iter()
        .map(|row| json!({"id": row.id, "type": row.kind, "content": row.content, "created_ms": row.created_ms}))
        .collect();
    let config = app.store.thing_config(device.id).await?;
    let config = config.map(|(content, at_ms)| json!({"content": content, "at_ms": at_ms}));
    Ok(Json(json!({"actions": actions, "config": config})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionBody {
    r#type: Kind,
    content: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "cmd")]
    Command,
    #[serde(rename = "config")]
    Config,
    #[serde(rename = "partialConfig")]
    PartialConfig,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Command => "cmd",
            Self::Config => "config",
            Self::PartialConfig => "partialConfig",
        }
    }
}

pub(crate) async fn create_action(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<ActionBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    if body.content.is_empty() || body.content.len() > MAX_CONTENT || body.content.contains('\0') {
        return Err(Failure::Invalid(format!("content is not 1 to {MAX_CONTENT} bytes of text")).into());
    }
    thing_of(&app, &admin, &name).await?.ok_or_else(|| no_thing(&name))?;
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    if writing.count_actions(device.id).await? >= MAX_ACTIONS {
        let text = format!("device {name} has {MAX_ACTIONS} actions that it did not take");
        return Err(Failure::Conflict(text, "wait until it comes, or remove some").into());
    }
    let id = writing.add_action(device.id, body.r#type.as_str(), &body.content, app.clock.now_ms()).await?;
    writing.commit().await?;
    tracing::info!(device.name = name, action.kind = body.r#type.as_str(), token.name = admin.token, "action made");
    Ok(created(json!({"id": id, "type": body.r#type.as_str(), "content": body.content})))
}

pub(crate) async fn delete_action(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((name, id)): Captures<(String, i64)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    if !writing.remove_action(device.id, id).await? {
        return Err(not_found("action", id).into());
    }
    writing.commit().await?;
    tracing::info!(device.name = name, action.id = id, token.name = admin.token, "action removed");
    Ok(no_content())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BootstrapBody {
    /// What the board shows: its MAC address, as its firmware writes it.
    external_id: String,
    external_key: Option<String>,
    /// Configuration that comes with the key: `name=value&…`.
    content: Option<String>,
    hours: Option<i64>,
    /// Settings of the thing, when it is new.
    #[serde(default)]
    settings: Map<String, Value>,
}

/// Lets a board fetch its id, a new key and its channels, until it used them or the time is over.
pub(crate) async fn create_bootstrap(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<BootstrapBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let hours = body.hours.unwrap_or(DEFAULT_HOURS);
    if !(1..=MAX_HOURS).contains(&hours) {
        return Err(Failure::Invalid(format!("hours is not 1 to {MAX_HOURS}")).into());
    }
    if body.content.as_ref().is_some_and(|content| content.len() > MAX_CONTENT) {
        return Err(Failure::Invalid(format!("content has more than {MAX_CONTENT} bytes")).into());
    }
    // The client writes its MAC address without separators.
    let external_id = mac(&body.external_id).unwrap_or(body.external_id);
    Adapter::Insighio.stored_id(&external_id)?;
    let key = token::random()?;
    let known = thing_of(&app, &admin, &name).await?;
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let device = writing.tracked_by_name(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let (credential_id, thing) = if let Some(known) = known {
        writing.set_secret(device.id, known.id, &token::hash(&key)).await?;
        (known.id, known.name)
    } else {
        let new = CredentialBody::of(Adapter::Insighio, key.clone(), body.settings);
        let made = add(&mut writing, device.id, new).await?;
        (made["number"].as_i64().unwrap_or_default(), made["id"].as_str().unwrap_or_default().to_owned())
    };
    let external_key = body.external_key.as_deref().unwrap_or(FIRST_KEY);
    let expires_ms = now_ms + hours * 3_600_000;
    let offer = NewBootstrap {
        credential_id,
        external_id: &external_id,
        external_key_hash: &token::hash(external_key),
        thing_key: &key,
        content: body.content.as_deref(),
        expires_ms,
    };
    writing.add_bootstrap(&offer, now_ms).await.map_err(|error| {
        if is_taken(&error) {
            let text = format!("another device is to fetch its key as {external_id}");
            return Failure::Conflict(text, "is the external id right?");
        }
        error.into()
    })?;
    writing.commit().await?;
    tracing::info!(device.name = name, token.name = admin.token, "bootstrap offered");
    Ok(created(json!({"external_id": external_id, "id": thing, "expires_ms": expires_ms})))
}

async fn thing_of(app: &App, admin: &Admin, device: &str) -> anyhow::Result<Option<CredentialRow>> {
    let rows = app.store.credentials_of(admin.project_id, device).await?;
    Ok(rows.into_iter().find(|row| row.adapter == Adapter::Insighio.as_str()))
}

fn no_thing(name: &str) -> Failure {
    let text = format!("device {name} is no thing of insigh.io");
    Failure::Conflict(text, "give it a credential first: POST /api/v1/devices/{name}/credentials")
}
