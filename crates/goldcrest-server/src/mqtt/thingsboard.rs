//! Boards of ThingsBoard at this endpoint: all of them use the same topics, `v1/devices/me/…` and `v2/fw/…`, so inside each has its own,
//! `goldcrest/tb/<device id>/…`. Answers go to the connection that asked, whether it subscribed to them or not.

use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::ArcPayload;

use super::Broker;
use super::hub::{Hub, Link, SessionId};
use super::message::Message;
use crate::adapters::thingsboard::mqtt::{Reply, is_own};

const ROOT: &str = "goldcrest/tb/";

/// Everything of one device.
pub(super) fn own_filter(device_id: i64) -> String {
    format!("{ROOT}{device_id}/#")
}

/// A topic or filter as it is inside; `None` when it is not one of the board's own.
pub(super) fn spelled_out(device_id: i64, topic: &str) -> Option<String> {
    is_own(topic).then(|| format!("{ROOT}{device_id}/{topic}"))
}

/// The other way: as the board knows it.
pub(super) fn as_board(topic: &str) -> Option<&str> {
    topic.strip_prefix(ROOT)?.split_once('/').map(|(_, topic)| topic)
}

/// Whether a filter is about boards of this protocol.
pub(super) fn is_about_boards(filter: &str) -> bool {
    filter.starts_with(ROOT)
}

/// Whether a topic is this device's.
pub(super) fn is_of(device_id: i64, topic: &str) -> bool {
    let owner = topic.strip_prefix(ROOT).and_then(|rest| rest.split_once('/'));
    owner.is_some_and(|(id, _)| id.parse() == Ok(device_id))
}

/// Answers a client.
pub(super) fn answer(hub: &Hub, id: SessionId, link: &Arc<Link>, device_id: i64, reply: Reply) {
    let inside = format!("{ROOT}{device_id}/{}", reply.topic);
    let payload = ArcPayload::new(reply.bytes, reply.range.start, reply.range.len());
    hub.lock().answer(id, link, &inside, Message::to_one(reply.topic, payload));
}

impl Broker {
    /// Tells a board something that it did not ask for. Whether it is connected and subscribed to that.
    pub(crate) fn tell_board(&self, project_id: i64, device_id: i64, topic: &str, payload: Vec<u8>) -> bool {
        let hub = self.known_hub(project_id);
        let message = Message::of_server(format!("{ROOT}{device_id}/{topic}"), payload, false);
        hub.is_some_and(|hub| hub.lock().deliver_to_device(device_id, &message))
    }

    /// Whether a device has a connection.
    pub(crate) fn is_online(&self, device_id: i64) -> bool {
        self.is_online_for(device_id, Duration::ZERO)
    }

    /// Whether a device has had its connection for this long.
    pub(crate) fn is_online_for(&self, device_id: i64, time: Duration) -> bool {
        self.hubs().iter().any(|(_, hub)| hub.lock().is_online_for(device_id, time))
    }
}
