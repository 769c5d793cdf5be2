//! What a project grants its devices over MQTT beyond their own topics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::mqtt::rules::{MAX_RULES, problem};
use crate::request::{Admin, Captures, JsonBody};
use crate::store::is_taken;

pub(crate) async fn list_rules(State(app): State<Arc<App>>, admin: Admin) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.mqtt_rules(admin.project_id).await?;
    let rules: Vec<Value> =
        rows.into_iter().map(|row| json!({"id": row.id, "allow": row.allow, "filter": row.filter})).collect();
    Ok(Json(json!({"rules": rules})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    allow: String,
    filter: String,
}

pub(crate) async fn create_rule(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    if let Some(problem) = problem(&body.allow, &body.filter) {
        return Err(Failure::Invalid(problem).into());
    }
    let mut writing = app.store.begin().await?;
    if usize::try_from(writing.count_mqtt_rules(admin.project_id).await?).is_ok_and(|count| count >= MAX_RULES) {
        let text = format!("the project has {MAX_RULES} rules");
        return Err(Failure::Conflict(text, "a wildcard in one rule can replace several").into());
    }
    let added = writing.add_mqtt_rule(admin.project_id, &body.allow, &body.filter, app.clock.now_ms()).await;
    let id = added.map_err(|error| {
        if is_taken(&error) {
            return Failure::Conflict(
                format!("{} of {} is allowed already", body.allow, body.filter),
                "nothing is to be done",
            );
        }
        error.into()
    })?;
    writing.commit().await?;
    tracing::info!(token.name = admin.token, mqtt.allow = body.allow, mqtt.filter = body.filter, "mqtt rule made");
    Ok(created(json!({"id": id, "allow": body.allow, "filter": body.filter})))
}

pub(crate) async fn delete_rule(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(id): Captures<i64>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    if !writing.remove_mqtt_rule(admin.project_id, id).await? {
        return Err(not_found("rule", id).into());
    }
    writing.commit().await?;
    tracing::info!(token.name = admin.token, mqtt.rule = id, "mqtt rule deleted");
    Ok(no_content())
}
