//! The native protocol over MQTT: `goldcrest/v1/<device id>/…`, in which a board may say `me` for its id.
//!
//! | leaf | from | what |
//! |---|---|---|
//! | `desired` | server, retained | what the board shall run: a reason to check in now |
//! | `report` | board | the JSON of `POST /d/v1/report` |
//! | `presence` | server, retained | `online` or `offline` |
//! | `app/…` | both | the application's own |
//!
//! What is retained here is in no memory of the endpoint: it is read from the database, and from the live sessions, for each subscription.

use std::sync::Arc;

use serde_json::json;

use super::access::{Speaks, Who};
use super::hub::Hub;
use super::limits::MAX_STATES;
use super::message::Message;
use super::thingsboard;
use super::topic::matches;
use crate::App;
use crate::failure::Failure;
use crate::native::report::store_report;
use crate::store::DesiredRow;

const ROOT: &str = "goldcrest/v1/";
const ME: &str = "goldcrest/v1/me/";

/// Whether a topic, or every topic of a filter, belongs to this protocol.
pub(super) fn is_native(topic: &str) -> bool {
    topic == "goldcrest" || topic.starts_with("goldcrest/")
}

/// Everything of one device.
pub(super) fn own_filter(device_id: i64) -> String {
    format!("{ROOT}{device_id}/#")
}

/// The device that a topic is about, and the rest of it.
fn parts(topic: &str) -> Option<(i64, &str)> {
    let (id, leaf) = topic.strip_prefix(ROOT)?.split_once('/')?;
    Some((id.parse().ok()?, leaf))
}

/// Whether a topic is this device's own.
pub(super) fn is_own(device_id: i64, topic: &str) -> bool {
    parts(topic).is_some_and(|(id, _)| id == device_id)
}

/// Whether a device may publish there.
pub(super) fn may_publish(device_id: i64, topic: &str) -> bool {
    parts(topic).is_some_and(|(id, leaf)| id == device_id && (leaf == "report" || leaf.starts_with("app/")))
}

/// Whether this is a topic of a device's application.
pub(super) fn is_app(topic: &str) -> bool {
    parts(topic).is_some_and(|(_, leaf)| leaf.starts_with("app/"))
}

/// The device whose report this is.
pub(super) fn report_of(topic: &str) -> Option<i64> {
    parts(topic).filter(|(_, leaf)| *leaf == "report").map(|(id, _)| id)
}

/// A topic or filter with the device's id where it says `me`, in whatever protocol; `None` when it does not.
pub(super) fn spelled_out(who: &Who, topic: &str) -> Option<String> {
    match (who, topic.strip_prefix(ME)) {
        (Who::Device { id, speaks: Speaks::Thingsboard, .. }, _) => thingsboard::spelled_out(*id, topic),
        (Who::Device { id, .. }, Some(leaf)) => Some(format!("{ROOT}{id}/{leaf}")),
        _ => None,
    }
}

/// The other way: `me` in place of the id.
pub(super) fn as_me(topic: &str) -> String {
    if let Some(topic) = thingsboard::as_board(topic) {
        return topic.to_owned();
    }
    let leaf = topic.strip_prefix(ROOT).and_then(|rest| rest.split_once('/'));
    leaf.map_or_else(|| topic.to_owned(), |(_, leaf)| format!("{ME}{leaf}"))
}

/// What is published when a device comes or goes.
pub(super) fn presence(device_id: i64, is_online: bool) -> Arc<Message> {
    let payload = if is_online { "online" } else { "offline" };
    Message::of_server(format!("{ROOT}{device_id}/presence"), payload.into(), true)
}

/// Where it stands what a device shall run.
pub(super) fn desired_topic(device_id: i64) -> String {
    format!("{ROOT}{device_id}/desired")
}

/// What is published when a device shall run something else.
pub(super) fn desired(row: &DesiredRow) -> Arc<Message> {
    let payload = json!({"release": row.digest, "version": row.version, "keyring": row.keyring_version});
    Message::of_server(desired_topic(row.device_id), payload.to_string().into_bytes(), true)
}

/// Whether a filter may match a topic of this protocol.
pub(super) fn may_match(filter: &str) -> bool {
    matches!(filter.split('/').next(), Some("goldcrest" | "+" | "#")) && !thingsboard::is_about_boards(filter)
}

/// The states that a new subscription is told: of one device, or of many for people.
pub(super) async fn states(
    app: &App,
    project_id: i64,
    hub: &Hub,
    who: &Who,
    filter: &str,
) -> anyhow::Result<Vec<Arc<Message>>> {
    let named = filter.split('/').nth(2).and_then(|level| level.parse::<i64>().ok());
    let mut rows = match (who, named) {
        (Who::Device { id, .. }, _) => app.store.desired_of(&[*id]).await?,
        (Who::Member { .. }, Some(id)) => app.store.desired_of(&[id]).await?,
        (Who::Member { .. }, None) => app.store.desired_in(project_id, MAX_STATES / 2).await?,
        (Who::Anonymous { .. } | Who::Newcomer, _) => Vec::new(),
    };
    rows.retain(|row| row.project_id == project_id);
    let state = hub.lock();
    let both = rows.iter().flat_map(|row| [desired(row), presence(row.device_id, state.is_online(row.device_id))]);
    Ok(both.filter(|message| matches(filter, &message.topic)).collect())
}

/// Stores a board's report.
///
/// # Errors
/// `Invalid` when it is none; else the server's own fault.
pub(super) async fn take_report(app: &App, device_id: i64, payload: &[u8]) -> Result<(), Failure> {
    store_report(app, device_id, payload).await
}
