//! Bytes to packets: frames are cut here, bodies are parsed by `mqtt-protocol-core`, and what comes out is the same for both versions.

mod connect;
pub(super) mod encode;
mod publish;

use mqtt_protocol_core::mqtt::packet::{Property, Qos, RetainHandling, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

pub(super) use connect::{Connect, Version, Will, parse as parse_connect, version_of};
pub(super) use publish::Publish;

use super::reason;

/// What a client can say after its CONNECT.
#[derive(Debug)]
pub(super) enum Packet {
    Publish(Publish),
    PubAck { id: u16 },
    PubRec { id: u16, is_refusal: bool },
    PubRel { id: u16 },
    PubComp { id: u16 },
    Subscribe(Subscribe),
    Unsubscribe { id: u16, filters: Vec<String> },
    Ping,
    Disconnect { with_will: bool, session_expiry_s: Option<u32> },
}

/// SUBSCRIBE.
#[derive(Debug)]
pub(super) struct Subscribe {
    pub(super) id: u16,
    /// 0: none.
    pub(super) identifier: u32,
    pub(super) entries: Vec<Entry>,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) filter: String,
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain_handling: RetainHandling,
}

/// A reason code of MQTT 5 for which a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation(pub(super) u8);

impl From<MqttError> for Violation {
    fn from(error: MqttError) -> Self {
        let code = error as u16;
        Self(u8::try_from(code).unwrap_or(reason::MALFORMED))
    }
}

/// The first frame in `bytes`: its first byte, where its body begins and where it ends. `None` when more bytes are needed.
pub(super) fn frame(bytes: &[u8], max: usize) -> Result<Option<(u8, usize, usize)>, Violation> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let begin = index + 2;
            if begin + length > max {
                return Err(Violation(reason::PACKET_TOO_LARGE));
            }
            return Ok((bytes.len() >= begin + length).then_some((first, begin, begin + length)));
        }
    }
    if rest.len() >= 4 { Err(Violation(reason::MALFORMED)) } else { Ok(None) }
}

/// Parses a frame that came after CONNECT.
pub(super) fn parse(version: Version, first: u8, body: &[u8]) -> Result<Packet, Violation> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let wanted = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags != wanted {
        return Err(Violation(reason::MALFORMED));
    }
    match kind {
        3 => publish::parse(version, flags, body).map(Packet::Publish),
        4 => Ok(Packet::PubAck { id: acknowledged(version, kind, body)?.0 }),
        5 => {
            let (id, is_refusal) = acknowledged(version, kind, body)?;
            Ok(Packet::PubRec { id, is_refusal })
        }
        6 => Ok(Packet::PubRel { id: acknowledged(version, kind, body)?.0 }),
        7 => Ok(Packet::PubComp { id: acknowledged(version, kind, body)?.0 }),
        8 => subscribe(version, body).map(Packet::Subscribe),
        10 => unsubscribe(version, body),
        12 if body.is_empty() => Ok(Packet::Ping),
        14 => disconnect(version, body),
        // A second CONNECT, what only servers say, and AUTH: no method was agreed on.
        _ => Err(Violation(reason::PROTOCOL_ERROR)),
    }
}

/// The packet id of an acknowledgement, and whether it is a refusal.
fn acknowledged(version: Version, kind: u8, body: &[u8]) -> Result<(u16, bool), Violation> {
    macro_rules! read {
        ($v3:ident, $v5:ident) => {
            match version {
                Version::V3 => whole(v3_1_1::$v3::parse(body)?, body).map(|packet| (packet.packet_id(), false)),
                Version::V5 => whole(v5_0::$v5::parse(body)?, body)
                    .map(|packet| (packet.packet_id(), packet.reason_code().is_some_and(|code| code as u8 >= 0x80))),
            }
        };
    }
    match kind {
        4 => read!(Puback, Puback),
        5 => read!(Pubrec, Pubrec),
        6 => read!(Pubrel, Pubrel),
        _ => read!(Pubcomp, Pubcomp),
    }
}

fn subscribe(version: Version, body: &[u8]) -> Result<Subscribe, Violation> {
    let (id, identifier, entries) = match version {
        Version::V3 => {
            let packet = whole(v3_1_1::Subscribe::parse(body)?, body)?;
            // Only the QoS: the other bits are reserved.
            if packet.entries().iter().any(|entry| entry.sub_opts().to_buffer()[0] > 2) {
                return Err(Violation(reason::MALFORMED));
            }
            (packet.packet_id(), 0, packet.entries().iter().map(entry).collect())
        }
        Version::V5 => {
            let packet = whole(v5_0::Subscribe::parse(body)?, body)?;
            let identifier = packet.props().iter().find_map(|property| match property {
                Property::SubscriptionIdentifier(identifier) => Some(identifier.val()),
                _ => None,
            });
            (packet.packet_id(), identifier.unwrap_or(0), packet.entries().iter().map(entry).collect())
        }
    };
    Ok(Subscribe { id, identifier, entries })
}

fn entry(entry: &SubEntry) -> Entry {
    let options = entry.sub_opts();
    Entry {
        filter: entry.topic_filter().to_owned(),
        qos: qos_number(options.qos()),
        no_local: options.nl(),
        retain_as_published: options.rap(),
        retain_handling: options.rh(),
    }
}

fn unsubscribe(version: Version, body: &[u8]) -> Result<Packet, Violation> {
    let (id, filters) = match version {
        Version::V3 => {
            let packet = whole(v3_1_1::Unsubscribe::parse(body)?, body)?;
            (packet.packet_id(), packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect())
        }
        Version::V5 => {
            let packet = whole(v5_0::Unsubscribe::parse(body)?, body)?;
            (packet.packet_id(), packet.entries().iter().map(|filter| filter.as_str().to_owned()).collect())
        }
    };
    Ok(Packet::Unsubscribe { id, filters })
}

fn disconnect(version: Version, body: &[u8]) -> Result<Packet, Violation> {
    if version == Version::V3 {
        let plain = Packet::Disconnect { with_will: false, session_expiry_s: None };
        return if body.is_empty() { Ok(plain) } else { Err(Violation(reason::MALFORMED)) };
    }
    let packet = whole(v5_0::Disconnect::parse(body)?, body)?;
    let properties = packet.props().as_deref().unwrap_or_default();
    let session_expiry_s = properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    });
    let code = packet.reason_code().map_or(0, |code| code as u8);
    Ok(Packet::Disconnect { with_will: code != 0, session_expiry_s })
}

/// Refuses bytes after the end of a packet.
fn whole<T>((packet, used): (T, usize), body: &[u8]) -> Result<T, Violation> {
    if used == body.len() { Ok(packet) } else { Err(Violation(reason::MALFORMED)) }
}

fn qos_number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests;
