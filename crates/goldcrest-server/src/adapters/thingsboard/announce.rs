//! Tells boards what they shall run: by attributes that they ask for, and by a push to those that are connected, so many a minute.
//!
//! Nothing is pushed to a board that has just connected: it may have come to tell how an update went, and would take it for an answer. So
//! only those are told that were there when it was decided; the others ask, or are reminded after a while.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use goldcrest_core::message::{Report, ReportStage};
use goldcrest_core::{Digest, Refused};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::package::{Package, Wanted};
use super::{Device, MAX_HELD, NAME, Settings, calls};
use crate::App;
use crate::rollout::check_in::Said;
use crate::rollout::report;
use crate::store::BoardRow;

/// How often is looked for downloads that nobody goes on with.
const TICK: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// How often is looked for boards that are to be told again: of which nothing more is heard, because the server was away when they should
/// have heard, they had no ear for it, or their connection ended during a download, which they do not go on with by themselves.
const REMIND_EVERY: Duration = Duration::from_mins(1);
/// How often one of them is told on the same connection.
const REMIND_AGAIN: Duration = Duration::from_mins(10);
/// Most of them at once.
const MAX_REMINDED: i64 = 10_000;
/// The names of what is announced, after `fw` or `sw`.
const NAMES: [&str; 6] = ["_title", "_version", "_tag", "_size", "_checksum_algorithm", "_checksum"];

/// A release as a board is told of it.
#[derive(Debug, Clone)]
pub(super) struct Announced {
    pub(super) package: Arc<Package>,
    settings: Settings,
}

impl Announced {
    /// `fw_title` and so on.
    pub(super) fn attributes(&self) -> Map<String, Value> {
        let (package, settings) = (&self.package, self.settings);
        let values = [
            json!(package.title),
            json!(package.version),
            json!(format!("{} {}", package.title, package.version)),
            json!(package.bytes.len()),
            json!(settings.checksum),
            json!(package.checksum(settings.checksum)),
        ];
        names(settings).zip(values).collect()
    }
}

/// The attributes that announce a release to a board with these settings.
fn names(settings: Settings) -> impl Iterator<Item = String> {
    NAMES.iter().map(move |name| format!("{}{name}", settings.prefix()))
}

/// Whether this attribute is one of those that announce a release.
pub(super) fn announces(key: &str) -> bool {
    let rest = key.strip_prefix("fw").or_else(|| key.strip_prefix("sw"));
    rest.is_some_and(|rest| NAMES.contains(&rest))
}

/// What a device shall run, if there is anything; that it was told of it moves its deployment on.
pub(super) async fn announced(app: &Arc<App>, device_id: i64) -> anyhow::Result<Option<Announced>> {
    let Some(row) = app.store.board(device_id).await? else { return Ok(None) };
    if row.release_id.is_none() {
        return Ok(None);
    }
    if runs_it(&row) {
        app.boards.with(device_id, |board| board.is_told = false);
        return package_of(app, &row, None).await;
    }
    let answer = Said::runs(row.running.as_deref()).take(&app.store, device_id, app.clock.now_ms()).await?;
    let Some(row) = app.store.board(device_id).await? else { return Ok(None) };
    // A board that would refuse it hears of what it runs, or of nothing.
    let is_offered = matches!(answer, crate::rollout::check_in::Answer::Release { .. });
    if !is_offered && !runs_it(&row) {
        return Ok(None);
    }
    app.boards.with(device_id, |board| (board.is_told, board.told_at) = (is_offered, Some(Instant::now())));
    package_of(app, &row, Some(device_id)).await
}

fn runs_it(row: &BoardRow) -> bool {
    row.digest.is_some() && row.digest == row.running
}

/// The package of what a board shall run; a release that can be none fails, if it is `device_id`'s to be told.
async fn package_of(app: &Arc<App>, row: &BoardRow, device_id: Option<i64>) -> anyhow::Result<Option<Announced>> {
    let (Some(release_id), Some(version), Some(settings)) = (row.release_id, &row.version, &row.settings) else {
        return Ok(None);
    };
    let settings = Settings::parse(settings).unwrap_or_default();
    let wanted = Wanted { release_id, form: settings.package, title: row.package.clone(), version: version.clone() };
    match app.boards.packages.get(app, &wanted).await {
        Ok(package) => Ok(Some(Announced { package, settings })),
        Err(error) => {
            if let Some(refused) = error.downcast_ref::<Refused>() {
                fail(app, row, device_id, refused).await?;
            }
            let error = format!("{error:#}");
            tracing::warn!(
                package = row.package,
                version,
                error,
                "no package for boards of ThingsBoard: they are not told"
            );
            Ok(None)
        }
    }
}

/// The release can be no package: its deployment has failed.
async fn fail(app: &App, row: &BoardRow, device_id: Option<i64>, refused: &Refused) -> anyhow::Result<()> {
    let (Some(device_id), Some(digest)) = (device_id, &row.deployment_digest) else { return Ok(()) };
    let report = Report {
        stage: ReportStage::Failed,
        release: Some(digest.parse::<Digest>().ok().context("a stored digest is damaged")?),
        reason: Some(refused.refusal.as_str().to_owned()),
        detail: Some(refused.detail.clone()),
        trace: None,
        facts: BTreeMap::new(),
    };
    report::take(&app.store, device_id, &report, app.clock.now_ms()).await
}

/// Tells attributes to a board that is connected and wants to hear of them, now or when its download is over. Whether it was told.
pub(super) fn tell(app: &App, device: Device, message: &Value) -> bool {
    let polls = app.boards.with(device.id, |board| {
        if board.is_downloading() {
            if board.held.len() >= MAX_HELD {
                board.held.remove(0);
            }
            board.held.push(message.clone());
            return None;
        }
        Some(std::mem::take(&mut board.polls))
    });
    let Some(polls) = polls else { return false };
    let mut is_told = false;
    for poll in polls {
        is_told |= poll.send(message.clone()).is_ok();
    }
    let payload = message.to_string().into_bytes();
    app.mqtt.tell_board(device.project_id, device.id, super::mqtt::ATTRIBUTES, payload) || is_told
}

/// A download is over: what was held back is told now.
pub(super) fn end_download(app: &Arc<App>, device: Device) {
    let (held, must_announce) = app.boards.with(device.id, |board| {
        if let Some(download) = &mut board.download {
            download.is_over = true;
        }
        (std::mem::take(&mut board.held), std::mem::take(&mut board.must_announce))
    });
    for message in held {
        tell(app, device, &message);
    }
    if must_announce {
        will_tell(app, [(device.id, Instant::now())]);
    }
    calls::send_waiting(app, device);
}

/// Each of these devices shall run something else since then: they are told when it is their turn.
pub(super) fn will_tell(app: &App, devices: impl IntoIterator<Item = (i64, Instant)>) {
    app.boards.to_tell.lock().unwrap_or_else(PoisonError::into_inner).extend(devices);
    app.boards.somebody_to_tell.notify_one();
}

/// Tells boards of releases, and ends downloads that nobody goes on with, until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    let (mut told, mut reminded) = (VecDeque::new(), Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.boards.somebody_to_tell.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
        end_stale_downloads(&app).await;
        if reminded.elapsed() > REMIND_EVERY {
            reminded = Instant::now();
            remind(&app).await;
        }
        tell_due(&app, &mut told).await;
    }
}

/// Tells as many as a minute allows.
async fn tell_due(app: &Arc<App>, told: &mut VecDeque<Instant>) {
    loop {
        while told.front().is_some_and(|at| at.elapsed() > MINUTE) {
            told.pop_front();
        }
        if told.len() >= app.boards.per_minute {
            return;
        }
        let next = app.boards.to_tell.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
        let Some((device_id, since)) = next else { return };
        match tell_release(app, device_id, since).await {
            Ok(true) => told.push_back(Instant::now()),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), device.id = device_id, "board not told of a release");
            }
        }
    }
}

/// Whether the board heard of it.
async fn tell_release(app: &Arc<App>, device_id: i64, since: Instant) -> anyhow::Result<bool> {
    let is_busy = app.boards.with(device_id, |board| {
        board.must_announce |= board.is_downloading();
        board.must_announce
    });
    let was_there = app.mqtt.is_online_for(device_id, since.elapsed());
    let is_there = was_there || app.boards.with(device_id, |board| !board.polls.is_empty());
    if is_busy || !is_there {
        return Ok(false);
    }
    let Some(row) = app.store.board(device_id).await? else { return Ok(false) };
    let Some(settings) = &row.settings else { return Ok(false) };
    if runs_it(&row) && !app.boards.with(device_id, |board| board.is_told) {
        return Ok(false);
    }
    let device = Device { id: device_id, project_id: row.project_id };
    let message = match announced(app, device_id).await? {
        Some(announced) => Value::Object(announced.attributes()),
        None if row.release_id.is_none() => {
            let settings = Settings::parse(settings).unwrap_or_default();
            json!({"deleted": names(settings).collect::<Vec<_>>()})
        }
        None => return Ok(false),
    };
    Ok(tell(app, device, &message))
}

async fn end_stale_downloads(app: &Arc<App>) {
    let stale: Vec<i64> = {
        let mut boards = app.boards.lock();
        boards.retain(|_, board| !board.is_idle());
        let waits = |board: &super::Board| !board.held.is_empty() || board.must_announce;
        boards.iter().filter(|(_, board)| !board.is_downloading() && waits(board)).map(|(id, _)| *id).collect()
    };
    for id in stale {
        if let Ok(Some(row)) = app.store.board(id).await {
            end_download(app, Device { id, project_id: row.project_id });
        }
    }
}

async fn remind(app: &Arc<App>) {
    let since = i64::try_from(REMIND_EVERY.as_millis()).unwrap_or(i64::MAX);
    match app.store.boards_not_told(NAME.as_str(), app.clock.now_ms() - since, MAX_REMINDED).await {
        Ok(ids) => {
            let there = ids.into_iter().filter(|id| app.mqtt.is_online_for(*id, MINUTE) && has_not_heard(app, *id));
            will_tell(app, there.map(|id| (id, Instant::now())));
        }
        Err(error) => tracing::error!(error = format!("{error:#}"), "boards not reminded of releases"),
    }
}

/// Whether a board was not told on the connection that it has, or long ago.
fn has_not_heard(app: &App, device_id: i64) -> bool {
    let told = app.boards.with(device_id, |board| board.told_at).map(|at| at.elapsed());
    told.is_none_or(|since| since > REMIND_AGAIN || !app.mqtt.is_online_for(device_id, since))
}
