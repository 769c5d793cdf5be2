//! Where a message of a client goes. The place of adapters: a device that speaks another system's topics is known by its credential,
//! so its destination is decided here and nowhere else.

use super::access::Who;
use super::native;

/// Who takes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// The native protocol: a board tells how it is. Stored, then shown to the project.
    Report { device_id: i64 },
    /// The clients of the project that subscribed to it.
    Project,
}

/// The destination of a message on a topic that its sender may use.
pub(super) fn destination(who: &Who, topic: &str) -> Destination {
    match (who, native::report_of(topic)) {
        (Who::Device { id, .. }, Some(device_id)) if *id == device_id => Destination::Report { device_id },
        _ => Destination::Project,
    }
}
