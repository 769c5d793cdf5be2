//! insigh.io: the HTTP half of its platform, and what both halves mean. The MQTT half is in [`crate::mqtt`].
//!
//! | address | who asks | what |
//! |---|---|---|
//! | `GET /mf-rproxy/packages/download?fuid=&did=&dk=&cid=` | every client | the package of the release that the thing shall install |
//! | `GET /mf-rproxy/device/pending-actions?id=&channel=`, `DELETE` or `PUT …/{id}` | clients of 2026 | what the retained messages say |
//! | `GET /mf-rproxy/device/config?id=&channel=` | clients with a modem | the configuration that is wanted |
//! | `POST /http/channels/{channel}/messages/{id}…` | clients that speak HTTP only | as if published over MQTT |
//! | `GET /things/bootstrap/{external id}` | a thing without a key | its id, key and channels |
//!
//! The key stands in `Authorization` as it is (or after `Thing `, as in Mainflux), in the download in the query: it is never logged.

mod actions;
mod package;
mod senml;
mod thing;
mod update;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Call;
use crate::App;
pub(crate) use crate::adapters::insighio::actions::{REQUESTS, Told, messages, retained};
pub(crate) use crate::adapters::insighio::package::problems;
pub(crate) use crate::adapters::insighio::thing::{Place, Thing, complete, identify};
use crate::failure::{Failure, accepted};
use crate::request::read_body;
use crate::store::Sample;
use crate::token;

/// Most bytes of a message over HTTP.
const MAX_MESSAGE: usize = 256 << 10;

/// Whether an address is one of the platform.
pub(super) fn knows(call: &Call) -> bool {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["mf-rproxy", "packages", "download"]
        | ["mf-rproxy", "device", "pending-actions" | "config"]
        | ["things", "bootstrap", _] => call.is_read(),
        ["mf-rproxy", "device", "pending-actions", _] => matches!(call.method, Method::DELETE | Method::PUT),
        ["http", "channels", _, "messages", _, ..] | ["channels", _, "messages", _, ..] => call.method == Method::POST,
        _ => false,
    }
}

/// Answers a client of insigh.io at an address that [`knows`] knows.
pub(super) async fn answer(app: &Arc<App>, call: &Call, body: Body) -> Result<Response, Failure> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    Ok(match segments.as_slice() {
        ["mf-rproxy", "packages", "download"] => download(app, call).await?,
        ["mf-rproxy", "device", "pending-actions"] => {
            let thing = by_header(app, call, call.value("id")?).await?;
            check_channel(&thing, &call.value("channel")?)?;
            update::seen(app, &thing).await?;
            axum::Json(actions::list(app, &thing).await?).into_response()
        }
        ["mf-rproxy", "device", "pending-actions", id] => {
            let thing = by_header(app, call, call.value("id")?).await?;
            check_channel(&thing, &call.value("channel")?)?;
            actions::remove(app, &thing, id).await?;
            axum::Json(json!({})).into_response()
        }
        ["mf-rproxy", "device", "config"] => {
            let thing = by_header(app, call, call.value("id")?).await?;
            check_channel(&thing, &call.value("channel")?)?;
            let config = actions::config(app, &thing).await?;
            config.ok_or_else(|| Failure::NotFound("no configuration is wanted".into()))?.into_response()
        }
        ["http", "channels", _, "messages", id, ..] | ["channels", _, "messages", id, ..] => {
            let thing = by_header(app, call, (*id).to_owned()).await?;
            let topic = segments[usize::from(segments[0] == "http")..].join("/");
            post(app, call, &thing, &topic, body).await?
        }
        ["things", "bootstrap", external_id] => bootstrap(app, call, external_id).await?,
        _ => return Err(super::no_such_address()),
    })
}

async fn download(app: &Arc<App>, call: &Call) -> Result<Response, Failure> {
    let [file_id, id, key, channel] = ["fuid", "did", "dk", "cid"].map(|name| call.value(name));
    let thing = identify(app, &id?, &key?).await?.ok_or(Failure::Unauthenticated)?;
    check_channel(&thing, &channel?)?;
    let release_id = update::downloading(app, &thing, &file_id?).await?;
    let package = package::of(app, release_id, thing.settings.package).await??;
    let length = HeaderValue::from(package.size);
    let body = if call.method == Method::HEAD { Body::empty() } else { package.into_body(app) };
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar")), (header::CONTENT_LENGTH, length)];
    tracing::info!(device.name = thing.device, release.id = release_id, "package sent to a thing");
    Ok((headers, body).into_response())
}

/// A message over HTTP: what it means, then everybody of the project who listens.
async fn post(app: &Arc<App>, call: &Call, thing: &Thing, topic: &str, body: Body) -> Result<Response, Failure> {
    let place = thing.place(topic).ok_or(Failure::Forbidden("not a channel of this thing"))?;
    let payload = read_body(&call.headers, body, MAX_MESSAGE).await?;
    take(app, thing, place, &payload, false).await?;
    app.mqtt.tell(thing.project_id, topic, payload.to_vec());
    Ok(accepted())
}

/// Takes in what a thing published in a place of its own, over either protocol.
///
/// # Errors
/// `Invalid` and `TooLarge` when it is not what belongs there; else the server's own fault.
pub(crate) async fn take(
    app: &Arc<App>,
    thing: &Thing,
    place: Place<'_>,
    payload: &[u8],
    is_retained: bool,
) -> Result<(), Failure> {
    let now_ms = app.clock.now_ms();
    match place {
        // Measurements of any form pass; those of a known form are kept.
        Place::Data => {
            keep(app, thing, payload, now_ms);
            update::seen(app, thing).await?;
        }
        Place::Control(leaf) if REQUESTS.contains(&leaf) && payload.is_empty() => {
            if is_retained {
                actions::cleared(app, thing, leaf).await?;
            }
        }
        Place::Control("ota") => update::answered(app, thing, &senml::parse(payload, now_ms)?).await?,
        Place::Control("configResponse") => {
            actions::config_told(app, thing, &senml::parse(payload, now_ms)?).await?;
            update::seen(app, thing).await?;
        }
        Place::Control("stat") => {
            actions::stat_told(app, thing, senml::parse(payload, now_ms)?).await?;
            update::seen(app, thing).await?;
        }
        Place::Control(_) => {}
    }
    Ok(())
}

/// Keeps measurements, by their names with the base in front, as the platform shows them.
fn keep(app: &App, thing: &Thing, payload: &[u8], now_ms: i64) {
    let Ok(records) = senml::parse(payload, now_ms) else { return };
    for record in records.into_iter().filter(|record| !record.value.is_null()) {
        let (key, at_ms, value) = (record.name, record.at_ms.unwrap_or(now_ms), record.value.to_string());
        app.telemetry.take(Sample { device_id: thing.device_id, key, at_ms, value });
    }
}

/// The thing subscribed: it runs.
pub(crate) async fn subscribed(app: &App, thing: &Thing) -> anyhow::Result<()> {
    update::seen(app, thing).await
}

async fn bootstrap(app: &App, call: &Call, external_id: &str) -> Result<Response, Failure> {
    let offer = app.store.bootstrap(external_id).await?;
    let offer = offer.filter(|offer| offer.expires_ms > app.clock.now_ms());
    // Whether there is such a thing is told to nobody else.
    let is_right = |hash: &String| key_of(call).is_ok_and(|key| token::hash(&key) == *hash);
    let offer = offer.filter(|offer| is_right(&offer.external_key_hash)).ok_or(Failure::Unauthenticated)?;
    let settings: thing::Settings = serde_json::from_str(&offer.settings)?;
    let mut told = json!({
        "mainflux_id": offer.thing,
        "mainflux_key": offer.thing_key,
        "mainflux_channels": [
            {"id": settings.data_channel, "name": "data"},
            {"id": settings.control_channel, "name": "control"},
        ],
    });
    if let Some(content) = offer.content {
        told["content"] = content.into();
    }
    Ok(axum::Json(told).into_response())
}

async fn by_header(app: &App, call: &Call, id: String) -> Result<Thing, Failure> {
    identify(app, &id, &key_of(call)?).await?.ok_or(Failure::Unauthenticated)
}

fn key_of(call: &Call) -> Result<String, Failure> {
    let value = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let value = value.ok_or(Failure::Unauthenticated)?.trim();
    Ok(value.strip_prefix("Thing ").unwrap_or(value).to_owned())
}

fn check_channel(thing: &Thing, channel: &str) -> Result<(), Failure> {
    if thing.settings.control_channel == channel {
        Ok(())
    } else {
        Err(Failure::Forbidden("not a channel of this thing"))
    }
}

/// A door for `fuzz/`: a topic up to the first NUL, then what was published there.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let settings = json!({"control_channel": "c", "data_channel": "d", "channels": ["e"]});
    let settings = serde_json::from_value(settings).unwrap_or_else(|error| panic!("{error}"));
    let thing = Thing { device_id: 1, project_id: 1, device: "one".into(), id: "id".into(), settings };
    if let Ok(topic) = std::str::from_utf8(&bytes[..split])
        && thing.place(topic).is_some()
    {
        let levels: Vec<&str> = topic.split('/').collect();
        assert!(["c", "d", "e"].contains(&levels[1]) && levels[3] == "id", "{topic:?} is taken for its own");
    }
    if let Ok(records) = senml::parse(bytes.get(split + 1..).unwrap_or_default(), 1_800_000_000_000) {
        assert!(records.iter().all(|record| !record.value.is_object() && !record.value.is_array()), "{records:?}");
    }
}
