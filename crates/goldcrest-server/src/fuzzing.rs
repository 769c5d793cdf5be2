//! Doors for `fuzz/`: parsers of bytes from strangers, without a server around them.

use crate::{adapters, mqtt};

/// Frames of one MQTT connection, the first byte chooses the version; behind them two filters and a topic.
///
/// # Panics
/// When a filter covers another, but not what that one matches: a finding.
pub fn mqtt(bytes: &[u8]) {
    mqtt::fuzz(bytes);
}

/// The path of a request of a board of another system.
///
/// # Panics
/// When a path comes through that climbs: a finding.
pub fn address(path: &str) {
    if let Some(segments) = adapters::segments(path) {
        let climbs = |s: &String| s.is_empty() || s == "." || s == ".." || s.contains(['/', '\\', '\0']);
        assert!(!segments.iter().any(climbs), "{path:?} became {segments:?}");
    }
}

/// What a board of ThingsBoard publishes: telemetry, what it asks for, and after the first byte 0 the address of a chunk and its size.
///
/// # Panics
/// When something is made of a broken message that is no failed update: a finding.
pub fn thingsboard(bytes: &[u8]) {
    adapters::thingsboard::fuzz(bytes);
}

/// A topic and what a thing of insigh.io published there.
///
/// # Panics
/// When a topic of another thing is taken for its own: a finding.
pub fn insighio(bytes: &[u8]) {
    adapters::insighio::fuzz(bytes);
}
