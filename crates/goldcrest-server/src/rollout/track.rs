//! Applies what was learned about a device's deployment.

use goldcrest_core::deployment::{DeploymentState, Signal, advance};

use super::Touched;
use crate::store::{ActiveDeployment, Outcome, TrackedDevice, Writing};

/// Moves the active deployment of a device on. Returns its state afterwards.
///
/// When it ends, the device's desired release follows: confirmed, it stays; failed or cancelled, it is what the device settled on before.
/// The rollout that it belongs to is noted in `touched` when that may bring it a step further.
pub(crate) async fn apply(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    active: &ActiveDeployment,
    signal: &Signal,
    outcome: &Outcome,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<DeploymentState> {
    let next = advance(active.state, signal);
    if next == active.state {
        return Ok(next);
    }
    let is_bad_end = next.is_final() && next != DeploymentState::Confirmed;
    // While it goes on, only a report of a failure that may pass gives a reason; at a good end there is none.
    let silent = Outcome::default();
    writing.set_deployment(active.id, next, if is_bad_end { outcome } else { &silent }, now_ms).await?;
    if next == DeploymentState::Confirmed {
        writing.clear_outcome(active.id).await?;
    }
    if next.is_final() {
        finish(writing, device, active, next).await?;
        if let Some(rollout_id) = active.rollout_id
            && (next.is_failure() || !writing.is_under_way(rollout_id).await?)
        {
            // Else nothing follows from it: deciding reads every device of the rollout, so not at each of its ends.
            touched.insert(rollout_id);
        }
    }
    save_as(writing, device, (!next.is_final()).then_some(next)).await?;
    tracing::info!(
        device.name = device.name,
        deployment.id = active.id,
        deployment.state = next.as_str(),
        reason = outcome.reason.as_deref().filter(|_| is_bad_end),
        detail = outcome.detail.as_deref().filter(|_| is_bad_end),
        "deployment moved"
    );
    Ok(next)
}

async fn finish(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    active: &ActiveDeployment,
    state: DeploymentState,
) -> anyhow::Result<()> {
    device.deployment_id = None;
    if state == DeploymentState::Confirmed {
        device.running = Some(active.digest.clone());
        device.run_state = Some("ok".into());
        device.settled = Some(active.digest.clone());
        device.desired_release_id = Some(active.release_id);
        device.failed_release_id = None;
        device.floor = device.floor.max(active.floor);
        return Ok(());
    }
    if state.is_failure() {
        device.failed_release_id = Some(active.release_id);
        // It ran only on trial: the board has put back what was there before.
        if device.running.as_deref() == Some(&active.digest) {
            device.running.clone_from(&device.settled);
            device.run_state = Some("ok".into());
        }
    }
    device.desired_release_id = match &device.settled {
        Some(digest) => writing.release_by_digest(device.package_id, digest).await?.map(|release| release.id),
        None => None,
    };
    Ok(())
}

/// Writes the device back with the state that people see.
pub(crate) async fn save(writing: &mut Writing, device: &TrackedDevice) -> anyhow::Result<()> {
    let deployment = match device.deployment_id {
        Some(id) => Some(writing.active_deployment(id).await?.state),
        None => None,
    };
    save_as(writing, device, deployment).await
}

/// As [`save`], for who knows the state of its active deployment.
pub(super) async fn save_as(
    writing: &mut Writing,
    device: &TrackedDevice,
    deployment: Option<DeploymentState>,
) -> anyhow::Result<()> {
    writing.save_tracked(device, visible_state(device, deployment)).await
}

/// The device's state in docs/api.md.
fn visible_state(device: &TrackedDevice, deployment: Option<DeploymentState>) -> &'static str {
    match deployment {
        Some(DeploymentState::Trial) => "trial",
        _ if device.run_state.is_none() => "new",
        Some(_) => "updating",
        None if device.failed_release_id.is_some() => "failed",
        None => "in-sync",
    }
}
