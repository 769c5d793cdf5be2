//! PUBLISH from a client.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::common::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};

use super::{Version, Violation, qos_number, whole};
use crate::mqtt::reason;

/// PUBLISH.
#[derive(Debug)]
pub(in crate::mqtt) struct Publish {
    /// Empty when an alias stands for it.
    pub(in crate::mqtt) topic: String,
    /// 0 for `QoS` 0.
    pub(in crate::mqtt) id: u16,
    pub(in crate::mqtt) qos: u8,
    pub(in crate::mqtt) retain: bool,
    pub(in crate::mqtt) payload: ArcPayload,
    pub(in crate::mqtt) alias: Option<u16>,
    pub(in crate::mqtt) expiry_s: Option<u32>,
    /// Encoded, to be passed on.
    pub(in crate::mqtt) properties: Vec<u8>,
}

pub(super) fn parse(version: Version, flags: u8, body: &[u8]) -> Result<Publish, Violation> {
    let (qos, is_duplicate) = ((flags >> 1) & 3, flags & 8 != 0);
    if qos == 3 || (qos == 0 && is_duplicate) {
        return Err(Violation(reason::MALFORMED));
    }
    let shared: Arc<[u8]> = Arc::from(body);
    let publish = match version {
        Version::V3 => {
            let packet = whole(v3_1_1::Publish::parse(flags, shared)?, body)?;
            Publish {
                topic: packet.topic_name().to_owned(),
                id: packet.packet_id().unwrap_or(0),
                qos: qos_number(packet.qos()),
                retain: packet.retain(),
                payload: packet.payload().clone(),
                alias: None,
                expiry_s: None,
                properties: Vec::new(),
            }
        }
        Version::V5 => of_v5(&whole(v5_0::Publish::parse(flags, shared)?, body)?)?,
    };
    if publish.qos > 0 && publish.id == 0 {
        return Err(Violation(reason::MALFORMED));
    }
    Ok(publish)
}

fn of_v5(packet: &v5_0::Publish) -> Result<Publish, Violation> {
    let (mut alias, mut expiry_s) = (None, None);
    for property in packet.props() {
        match property {
            Property::TopicAlias(number) => alias = Some(number.val()),
            Property::MessageExpiryInterval(seconds) => expiry_s = Some(seconds.val()),
            // Only servers say it.
            Property::SubscriptionIdentifier(_) => return Err(Violation(reason::PROTOCOL_ERROR)),
            _ => {}
        }
    }
    Ok(Publish {
        topic: packet.topic_name().to_owned(),
        id: packet.packet_id().unwrap_or(0),
        qos: qos_number(packet.qos()),
        retain: packet.retain(),
        payload: packet.payload().clone(),
        alias,
        expiry_s,
        properties: passed_on(packet.props()),
    })
}

/// The properties that receivers get as they came, encoded: request and response, content type and format, the user's own.
pub(super) fn passed_on(properties: &[Property]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for property in properties {
        if matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(_)
        ) {
            encoded.extend_from_slice(&property.to_continuous_buffer());
        }
    }
    encoded
}
