//! What a rollout does next: a pure function of its rules and of its devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::deployment::DeploymentState;
use crate::line::parse_number;
use crate::name::DeviceName;
use crate::refusal::{Refusal, Refused};

/// Most stages of a rollout.
pub const MAX_STAGES: usize = 16;

/// How a rollout proceeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Cumulative: how many devices have the release when the stage is done. One to [`MAX_STAGES`].
    pub stages: Vec<StageSize>,
    /// The rollout halts when more deployments than this have failed or rolled back.
    pub max_failed: u32,
}

/// How many devices a stage and those before it cover: `1` or `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StageSize {
    /// This many, at least 1.
    Count(u32),
    /// This share of all devices, 1 to 100, rounded up.
    Percent(u8),
}

impl StageSize {
    /// The number of devices out of `total`.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX).min(total),
            Self::Percent(percent) => total.saturating_mul(usize::from(percent)).div_ceil(100).min(total),
        }
    }
}

impl FromStr for StageSize {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let malformed =
            || Refusal::Format.because(format!("stage {text:?} is neither a number such as 5 nor a share such as 25%"));
        let number = |digits: &str| parse_number(digits).ok().filter(|&number| number > 0).ok_or_else(malformed);
        match text.strip_suffix('%') {
            Some(digits) => match u8::try_from(number(digits)?) {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(malformed()),
            },
            None => u32::try_from(number(text)?).map(Self::Count).map_err(|_| malformed()),
        }
    }
}

impl fmt::Display for StageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

crate::text_type::serde_as_text!(StageSize);

/// A device of the rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name: devices are taken in the order of their names.
    pub name: DeviceName,
    /// The state of its deployment in this rollout; none: not started.
    pub deployment: Option<DeploymentState>,
}

/// What a rollout does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Make deployments for these devices; from then on `stage` stages are open. Deciding again gives the same until it is done.
    Open {
        /// Number of open stages, 1 to the number of stages.
        stage: usize,
        /// Devices without a deployment, in the order of their names; never empty.
        devices: Vec<DeviceName>,
    },
    /// Too many failures: cancel what has not started.
    Halt {
        /// The two numbers, as a lower-case fragment.
        reason: String,
    },
    /// Every stage is done.
    Complete,
    /// Deployments of the open stages are under way.
    Wait,
}

/// Decides what a running rollout does next. `stage_open` is the number of stages already open (0 at the start).
///
/// A stage is done when each of its deployments has ended and no more than `max_failed` failed. Devices that have a deployment come first,
/// so that a device that joins later never pushes another one out of an open stage.
pub fn decide(rules: &Rules, stage_open: usize, devices: &[DeviceView]) -> Decision {
    let failed = devices.iter().filter(|device| device.deployment.is_some_and(DeploymentState::is_failure)).count();
    if failed > usize::try_from(rules.max_failed).unwrap_or(usize::MAX) {
        let deployments = if failed == 1 { "deployment" } else { "deployments" };
        return Decision::Halt { reason: format!("{failed} {deployments} failed, at most {} may", rules.max_failed) };
    }
    let mut ordered: Vec<&DeviceView> = devices.iter().collect();
    ordered.sort_by_key(|device| (device.deployment.is_none(), &device.name));
    let mut covered = 0;
    for (index, size) in rules.stages.iter().enumerate() {
        covered = size.of(ordered.len()).max(covered);
        let (members, stage) = (&ordered[..covered], index + 1);
        let waiting: Vec<DeviceName> =
            members.iter().filter(|device| device.deployment.is_none()).map(|device| device.name.clone()).collect();
        if !waiting.is_empty() {
            return Decision::Open { stage: stage.max(stage_open), devices: waiting };
        }
        let is_done = members.iter().all(|device| device.deployment.is_some_and(DeploymentState::is_final));
        if !is_done && stage >= stage_open {
            return Decision::Wait;
        }
    }
    Decision::Complete
}

#[cfg(test)]
mod tests;
