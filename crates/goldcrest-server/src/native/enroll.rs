//! `POST /d/v1/enroll`: a board that was given our agent by its old updater becomes a device, with a token of its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use goldcrest_core::deployment::Signal;
use goldcrest_core::message::RunState;
use goldcrest_core::name::MAX_NAME;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::adapter::mac;
use crate::failure::{DeviceFailure, Failure, created};
use crate::request::read_body;
use crate::rollout::advance::settle;
use crate::rollout::start::follow_channel;
use crate::rollout::{Touched, track};
use crate::store::{EnrolmentRow, NewDevice, Outcome, Writing, is_taken};
use crate::token::{self, TokenKind};

/// Most bytes of a request.
const MAX_BODY: usize = 1024;
/// Most characters of a hardware id.
const MAX_HARDWARE_ID: usize = 40;
/// Fewest and most characters of a token after its prefix: 32 random bytes as base64 or more.
const MIN_TOKEN: usize = 43;
const MAX_TOKEN: usize = 128;

#[derive(Debug, Deserialize)]
struct EnrolBody {
    key: String,
    /// `machine.unique_id()` as hexadecimal digits: the MAC address on most boards.
    hardware_id: String,
    /// The token that it will show from now on, made by itself: a request that arrives twice, or late, changes nothing.
    token: String,
}

pub(crate) async fn enroll(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, DeviceFailure> {
    let body = read_body(&headers, body, MAX_BODY).await?;
    let body: EnrolBody = serde_json::from_slice(&body).map_err(|error| Failure::Invalid(format!("body: {error}")))?;
    let is_id = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if body.hardware_id.is_empty() || body.hardware_id.len() > MAX_HARDWARE_ID || !is_id(&body.hardware_id) {
        let text = format!("hardware_id is not 1 to {MAX_HARDWARE_ID} letters and digits");
        return Err(Failure::Invalid(text).into());
    }
    if !is_device_token(&body.token) {
        let text = format!("token is not gcd_ and {MIN_TOKEN} to {MAX_TOKEN} letters and digits");
        return Err(Failure::Invalid(text).into());
    }
    let now_ms = app.clock.now_ms();
    let mut writing = app.store.begin().await?;
    let enrolment = writing.enrolment(&token::hash(&body.key)).await?.ok_or(Failure::Unauthenticated)?;
    if enrolment.expires_ms <= now_ms {
        return Err(Failure::TokenExpired.into());
    }
    let answer = take_in(&mut writing, &enrolment, &body, now_ms).await?;
    writing.commit().await?;
    tracing::info!(enrolment.name = enrolment.name, device.name = %answer["name"], "board enrolled");
    Ok(created(answer))
}

/// Whether this could be the token of a device, with enough in it that nobody guesses it.
fn is_device_token(text: &str) -> bool {
    let random = text.strip_prefix("gcd_").filter(|_| TokenKind::of(text) == Some(TokenKind::Device));
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    random.is_some_and(|random| (MIN_TOKEN..=MAX_TOKEN).contains(&random.len()) && random.bytes().all(is_plain))
}

/// What the MAC address of an ESP8266 ends with: its hardware id is these three bytes in reverse order, and a zero.
fn end_of_mac(hardware_id: &str) -> Option<String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hardware_id.as_bytes()).ok()?;
    let [a, b, c, 0] = bytes[..] else { return None };
    Some(HEXLOWER.encode(&[c, b, a]))
}

/// The device of the board, made when it is new, with its token.
async fn take_in(
    writing: &mut Writing,
    enrolment: &EnrolmentRow,
    body: &EnrolBody,
    now_ms: i64,
) -> Result<Value, Failure> {
    let (hardware_id, hash) = (body.hardware_id.as_str(), token::hash(&body.token));
    let mac = match (mac(hardware_id), end_of_mac(hardware_id)) {
        (None, Some(end)) => writing.only_mac_ending(enrolment.project_id, &end).await?,
        (mac, _) => mac,
    };
    let known = writing.enrolled(enrolment.project_id, hardware_id, mac.as_deref()).await?;
    if let Some(known) = known {
        // Its agent has been heard: whoever asks now may be somebody else with the key, which all of the fleet can read.
        if known.facts.contains("\"agent\"") {
            let text = format!("{} is enrolled and at work", known.name);
            return Err(Failure::Conflict(text, "goldcrest device token makes a new token for it"));
        }
        writing.set_device_token(enrolment.project_id, &known.name, &hash).await?;
        if known.package != enrolment.package {
            move_over(writing, known.id, enrolment, now_ms).await?;
        }
        return Ok(json!({"name": known.name, "package": enrolment.package}));
    }
    if enrolment.devices_left <= 0 {
        let text = format!("{} has taken in as many boards as it may", enrolment.name);
        return Err(Failure::Conflict(text, "make the enrolment again with more devices"));
    }
    let room = MAX_NAME - 1 - hardware_id.len();
    let name = format!("{}-{hardware_id}", &enrolment.package[..enrolment.package.len().min(room)]);
    let device = NewDevice {
        project_id: enrolment.project_id,
        package_id: enrolment.package_id,
        name: name.clone(),
        channel: enrolment.channel.clone(),
        hardware_id: Some(hardware_id.to_owned()),
        labels: "{}".into(),
        token_hash: hash,
    };
    let id = writing.add_device(&device, now_ms).await.map_err(|error| {
        if is_taken(&error) {
            return Failure::Conflict(format!("a device named {name} is there already"), "rename or remove it first");
        }
        error.into()
    })?;
    writing.add_enrolled(enrolment.id, id).await?;
    follow_channel(writing, id, enrolment.package_id, &enrolment.channel, now_ms).await?;
    Ok(json!({"name": name, "package": enrolment.package}))
}

/// A device of an old package: its last update there has done its work, and it goes on with the package of the enrolment.
async fn move_over(
    writing: &mut Writing,
    device_id: i64,
    enrolment: &EnrolmentRow,
    now_ms: i64,
) -> Result<(), Failure> {
    let mut device = writing.tracked(device_id).await?;
    let mut touched = Touched::new();
    if let Some(id) = device.deployment_id {
        let active = writing.active_deployment(id).await?;
        let signal = Signal::Runs(RunState::Ok);
        track::apply(writing, &mut device, &active, &signal, &Outcome::default(), &mut touched, now_ms).await?;
    }
    settle(writing, touched, now_ms).await?;
    writing.move_device(device_id, enrolment.package_id, &enrolment.channel).await?;
    follow_channel(writing, device_id, enrolment.package_id, &enrolment.channel, now_ms).await?;
    Ok(())
}
