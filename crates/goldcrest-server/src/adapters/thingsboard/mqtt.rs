//! The MQTT device API: what a board publishes, and what it is answered. Topics are those that the board uses, `v1/devices/me/…`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::downloads::{self, Wanted, slice};
use super::{Device, MAX_PAYLOAD, announce, attributes, calls, claims, reading, states};
use crate::App;
use crate::failure::Failure;

/// Where boards tell what they measure, and how an update goes.
pub(crate) const TELEMETRY: &str = "v1/devices/me/telemetry";
/// Where boards hear of attributes, and tell theirs.
pub(super) const ATTRIBUTES: &str = "v1/devices/me/attributes";
/// Where they are called; the call's number follows.
pub(super) const CALL: &str = "v1/devices/me/rpc/request/";
const ME: &str = "v1/devices/me/";
/// Where a board that makes a device of itself says so, and hears its token.
pub(crate) const PROVISION_REQUEST: &str = "/provision/request";
pub(crate) const PROVISION_RESPONSE: &str = "/provision/response";
/// User name or id of a client that comes for this.
pub(crate) const PROVISION_USER: &str = "provision";
/// Most levels of a number in a topic.
const MAX_NUMBER: usize = 10;

/// A message for the board that has just published, whether it subscribed to it or not.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) topic: String,
    /// Bytes that may be shared with other boards.
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) range: Range<usize>,
    /// It is the last one: the board cannot go on as it wanted to.
    pub(crate) is_last: bool,
}

impl Reply {
    pub(crate) fn json(topic: String, value: &Value) -> Self {
        Self::bytes(topic, value.to_string().into_bytes())
    }

    fn bytes(topic: String, bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { topic, bytes: bytes.into(), range, is_last: false }
    }
}

/// Whether a topic or filter is one of this protocol.
pub(crate) fn is_own(topic: &str) -> bool {
    topic.starts_with(ME) || topic.starts_with("v2/fw/") || topic.starts_with("v2/sw/") || topic == "v1/devices/me"
}

/// Takes in what a board published.
///
/// # Errors
/// `Invalid` or `TooLarge` when it is not understood, `NotFound` when nobody reads that topic; else the server's own fault.
pub(crate) async fn take(
    app: &Arc<App>,
    device: Device,
    topic: &str,
    payload: &[u8],
) -> Result<Option<Reply>, Failure> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Failure::TooLarge(format!("{} bytes: {MAX_PAYLOAD} are allowed", payload.len())));
    }
    if let Some((kind, request)) = download_of(topic) {
        return Ok(Some(download(app, device, kind, request, payload).await?));
    }
    let Some(leaf) = topic.strip_prefix(ME) else { return Err(unknown(topic)) };
    match leaf {
        "telemetry" => {
            let readings = reading::readings(payload).map_err(Failure::Invalid)?;
            states::take(app, device, readings).await?;
            return Ok(None);
        }
        "attributes" => {
            attributes::take(app, device, payload).await?;
            return Ok(None);
        }
        "claim" => {
            claims::offer(app, device, payload).await?;
            return Ok(None);
        }
        _ => {}
    }
    if let Some(id) = leaf.strip_prefix("attributes/request/").and_then(number) {
        let asked = attributes::Asked::parse(payload).map_err(Failure::Invalid)?;
        let answer = attributes::answer(app, device, &asked).await?;
        return Ok(Some(Reply::json(format!("{ATTRIBUTES}/response/{id}"), &answer)));
    }
    if let Some(id) = leaf.strip_prefix("rpc/request/").and_then(number) {
        let answer = calls::answer(app, payload).map_err(Failure::Invalid)?;
        return Ok(Some(Reply::json(format!("{ME}rpc/response/{id}"), &answer)));
    }
    if let Some(id) = leaf.strip_prefix("rpc/response/").and_then(number) {
        // Boards answer with whatever they like.
        let text = || Value::String(String::from_utf8_lossy(payload).into_owned());
        calls::answered(app, device.id, id, serde_json::from_slice(payload).unwrap_or_else(|_| text()));
        return Ok(None);
    }
    Err(unknown(topic))
}

fn unknown(topic: &str) -> Failure {
    Failure::NotFound(format!("nobody reads {topic:?}"))
}

/// A decimal number of a topic.
fn number(text: &str) -> Option<u32> {
    (text.len() <= MAX_NUMBER).then(|| text.parse().ok()).flatten()
}

/// `fw` or `sw`, and the rest of `v2/fw/request/…`.
fn download_of(topic: &str) -> Option<(&'static str, &str)> {
    let kinds = [("fw", "v2/fw/request/"), ("sw", "v2/sw/request/")];
    kinds.into_iter().find_map(|(kind, prefix)| Some((kind, topic.strip_prefix(prefix)?)))
}

async fn download(app: &Arc<App>, device: Device, kind: &str, request: &str, payload: &[u8]) -> Result<Reply, Failure> {
    let refused = |why: String| {
        tracing::debug!(device.id = device.id, why, "a chunk was refused");
        Reply { is_last: true, ..Reply::bytes(format!("v2/{kind}/error"), why.into_bytes()) }
    };
    let wanted = match wanted(kind, request, payload) {
        Ok(wanted) => wanted,
        Err(why) => return Ok(refused(why)),
    };
    let Some(slice) = slice(app, device, &wanted).await? else {
        return Ok(refused("there is no package for this device".into()));
    };
    if slice.range.is_empty() {
        // An empty chunk would make the board ask for the next, without an end.
        return Ok(refused(format!("chunk {} is past the end of the package", wanted.chunk)));
    }
    let topic = format!("v2/{kind}/response/{request}");
    Ok(Reply { topic, bytes: Arc::clone(&slice.package.bytes), range: slice.range, is_last: false })
}

/// Reads `{request}/chunk/{number}` and the chunk size.
fn wanted(kind: &str, request: &str, payload: &[u8]) -> Result<Wanted, String> {
    let malformed = || format!("{request:?} is not <id>/chunk/<number>");
    let (id, chunk) = request.split_once("/chunk/").ok_or_else(malformed)?;
    let is_id = !id.is_empty() && id.len() <= MAX_NUMBER && !id.contains('/');
    let chunk = number(chunk).filter(|_| is_id).ok_or_else(malformed)?;
    let size = match std::str::from_utf8(payload).map(str::trim) {
        Ok("") => Some(0),
        Ok(text) => number(text),
        Err(_) => None,
    };
    let size = size.ok_or("the chunk size is not a number")?;
    let of = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Wanted { request: format!("{kind}/{id}"), chunk: of(chunk), size: of(size) })
}

/// A board's connection is gone and no other took its place.
pub(crate) fn connection_lost(app: &App, device_id: i64) {
    downloads::connection_lost(app, device_id);
}

/// Each of these devices shall run something else since then: those that are connected are told when it is their turn.
pub(crate) async fn desired_changed(app: &App, devices: &BTreeMap<i64, Instant>) {
    let ids: Vec<i64> = devices.keys().copied().collect();
    match app.store.boards_of(super::NAME.as_str(), &ids).await {
        Ok(ids) => announce::will_tell(app, ids.into_iter().filter_map(|id| Some((id, *devices.get(&id)?)))),
        Err(error) => tracing::error!(error = format!("{error:#}"), "boards of ThingsBoard not told of releases"),
    }
}

/// Reads the address of a chunk: for `fuzz/`.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(request: &str, payload: &[u8]) {
    if let Ok(wanted) = wanted("fw", request, payload) {
        downloads::fuzz(&wanted);
    }
}
