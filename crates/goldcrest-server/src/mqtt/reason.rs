//! Reason codes of MQTT 5 that this server uses, and what MQTT 3.1.1 has instead.

pub(super) const SUCCESS: u8 = 0x00;
pub(super) const NO_SUBSCRIBERS: u8 = 0x10;
pub(super) const NO_SUBSCRIPTION: u8 = 0x11;
/// Also the refusal of a subscription, in both versions: the server does not tell whether there is anything to hear.
pub(super) const UNSPECIFIED: u8 = 0x80;
pub(super) const MALFORMED: u8 = 0x81;
pub(super) const PROTOCOL_ERROR: u8 = 0x82;
pub(super) const UNSUPPORTED_VERSION: u8 = 0x84;
pub(super) const BAD_CLIENT_ID: u8 = 0x85;
pub(super) const BAD_CREDENTIALS: u8 = 0x86;
pub(super) const NOT_AUTHORIZED: u8 = 0x87;
pub(super) const SERVER_UNAVAILABLE: u8 = 0x88;
pub(super) const SERVER_BUSY: u8 = 0x89;
pub(super) const SHUTTING_DOWN: u8 = 0x8b;
pub(super) const BAD_AUTHENTICATION_METHOD: u8 = 0x8c;
pub(super) const KEEP_ALIVE_TIMEOUT: u8 = 0x8d;
pub(super) const TAKEN_OVER: u8 = 0x8e;
pub(super) const FILTER_INVALID: u8 = 0x8f;
pub(super) const TOPIC_INVALID: u8 = 0x90;
pub(super) const ID_UNKNOWN: u8 = 0x92;
pub(super) const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
pub(super) const ALIAS_INVALID: u8 = 0x94;
pub(super) const PACKET_TOO_LARGE: u8 = 0x95;
pub(super) const QUOTA_EXCEEDED: u8 = 0x97;
pub(super) const PAYLOAD_INVALID: u8 = 0x99;

/// The return code of an MQTT 3.1.1 CONNACK.
pub(super) fn connack_v3(code: u8) -> u8 {
    match code {
        SUCCESS => 0,
        UNSUPPORTED_VERSION => 1,
        BAD_CLIENT_ID => 2,
        BAD_CREDENTIALS => 4,
        NOT_AUTHORIZED => 5,
        _ => 3,
    }
}
