//! ThingsBoard: boards that speak its MQTT and HTTP device APIs. A board is known by its access token, a credential of its device.
//!
//! [`mqtt`] and [`http`] read what boards say; [`reading`] and [`states`] take in telemetry and how far an update is, [`attributes`] are
//! what both sides note, [`calls`] are RPC in both directions, [`announce`] tells of releases and [`downloads`] serves them as the one file
//! that [`package`] makes. [`provision`] makes devices of boards that know a profile's key, [`claims`] lets people take them.
//! Dashboards and rule chains are not here.

mod announce;
mod attributes;
mod calls;
mod checksum;
pub(crate) mod claims;
mod downloads;
pub(super) mod http;
pub(crate) mod mqtt;
mod package;
pub(crate) mod provision;
mod reading;
mod states;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

pub(crate) use announce::run;
pub(crate) use attributes::{remove_shared, set_shared, shown};
pub(crate) use calls::{Call, call};
pub(crate) use package::problems;

use self::calls::Calling;
use self::checksum::Algorithm;
use self::downloads::Download;
use self::package::{Form, Packages};
use crate::adapter::Adapter;
use crate::failure::Failure;

/// Boards that are told of a release within a minute, unless the settings say otherwise: as many as ThingsBoard tells.
pub const DEFAULT_PER_MINUTE: usize = 100;
/// Most bytes of a message from a board; `getSessionLimits` tells it.
const MAX_PAYLOAD: usize = 64 << 10;
/// After this long without a request a download is over: what was held back is told.
const DOWNLOAD_PATIENCE: Duration = Duration::from_mins(1);
/// After this long it is forgotten: a later chunk is of what the board shall run then.
const DOWNLOAD_MEMORY: Duration = Duration::from_mins(10);
/// Most messages that are held back for a board during a download.
const MAX_HELD: usize = 20;
/// Most requests of a board that wait for news at the same time.
const MAX_POLLS: usize = 4;

/// A device that speaks this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: i64,
    pub(crate) project_id: i64,
}

/// How a device wants it: the settings of its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    checksum: Algorithm,
    /// What is downloaded.
    package: Form,
    /// It is announced as `sw_…` and not as `fw_…`.
    software: bool,
    /// Downloads with a wrong checksum until a deployment has failed.
    attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { checksum: Algorithm::default(), package: Form::default(), software: false, attempts: 20 }
    }
}

impl Settings {
    /// # Errors
    /// `Invalid` when a name or a value is unknown.
    pub(crate) fn parse(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).map_err(|error| Failure::Invalid(format!("settings of thingsboard: {error}")))
    }

    fn prefix(self) -> &'static str {
        if self.software { "sw" } else { "fw" }
    }
}

/// What is remembered of boards while the server runs: downloads, requests that wait, and who is to be told of a release.
#[derive(Debug)]
pub(crate) struct Boards {
    known: Mutex<HashMap<i64, Board>>,
    packages: Packages,
    /// Since when.
    to_tell: Mutex<BTreeMap<i64, Instant>>,
    somebody_to_tell: Notify,
    per_minute: usize,
}

/// What is remembered of one.
#[derive(Debug, Default)]
struct Board {
    download: Option<Download>,
    /// It was told of a release, and has not said that it runs it.
    is_told: bool,
    /// When it was told last, or should have been.
    told_at: Option<Instant>,
    /// Attributes to be told once the download is over,
    held: Vec<Value>,
    /// and a release.
    must_announce: bool,
    calls: Vec<Calling>,
    last_call: u32,
    /// HTTP requests that wait for attributes,
    polls: Vec<oneshot::Sender<Value>>,
    /// and for a call.
    call_polls: Vec<oneshot::Sender<Value>>,
    /// Wrong checksums of this release in a row.
    failures: (String, u32),
}

impl Boards {
    pub(crate) fn new(per_minute: usize) -> Self {
        Self {
            known: Mutex::default(),
            packages: Packages::default(),
            to_tell: Mutex::default(),
            somebody_to_tell: Notify::new(),
            per_minute,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Board>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is remembered of a board.
    fn with<T>(&self, device_id: i64, change: impl FnOnce(&mut Board) -> T) -> T {
        change(self.lock().entry(device_id).or_default())
    }
}

impl Board {
    /// Whether it is busy with a package: boards take what comes meanwhile for a part of it, or begin anew.
    fn is_downloading(&self) -> bool {
        let is_recent = |download: &Download| !download.is_over && download.touched.elapsed() < DOWNLOAD_PATIENCE;
        self.download.as_ref().is_some_and(is_recent)
    }

    /// Whether nothing is to be remembered.
    fn is_idle(&self) -> bool {
        let is_old = |download: &Download| download.touched.elapsed() > DOWNLOAD_MEMORY;
        self.download.as_ref().is_none_or(is_old)
            && !self.calls.iter().any(Calling::is_wanted)
            && self.held.is_empty()
            && !self.must_announce
            && !self.is_told
            && self.failures.1 == 0
            && self.polls.iter().all(oneshot::Sender::is_closed)
            && self.call_polls.iter().all(oneshot::Sender::is_closed)
    }
}

/// Adds a request that waits; those that nobody waits for any more go, and the oldest when there are too many.
fn wait_in(polls: &mut Vec<oneshot::Sender<Value>>) -> oneshot::Receiver<Value> {
    let (sender, receiver) = oneshot::channel();
    polls.retain(|poll| !poll.is_closed());
    if polls.len() >= MAX_POLLS {
        polls.remove(0);
    }
    polls.push(sender);
    receiver
}

/// The adapter's name in the store.
const NAME: Adapter = Adapter::Thingsboard;

/// Reads bytes as those of a message: for `fuzz/`.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let is_json = serde_json::from_slice::<Value>(bytes).is_ok();
    if let Ok(readings) = reading::readings(bytes) {
        let has_failed = |reading: &reading::Reading| {
            ["fw_state", "sw_state"].iter().any(|key| reading.values.get(*key).is_some_and(|state| state == "FAILED"))
        };
        assert!(is_json || readings.iter().all(has_failed), "made up: {readings:?}");
    }
    // Each reads on its own; none may stumble.
    let _ = attributes::Asked::parse(bytes);
    let _ = serde_json::from_slice::<calls::Request>(bytes);
    if let Some((payload, request)) = bytes.strip_prefix(&[0]).and_then(|rest| rest.split_first_chunk::<4>()) {
        mqtt::fuzz(&String::from_utf8_lossy(request), payload);
    }
}
