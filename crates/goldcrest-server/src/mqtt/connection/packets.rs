//! What each packet of a client that is in does.

use std::sync::Arc;

use super::{Client, Closing};
use crate::adapters::insighio::Thing;
use crate::mqtt::access::Who;
use crate::mqtt::counters::End;
use crate::mqtt::reason;
use crate::mqtt::wire::{Packet, Publish, Subscribe, Violation, encode};

const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// What a packet asks for that takes a while: the database is needed.
#[derive(Debug)]
pub(super) enum Errand {
    Subscribe(Subscribe),
    /// What a board of ThingsBoard says.
    Board {
        device_id: i64,
        publish: Publish,
    },
    /// One that is not a device yet.
    Newcomer {
        publish: Publish,
    },
    /// A board's report.
    Report {
        device_id: i64,
        publish: Publish,
    },
    /// A message of an insigh.io thing.
    Thing {
        thing: Arc<Thing>,
        publish: Publish,
    },
}

impl Client {
    /// Does what a packet asks for, or says what is to be waited for.
    pub(super) fn handle(&mut self, packet: Packet, out: &mut Vec<u8>) -> Result<Option<Errand>, Closing> {
        match packet {
            Packet::Publish(publish) => return self.take_publish(publish, out),
            Packet::PubAck { id } | Packet::PubComp { id } | Packet::PubRec { id, is_refusal: true } => {
                self.hub.acknowledged(self.id, &self.link, id);
            }
            Packet::PubRec { id, is_refusal: false } => {
                let is_known = self.hub.received(self.id, &self.link, id);
                encode::acknowledgement(out, self.version, PUBREL, id, known_or_not(is_known));
            }
            Packet::PubRel { id } => {
                let is_known = self.hub.let_go(self.id, &self.link, id);
                encode::acknowledgement(out, self.version, PUBCOMP, id, known_or_not(is_known));
            }
            Packet::Subscribe(subscribe) => return Ok(Some(Errand::Subscribe(subscribe))),
            Packet::Unsubscribe { id, filters } => self.unsubscribe(id, &filters, out),
            Packet::Ping => encode::pong(out),
            Packet::Disconnect { with_will, session_expiry_s } => {
                if let Some(seconds) = session_expiry_s {
                    let set = self.hub.set_expiry(self.id, &self.link, seconds);
                    set.map_err(|()| Violation(reason::PROTOCOL_ERROR))?;
                }
                let end = if with_will { End::Lost } else { End::Goodbye };
                return Err(Closing { end, code: reason::SUCCESS });
            }
        }
        Ok(None)
    }

    /// Does what could not be done at once.
    pub(super) async fn run(&mut self, errand: Errand, out: &mut Vec<u8>) -> Result<(), Closing> {
        match errand {
            Errand::Subscribe(subscribe) => self.subscribe(subscribe, out).await,
            Errand::Board { device_id, publish } => self.board_says(device_id, &publish, out).await,
            Errand::Newcomer { publish } => self.newcomer_says(&publish, out).await,
            Errand::Report { device_id, publish } => self.report(device_id, publish, out).await,
            Errand::Thing { thing, publish } => self.thing_says(&thing, publish, out).await,
        }
    }

    /// A board that speaks is there.
    pub(super) fn touch(&self) {
        if let Who::Device { id, .. } = self.who {
            self.app.heartbeats.beat(id, self.app.clock.now_ms());
        }
    }
}

fn known_or_not(is_known: bool) -> u8 {
    if is_known { reason::SUCCESS } else { reason::ID_UNKNOWN }
}
