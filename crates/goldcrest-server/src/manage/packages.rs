//! Packages: they come to be with their first release or device.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::ApiFailure;
use crate::request::{Admin, QueryOf};

pub(crate) async fn list_packages(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::ByName>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let rows = app.store.packages(admin.project_id, &query.after, limit).await?;
    let next = page::next(&rows, limit, |row| row.name.clone());
    let packages: Vec<Value> =
        rows.into_iter().map(|row| json!({"name": row.name, "releases": row.releases, "latest": row.latest})).collect();
    Ok(Json(json!({"packages": packages, "next": next})))
}
