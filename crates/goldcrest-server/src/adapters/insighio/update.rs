//! Updates of a thing: what it is asked to install, and what its answers mean for the deployment.

use std::sync::{Arc, PoisonError};

use anyhow::Context;
use goldcrest_core::Digest;
use goldcrest_core::deployment::DeploymentState;
use goldcrest_core::message::{Report, ReportStage};
use serde_json::{Value, json};

use super::package;
use super::senml::Record;
use super::thing::{Form, Thing};
use crate::App;
use crate::failure::Failure;
use crate::rollout::check_in::Said;
use crate::rollout::report;
use crate::store::ThingRow;

/// Characters of a digest that are a file's id.
const FILE_ID: usize = 16;
/// The file's extension: the client takes `.tar`; its code for `.tar.gz` works on no current `MicroPython`.
const EXTENSION: &str = ".tar";
const CAN_NOT_DOWNLOAD: &str = "can not download";
const NOT_ENOUGH_SPACE: &str = "not enough space";

/// An update that a thing is asked to install.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) file_id: String,
    pub(crate) size: u64,
    pub(crate) created_ms: i64,
}

impl Request {
    /// The message of the platform: event 0 (pending), file id, type, size.
    pub(crate) fn text(&self) -> String {
        json!([{"n": "e", "v": 0}, {"n": "i", "vs": self.file_id}, {"n": "t", "vs": EXTENSION}, {"n": "s", "v": self.size}])
            .to_string()
    }
}

/// What a thing shall install, as the database says now; its deployment counts as notified.
pub(crate) async fn request(app: &Arc<App>, thing: &Thing) -> anyhow::Result<Option<Request>> {
    let Some(mut row) = app.store.thing(thing.device_id).await? else { return Ok(None) };
    if wants_decision(&row) {
        Said::runs(row.running.as_deref()).take(&app.store, thing.device_id, app.clock.now_ms()).await?;
        let Some(again) = app.store.thing(thing.device_id).await? else { return Ok(None) };
        row = again;
    }
    let Some((release_id, digest)) = open_release(&row).filter(|_| !row.cleared) else { return Ok(None) };
    match package::of(app, release_id, thing.settings.package).await? {
        Ok(package) => Ok(Some(Request {
            file_id: digest[..FILE_ID].to_owned(),
            size: package.size,
            created_ms: row.deployment_created_ms.unwrap_or(0),
        })),
        Err(refused) => {
            tell(app, thing, ReportStage::Failed, digest, Some(refused.refusal.as_str()), Some(&refused.detail))
                .await?;
            Ok(None)
        }
    }
}

/// Whether the rules have something to decide before the thing can be answered.
fn wants_decision(row: &ThingRow) -> bool {
    match (&row.desired_digest, row.deployment_state) {
        (Some(_), Some(state)) => state == DeploymentState::Queued,
        (Some(desired), None) => row.running.as_ref() != Some(desired),
        (None, _) => row.running.is_none(),
    }
}

/// The release that the thing has not installed yet: id and digest.
fn open_release(row: &ThingRow) -> Option<(i64, &str)> {
    row.deployment_state.filter(|state| *state < DeploymentState::Trial)?;
    Some((row.desired_release_id?, row.desired_digest.as_deref()?))
}

/// The release behind a file id that the thing may fetch, and that it does so.
///
/// # Errors
/// `NotFound` when it was not asked to.
pub(super) async fn downloading(app: &Arc<App>, thing: &Thing, file_id: &str) -> Result<i64, Failure> {
    let row = app.store.thing(thing.device_id).await?;
    let open = row.as_ref().and_then(open_release).filter(|(_, digest)| is_file_id(file_id, digest));
    let Some((release_id, digest)) = open else {
        return Err(Failure::NotFound("no such file for this thing".into()));
    };
    tell(app, thing, ReportStage::Downloading, digest, None, None).await?;
    Ok(release_id)
}

fn is_file_id(text: &str, digest: &str) -> bool {
    text == &digest[..FILE_ID]
}

/// The file that the thing last gave an answer about, if it took its request away now.
pub(super) fn last_answered(thing: &Thing) -> Option<String> {
    thing.answered.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The thing took the request away: it is not told again. A request for another file than it names came meanwhile, and stays.
pub(super) async fn cleared(app: &App, thing: &Thing, file_id: Option<&str>) -> anyhow::Result<()> {
    let Some(row) = app.store.thing(thing.device_id).await? else { return Ok(()) };
    let wanted = row.desired_digest.as_deref().unwrap_or_default();
    if file_id.is_some_and(|file_id| !wanted.starts_with(file_id)) {
        return Ok(());
    }
    if let Some(deployment_id) = row.deployment_id.filter(|_| !row.cleared) {
        let mut writing = app.store.begin().await?;
        writing.clear_thing_update(deployment_id).await?;
        writing.commit().await?;
    }
    Ok(())
}

/// Takes in a thing's answer: 1 applied, 2 failed, 3 cancelled.
///
/// # Errors
/// `Invalid` when it is none.
pub(crate) async fn answered(app: &App, thing: &Thing, records: &[Record]) -> Result<(), Failure> {
    let value = |name: &str| records.iter().find(|record| record.name == name).map(|record| &record.value);
    let event = value("e").and_then(Value::as_i64);
    let event = event.ok_or_else(|| Failure::Invalid("a status without an event (e)".into()))?;
    let file_id = value("i").and_then(Value::as_str);
    let file_id = file_id.ok_or_else(|| Failure::Invalid("a status without a file id (i)".into()))?;
    let misspelled = || records.iter().find(|record| record.is_message).map(|record| &record.value);
    let message = value("m").or_else(misspelled).and_then(Value::as_str).unwrap_or_default();
    *thing.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(file_id.to_owned());
    let row = app.store.thing(thing.device_id).await?;
    let Some(row) = row.filter(|row| row.desired_digest.as_ref().is_some_and(|digest| is_file_id(file_id, digest)))
    else {
        // It was asked to before something newer came.
        let older = app.store.release_of_file(thing.device_id, file_id).await?.filter(|_| event == 1);
        match older {
            Some(digest) => {
                Said::runs(Some(&digest)).take(&app.store, thing.device_id, app.clock.now_ms()).await?;
            }
            None => {
                tracing::debug!(device.name = thing.device, "a thing answers about a file that it shall not install");
            }
        }
        return Ok(());
    };
    let (Some(digest), Some(deployment_id)) = (&row.desired_digest, row.deployment_id) else { return Ok(()) };
    match event {
        // The client of insigh.io says so before it starts anew: it is confirmed when the thing is heard of again. Our agent says it
        // once the release is confirmed on the board.
        1 => {
            let stage =
                if thing.settings.package == Form::Release { ReportStage::Confirmed } else { ReportStage::Trial };
            tell(app, thing, stage, digest, None, None).await?;
        }
        2 if message == CAN_NOT_DOWNLOAD => missed(app, thing, digest, deployment_id).await?,
        2 => {
            // Our agent says why.
            let named = message.strip_prefix("can not apply: ").filter(|word| is_word(word));
            let reason = if message == NOT_ENOUGH_SPACE { "space" } else { named.unwrap_or("error") };
            let detail = if message.is_empty() { "the thing did not say why" } else { message };
            tell(app, thing, ReportStage::Failed, digest, Some(reason), Some(detail)).await?;
        }
        3 => tell(app, thing, ReportStage::Failed, digest, Some("cancelled"), Some("by the thing")).await?,
        0 => {}
        other => return Err(Failure::Invalid(format!("a status has event 1, 2 or 3, not {other}"))),
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The thing could not download, which it tries again at each start, for ever if it is let.
async fn missed(app: &App, thing: &Thing, digest: &str, deployment_id: i64) -> anyhow::Result<()> {
    let mut writing = app.store.begin().await?;
    let attempts = writing.count_attempt(deployment_id).await?;
    writing.commit().await?;
    let last = i64::from(thing.settings.give_up_after);
    let stage = if attempts >= last { ReportStage::Failed } else { ReportStage::Downloading };
    let detail = format!("{CAN_NOT_DOWNLOAD}: {attempts} of {last} times");
    tell(app, thing, stage, digest, Some("download"), Some(&detail)).await
}

/// A thing that is heard of after it installed an update runs it.
pub(crate) async fn seen(app: &App, thing: &Thing) -> anyhow::Result<()> {
    app.heartbeats.beat(thing.device_id, app.clock.now_ms());
    let row = app.store.thing(thing.device_id).await?;
    let row = row.filter(|row| row.deployment_state == Some(DeploymentState::Trial));
    match row.and_then(|row| row.desired_digest) {
        Some(digest) => tell(app, thing, ReportStage::Confirmed, &digest, None, None).await,
        None => Ok(()),
    }
}

async fn tell(
    app: &App,
    thing: &Thing,
    stage: ReportStage,
    digest: &str,
    reason: Option<&str>,
    detail: Option<&str>,
) -> anyhow::Result<()> {
    let release: Digest = digest.parse().ok().context("a stored digest is damaged")?;
    let (reason, detail) = (reason.map(str::to_owned), detail.map(str::to_owned));
    let mut report = Report { stage, release: Some(release), reason, detail, trace: None, facts: [].into() };
    report.limit();
    report::take(&app.store, thing.device_id, &report, app.clock.now_ms()).await
}
