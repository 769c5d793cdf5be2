//! `GET /d/v1/checkin`: what should this board run? One indexed read when nothing changed.

use std::sync::Arc;

use anyhow::Context;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use goldcrest_core::deployment::{DeploymentState, Signal};
use goldcrest_core::manifest::{BoardContext, admit};
use goldcrest_core::message::{CheckIn, ReportStage, RunState, unwanted_releases};
use goldcrest_core::{Digest, Refused, SignedManifest};
use serde_json::{Map, Value};

use crate::App;
use crate::failure::{self, DeviceFailure, Failure, not_modified};
use crate::jobs::deltas;
use crate::request::device_of;
use crate::request_log::ForDevice;
use crate::rollout::advance::settle;
use crate::rollout::start::start;
use crate::rollout::{Touched, track};
use crate::store::{CheckInRow, Outcome, TrackedDevice, Writing};

const POLL: HeaderName = HeaderName::from_static("goldcrest-poll");
const KEYRING: HeaderName = HeaderName::from_static("goldcrest-keyring");
const AGENT: HeaderName = HeaderName::from_static("goldcrest-agent");
/// How the store writes "runs no release".
const NOTHING: &str = "-";

/// What a board said in one check-in.
struct Said {
    run: String,
    state: RunState,
    unwanted: Vec<Digest>,
    /// The agent protocol it speaks.
    agent: Option<u32>,
}

/// What it is answered.
enum Answer {
    Nothing,
    Release { id: i64, digest: String, manifest: String },
}

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
        agent: text(&headers, &AGENT).and_then(|version| version.parse().ok()),
    };
    let now_ms = app.clock.now_ms();
    app.heartbeats.beat(device.device_id, now_ms);
    let answer = if is_unchanged(&device, &said) {
        Answer::Nothing
    } else {
        let mut writing = app.store.begin().await?;
        let answer = decide(&mut writing, device.device_id, &said, now_ms).await?;
        writing.commit().await?;
        answer
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

fn state_text(state: RunState) -> &'static str {
    match state {
        RunState::Ok => "ok",
        RunState::Trial => "trial",
    }
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
    is_same && outcome_is_known && (runs_desired || is_unwanted(device.desired_digest.as_deref(), said))
}

fn is_unwanted(digest: Option<&str>, said: &Said) -> bool {
    let digest = digest.and_then(|digest| digest.parse::<Digest>().ok());
    digest.is_some_and(|digest| said.unwanted.contains(&digest))
}

/// Takes in what the board said, then decides what it is answered.
async fn decide(writing: &mut Writing, device_id: i64, said: &Said, now_ms: i64) -> anyhow::Result<Answer> {
    let mut device = writing.tracked(device_id).await?;
    let mut touched = Touched::new();
    let is_new =
        device.running.as_deref() != Some(&said.run) || device.run_state.as_deref() != Some(state_text(said.state));
    device.running = Some(said.run.clone());
    device.run_state = Some(state_text(said.state).into());
    if said.state == RunState::Ok {
        device.settled = Some(said.run.clone());
    }
    if is_new {
        track::save(writing, &device).await?;
    }
    learn_outcome(writing, &mut device, said, &mut touched, now_ms).await?;
    // Ends of deployments may open the next stage, also for this very board.
    settle(writing, std::mem::take(&mut touched), now_ms).await?;
    let mut device = writing.tracked(device_id).await?;
    let answer = offer(writing, &mut device, said, &mut touched, now_ms).await?;
    settle(writing, touched, now_ms).await?;
    Ok(answer)
}

/// What the check-in says about the deployment under way, even when every report was lost.
async fn learn_outcome(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    said: &Said,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<()> {
    let Some(id) = device.deployment_id else { return Ok(()) };
    let active = writing.active_deployment(id).await?;
    let signal = if active.digest == said.run {
        Signal::Runs(said.state)
    } else if is_unwanted(Some(&active.digest), said) {
        Signal::Unwanted
    } else {
        return Ok(());
    };
    let outcome = Outcome::because(
        "error",
        "the board does not want this release: it failed there before, or its report was lost",
    );
    track::apply(writing, device, &active, &signal, &outcome, touched, now_ms).await?;
    Ok(())
}

/// Offers the desired release, unless the board runs it, does not want it, or would refuse it.
async fn offer(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    said: &Said,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<Answer> {
    let Some(release_id) = device.desired_release_id else { return Ok(Answer::Nothing) };
    let release = writing.release_by_id(release_id).await?;
    if release.digest == said.run || is_unwanted(Some(&release.digest), said) {
        return Ok(Answer::Nothing);
    }
    if device.deployment_id.is_none() {
        // It strayed, for example because it was flashed anew: bring it back.
        start(writing, device, release_id, None, touched, now_ms).await?;
    }
    let Some(id) = device.deployment_id else { return Ok(Answer::Nothing) };
    let active = writing.active_deployment(id).await?;
    let manifest = writing.manifest(release_id).await?;
    if let Err(refused) = would_admit(device, &manifest, said)? {
        let outcome = Outcome::because(refused.refusal.as_str(), refused.detail);
        let signal = Signal::Reported(ReportStage::Failed);
        track::apply(writing, device, &active, &signal, &outcome, touched, now_ms).await?;
        return Ok(Answer::Nothing);
    }
    track::apply(writing, device, &active, &Signal::Offered, &Outcome::default(), touched, now_ms).await?;
    Ok(Answer::Release { id: release_id, digest: release.digest, manifest })
}

/// The board's own verdict, as far as its facts are known. A board without a clock does not know about expiry, so that is left to it.
fn would_admit(device: &TrackedDevice, manifest: &str, said: &Said) -> anyhow::Result<Result<(), Refused>> {
    let facts: Map<String, Value> = serde_json::from_str(&device.facts).context("the facts of a device are damaged")?;
    if facts.is_empty() {
        return Ok(Ok(()));
    }
    let fact = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let context = BoardContext {
        package: Some(device.package.clone()),
        board: fact("board"),
        platform: fact("platform"),
        mpy: facts.get("mpy").and_then(Value::as_u64),
        floor: u64::try_from(device.floor).unwrap_or(0),
        agent: said.agent,
        now: None,
    };
    let signed = SignedManifest::parse(manifest.as_bytes()).context("a stored manifest is damaged")?;
    Ok(admit(&signed.manifest, &context))
}
