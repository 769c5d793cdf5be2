//! What devices measured and what is noted about them, and calls to those that take them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::page;
use crate::App;
use crate::adapters::thingsboard::{self, Call, Device};
use crate::failure::{ApiFailure, Failure, no_content, not_found};
use crate::request::{Admin, Captures, JsonBody, QueryOf};

/// How long a call waits for its answer, unless it says so.
const DEFAULT_TIMEOUT_MS: u64 = 10_000;
/// Longest time that it may.
const MAX_TIMEOUT_MS: u64 = 300_000;
/// Longest name of a method.
const MAX_METHOD: usize = 128;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetryQuery {
    key: Option<String>,
    limit: Option<i64>,
}

/// The newest values of each key, the newest first.
pub(crate) async fn get_telemetry(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    QueryOf(query): QueryOf<TelemetryQuery>,
) -> Result<Json<Value>, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    // Without a wish one value of each: what it is now.
    let limit = page::limit(query.limit.or(Some(1)))?;
    app.telemetry.flush(&app.store).await;
    let mut keys: Map<String, Value> = Map::new();
    for row in app.store.samples(device.id, query.key.as_deref(), limit).await? {
        let value: Value = serde_json::from_str(&row.value).context("a stored value is damaged")?;
        let values = keys.entry(row.key).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(json!({"at_ms": row.at_ms, "value": value}));
        }
    }
    Ok(Json(json!({"telemetry": keys})))
}

/// Both scopes.
pub(crate) async fn get_attributes(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<Json<Value>, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    Ok(Json(thingsboard::shown(&app, device.id).await?))
}

/// Sets shared attributes; others stay.
pub(crate) async fn put_attributes(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(values): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    thingsboard::set_shared(&app, device, values).await?;
    Ok(Json(thingsboard::shown(&app, device.id).await?))
}

/// Removes a shared attribute.
pub(crate) async fn delete_attribute(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((name, key)): Captures<(String, String)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    if !thingsboard::remove_shared(&app, device, &key).await? {
        return Err(not_found("shared attribute", key).into());
    }
    Ok(no_content())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallBody {
    method: String,
    #[serde(default = "no_params")]
    params: Value,
    timeout_ms: Option<u64>,
    #[serde(default)]
    one_way: bool,
}

fn no_params() -> Value {
    json!({})
}

/// Calls a device, and waits for what it answers.
pub(crate) async fn call_device(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    JsonBody(body): JsonBody<CallBody>,
) -> Result<Json<Value>, ApiFailure> {
    let device = device(&app, &admin, &name).await?;
    if body.method.is_empty() || body.method.len() > MAX_METHOD {
        return Err(Failure::Invalid(format!("method is not 1 to {MAX_METHOD} bytes")).into());
    }
    let timeout_ms = body.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
    if timeout_ms > MAX_TIMEOUT_MS {
        return Err(Failure::Invalid(format!("timeout_ms {timeout_ms} is more than {MAX_TIMEOUT_MS}")).into());
    }
    let timeout = Duration::from_millis(timeout_ms);
    let call = Call { method: body.method, params: body.params, timeout, is_one_way: body.one_way };
    let answer = thingsboard::call(&app, device, call).await?;
    tracing::info!(device.name = name, token.name = admin.token, "device called");
    Ok(Json(json!({"answer": answer})))
}

pub(super) async fn device(app: &App, admin: &Admin, name: &str) -> Result<Device, Failure> {
    let row = app.store.device(admin.project_id, name).await?.ok_or_else(|| not_found("device", name))?;
    Ok(Device { id: row.id, project_id: admin.project_id })
}
