//! Deployments: which device is how far on its way to which release.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use goldcrest_core::deployment::DeploymentState;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::ApiFailure;
use crate::request::{Admin, QueryOf};
use crate::store::{DeploymentFilter, DeploymentRow};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    device: Option<String>,
    rollout: Option<i64>,
    state: Option<DeploymentState>,
    after: Option<i64>,
    limit: Option<i64>,
}

pub(crate) async fn list_deployments(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let state = query.state.map(|state| state.as_str().to_owned());
    let filter = DeploymentFilter { device: query.device, rollout: query.rollout, state };
    let rows = app.store.deployments(admin.project_id, &filter, query.after.unwrap_or(i64::MAX), limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let deployments: Vec<Value> = rows.iter().map(answer).collect();
    Ok(Json(json!({"deployments": deployments, "next": next})))
}

pub(crate) fn answer(row: &DeploymentRow) -> Value {
    json!({
        "id": row.id, "device": row.device, "package": row.package, "version": row.version, "rollout": row.rollout,
        "state": row.state, "reason": row.reason, "detail": row.detail, "trace": row.trace,
        "created_ms": row.created_ms, "updated_ms": row.updated_ms
    })
}
