//! How a deployment (one device on its way to one release) moves on.

use std::fmt;
use std::str::FromStr;

use crate::message::{ReportStage, RunState};
use crate::refusal::{Refusal, Refused};

/// Where a deployment is. The order of the first seven is the way that a good one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeploymentState {
    /// Decided; the device does not know yet.
    Queued,
    /// The device was given the manifest.
    Notified,
    /// The device fetches objects.
    Downloading,
    /// The device has all objects.
    Verified,
    /// The device resets into the release.
    Installing,
    /// The release runs and is not confirmed.
    Trial,
    /// Final: the release stays.
    Confirmed,
    /// Final: refused, or not to be had.
    Failed,
    /// Final: it ran, and the device went back.
    RolledBack,
    /// Final: called off before its end, or replaced by a newer deployment of the device.
    Cancelled,
}

impl DeploymentState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Notified,
        Self::Downloading,
        Self::Verified,
        Self::Installing,
        Self::Trial,
        Self::Confirmed,
        Self::Failed,
        Self::RolledBack,
        Self::Cancelled,
    ];

    /// The name in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Notified => "notified",
            Self::Downloading => "downloading",
            Self::Verified => "verified",
            Self::Installing => "installing",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing moves it any more.
    pub fn is_final(self) -> bool {
        self >= Self::Confirmed
    }

    /// Whether it ended without the release on the device, by the device's own doing.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::RolledBack)
    }
}

impl fmt::Display for DeploymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeploymentState {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| Refusal::Format.because(format!("{text:?} is not a state of a deployment")))
    }
}

crate::text_type::serde_as_text!(DeploymentState);

/// What the server learns about a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The manifest was sent to the device.
    Offered,
    /// A report about the deployment's release. `boot` moves nothing.
    Reported(ReportStage),
    /// A check-in that runs the deployment's release.
    Runs(RunState),
    /// A check-in that runs another release and does not want the deployment's one (it is in `If-None-Match`): the outcome, when
    /// the report of it was lost.
    Unwanted,
    /// Called off, or replaced by a newer deployment.
    Cancel,
    /// Explicit: back to the start, for example after a halted rollout was resumed.
    Restart,
}

/// The state after a signal. A final state stays; nothing but `Restart` moves back, so late and repeated reports do no harm.
pub fn advance(current: DeploymentState, signal: &Signal) -> DeploymentState {
    use DeploymentState as State;
    if current.is_final() {
        return current;
    }
    let next = match signal {
        Signal::Offered => State::Notified,
        Signal::Reported(stage) => match stage {
            ReportStage::Boot => current,
            ReportStage::Downloading => State::Downloading,
            ReportStage::Verified => State::Verified,
            ReportStage::Installing => State::Installing,
            ReportStage::Trial => State::Trial,
            ReportStage::Confirmed => State::Confirmed,
            ReportStage::Failed => State::Failed,
            ReportStage::RolledBack => State::RolledBack,
        },
        Signal::Runs(RunState::Trial) => State::Trial,
        Signal::Runs(RunState::Ok) => State::Confirmed,
        // Before the reset it can only have been refused; after, it ran and was rolled back.
        Signal::Unwanted if current >= State::Installing => State::RolledBack,
        Signal::Unwanted => State::Failed,
        Signal::Cancel => State::Cancelled,
        Signal::Restart => return State::Queued,
    };
    next.max(current)
}

#[cfg(test)]
mod tests;
