//! Every limit of the MQTT endpoint, in one place: docs/mqtt.md lists them.

use std::time::Duration;

/// Most open connections; a further one is closed at once.
pub(super) const MAX_CONNECTIONS: usize = 50_000;
/// Most connections that have not said who they are.
pub(super) const MAX_PENDING: usize = 1_000;
/// Longest time from the first byte to a good CONNECT, TLS handshake included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a CONNECT packet: before it, nobody is known.
pub(super) const MAX_CONNECT_PACKET: usize = 16 << 10;
/// Most bytes of any packet from a client.
pub(super) const MAX_PACKET: usize = 256 << 10;
/// Bytes that are read at once, into a buffer that a thread's connections share.
pub(super) const READ_CHUNK: usize = 32 << 10;
/// Bytes written at once; more packets are made when these are gone.
pub(super) const WRITE_CHUNK: usize = 64 << 10;
/// A client that takes no byte for this long is closed.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a refused client may go on sending before its connection is reset, and how much: a close with unread bytes would
/// take the reason with it.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that are thrown away meanwhile.
pub(super) const MAX_LINGER_BYTES: usize = 1 << 20;
/// MQTT 5: longest keep-alive; who asks for more is told this one. A board that is gone is known within 1.5 times of it.
pub(super) const MAX_KEEP_ALIVE_S: u16 = 60;
/// MQTT 5: most `QoS` 2 messages of a client that are not released.
pub(super) const RECEIVE_MAXIMUM: u16 = 32;
/// The same for MQTT 3.1.1, where a client cannot be told.
pub(super) const MAX_UNRELEASED: usize = 1_000;
/// MQTT 3.1.1: messages under way to a client. MQTT 5: unless it wants fewer.
pub(crate) const MAX_INFLIGHT: u16 = 100;
/// Topic aliases a client may set.
pub(super) const TOPIC_ALIAS_MAXIMUM: u16 = 16;
/// Topic aliases that the server sets, if the client allows as many.
pub(super) const MAX_ALIASES_OUT: u16 = 16;
/// Longest client id, user name, password; bytes.
pub(super) const MAX_CLIENT_ID: usize = 256;
/// Longest topic or filter; bytes.
pub(super) const MAX_TOPIC: usize = 1_024;
/// Most levels of a topic or filter.
pub(super) const MAX_LEVELS: usize = 32;
/// Most subscriptions of a session.
pub(super) const MAX_SUBSCRIPTIONS: usize = 100;
/// Most messages that wait for one client.
pub(super) const MAX_QUEUED: usize = 1_000;
/// Most payload bytes of them.
pub(super) const MAX_QUEUED_BYTES: usize = 1 << 20;
/// Most bytes that messages of clients may take in all, wherever they wait; beyond it, new ones are refused.
pub(super) const MAX_HELD_BYTES: usize = 512 << 20;
/// What a waiting message costs besides its content, each time that it waits.
pub(super) const PARCEL_BYTES: usize = 64;
/// Most sessions of a project, live or kept.
pub(super) const MAX_SESSIONS: usize = 100_000;
/// Longest time a session is kept for a client that is away; MQTT 5 clients are told.
pub(super) const MAX_SESSION_EXPIRY_S: u32 = 7 * 24 * 3600;
/// Most retained messages of a project.
pub(super) const MAX_RETAINED: usize = 10_000;
/// Most bytes of them.
pub(super) const MAX_RETAINED_BYTES: usize = 16 << 20;
/// Most devices whose state one subscription with wildcards gets.
pub(super) const MAX_STATES: usize = MAX_RETAINED;
/// How often wills and sessions that are due are looked for.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// Longest visit of a board that is no device yet: nobody knows it.
pub(super) const NEWCOMER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long clients may take to hear that the server stops.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Most access rules of a project.
pub(crate) const MAX_RULES: usize = 100;
