//! Where a message of a client goes. The place of adapters: a device that speaks another system's topics is known by its credential,
//! so its destination is decided here and nowhere else.

use std::sync::Arc;

use super::access::{Speaks, Who};
use super::{native, thingsboard};
use crate::adapters::insighio::Thing;
use crate::adapters::thingsboard::mqtt::PROVISION_REQUEST;

/// Who takes a message.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// The native protocol: a board tells how it is. Stored, then shown to the project.
    Report { device_id: i64 },
    /// A board of ThingsBoard: it is answered, and nobody else hears of it.
    Board { device_id: i64 },
    /// The same, before it is a device.
    Newcomer,
    /// insigh.io: taken in, then shown to the project.
    Thing(Arc<Thing>),
    /// The clients of the project that subscribed to it.
    Project,
}

/// The destination of a message on a topic that its sender may use.
pub(super) fn destination(who: &Who, topic: &str) -> Destination {
    if let Who::Device { speaks: Speaks::Insighio(thing), .. } = who
        && thing.place(topic).is_some()
    {
        return Destination::Thing(Arc::clone(thing));
    }
    match (who, native::report_of(topic)) {
        (Who::Device { id, speaks: Speaks::Thingsboard, .. }, _) if thingsboard::is_of(*id, topic) => {
            Destination::Board { device_id: *id }
        }
        (Who::Newcomer, _) if topic == PROVISION_REQUEST => Destination::Newcomer,
        (Who::Device { id, .. }, Some(device_id)) if *id == device_id => Destination::Report { device_id },
        _ => Destination::Project,
    }
}
