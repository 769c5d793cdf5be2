//! Values that devices measured, on their way to the store: written in batches, so that a board that tells one every second costs no
//! transaction of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Sample, Store};

/// How long a value may wait for others.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// Most values that wait; further ones are dropped.
const MAX_WAITING: usize = 50_000;
/// Longest key, bytes.
pub(crate) const MAX_KEY: usize = 128;
/// Longest value, bytes of JSON.
pub(crate) const MAX_VALUE: usize = 4 << 10;

/// Values that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    waiting: Mutex<Vec<Sample>>,
    /// One batch at a time, in their order.
    writing: tokio::sync::Mutex<()>,
}

impl Telemetry {
    /// Takes a value in. What is too long, or too much at once, is dropped.
    pub(crate) fn take(&self, sample: Sample) {
        if sample.key.is_empty() || sample.key.len() > MAX_KEY || sample.value.len() > MAX_VALUE {
            tracing::debug!(
                device.id = sample.device_id,
                bytes = sample.value.len(),
                "a value of telemetry is too long"
            );
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(sample);
        } else {
            tracing::warn!(device.id = sample.device_id, "more telemetry than the disk takes: a value was dropped");
        }
    }

    /// Writes batches until `stop`, then what is left.
    pub(crate) async fn run(&self, store: &Store, stop: CancellationToken) {
        loop {
            let is_last = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(FLUSH_INTERVAL) => false,
            };
            self.flush(store).await;
            if is_last {
                return;
            }
        }
    }

    /// Stores what waits, so that who reads next sees it.
    pub(crate) async fn flush(&self, store: &Store) {
        let _turn = self.writing.lock().await;
        let batch = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return;
        }
        match store.write_samples(&batch).await {
            Ok(kept) if kept < batch.len() => {
                tracing::debug!(dropped = batch.len() - kept, "telemetry of keys that a device has no room for");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), values = batch.len(), "telemetry not written: dropped");
            }
        }
    }
}
