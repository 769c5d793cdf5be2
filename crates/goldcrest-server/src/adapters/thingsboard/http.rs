//! The HTTP device API, `/api/v1/<access token>/…`: the same as over MQTT, with requests that wait for news.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;

use super::super::{Call, bytes, percent_decoded};
use super::attributes::{self, Asked};
use super::downloads::{Wanted, slice};
use super::{Device, MAX_PAYLOAD, NAME, calls, claims, provision, reading, states, wait_in};
use crate::App;
use crate::failure::{Failure, nothing_new};
use crate::request::read_body;

const JSON: &str = "application/json";
/// How long a request for news waits when it does not say.
const DEFAULT_PATIENCE_MS: u64 = 60_000;
/// Longest time that it may.
const MAX_PATIENCE_MS: u64 = 300_000;
/// What boards may ask for, after their token.
const NOUNS: [&str; 6] = ["telemetry", "attributes", "rpc", "firmware", "software", "claim"];

/// Whether a path has the shape of this API. The management API has the same beginning, and comes first; so has that of git servers.
pub(in crate::adapters) fn knows(call: &Call) -> bool {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match segments[..] {
        [_, _, "repos", ..] => false,
        ["api", "v1", "provision"] | ["api", "v1", _, "attributes", "updates"] => true,
        ["api", "v1", _, noun] => NOUNS.contains(&noun),
        ["api", "v1", _, "rpc", id] => id.parse::<u32>().is_ok(),
        _ => false,
    }
}

/// Answers a request of this shape.
///
/// # Errors
/// `Unauthenticated` for a token of nobody; `Invalid` for what is not understood.
pub(in crate::adapters) async fn answer(app: &Arc<App>, call: &Call, body: Body) -> Result<Response, Failure> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).skip(2).collect();
    if segments == ["provision"] {
        check_method(call, &Method::POST)?;
        let body = read_body(&call.headers, body, provision::MAX_REQUEST).await?;
        return Ok(json(&provision::answer(app, &body).await?));
    }
    let device = device_of(app, segments[0]).await?;
    app.heartbeats.beat(device.id, app.clock.now_ms());
    match (&call.method, &segments[1..]) {
        (&Method::POST, _) => {
            let body = read_body(&call.headers, body, MAX_PAYLOAD).await?;
            post(app, device, &segments[1..], &body).await
        }
        (&Method::GET, ["attributes"]) => {
            let (client, shared) = (listed(call, "clientKeys"), listed(call, "sharedKeys"));
            Ok(json(&attributes::answer(app, device, &Asked::of(client.as_deref(), shared.as_deref())).await?))
        }
        (&Method::GET, ["attributes", "updates"]) => {
            let receiver = app.boards.with(device.id, |board| wait_in(&mut board.polls));
            Ok(news(tokio::time::timeout(patience(call), receiver).await.ok().and_then(Result::ok)))
        }
        (&Method::GET, ["rpc"]) => Ok(news(calls::next(app, device, patience(call)).await)),
        (&Method::GET, [kind @ ("firmware" | "software")]) => download(app, device, call, kind).await,
        _ => Err(Failure::MethodNotAllowed),
    }
}

async fn device_of(app: &App, token: &str) -> Result<Device, Failure> {
    let stored = NAME.stored_id(token).map_err(|_| Failure::Unauthenticated)?;
    let row = app.store.credential(NAME.as_str(), &stored).await?.ok_or(Failure::Unauthenticated)?;
    Ok(Device { id: row.device_id, project_id: row.project_id })
}

async fn post(app: &Arc<App>, device: Device, path: &[&str], body: &Bytes) -> Result<Response, Failure> {
    match path {
        ["telemetry"] => {
            let readings = reading::readings(body).map_err(Failure::Invalid)?;
            states::take(app, device, readings).await?;
        }
        ["attributes"] => attributes::take(app, device, body).await?,
        ["claim"] => claims::offer(app, device, body).await?,
        ["rpc"] => return Ok(json(&calls::answer(app, body).map_err(Failure::Invalid)?)),
        ["rpc", id] => {
            let id = id.parse().map_err(|_| Failure::Invalid(format!("{id:?} is not the number of a call")))?;
            let answer =
                serde_json::from_slice(body).map_err(|error| Failure::Invalid(format!("not JSON: {error}")))?;
            calls::answered(app, device.id, id, answer);
        }
        _ => return Err(Failure::MethodNotAllowed),
    }
    Ok(Response::new(Body::empty()))
}

/// A part of the package, which is empty past its end: that is how some boards find the end.
async fn download(app: &Arc<App>, device: Device, call: &Call, kind: &str) -> Result<Response, Failure> {
    let number = |key: &str| match param(call, key) {
        Some(text) => text.parse().map_err(|_| Failure::Invalid(format!("{key} {text:?} is not a number"))),
        None => Ok(0_usize),
    };
    let (title, version) = (param(call, "title"), param(call, "version"));
    let (Some(title), Some(version)) = (title, version) else {
        return Err(Failure::Invalid("title and version are wanted".into()));
    };
    // What is announced meanwhile is another request of the board.
    let request = format!("http/{kind}/{title}/{version}");
    let wanted = Wanted { request, chunk: number("chunk")?, size: number("size")? };
    let slice = slice(app, device, &wanted).await?;
    let slice = slice.filter(|slice| slice.package.title == title && slice.package.version == version);
    let slice = slice.ok_or_else(|| Failure::NotFound("the device shall not run this".into()))?;
    // Without a copy: the package is shared by all boards that fetch it.
    let whole = Bytes::from_owner(slice.package.bytes.clone());
    Ok(bytes("application/octet-stream", whole.slice(slice.range)))
}

fn check_method(call: &Call, method: &Method) -> Result<(), Failure> {
    if call.method == *method { Ok(()) } else { Err(Failure::MethodNotAllowed) }
}

fn json(value: &Value) -> Response {
    bytes(JSON, value.to_string())
}

fn news(news: Option<Value>) -> Response {
    news.map_or_else(nothing_new, |value| json(&value))
}

/// How long a request may wait for news.
fn patience(call: &Call) -> Duration {
    let asked = param(call, "timeout").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PATIENCE_MS);
    Duration::from_millis(asked.min(MAX_PATIENCE_MS))
}

/// A value of the query.
fn param(call: &Call, key: &str) -> Option<String> {
    params(call, key).next()
}

/// All values of a key: Python's `requests` writes a list that way.
fn listed(call: &Call, key: &str) -> Option<String> {
    let values: Vec<String> = params(call, key).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn params<'a>(call: &'a Call, key: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = call.query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(name, _)| *name == key).filter_map(|(_, value)| percent_decoded(&value.replace('+', " ")))
}
