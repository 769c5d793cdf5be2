//! What stands retained on the broker for a device.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::App;
use crate::adapters::insighio::{self, REQUESTS, Thing};
use crate::mqtt::message::{Message, payload_of};
use crate::mqtt::native;

/// Topics and payloads of these devices; an empty payload takes away what may stand there.
pub(super) async fn of(app: &Arc<App>, device_ids: &[i64]) -> anyhow::Result<Vec<(i64, BTreeMap<String, Vec<u8>>)>> {
    let mut wanted: BTreeMap<i64, BTreeMap<String, Vec<u8>>> =
        device_ids.iter().map(|id| (*id, [(native::desired_topic(*id), Vec::new())].into())).collect();
    for row in app.store.desired_of(device_ids).await? {
        let message = native::desired(&row);
        let topics = wanted.entry(row.device_id).or_default();
        topics.insert(message.topic.to_string(), message.payload.as_slice().to_vec());
    }
    for row in app.store.things_of(device_ids).await? {
        let thing = Thing::of(row)?;
        let topics = wanted.entry(thing.device_id).or_default();
        topics.extend(REQUESTS.map(|leaf| (thing.control_topic(leaf), Vec::new())));
        let told = insighio::retained(app, &thing).await?;
        topics.extend(told.into_iter().map(|(leaf, payload)| (thing.control_topic(leaf), payload.into_bytes())));
    }
    Ok(wanted.into_iter().collect())
}

/// By what a payload is remembered.
pub(super) fn mark(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// A retained message to the broker.
pub(super) fn message(topic: String, payload: Vec<u8>) -> Message {
    Message {
        topic: topic.into(),
        payload: payload_of(payload),
        qos: 1,
        retain: true,
        properties: Box::default(),
        expires: None,
        from: None,
        _held: None,
    }
}
