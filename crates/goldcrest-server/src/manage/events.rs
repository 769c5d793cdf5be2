//! What a device told, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::{ApiFailure, not_found};
use crate::request::{Admin, Captures, QueryOf};

const DEFAULT_EVENTS: i64 = 50;

pub(crate) async fn list_events(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
    QueryOf(query): QueryOf<page::ById>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(Some(query.limit.unwrap_or(DEFAULT_EVENTS)))?;
    let device = app.store.device(admin.project_id, &name).await?.ok_or_else(|| not_found("device", &name))?;
    let rows = app.store.events(device.id, query.after.unwrap_or(i64::MAX), limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let events: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({
                "at_ms": row.at_ms, "stage": row.stage, "version": row.version,
                "reason": row.reason, "detail": row.detail, "trace": row.trace
            })
        })
        .collect();
    Ok(Json(json!({"events": events, "next": next})))
}
