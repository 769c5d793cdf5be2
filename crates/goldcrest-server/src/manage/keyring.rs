//! The project's keyring: which keys may sign its releases.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use goldcrest_core::keyring::{Keyring, MAX_KEYRING};
use serde_json::{Value, json};

use crate::App;
use crate::failure::{ApiFailure, Failure};
use crate::request::{Admin, read_body};

pub(crate) async fn get_keyring(State(app): State<Arc<App>>, admin: Admin) -> Result<impl IntoResponse, ApiFailure> {
    let keyring = app.store.keyring(admin.project_id).await?;
    let keyring = keyring.ok_or_else(|| Failure::NotFound("the project has no keyring yet".into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], keyring))
}

/// The first keyring is accepted as it is, if its own roots signed it; a later one only as a successor. The one in force again is no change.
pub(crate) async fn put_keyring(
    State(app): State<Arc<App>>,
    admin: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiFailure> {
    let body = read_body(&headers, body, MAX_KEYRING).await?;
    let next = Keyring::parse(&body)?;
    let version = i64::try_from(next.version()).map_err(|_| Failure::Invalid("the version is too high".into()))?;
    let mut writing = app.store.begin().await?;
    match writing.keyring(admin.project_id).await? {
        None => next.verify_self()?,
        Some(text) => {
            let in_force =
                Keyring::parse(text.as_bytes()).map_err(anyhow::Error::new).context("the stored keyring is damaged");
            let in_force = in_force.map_err(Failure::Internal)?;
            if in_force.digest == next.digest {
                return Ok(Json(json!({"version": version})));
            }
            in_force.accept_successor(&next)?;
        }
    }
    let text = String::from_utf8(next.to_bytes()).context("a keyring is text")?;
    writing.set_keyring(admin.project_id, &text, version).await?;
    writing.commit().await?;
    tracing::info!(keyring.version = version, token.name = admin.token, "keyring replaced");
    Ok(Json(json!({"version": version})))
}
