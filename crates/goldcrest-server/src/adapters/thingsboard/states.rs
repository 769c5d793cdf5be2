//! How far a board is with an update, and what it runs, as its telemetry says: `fw_state`, `current_fw_title`, `current_fw_version`.

use std::collections::BTreeMap;
use std::sync::Arc;

use goldcrest_core::deployment::DeploymentState;
use goldcrest_core::message::{Report, ReportStage};
use goldcrest_core::{Digest, Refusal};
use serde_json::{Map, Value};

use super::announce::end_download;
use super::downloads::Download;
use super::reading::Reading;
use super::{Device, Settings};
use crate::App;
use crate::rollout::check_in::{NOTHING, Said};
use crate::rollout::report;
use crate::store::{BoardRow, Sample};

/// How far into the future a board's clock may be before the server's is taken.
const MAX_AHEAD_MS: i64 = 24 * 3_600_000;

/// Takes in telemetry.
pub(super) async fn take(app: &Arc<App>, device: Device, readings: Vec<Reading>) -> anyhow::Result<()> {
    let now_ms = app.clock.now_ms();
    for Reading { at_ms, values } in readings {
        // A board without a clock writes about 1970: that is kept as it is.
        let at_ms = at_ms.filter(|at| (0..now_ms + MAX_AHEAD_MS).contains(at)).unwrap_or(now_ms);
        for prefix in ["fw", "sw"] {
            let told = Told::of(&values, prefix);
            if told != Told::default() {
                learn(app, device, &told).await?;
            }
        }
        for (key, value) in values.into_iter().filter(|(_, value)| !value.is_null()) {
            app.telemetry.take(Sample { device_id: device.id, key, at_ms, value: value.to_string() });
        }
    }
    Ok(())
}

/// What a message says of an update.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told<'a> {
    state: Option<&'a str>,
    error: Option<&'a str>,
    /// Title and version of what the board runs.
    current: Option<(&'a str, &'a str)>,
}

impl<'a> Told<'a> {
    fn of(values: &'a Map<String, Value>, prefix: &str) -> Self {
        let text = |key: String| values.get(&key).and_then(Value::as_str);
        let title = text(format!("current_{prefix}_title"));
        Self {
            state: text(format!("{prefix}_state")),
            error: text(format!("{prefix}_error")).filter(|error| !error.is_empty()),
            current: title.zip(text(format!("current_{prefix}_version"))),
        }
    }
}

async fn learn(app: &Arc<App>, device: Device, told: &Told<'_>) -> anyhow::Result<()> {
    let Some(before) = app.store.board(device.id).await? else { return Ok(()) };
    let now_ms = app.clock.now_ms();
    let running = match told.current {
        Some(current) => Some(running(app, device, &before, current).await?),
        None => None,
    };
    if let Some(running) = &running {
        Said::runs(Some(running)).take(&app.store, device.id, now_ms).await?;
    }
    let Some(state) = told.state else { return Ok(()) };
    let row = match before.deployment_digest {
        Some(_) => before,
        // It may have begun by what the board said.
        None => app.store.board(device.id).await?.unwrap_or(before),
    };
    // Another release may be wanted since the board began: what it says is about the one that it fetched.
    let fetched = app.boards.with(device.id, |board| board.download.as_ref().map(Download::names));
    let is_about_it = fetched.is_none_or(|(title, version)| title == row.package && row.version == Some(version));
    if is_about_it && let Some(report) = report_of(app, device, told, state, running.as_deref(), &row) {
        report::take(&app.store, device.id, &report, now_ms).await?;
    }
    if matches!(state, "VERIFIED" | "UPDATING" | "UPDATED" | "FAILED" | "IDLE") {
        end_download(app, device);
    }
    Ok(())
}

/// The release that this title and version name, as a digest.
async fn running(app: &App, device: Device, row: &BoardRow, current: (&str, &str)) -> anyhow::Result<String> {
    let (title, version) = current;
    // Packages have lower-case names; what a board brought along may have been called otherwise.
    let is_ours = title.eq_ignore_ascii_case(&row.package);
    let release = if is_ours { app.store.release(device.project_id, &row.package, version).await? } else { None };
    Ok(release.map_or_else(|| NOTHING.to_owned(), |release| release.digest))
}

/// The report that a state stands for, about the deployment under way.
fn report_of(
    app: &App,
    device: Device,
    told: &Told<'_>,
    state: &str,
    running: Option<&str>,
    row: &BoardRow,
) -> Option<Report> {
    let wanted = row.deployment_digest.as_deref();
    let (mut reached, mut reason, mut detail) = match state {
        "DOWNLOADING" => (ReportStage::Downloading, None, None),
        "DOWNLOADED" => (ReportStage::Downloading, None, Some("downloaded")),
        "VERIFIED" => (ReportStage::Verified, None, None),
        "UPDATING" => (ReportStage::Installing, None, None),
        // A board that was interrupted says so of what it had before.
        "UPDATED" if running.is_none() || running == wanted => (ReportStage::Confirmed, None, None),
        "FAILED" => (ReportStage::Failed, Some("error"), Some(told.error.unwrap_or("the board does not say why"))),
        _ => return None,
    };
    match (reached, wanted) {
        (ReportStage::Failed, Some(wanted)) if may_pass(app, device, told, row, wanted) => {
            (reached, reason) = (ReportStage::Downloading, Some(Refusal::Hash.as_str()));
            detail = Some(told.error.unwrap_or("the checksum was wrong; the board fetches the package again"));
        }
        (ReportStage::Downloading, _) => {}
        _ => app.boards.with(device.id, |board| board.failures = (String::new(), 0)),
    }
    let mut report = Report {
        stage: reached,
        release: wanted.and_then(|digest| digest.parse::<Digest>().ok()),
        reason: reason.map(str::to_owned),
        detail: detail.map(str::to_owned),
        trace: None,
        facts: BTreeMap::new(),
    };
    report.limit();
    Some(report)
}

/// A wrong checksum passes: boards fetch the package again by themselves, but not for ever.
fn may_pass(app: &App, device: Device, told: &Told<'_>, row: &BoardRow, wanted: &str) -> bool {
    let state = row.deployment_state.as_deref().and_then(|state| state.parse::<DeploymentState>().ok());
    let is_checksum = told.error.is_none_or(|error| error.to_lowercase().contains("checksum"));
    if !is_checksum || state.is_none_or(|state| state >= DeploymentState::Verified) {
        return false;
    }
    let settings = row.settings.as_deref().and_then(|settings| Settings::parse(settings).ok()).unwrap_or_default();
    app.boards.with(device.id, |board| {
        if board.failures.0 != wanted {
            board.failures = (wanted.to_owned(), 0);
        }
        board.failures.1 += 1;
        board.failures.1 < settings.attempts
    })
}
