//! `GET /d/v1/keyring`: the keys that a board shall trust from now on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use crate::App;
use crate::failure::{DeviceFailure, Failure};
use crate::request::device_of;

pub(crate) async fn get_keyring(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, DeviceFailure> {
    let device = device_of(&app, &headers).await?;
    let keyring = app.store.keyring(device.project_id).await?;
    let keyring = keyring.ok_or_else(|| Failure::NotFound("the project has no keyring".into()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], keyring))
}
