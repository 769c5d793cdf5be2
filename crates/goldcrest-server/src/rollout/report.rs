//! What a device tells of an update under way, of a failure, or of itself: the reports of every protocol.

use goldcrest_core::Refusal;
use goldcrest_core::deployment::Signal;
use goldcrest_core::message::{MAX_FACTS, Report, ReportStage};
use serde_json::{Map, Value};

use super::advance::settle;
use super::{Touched, track};
use crate::store::{NewEvent, Outcome, Store, TrackedDevice, Writing};

/// Takes in a report, and lets rollouts take the steps that follow from it.
pub(crate) async fn take(store: &Store, device_id: i64, report: &Report, now_ms: i64) -> anyhow::Result<()> {
    let mut writing = store.begin().await?;
    let touched = apply(&mut writing, device_id, report, now_ms).await?;
    settle(&mut writing, touched, now_ms).await?;
    writing.commit().await
}

async fn apply(writing: &mut Writing, device_id: i64, report: &Report, now_ms: i64) -> anyhow::Result<Touched> {
    let mut device = writing.tracked(device_id).await?;
    let digest = report.release.map(|digest| digest.to_string());
    let release = match &digest {
        Some(digest) => writing.release_by_digest(device.package_id, digest).await?,
        None => None,
    };
    let event = NewEvent {
        stage: report.stage.as_str(),
        version: release.as_ref().map(|release| release.version.as_str()),
        reason: report.reason.as_deref(),
        detail: report.detail.as_deref(),
        trace: report.trace.as_deref(),
    };
    writing.add_event(device_id, &event, now_ms).await?;
    learn_facts(&mut device, report)?;
    let mut touched = Touched::new();
    let outcome = Outcome { reason: report.reason.clone(), detail: report.detail.clone(), trace: report.trace.clone() };
    let active = match device.deployment_id {
        Some(id) => Some(writing.active_deployment(id).await?),
        None => None,
    };
    match active {
        Some(active) if Some(&active.digest) == digest.as_ref() && !refuses_keyring(report) => {
            if report.stage == ReportStage::Trial {
                device.running.clone_from(&digest);
                device.run_state = Some("trial".into());
            }
            if outcome.reason.is_some() && report.stage == ReportStage::Downloading {
                // A failure that may pass: shown while it lasts.
                writing.set_deployment(active.id, active.state, &outcome, now_ms).await?;
            }
            let signal = Signal::Reported(report.stage);
            track::apply(writing, &mut device, &active, &signal, &outcome, &mut touched, now_ms).await?;
        }
        _ => {
            let is_failure = matches!(report.stage, ReportStage::Failed | ReportStage::RolledBack);
            if let Some(release) = release.filter(|_| is_failure) {
                writing.explain_ended(device_id, release.id, &outcome).await?;
            }
        }
    }
    track::save(writing, &device).await?;
    Ok(touched)
}

/// A board that refuses a keyring keeps its own and goes on: nothing is said about the release that it was offered with.
fn refuses_keyring(report: &Report) -> bool {
    let refusals = [Refusal::KeyringOld, Refusal::KeyringThreshold];
    refusals.into_iter().any(|refusal| report.reason.as_deref() == Some(refusal.as_str()))
}

/// New facts replace old ones of the same name; the oldest go when there are too many.
fn learn_facts(device: &mut TrackedDevice, report: &Report) -> anyhow::Result<()> {
    if report.facts.is_empty() {
        return Ok(());
    }
    let known: Map<String, Value> = serde_json::from_str(&device.facts)?;
    let mut facts: Map<String, Value> = report.facts.clone().into_iter().collect();
    for (name, value) in known {
        if facts.len() < MAX_FACTS && !facts.contains_key(&name) {
            facts.insert(name, value);
        }
    }
    device.facts = serde_json::to_string(&facts)?;
    Ok(())
}
