//! Boards that asked and that no device is known by: `device add` with such an id takes one in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::ApiFailure;
use crate::request::{Admin, QueryOf};

pub(crate) async fn list_pending_boards(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::ById>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let rows = app.store.pending_boards(admin.project_id, query.after.unwrap_or(0), limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let shown: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            json!({"adapter": row.adapter, "id": row.name, "path": row.path, "first_ms": row.first_ms, "last_ms": row.last_ms})
        })
        .collect();
    Ok(Json(json!({"pending": shown, "next": next})))
}
