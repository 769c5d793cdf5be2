//! When each device was last seen, written in batches: an unchanged check-in costs no transaction of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Store;

/// How long a heartbeat may wait for others.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// Devices seen since the last batch. One entry per device, so it cannot grow past the fleet.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    seen: Mutex<HashMap<i64, i64>>,
}

impl Heartbeats {
    /// Notes that a device was seen at `now_ms`.
    pub(crate) fn beat(&self, device_id: i64, now_ms: i64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(device_id, now_ms);
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

    async fn flush(&self, store: &Store) {
        let batch = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return;
        }
        if let Err(error) = store.write_heartbeats(&batch).await {
            tracing::warn!(error = format!("{error:#}"), devices = batch.len(), "heartbeats not written, will retry");
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (device_id, at_ms) in batch {
                seen.entry(device_id).or_insert(at_ms);
            }
        }
    }
}
