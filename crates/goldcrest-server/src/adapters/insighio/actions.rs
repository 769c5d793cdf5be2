//! Commands and configurations for a thing: as retained messages for the clients that subscribe, as a list for those that ask over HTTP.
//!
//! A configuration stands in two messages: Wi-Fi clients take `config`, which has it, and drop `configRequest`; clients with a modem drop
//! `config`, which is too long for them, and fetch the content over HTTP when they see `configRequest`. It is done when both are gone.

use std::sync::Arc;

use goldcrest_core::message::{Report, ReportStage};
use serde_json::{Value, json};

use super::senml::Record;
use super::thing::Thing;
use super::update;
use crate::App;
use crate::failure::Failure;
use crate::rollout::report;
use crate::store::ActionRow;

/// Leaf and payload of a message to a thing.
pub(crate) type Told = (&'static str, String);

/// Most bytes of a configuration that a thing tells.
const MAX_CONFIG: usize = 16 << 10;
/// What a thing calls its update in the list.
const UPDATE: &str = "ota-";

/// What the client of insigh.io does when it is told to; what it does not know it leaves where it is.
const COMMANDS: [&str; 2] = ["reboot", "tare"];

/// The leaves that only the server's requests stand on.
pub(crate) const REQUESTS: [&str; 5] = ["ota", "config", "configRequest", "partialConfig", "cmd"];

/// What a new subscription of a thing is told. Its client takes the first message and starts anew: the update comes late, because it
/// stays until it worked, and last what no client takes away.
pub(crate) async fn retained(app: &Arc<App>, thing: &Thing) -> anyhow::Result<Vec<Told>> {
    let actions = app.store.thing_actions(thing.device_id).await?;
    let (known, others): (Vec<_>, Vec<_>) = in_order(&actions).partition(|action| is_known(action));
    let update = update::request(app, thing).await?.map(|request| ("ota", request.text()));
    let mut told: Vec<Told> = Vec::new();
    for message in known.into_iter().flat_map(messages).chain(update).chain(others.into_iter().flat_map(messages)) {
        // A topic retains one message: of a kind, the oldest.
        if told.iter().all(|(leaf, _)| *leaf != message.0) {
            told.push(message);
        }
    }
    Ok(told)
}

/// The messages of an action that the thing has not taken away.
pub(crate) fn messages(action: &ActionRow) -> Vec<Told> {
    let content = || action.content.clone();
    let told = match action.kind.as_str() {
        "cmd" => [action.is_open.then(|| ("cmd", content())), None],
        "partialConfig" => [action.is_open.then(|| ("partialConfig", content())), None],
        _ => [
            action.is_open.then(|| ("config", content())),
            action.request_is_open.then(|| ("configRequest", "pending".to_owned())),
        ],
    };
    told.into_iter().flatten().collect()
}

/// The same as a list, oldest first, with what is needed to take each away.
pub(super) async fn list(app: &Arc<App>, thing: &Thing) -> anyhow::Result<Value> {
    let actions = app.store.thing_actions(thing.device_id).await?;
    let mut list: Vec<Value> = actions
        .iter()
        .map(|row| json!({"id": row.id.to_string(), "type": row.kind, "content": row.content, "createdAt": row.created_ms}))
        .collect();
    if let Some(request) = update::request(app, thing).await? {
        let id = format!("{UPDATE}{}", request.file_id);
        list.push(json!({"id": id, "type": "ota", "content": request.text(), "createdAt": request.created_ms}));
    }
    Ok(list.into())
}

/// The content of the oldest configuration that is wanted.
pub(super) async fn config(app: &App, thing: &Thing) -> anyhow::Result<Option<String>> {
    let actions = app.store.thing_actions(thing.device_id).await?;
    Ok(actions.into_iter().find(|action| action.kind == "config").map(|action| action.content))
}

/// The thing is done with an entry of the list.
///
/// # Errors
/// `NotFound` when there is no such entry.
pub(super) async fn remove(app: &App, thing: &Thing, id: &str) -> Result<(), Failure> {
    let no_such = || Failure::NotFound("no such action".into());
    if let Some(file_id) = id.strip_prefix(UPDATE) {
        return if file_id.is_empty() { Err(no_such()) } else { Ok(update::cleared(app, thing, Some(file_id)).await?) };
    }
    let id: i64 = id.parse().map_err(|_| no_such())?;
    let mut writing = app.store.begin().await?;
    if !writing.remove_action(thing.device_id, id).await? {
        return Err(no_such());
    }
    writing.commit().await?;
    Ok(())
}

/// The thing took a retained request away.
pub(crate) async fn cleared(app: &App, thing: &Thing, leaf: &str) -> anyhow::Result<()> {
    let (kind, is_request) = match leaf {
        "ota" => return update::cleared(app, thing, update::last_answered(thing).as_deref()).await,
        "configRequest" => ("config", true),
        other => (other, false),
    };
    let actions = app.store.thing_actions(thing.device_id).await?;
    let mut writing = app.store.begin().await?;
    match in_order(&actions).find(|action| action.kind == kind && kind == "cmd") {
        // That which it was told.
        Some(told) => drop(writing.remove_action(thing.device_id, told.id).await?),
        None => writing.close_action(thing.device_id, kind, is_request).await?,
    }
    writing.commit().await
}

/// Actions as they are told: last those that no client takes away.
fn in_order(actions: &[ActionRow]) -> impl Iterator<Item = &ActionRow> {
    actions.iter().filter(|action| is_known(action)).chain(actions.iter().filter(|action| !is_known(action)))
}

/// Whether the client of insigh.io does this, and takes it away.
fn is_known(action: &ActionRow) -> bool {
    action.kind != "cmd" || COMMANDS.contains(&action.content.as_str())
}

/// Keeps the configuration that a thing tells.
pub(crate) async fn config_told(app: &App, thing: &Thing, records: &[Record]) -> Result<(), Failure> {
    let content = records.iter().find(|record| record.name == "config").and_then(|record| record.value.as_str());
    let content = content.ok_or_else(|| Failure::Invalid("a configuration without its text (config)".into()))?;
    if content.len() > MAX_CONFIG {
        return Err(Failure::TooLarge(format!("a configuration of {} bytes: {MAX_CONFIG} are kept", content.len())));
    }
    let mut writing = app.store.begin().await?;
    writing.set_thing_config(thing.device_id, content, app.clock.now_ms()).await?;
    writing.commit().await?;
    Ok(())
}

/// Keeps what a thing tells about itself after a start.
pub(crate) async fn stat_told(app: &App, thing: &Thing, records: Vec<Record>) -> anyhow::Result<()> {
    let facts = records.into_iter().filter(|record| !record.name.is_empty()).map(|record| (record.name, record.value));
    let mut report = Report {
        stage: ReportStage::Boot,
        release: None,
        reason: None,
        detail: None,
        trace: None,
        facts: facts.collect(),
    };
    report.limit();
    report::take(&app.store, thing.device_id, &report, app.clock.now_ms()).await
}
