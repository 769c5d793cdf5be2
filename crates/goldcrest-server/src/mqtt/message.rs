//! One application message, shared by everybody who gets it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_protocol_core::mqtt::common::ArcPayload;

use super::counters::Held;
use super::hub::SessionId;

/// A message on its way; never changed, so that a thousand receivers share it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Box<str>,
    pub(super) payload: ArcPayload,
    /// 0, 1 or 2.
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// MQTT 5 properties that are passed on as they came, encoded.
    pub(super) properties: Box<[u8]>,
    /// When it is worth nothing any more.
    pub(super) expires: Option<Instant>,
    /// Who sent it: for subscriptions that do not want their own.
    pub(super) from: Option<SessionId>,
    /// Its memory, if it came from a client.
    pub(super) _held: Option<Held>,
}

impl Message {
    /// A message of the server itself.
    pub(super) fn of_server(topic: String, payload: Vec<u8>, retain: bool) -> Arc<Self> {
        Arc::new(Self {
            topic: topic.into(),
            payload: payload_of(payload),
            qos: 1,
            retain,
            properties: Box::default(),
            expires: None,
            from: None,
            _held: None,
        })
    }

    /// A message that only the client gets that asked for it, so it waits nowhere for long.
    pub(super) fn to_one(topic: String, payload: ArcPayload) -> Self {
        let (properties, topic) = (Box::default(), topic.into());
        Self { topic, payload, qos: 1, retain: false, properties, expires: None, from: None, _held: None }
    }

    /// Seconds it has left; `None` without an end.
    ///
    /// # Errors
    /// When it is over.
    pub(super) fn seconds_left(&self, now: Instant) -> Result<Option<u32>, Expired> {
        let Some(expires) = self.expires else { return Ok(None) };
        let left = expires.checked_duration_since(now).filter(|left| !left.is_zero()).ok_or(Expired)?;
        // A second that has begun counts as used: a receiver must see less than the sender gave.
        Ok(Some(u32::try_from(left.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Bytes it is counted with in queues and stores.
    pub(super) fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }
}

/// Its time is over.
#[derive(Debug)]
pub(super) struct Expired;

/// When something that lives for `seconds` from now ends.
pub(super) fn end_of(seconds: u32, now: Instant) -> Instant {
    now + Duration::from_secs(u64::from(seconds))
}

/// Bytes as the library's shared payload.
pub(super) fn payload_of(bytes: Vec<u8>) -> ArcPayload {
    let length = bytes.len();
    if length == 0 { ArcPayload::default() } else { ArcPayload::new(Arc::from(bytes), 0, length) }
}
