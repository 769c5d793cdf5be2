//! `GET /healthz`: whether the server can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::App;
use crate::failure::{ApiFailure, Failure};

pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiFailure> {
    if let Err(error) = app.store.ping().await {
        tracing::error!(error = format!("{error:#}"), "not healthy");
        return Err(Failure::Unavailable.into());
    }
    Ok(Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})))
}
