//! The one place that reads the time; everything else gets `now_ms` as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the server gets the time from.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    stepped_ms: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start_ms` (milliseconds since 1970) until it is moved: for tests of expiry.
    pub fn stepped(start_ms: i64) -> Self {
        Self { stepped_ms: Some(Arc::new(AtomicI64::new(start_ms))) }
    }

    /// Moves a stepped clock; the machine's clock stays as it is.
    pub fn advance(&self, by_ms: i64) {
        if let Some(stepped_ms) = &self.stepped_ms {
            stepped_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        if let Some(stepped_ms) = &self.stepped_ms {
            return stepped_ms.load(Ordering::SeqCst);
        }
        #[expect(clippy::disallowed_methods, reason = "this is the edge at which the clock is read")]
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }
}
