//! What a device says that it runs, and what it shall run: the check-in of every protocol.

use anyhow::Context;
use goldcrest_core::deployment::Signal;
use goldcrest_core::manifest::{BoardContext, admit};
use goldcrest_core::message::{ReportStage, RunState};
use goldcrest_core::{Digest, Refused, SignedManifest};
use serde_json::{Map, Value};

use super::advance::settle;
use super::start::start;
use super::{Touched, track};
use crate::store::{Outcome, Store, TrackedDevice, Writing};

/// How the store writes "runs no release".
pub(crate) const NOTHING: &str = "-";

/// What a board said in one check-in.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Digest of the release that it runs, or [`NOTHING`].
    pub(crate) run: String,
    pub(crate) state: RunState,
    /// Releases that it does not want again.
    pub(crate) unwanted: Vec<Digest>,
    /// The agent protocol it speaks, if it is our agent.
    pub(crate) agent: Option<u32>,
}

/// What it is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Nothing,
    Release { id: i64, digest: String, manifest: String },
}

impl Said {
    /// What a board of another system says: that it runs this release, or none of ours.
    pub(crate) fn runs(digest: Option<&str>) -> Self {
        let run = digest.unwrap_or(NOTHING).to_owned();
        Self { run, state: RunState::Ok, unwanted: Vec::new(), agent: None }
    }

    /// Takes it in and decides what the device is answered.
    pub(crate) async fn take(&self, store: &Store, device_id: i64, now_ms: i64) -> anyhow::Result<Answer> {
        let mut writing = store.begin().await?;
        let answer = decide(&mut writing, device_id, self, now_ms).await?;
        writing.commit().await?;
        Ok(answer)
    }

    /// Whether the board does not want this release again.
    pub(crate) fn is_unwanted(&self, digest: Option<&str>) -> bool {
        let digest = digest.and_then(|digest| digest.parse::<Digest>().ok());
        digest.is_some_and(|digest| self.unwanted.contains(&digest))
    }
}

/// The name of a state in the store.
pub(crate) fn state_text(state: RunState) -> &'static str {
    match state {
        RunState::Ok => "ok",
        RunState::Trial => "trial",
    }
}

/// Takes in what the board said, then decides what it is answered.
async fn decide(writing: &mut Writing, device_id: i64, said: &Said, now_ms: i64) -> anyhow::Result<Answer> {
    let mut device = writing.tracked(device_id).await?;
    let mut touched = Touched::new();
    let is_new =
        device.running.as_deref() != Some(&said.run) || device.run_state.as_deref() != Some(state_text(said.state));
    device.running = Some(said.run.clone());
    device.run_state = Some(state_text(said.state).into());
    if said.state == RunState::Ok {
        device.settled = Some(said.run.clone());
    }
    if is_new {
        track::save(writing, &device).await?;
    }
    learn_outcome(writing, &mut device, said, &mut touched, now_ms).await?;
    // Ends of deployments may open the next stage, also for this very board.
    settle(writing, std::mem::take(&mut touched), now_ms).await?;
    let mut device = writing.tracked(device_id).await?;
    let answer = offer(writing, &mut device, said, &mut touched, now_ms).await?;
    settle(writing, touched, now_ms).await?;
    Ok(answer)
}

/// What the check-in says about the deployment under way, even when every report was lost.
async fn learn_outcome(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    said: &Said,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<()> {
    let Some(id) = device.deployment_id else { return Ok(()) };
    let active = writing.active_deployment(id).await?;
    let signal = if active.digest == said.run {
        Signal::Runs(said.state)
    } else if said.is_unwanted(Some(&active.digest)) {
        Signal::Unwanted
    } else {
        return Ok(());
    };
    let outcome = Outcome::because(
        "error",
        "the board does not want this release: it failed there before, or its report was lost",
    );
    track::apply(writing, device, &active, &signal, &outcome, touched, now_ms).await?;
    Ok(())
}

/// Offers the desired release, unless the board runs it, does not want it, or would refuse it.
async fn offer(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    said: &Said,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<Answer> {
    let Some(release_id) = device.desired_release_id else { return Ok(Answer::Nothing) };
    let release = writing.release_by_id(release_id).await?;
    if release.digest == said.run || said.is_unwanted(Some(&release.digest)) {
        return Ok(Answer::Nothing);
    }
    if device.deployment_id.is_none() {
        // It strayed, for example because it was flashed anew: bring it back.
        start(writing, device, &release, None, touched, now_ms).await?;
    }
    let Some(id) = device.deployment_id else { return Ok(Answer::Nothing) };
    let active = writing.active_deployment(id).await?;
    let manifest = writing.manifest(release_id).await?;
    if let Err(refused) = would_admit(device, &manifest, said)? {
        let outcome = Outcome::because(refused.refusal.as_str(), refused.detail);
        let signal = Signal::Reported(ReportStage::Failed);
        track::apply(writing, device, &active, &signal, &outcome, touched, now_ms).await?;
        return Ok(Answer::Nothing);
    }
    track::apply(writing, device, &active, &Signal::Offered, &Outcome::default(), touched, now_ms).await?;
    Ok(Answer::Release { id: release_id, digest: release.digest, manifest })
}

/// The board's own verdict, as far as its facts are known. A board without a clock does not know about expiry, so that is left to it.
fn would_admit(device: &TrackedDevice, manifest: &str, said: &Said) -> anyhow::Result<Result<(), Refused>> {
    let facts: Map<String, Value> = serde_json::from_str(&device.facts).context("the facts of a device are damaged")?;
    if facts.is_empty() {
        return Ok(Ok(()));
    }
    let fact = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let context = BoardContext {
        package: Some(device.package.clone()),
        board: fact("board"),
        platform: fact("platform"),
        mpy: facts.get("mpy").and_then(Value::as_u64),
        floor: u64::try_from(device.floor).unwrap_or(0),
        agent: said.agent,
        now: None,
    };
    let signed = SignedManifest::parse(manifest.as_bytes()).context("a stored manifest is damaged")?;
    Ok(admit(&signed.manifest, &context))
}
