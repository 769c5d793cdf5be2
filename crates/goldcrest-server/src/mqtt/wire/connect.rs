//! CONNECT, the same for both versions.

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};

use super::{Violation, publish, qos_number, whole};
use crate::mqtt::reason;

/// Which MQTT a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum Version {
    /// 3.1.1.
    V3,
    V5,
}

/// What a client said first.
#[derive(Debug)]
pub(in crate::mqtt) struct Connect {
    pub(in crate::mqtt) version: Version,
    pub(in crate::mqtt) client_id: String,
    pub(in crate::mqtt) is_clean: bool,
    pub(in crate::mqtt) keep_alive_s: u16,
    pub(in crate::mqtt) user_name: Option<String>,
    pub(in crate::mqtt) password: Option<Vec<u8>>,
    pub(in crate::mqtt) will: Option<Will>,
    /// How long its session outlives the connection. MQTT 3.1.1: as long as the server keeps any, unless it is clean.
    pub(in crate::mqtt) session_expiry_s: u32,
    pub(in crate::mqtt) receive_maximum: u16,
    pub(in crate::mqtt) max_packet: u32,
    pub(in crate::mqtt) topic_alias_maximum: u16,
    pub(in crate::mqtt) has_authentication_method: bool,
}

/// What is published in a client's name when its connection is lost.
#[derive(Debug)]
pub(in crate::mqtt) struct Will {
    pub(in crate::mqtt) topic: String,
    pub(in crate::mqtt) payload: Vec<u8>,
    pub(in crate::mqtt) qos: u8,
    pub(in crate::mqtt) retain: bool,
    pub(in crate::mqtt) delay_s: u32,
    pub(in crate::mqtt) expiry_s: Option<u32>,
    /// Encoded, to be passed on.
    pub(in crate::mqtt) properties: Vec<u8>,
}

/// Where version and flags stand in a CONNECT: after the name `MQTT`.
const VERSION_AT: usize = 6;

/// The version that the first packet asks for, as far as it tells: a refusal is written in it.
pub(in crate::mqtt) fn version_of(body: &[u8]) -> Version {
    if body.get(VERSION_AT) == Some(&5) { Version::V5 } else { Version::V3 }
}

/// Parses the first packet of a connection.
pub(in crate::mqtt) fn parse(first: u8, body: &[u8]) -> Result<Connect, Violation> {
    if first != 0x10 {
        return Err(Violation(reason::PROTOCOL_ERROR));
    }
    if body.starts_with(b"\x00\x06MQIsdp") {
        // MQTT 3.1.
        return Err(Violation(reason::UNSUPPORTED_VERSION));
    }
    if !body.starts_with(b"\x00\x04MQTT") {
        return Err(Violation(reason::PROTOCOL_ERROR));
    }
    let (Some(&version), Some(&flags)) = (body.get(VERSION_AT), body.get(VERSION_AT + 1)) else {
        return Err(Violation(reason::MALFORMED));
    };
    if !matches!(version, 4 | 5) {
        return Err(Violation(reason::UNSUPPORTED_VERSION));
    }
    let (has_will, will_qos, will_retain) = (flags & 4 != 0, (flags >> 3) & 3, flags & 0x20 != 0);
    // What the library leaves to its user.
    if flags & 1 != 0 || will_qos == 3 || (!has_will && (will_qos != 0 || will_retain)) {
        return Err(Violation(reason::MALFORMED));
    }
    let connect = match version {
        5 => of_v5(&whole(v5_0::Connect::parse(body)?, body)?),
        _ => of_v3(&whole(v3_1_1::Connect::parse(body)?, body)?),
    };
    if connect.client_id.contains('\0') || connect.receive_maximum == 0 || connect.max_packet == 0 {
        return Err(Violation(reason::PROTOCOL_ERROR));
    }
    Ok(connect)
}

fn of_v3(packet: &v3_1_1::Connect) -> Connect {
    let will = packet.will_topic().map(|topic| Will {
        topic: topic.to_owned(),
        payload: packet.will_payload().unwrap_or_default().to_vec(),
        qos: qos_number(packet.will_qos()),
        retain: packet.will_retain(),
        delay_s: 0,
        expiry_s: None,
        properties: Vec::new(),
    });
    Connect {
        version: Version::V3,
        client_id: packet.client_id().to_owned(),
        is_clean: packet.clean_session(),
        keep_alive_s: packet.keep_alive(),
        user_name: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        will,
        session_expiry_s: if packet.clean_session() { 0 } else { u32::MAX },
        receive_maximum: u16::MAX,
        max_packet: u32::MAX,
        topic_alias_maximum: 0,
        has_authentication_method: false,
    }
}

fn of_v5(packet: &v5_0::Connect) -> Connect {
    let will = packet.will_topic().map(|topic| {
        let mut will = Will {
            topic: topic.to_owned(),
            payload: packet.will_payload().unwrap_or_default().to_vec(),
            qos: qos_number(packet.will_qos()),
            retain: packet.will_retain(),
            delay_s: 0,
            expiry_s: None,
            properties: publish::passed_on(packet.will_props()),
        };
        for property in packet.will_props() {
            match property {
                Property::WillDelayInterval(seconds) => will.delay_s = seconds.val(),
                Property::MessageExpiryInterval(seconds) => will.expiry_s = Some(seconds.val()),
                _ => {}
            }
        }
        will
    });
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        is_clean: packet.clean_start(),
        keep_alive_s: packet.keep_alive(),
        user_name: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        will,
        session_expiry_s: 0,
        receive_maximum: u16::MAX,
        max_packet: u32::MAX,
        topic_alias_maximum: 0,
        has_authentication_method: false,
    };
    for property in packet.props() {
        match property {
            Property::SessionExpiryInterval(seconds) => connect.session_expiry_s = seconds.val(),
            Property::ReceiveMaximum(messages) => connect.receive_maximum = messages.val(),
            Property::MaximumPacketSize(bytes) => connect.max_packet = bytes.val(),
            Property::TopicAliasMaximum(aliases) => connect.topic_alias_maximum = aliases.val(),
            Property::AuthenticationMethod(_) => connect.has_authentication_method = true,
            _ => {}
        }
    }
    connect
}
