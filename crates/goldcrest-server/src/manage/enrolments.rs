//! Enrolments: keys with which boards enrol themselves, for the file that installs our agent on every board of a fleet.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::{ChannelName, DeviceName, PackageName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::request::{Admin, Captures, JsonBody};
use crate::store::NewEnrolment;
use crate::token::{self, TokenKind};

/// Most enrolments of a project.
const MAX_ENROLMENTS: i64 = 100;
/// Devices of an enrolment, unless it says otherwise.
const DEFAULT_DEVICES: i64 = 100;
/// Most devices of one enrolment.
const MAX_DEVICES: i64 = 100_000;
/// Seconds that a key is good for, unless it says otherwise: 90 days.
const DEFAULT_EXPIRES_S: i64 = 90 * 86_400;
/// Most seconds: 10 years.
const MAX_EXPIRES_S: i64 = 3_650 * 86_400;

pub(crate) async fn list_enrolments(State(app): State<Arc<App>>, admin: Admin) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.enrolments(admin.project_id).await?;
    let shown: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({"name": row.name, "package": row.package, "channel": row.channel, "enrolled": row.enrolled,
                "devices_left": row.devices_left, "expires_ms": row.expires_ms})
        })
        .collect();
    Ok(Json(json!({"enrolments": shown})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    name: DeviceName,
    package: PackageName,
    channel: Option<ChannelName>,
    devices: Option<i64>,
    expires_in_s: Option<i64>,
}

pub(crate) async fn create_enrolment(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    let devices = body.devices.unwrap_or(DEFAULT_DEVICES);
    let expires_in_s = body.expires_in_s.unwrap_or(DEFAULT_EXPIRES_S);
    if !(1..=MAX_DEVICES).contains(&devices) || !(1..=MAX_EXPIRES_S).contains(&expires_in_s) {
        let text = format!("devices is not 1 to {MAX_DEVICES}, or expires_in_s not 1 to {MAX_EXPIRES_S}");
        return Err(Failure::Invalid(text).into());
    }
    let key = token::make(TokenKind::Enrolment)?;
    let expires_ms = app.clock.now_ms() + expires_in_s * 1000;
    let mut writing = app.store.begin().await?;
    if writing.count_enrolments(admin.project_id).await? >= MAX_ENROLMENTS {
        let text = format!("the project has {MAX_ENROLMENTS} enrolments");
        return Err(Failure::Conflict(text, "remove one that no board needs").into());
    }
    let new = NewEnrolment {
        project_id: admin.project_id,
        name: body.name.to_string(),
        key_hash: token::hash(&key),
        package_id: writing.ensure_package(admin.project_id, body.package.as_str()).await?,
        channel: body.channel.map_or_else(|| "stable".to_owned(), |channel| channel.to_string()),
        devices,
        expires_ms,
    };
    writing.set_enrolment(&new).await?;
    writing.commit().await?;
    tracing::info!(enrolment.name = new.name, token.name = admin.token, "enrolment made");
    Ok(created(json!({"name": new.name, "package": body.package, "channel": new.channel, "key": key,
        "devices_left": devices, "expires_ms": expires_ms})))
}

pub(crate) async fn delete_enrolment(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    if !writing.remove_enrolment(admin.project_id, &name).await? {
        return Err(not_found("enrolment", &name).into());
    }
    writing.commit().await?;
    tracing::info!(enrolment.name = name, token.name = admin.token, "enrolment removed");
    Ok(no_content())
}
