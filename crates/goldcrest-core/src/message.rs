//! What a device sends: reports and check-ins (docs/protocol.md). Too long text is cut, unknown fields are ignored.

mod facts;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::line::parse_number;
use crate::refusal::{Refusal, Refused};

/// Most bytes of a report.
pub const MAX_REPORT: usize = 8 << 10;
/// Most bytes of `reason`.
pub const MAX_REASON: usize = 64;
/// Most bytes of `detail`.
pub const MAX_DETAIL: usize = 256;
/// Most bytes of `trace`.
pub const MAX_TRACE: usize = 4096;
/// Most facts.
pub const MAX_FACTS: usize = 32;
/// Most bytes of a fact's name.
pub const MAX_FACT_NAME: usize = 32;
/// Most bytes of a fact's text.
pub const MAX_FACT_TEXT: usize = 256;
/// Most digests of `If-None-Match`: the running, the failed and some to spare.
const MAX_UNWANTED: usize = 8;

/// What a device says about itself or about a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is about.
    pub stage: ReportStage,
    /// The release; none for `boot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Digest>,
    /// Why it failed or rolled back, as one of the published names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What exactly: a path, two numbers, an exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Traceback or the end of the console output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Text, number or boolean by name. A board sends them without names, in a fixed order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "facts::named")]
    pub facts: BTreeMap<String, Value>,
}

impl Report {
    /// Reads the body of a report and cuts what is too long.
    ///
    /// # Errors
    /// `endless` above 8 KiB; `format` when it is not a JSON object with a known stage, and a release unless the stage is `boot`.
    pub fn parse(body: &[u8]) -> Result<Self, Refused> {
        if body.len() > MAX_REPORT {
            return Err(Refusal::Endless.because(format!("a report of {} bytes: {MAX_REPORT} are allowed", body.len())));
        }
        let mut report: Self =
            serde_json::from_slice(body).map_err(|error| Refusal::Format.because(format!("not a report: {error}")))?;
        if report.stage != ReportStage::Boot && report.release.is_none() {
            return Err(Refusal::Format.because(format!("a report of stage {} names no release", report.stage)));
        }
        report.limit();
        Ok(report)
    }

    /// Cuts what is too long: text at its limit (the trace keeps its end, where the exception is), facts that are too many or not scalar.
    pub fn limit(&mut self) {
        for (text, max) in [(&mut self.reason, MAX_REASON), (&mut self.detail, MAX_DETAIL)] {
            if let Some(text) = text {
                text.truncate(text.floor_char_boundary(max));
            }
        }
        if let Some(trace) = &mut self.trace {
            let start = trace.ceil_char_boundary(trace.len().saturating_sub(MAX_TRACE));
            trace.drain(..start);
        }
        let mut room = MAX_FACTS;
        self.facts.retain(|name, value| {
            if let Value::String(text) = value {
                text.truncate(text.floor_char_boundary(MAX_FACT_TEXT));
            }
            let is_scalar = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
            let is_kept = room > 0 && is_scalar && name.len() <= MAX_FACT_NAME;
            room -= usize::from(is_kept);
            is_kept
        });
    }
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportStage {
    /// Facts after a start.
    Boot,
    /// Objects are being fetched.
    Downloading,
    /// All objects are staged and good.
    Verified,
    /// The journal is written; the board resets into the release.
    Installing,
    /// The release runs and is not confirmed yet.
    Trial,
    /// The release stays.
    Confirmed,
    /// The release was refused or could not be fetched.
    Failed,
    /// The release ran, was not confirmed, and the saved copies are back.
    RolledBack,
}

impl ReportStage {
    /// The name in reports and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Downloading => "downloading",
            Self::Verified => "verified",
            Self::Installing => "installing",
            Self::Trial => "trial",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
        }
    }
}

impl fmt::Display for ReportStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The query of a check-in: `run=<release digest or ->&state=<ok|trial>&k=<keyring version>`, and `&have=<release digest>&delta=1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckIn {
    /// The release that the device runs; none: not one of ours.
    pub run: Option<Digest>,
    /// Whether it is confirmed.
    pub state: RunState,
    /// Version of the device's keyring; 0: it has none.
    pub keyring: u64,
    /// The release whose manifest it has already, and has checked.
    pub have: Option<Digest>,
    /// Whether it takes the manifest as a delta.
    pub takes_delta: bool,
}

/// Whether the running release is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Confirmed.
    Ok,
    /// Not confirmed yet.
    Trial,
}

impl CheckIn {
    /// Reads the query, without `?`. A missing key has its default (`-`, `ok`, 0), an unknown one is ignored.
    ///
    /// # Errors
    /// `format` for a value that is none.
    pub fn parse(query: &str) -> Result<Self, Refused> {
        query.parse()
    }
}

impl FromStr for CheckIn {
    type Err = Refused;

    fn from_str(query: &str) -> Result<Self, Refused> {
        let mut check_in = Self { run: None, state: RunState::Ok, keyring: 0, have: None, takes_delta: false };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (key, value) {
                ("run", "-") => check_in.run = None,
                ("run", digest) => check_in.run = Some(digest.parse()?),
                ("state", "ok") => check_in.state = RunState::Ok,
                ("state", "trial") => check_in.state = RunState::Trial,
                ("state", _) => return Err(Refusal::Format.because(format!("state {value:?} is neither ok nor trial"))),
                ("k", version) => check_in.keyring = parse_number(version)?,
                ("have", digest) if !digest.is_empty() => check_in.have = Some(digest.parse()?),
                ("delta", value) => check_in.takes_delta = value == "1",
                _ => {}
            }
        }
        Ok(check_in)
    }
}

impl fmt::Display for CheckIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            RunState::Ok => "ok",
            RunState::Trial => "trial",
        };
        match self.run {
            Some(run) => write!(f, "run={run}&state={state}&k={}", self.keyring)?,
            None => write!(f, "run=-&state={state}&k={}", self.keyring)?,
        }
        if let Some(have) = self.have {
            write!(f, "&have={have}")?;
        }
        f.write_str(if self.takes_delta { "&delta=1" } else { "" })
    }
}

/// The releases that a device does not want again, from `If-None-Match`: `"<digest>", "<digest>"`. What is no digest is ignored.
pub fn unwanted_releases(if_none_match: &str) -> Vec<Digest> {
    let tags = if_none_match.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    tags.filter_map(|tag| tag.parse().ok()).take(MAX_UNWANTED).collect()
}

#[cfg(test)]
mod tests;
