//! Lets rollouts take their next step, as `goldcrest_core::rollout::decide` says.

use anyhow::Context;
use goldcrest_core::deployment::Signal;
use goldcrest_core::name::DeviceName;
use goldcrest_core::rollout::{Decision, Rules, StageSize, decide};

use super::start::{Audience, move_channel, start};
use super::{Touched, track};
use crate::store::{HALTED, Outcome, RolloutRow, Writing};

/// Decides the touched rollouts, and those that this touches in turn, until each waits or has ended.
pub(crate) async fn settle(writing: &mut Writing, mut touched: Touched, now_ms: i64) -> anyhow::Result<()> {
    while let Some(id) = touched.pop_first() {
        let Some(rollout) = writing.rollout(id).await?.filter(|rollout| rollout.state == "running") else { continue };
        let devices = writing.rollout_devices(id).await?;
        let stage_open = usize::try_from(rollout.stage).unwrap_or(0);
        match decide(&rules(&rollout)?, stage_open, &devices) {
            Decision::Wait => {}
            Decision::Open { stage, devices } => {
                tracing::info!(rollout.id = id, rollout.stage = stage, devices = devices.len(), "rollout stage opened");
                writing.set_rollout(id, "running", i64::try_from(stage)?, None).await?;
                open(writing, &rollout, &devices, &mut touched, now_ms).await?;
                // A device that runs the release already counts at once.
                touched.insert(id);
            }
            Decision::Halt { reason } => halt(writing, &rollout, &reason, now_ms).await?,
            Decision::Complete => {
                tracing::info!(rollout.id = id, "rollout completed");
                writing.set_rollout(id, "completed", rollout.stage, None).await?;
                if !rollout.moves_channel {
                    continue;
                }
                let (package_id, release_id) = (rollout.package_id, rollout.release_id);
                let audience = Audience::NotFailed;
                touched
                    .extend(move_channel(writing, package_id, &rollout.channel, release_id, audience, now_ms).await?);
            }
        }
    }
    Ok(())
}

/// Stops a rollout: what has not begun is called off and follows its channel again, what has begun goes on.
pub(crate) async fn halt(writing: &mut Writing, rollout: &RolloutRow, reason: &str, now_ms: i64) -> anyhow::Result<()> {
    tracing::warn!(rollout.id = rollout.id, reason, "rollout halted");
    writing.set_rollout(rollout.id, "halted", rollout.stage, Some(reason)).await?;
    for device_id in writing.queued_devices(rollout.id).await? {
        let mut device = writing.tracked(device_id).await?;
        let Some(id) = device.deployment_id else { continue };
        let active = writing.active_deployment(id).await?;
        let outcome = Outcome::because(HALTED, format!("rollout {} was halted", rollout.id));
        // Only this rollout is touched, and it has just been decided.
        let mut touched = Touched::new();
        track::apply(writing, &mut device, &active, &Signal::Cancel, &outcome, &mut touched, now_ms).await?;
        let wanted = writing.channel_release_of(device_id).await?.filter(|id| Some(*id) != device.desired_release_id);
        if let Some(release_id) = wanted.filter(|id| *id != rollout.release_id) {
            let release = writing.release_by_id(release_id).await?;
            start(writing, &mut device, &release, None, &mut touched, now_ms).await?;
        }
    }
    Ok(())
}

/// Lets a halted rollout go on. The failures so far are accepted.
pub(crate) async fn resume(writing: &mut Writing, rollout: &RolloutRow, now_ms: i64) -> anyhow::Result<()> {
    writing.accept_failures(rollout.id, rollout.failed).await?;
    writing.set_rollout(rollout.id, "running", rollout.stage, None).await?;
    settle(writing, Touched::from([rollout.id]), now_ms).await
}

async fn open(
    writing: &mut Writing,
    rollout: &RolloutRow,
    devices: &[DeviceName],
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<()> {
    let release = writing.release_by_id(rollout.release_id).await?;
    for name in devices {
        let device = writing.member(rollout.id, name).await?;
        let mut device = device.with_context(|| format!("device {name} of rollout {} is gone", rollout.id))?;
        start(writing, &mut device, &release, Some(rollout.id), touched, now_ms).await?;
    }
    Ok(())
}

fn rules(rollout: &RolloutRow) -> anyhow::Result<Rules> {
    let stages: Vec<StageSize> = serde_json::from_str(&rollout.stages).context("stages of a rollout are damaged")?;
    let max_failed = u32::try_from(rollout.max_failed + rollout.accepted_failures).unwrap_or(u32::MAX);
    Ok(Rules { stages, max_failed })
}
