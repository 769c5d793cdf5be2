//! Tokens of people and scripts. A secret is shown once, when it is made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use goldcrest_core::name::DeviceName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::failure::{ApiFailure, Failure, created, no_content, not_found};
use crate::request::{Admin, Captures, JsonBody, QueryOf};
use crate::store::is_taken;
use crate::token::{self, TokenKind};

/// Ten years.
const MAX_EXPIRY_S: i64 = 10 * 366 * 24 * 3600;

pub(crate) async fn whoami(admin: Admin) -> Json<Value> {
    Json(json!({"project": admin.project, "token": admin.token, "expires_ms": admin.expires_ms}))
}

pub(crate) async fn list_tokens(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::ByName>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let rows = app.store.tokens(admin.project_id, &query.after, limit).await?;
    let next = page::next(&rows, limit, |row| row.name.clone());
    let tokens: Vec<Value> = rows
        .into_iter()
        .map(|row| json!({"name": row.name, "created_ms": row.created_ms, "expires_ms": row.expires_ms}))
        .collect();
    Ok(Json(json!({"tokens": tokens, "next": next})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateBody {
    /// The same rule as a device's name.
    name: DeviceName,
    expires_in_s: Option<i64>,
}

pub(crate) async fn create_token(
    State(app): State<Arc<App>>,
    admin: Admin,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, ApiFailure> {
    if body.expires_in_s.is_some_and(|seconds| !(1..=MAX_EXPIRY_S).contains(&seconds)) {
        return Err(Failure::Invalid(format!("expires_in_s is not between 1 and {MAX_EXPIRY_S}")).into());
    }
    let now_ms = app.clock.now_ms();
    let expires_ms = body.expires_in_s.map(|seconds| now_ms + seconds * 1000);
    let token = token::make(TokenKind::Admin)?;
    let mut writing = app.store.begin().await?;
    let name = body.name.as_str();
    let added = writing.add_token(admin.project_id, name, &token::hash(&token), now_ms, expires_ms).await;
    added.map_err(|error| {
        if is_taken(&error) {
            return Failure::Conflict(format!("a token named {name} is there already"), "choose another name");
        }
        error.into()
    })?;
    writing.commit().await?;
    tracing::info!(token.name = admin.token, token.made = name, "token made");
    Ok(created(json!({"name": name, "token": token, "expires_ms": expires_ms})))
}

pub(crate) async fn delete_token(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures(name): Captures<String>,
) -> Result<impl IntoResponse, ApiFailure> {
    if name == admin.token {
        let text = format!("token {name} is the one of this request");
        return Err(Failure::Conflict(text, "delete it with another token").into());
    }
    let mut writing = app.store.begin().await?;
    if !writing.remove_token(admin.project_id, &name).await? {
        return Err(not_found("token", &name).into());
    }
    writing.commit().await?;
    tracing::info!(token.name = admin.token, token.deleted = name, "token deleted");
    Ok(no_content())
}
