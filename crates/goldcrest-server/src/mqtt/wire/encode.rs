//! Packets to bytes: what a server says, written straight into a connection's buffer.

use super::{Connect, Version};
use crate::mqtt::limits::{MAX_PACKET, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM};
use crate::mqtt::message::Message;
use crate::mqtt::reason;

const SESSION_EXPIRY: u8 = 0x11;
const ASSIGNED_CLIENT_ID: u8 = 0x12;
const SERVER_KEEP_ALIVE: u8 = 0x13;
const RECEIVE_MAX: u8 = 0x21;
const ALIAS_MAX: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const PACKET_MAX: u8 = 0x27;
const MESSAGE_EXPIRY: u8 = 0x02;
const SUBSCRIPTION_ID: u8 = 0x0b;

/// What a good CONNACK tells besides success.
#[derive(Debug)]
pub(in crate::mqtt) struct Welcome<'a> {
    pub(in crate::mqtt) session_present: bool,
    /// What the server made of the client's wish, if it is not the wish.
    pub(in crate::mqtt) session_expiry_s: Option<u32>,
    pub(in crate::mqtt) keep_alive_s: Option<u16>,
    pub(in crate::mqtt) assigned_id: Option<&'a str>,
}

/// CONNACK to a client that is let in. What is not named there is offered in full: retained messages, wildcards, shared
/// subscriptions, subscription identifiers, `QoS` 2.
pub(in crate::mqtt) fn welcome(out: &mut Vec<u8>, connect: &Connect, welcome: &Welcome<'_>) {
    let present = u8::from(welcome.session_present);
    if connect.version == Version::V3 {
        out.extend_from_slice(&[0x20, 2, present, 0]);
        return;
    }
    let mut properties = Vec::with_capacity(32);
    properties.push(RECEIVE_MAX);
    properties.extend_from_slice(&RECEIVE_MAXIMUM.to_be_bytes());
    properties.push(PACKET_MAX);
    properties.extend_from_slice(&u32::try_from(MAX_PACKET).unwrap_or(u32::MAX).to_be_bytes());
    properties.push(ALIAS_MAX);
    properties.extend_from_slice(&TOPIC_ALIAS_MAXIMUM.to_be_bytes());
    if let Some(seconds) = welcome.session_expiry_s {
        properties.push(SESSION_EXPIRY);
        properties.extend_from_slice(&seconds.to_be_bytes());
    }
    if let Some(seconds) = welcome.keep_alive_s {
        properties.push(SERVER_KEEP_ALIVE);
        properties.extend_from_slice(&seconds.to_be_bytes());
    }
    if let Some(id) = welcome.assigned_id {
        properties.push(ASSIGNED_CLIENT_ID);
        text(&mut properties, id);
    }
    out.push(0x20);
    length(out, 2 + length_of(properties.len()) + properties.len());
    out.extend_from_slice(&[present, reason::SUCCESS]);
    length(out, properties.len());
    out.extend_from_slice(&properties);
}

/// CONNACK to a client that is not.
pub(in crate::mqtt) fn refusal(out: &mut Vec<u8>, version: Version, code: u8) {
    match version {
        Version::V3 => out.extend_from_slice(&[0x20, 2, 0, reason::connack_v3(code)]),
        Version::V5 => out.extend_from_slice(&[0x20, 3, 0, code, 0]),
    }
}

/// DISCONNECT, for which MQTT 3.1.1 has no word.
pub(in crate::mqtt) fn disconnect(out: &mut Vec<u8>, version: Version, code: u8) {
    if version == Version::V5 {
        out.extend_from_slice(&[0xe0, 2, code, 0]);
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte.
pub(in crate::mqtt) fn acknowledgement(out: &mut Vec<u8>, version: Version, first: u8, id: u16, code: u8) {
    let [high, low] = id.to_be_bytes();
    if version == Version::V3 || code == reason::SUCCESS {
        out.extend_from_slice(&[first, 2, high, low]);
    } else {
        out.extend_from_slice(&[first, 3, high, low, code]);
    }
}

/// SUBACK (0x90) or UNSUBACK (0xb0).
pub(in crate::mqtt) fn codes(out: &mut Vec<u8>, version: Version, first: u8, id: u16, codes: &[u8]) {
    // MQTT 3.1.1 does not say how each of several filters left.
    let codes = if version == Version::V3 && first == 0xb0 { &[] } else { codes };
    let properties = usize::from(version == Version::V5);
    out.push(first);
    length(out, 2 + properties + codes.len());
    out.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        out.push(0);
    }
    if version == Version::V3 {
        out.extend(codes.iter().map(|code| if *code >= 0x80 { 0x80 } else { *code }));
    } else {
        out.extend_from_slice(codes);
    }
}

/// PINGRESP.
pub(in crate::mqtt) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// How a message goes to one receiver.
#[derive(Debug)]
pub(in crate::mqtt) struct Delivery<'a> {
    pub(in crate::mqtt) version: Version,
    /// Empty when the alias is known.
    pub(in crate::mqtt) topic: &'a str,
    pub(in crate::mqtt) alias: Option<u16>,
    pub(in crate::mqtt) qos: u8,
    pub(in crate::mqtt) id: u16,
    pub(in crate::mqtt) retain: bool,
    pub(in crate::mqtt) is_duplicate: bool,
    pub(in crate::mqtt) identifiers: &'a [u32],
    pub(in crate::mqtt) expiry_s: Option<u32>,
}

/// PUBLISH, if it has at most `max` bytes. Whether it was written.
pub(in crate::mqtt) fn publish(out: &mut Vec<u8>, message: &Message, delivery: &Delivery<'_>, max: u32) -> bool {
    let mut body = 2 + delivery.topic.len() + message.payload.len() + if delivery.qos > 0 { 2 } else { 0 };
    let mut properties = 0;
    if delivery.version == Version::V5 {
        properties = message.properties.len()
            + delivery.alias.map_or(0, |_| 3)
            + delivery.expiry_s.map_or(0, |_| 5)
            + delivery.identifiers.iter().map(|id| 1 + length_of(*id as usize)).sum::<usize>();
        body += length_of(properties) + properties;
    }
    if 1 + length_of(body) + body > max as usize {
        return false;
    }
    out.reserve(5 + body);
    out.push(0x30 | u8::from(delivery.is_duplicate) << 3 | delivery.qos << 1 | u8::from(delivery.retain));
    length(out, body);
    text(out, delivery.topic);
    if delivery.qos > 0 {
        out.extend_from_slice(&delivery.id.to_be_bytes());
    }
    if delivery.version == Version::V5 {
        length(out, properties);
        if let Some(alias) = delivery.alias {
            out.push(TOPIC_ALIAS);
            out.extend_from_slice(&alias.to_be_bytes());
        }
        if let Some(seconds) = delivery.expiry_s {
            out.push(MESSAGE_EXPIRY);
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for id in delivery.identifiers {
            out.push(SUBSCRIPTION_ID);
            length(out, *id as usize);
        }
        out.extend_from_slice(&message.properties);
    }
    out.extend_from_slice(message.payload.as_slice());
    true
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Topics and client ids are far shorter (limits.rs).
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn length(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let [byte, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

fn length_of(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
