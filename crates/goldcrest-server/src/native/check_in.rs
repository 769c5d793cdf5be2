//! `GET /d/v1/checkin`: what should this board run? One indexed read when nothing changed.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use goldcrest_core::deployment::DeploymentState;
use goldcrest_core::message::{CheckIn, RunState, unwanted_releases};

use crate::App;
use crate::failure::{self, DeviceFailure, Failure, not_modified};
use crate::jobs::deltas;
use crate::request::device_of;
use crate::request_log::ForDevice;
use crate::rollout::check_in::{Answer, NOTHING, Said, state_text};
use crate::store::CheckInRow;

const POLL: HeaderName = HeaderName::from_static("goldcrest-poll");
const KEYRING: HeaderName = HeaderName::from_static("goldcrest-keyring");

pub(crate) async fn check_in(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, DeviceFailure> {
    let device = device_of(&app, &headers).await?;
    let query =
        CheckIn::parse(query.as_deref().unwrap_or_default()).map_err(|refused| Failure::Invalid(refused.detail))?;
    let said = Said {
        run: query.run.map_or_else(|| NOTHING.into(), |digest| digest.to_string()),
        state: query.state,
        unwanted: text(&headers, &header::IF_NONE_MATCH).map(unwanted_releases).unwrap_or_default(),
        agent: text(&headers, &super::AGENT).and_then(|version| version.parse().ok()),
    };
    let now_ms = app.clock.now_ms();
    app.heartbeats.beat(device.device_id, now_ms);
    let answer = if is_unchanged(&device, &said) {
        Answer::Nothing
    } else {
        said.take(&app.store, device.device_id, now_ms).await?
    };
    let mut response = match answer {
        Answer::Nothing => not_modified(),
        Answer::Release { id, digest, manifest } => {
            let etag = HeaderValue::from_str(&format!("\"{digest}\"")).context("a digest is a header value")?;
            let mut response = if query.have.is_some_and(|have| have.to_string() == digest) {
                ().into_response()
            } else if query.takes_delta {
                failure::delta(deltas::manifest_for(&app, &said.run, id, manifest).await?)
            } else {
                ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], manifest).into_response()
            };
            response.headers_mut().insert(header::ETAG, etag);
            response
        }
    };
    response.headers_mut().insert(POLL, app.poll_s.into());
    if u64::try_from(device.keyring_version).is_ok_and(|version| version > query.keyring) {
        response.headers_mut().insert(KEYRING, HeaderValue::from(device.keyring_version));
    }
    response.extensions_mut().insert(ForDevice(device.name));
    Ok(response)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether the answer is "nothing for you" and nothing has to be written: the answer to nearly every check-in of a fleet.
fn is_unchanged(device: &CheckInRow, said: &Said) -> bool {
    let is_same =
        device.running.as_deref() == Some(&said.run) && device.run_state.as_deref() == Some(state_text(said.state));
    let runs_desired = device.desired_digest.as_ref().is_none_or(|desired| *desired == said.run);
    let outcome_is_known = match device.deployment_state {
        None => true,
        Some(state) => state == DeploymentState::Trial && said.state == RunState::Trial,
    };
    is_same && outcome_is_known && (runs_desired || said.is_unwanted(device.desired_digest.as_deref()))
}
