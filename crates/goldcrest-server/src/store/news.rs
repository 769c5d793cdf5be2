//! What a committed transaction means to those who are connected: told once it is certain.

use tokio::sync::broadcast;

use super::{Store, Writing};

/// Pieces of news that wait for a slow listener; who misses some is told so.
const BACKLOG: usize = 4_096;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// Another release is desired for this device.
    Desired { device_id: i64 },
    /// A project's keyring.
    Keyring { project_id: i64 },
    /// The device is gone, or its token is.
    DeviceToken { device_id: i64 },
    /// A token of the project was deleted.
    Token { project_id: i64, name: String },
    /// A project's rules of access over MQTT.
    Rules { project_id: i64 },
}

/// The channel of a store.
pub(super) fn channel() -> broadcast::Sender<News> {
    broadcast::channel(BACKLOG).0
}

impl Store {
    /// What is committed from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<News> {
        self.teller.subscribe()
    }
}

impl Writing {
    /// Notes what to tell when this transaction is committed.
    pub(super) fn will_tell(&mut self, news: News) {
        if !self.news.contains(&news) {
            self.news.push(news);
        }
    }
}
