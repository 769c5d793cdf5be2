//! Commits on which a mirrored branch stands and of which no release was made: the server can't sign one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::failure::{ApiFailure, no_content, not_found};
use crate::request::{Admin, Captures, QueryOf};
use crate::store::PendingRow;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    package: Option<String>,
}

pub(crate) async fn list_pending(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiFailure> {
    let rows = app.store.pending(admin.project_id, query.package.as_deref()).await?;
    let pending: Vec<Value> = rows.iter().map(answer).collect();
    Ok(Json(json!({"pending": pending})))
}

/// A release was made of it, or none shall be.
pub(crate) async fn delete_pending(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((feed, commit)): Captures<(i64, String)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let mut writing = app.store.begin().await?;
    if !writing.settle_pending(admin.project_id, feed, &commit).await? {
        return Err(not_found("pending release", format!("{feed} {commit}")).into());
    }
    writing.commit().await?;
    tracing::info!(feed.id = feed, git.commit = commit, token.name = admin.token, "pending release settled");
    Ok(no_content())
}

fn answer(row: &PendingRow) -> Value {
    let trouble: Value = serde_json::from_str(&row.trouble).unwrap_or_else(|_| json!([]));
    json!({
        "feed": row.feed_id, "path": row.path, "package": row.package, "branch": row.branch, "commit": row.sha,
        "moved_ms": row.moved_ms, "trouble": trouble,
    })
}
