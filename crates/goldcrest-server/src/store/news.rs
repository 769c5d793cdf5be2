//! What a committed transaction means to those who are connected: told once it is certain.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Store, Writing};

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Another release is desired for this device.
    Desired { device_id: i64 },
    /// Something else to tell an insigh.io thing.
    Action { device_id: i64, action_id: i64 },
    /// A project's keyring.
    Keyring { project_id: i64 },
    /// The device is gone, or its token is.
    DeviceToken { device_id: i64 },
    /// A token of the project was deleted.
    Token { project_id: i64, name: String },
    /// A project's rules of access over MQTT.
    Rules { project_id: i64 },
}

/// A piece of news and when it was committed.
pub(crate) type Dated = (News, Instant);

/// From the writer to the one who passes news on. It has no bound of its own, because no piece may be lost (one may end a stranger's
/// connection): a transaction tells at most once per row that it changed, and whoever listens is faster than the disk that wrote it.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) teller: UnboundedSender<Dated>,
    listener: Arc<Mutex<Option<UnboundedReceiver<Dated>>>>,
}

impl Channel {
    pub(super) fn new() -> Self {
        let (teller, listener) = unbounded_channel();
        Self { teller, listener: Arc::new(Mutex::new(Some(listener))) }
    }
}

impl Store {
    /// What is committed, and when, since the store was opened. There is one listener: `None` for a second one.
    pub(crate) fn take_news(&self) -> Option<UnboundedReceiver<Dated>> {
        self.news.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Writing {
    /// Notes what to tell when this transaction is committed.
    pub(super) fn will_tell(&mut self, news: News) {
        if self.news.last() != Some(&news) {
            self.news.push(news);
        }
    }
}
