//! `POST /d/v1/report`: a board tells how far it is, what went wrong, or what it is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use goldcrest_core::message::{MAX_REPORT, Report};

use crate::App;
use crate::failure::{DeviceFailure, Failure, no_content};
use crate::request::{device_of, read_body};
use crate::request_log::ForDevice;
use crate::rollout::report;

pub(crate) async fn take_report(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, DeviceFailure> {
    let device = device_of(&app, &headers).await?;
    let body = read_body(&headers, body, MAX_REPORT).await?;
    store_report(&app, device.device_id, &body).await?;
    let mut response = no_content();
    response.extensions_mut().insert(ForDevice(device.name));
    Ok(response)
}

/// Takes in what a board told, however it came.
///
/// # Errors
/// `Invalid` when it is no report.
pub(crate) async fn store_report(app: &App, device_id: i64, body: &[u8]) -> Result<(), Failure> {
    let report = Report::parse(body).map_err(|refused| Failure::Invalid(refused.detail))?;
    let now_ms = app.clock.now_ms();
    app.heartbeats.beat(device_id, now_ms);
    report::take(&app.store, device_id, &report, now_ms).await?;
    Ok(())
}
