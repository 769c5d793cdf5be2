//! Decides that a device shall run a release, or no longer.

use goldcrest_core::deployment::{DeploymentState, Signal};

use super::advance::settle;
use super::{Touched, track};
use crate::store::{Outcome, ReleaseRow, TrackedDevice, Writing};

/// Sends a device on its way to a release; an unfinished older deployment is cancelled.
///
/// Nothing happens when it is on its way there already for the same cause. A device that runs the release gets no
/// deployment, except in a rollout: there it counts as confirmed.
pub(crate) async fn start(
    writing: &mut Writing,
    device: &mut TrackedDevice,
    release: &ReleaseRow,
    rollout_id: Option<i64>,
    touched: &mut Touched,
    now_ms: i64,
) -> anyhow::Result<()> {
    let release_id = release.id;
    if let Some(id) = device.deployment_id {
        let active = writing.active_deployment(id).await?;
        if active.release_id == release_id && (rollout_id.is_none() || active.rollout_id == rollout_id) {
            return Ok(());
        }
        let outcome = Outcome::because("replaced", format!("by a deployment of {}", release.version));
        track::apply(writing, device, &active, &Signal::Cancel, &outcome, touched, now_ms).await?;
    }
    let runs_it = device.running.as_deref() == Some(&release.digest) && device.run_state.as_deref() == Some("ok");
    device.desired_release_id = Some(release_id);
    let mut begun = None;
    if runs_it {
        device.failed_release_id = None;
        if rollout_id.is_some() {
            writing.add_deployment(device.id, release_id, rollout_id, DeploymentState::Confirmed, now_ms).await?;
        }
    } else {
        let state = DeploymentState::Queued;
        device.deployment_id = Some(writing.add_deployment(device.id, release_id, rollout_id, state, now_ms).await?);
        begun = Some(state);
    }
    track::save_as(writing, device, begun).await
}

/// Points a channel at a release and sends every device there that follows it.
pub(crate) async fn move_channel(
    writing: &mut Writing,
    package_id: i64,
    channel: &str,
    release_id: i64,
    audience: Audience,
    now_ms: i64,
) -> anyhow::Result<Touched> {
    let mut touched = Touched::new();
    writing.set_channel(package_id, channel, release_id).await?;
    let release = writing.release_by_id(release_id).await?;
    for mut device in writing.followers(package_id, channel).await? {
        if audience == Audience::NotFailed && device.failed_release_id == Some(release_id) {
            continue;
        }
        start(writing, &mut device, &release, None, &mut touched, now_ms).await?;
    }
    Ok(touched)
}

/// Sends a device that joined a channel to the channel's release, if it has one.
pub(crate) async fn follow_channel(
    writing: &mut Writing,
    device_id: i64,
    package_id: i64,
    channel: &str,
    now_ms: i64,
) -> anyhow::Result<()> {
    let Some(release_id) = writing.channel_release(package_id, channel).await? else { return Ok(()) };
    let mut device = writing.tracked(device_id).await?;
    if device.desired_release_id == Some(release_id) {
        return Ok(());
    }
    let mut touched = Touched::new();
    let release = writing.release_by_id(release_id).await?;
    start(writing, &mut device, &release, None, &mut touched, now_ms).await?;
    settle(writing, touched, now_ms).await
}

/// Which followers of a channel a move reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every one: a person asked for it.
    All,
    /// Those that have not failed at this release: the end of a rollout that tolerated failures.
    NotFailed,
}
