//! PUBLISH: where it goes, and what its sender is told.

use std::sync::Arc;
use std::time::Instant;

use super::packets::Errand;
use super::{Client, Closing};
use crate::adapters::insighio::Thing;
use crate::failure::Failure;
use crate::mqtt::counters::Drop;
use crate::mqtt::dispatch::{Destination, destination};
use crate::mqtt::hub::Taken;
use crate::mqtt::limits::{MAX_UNRELEASED, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM};
use crate::mqtt::message::{Message, end_of};
use crate::mqtt::wire::{Publish, Version, Violation, encode};
use crate::mqtt::{insighio, native, reason, topic};

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;

impl Client {
    pub(super) fn take_publish(&mut self, mut publish: Publish, out: &mut Vec<u8>) -> Result<Option<Errand>, Closing> {
        self.app.mqtt.counters.received();
        self.resolve_alias(&mut publish)?;
        if !topic::is_topic(&publish.topic) {
            return Err(Violation(reason::TOPIC_INVALID).into());
        }
        let (id, qos) = (publish.id, publish.qos);
        if qos == 2 {
            let most = if self.version == Version::V5 { usize::from(RECEIVE_MAXIMUM) } else { MAX_UNRELEASED };
            match self.hub.take_in(self.id, &self.link, id, most) {
                Taken::New => {}
                Taken::Known => {
                    encode::acknowledgement(out, self.version, PUBREC, id, reason::SUCCESS);
                    return Ok(None);
                }
                Taken::TooMany => return Err(Violation(reason::RECEIVE_MAXIMUM_EXCEEDED).into()),
            }
        }
        if let Some(spelled_out) = native::spelled_out(&self.who, &publish.topic) {
            publish.topic = spelled_out;
        }
        let rules = Arc::clone(self.hub.lock().rules());
        let code = if self.who.may_publish(&rules, &publish.topic) {
            match destination(&self.who, &publish.topic) {
                Destination::Report { device_id } => return Ok(Some(Errand::Report { device_id, publish })),
                Destination::Board { device_id } => return Ok(Some(Errand::Board { device_id, publish })),
                Destination::Newcomer => return Ok(Some(Errand::Newcomer { publish })),
                Destination::Thing(thing) => return Ok(Some(Errand::Thing { thing, publish })),
                Destination::Project => self.route(publish),
            }
        } else {
            self.app.mqtt.counters.dropped(Drop::Forbidden, 1);
            reason::NOT_AUTHORIZED
        };
        self.acknowledge(id, qos, code, out);
        Ok(None)
    }

    /// Tells the sender what became of its message. MQTT 3.1.1 has no word for a refusal: there a refused message is acknowledged.
    pub(super) fn acknowledge(&self, id: u16, qos: u8, code: u8, out: &mut Vec<u8>) {
        match qos {
            1 => encode::acknowledgement(out, self.version, PUBACK, id, code),
            2 => {
                if code >= 0x80 && self.version == Version::V5 {
                    self.hub.let_go(self.id, &self.link, id);
                }
                encode::acknowledgement(out, self.version, PUBREC, id, code);
            }
            _ => {}
        }
    }

    fn route(&self, publish: Publish) -> u8 {
        let counters = &self.app.mqtt.counters;
        if !counters.has_room() {
            counters.dropped(Drop::QueueFull, 1);
            return reason::QUOTA_EXCEEDED;
        }
        let held = counters.hold(publish.topic.len() + publish.payload.len() + publish.properties.len());
        let message = Message {
            topic: publish.topic.into(),
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties.into(),
            expires: publish.expiry_s.map(|seconds| end_of(seconds, Instant::now())),
            from: Some(self.id),
            _held: Some(held),
        };
        let routed = self.hub.publish(message);
        match routed.receivers {
            _ if routed.not_retained => reason::QUOTA_EXCEEDED,
            0 => reason::NO_SUBSCRIBERS,
            _ => reason::SUCCESS,
        }
    }

    /// A board's report is acknowledged once it is stored.
    pub(super) async fn report(
        &mut self,
        device_id: i64,
        mut publish: Publish,
        out: &mut Vec<u8>,
    ) -> Result<(), Closing> {
        let (id, qos) = (publish.id, publish.qos);
        let code = match native::take_report(&self.app, device_id, publish.payload.as_slice()).await {
            Ok(()) => {
                publish.retain = false;
                self.route(publish);
                reason::SUCCESS
            }
            Err(Failure::Invalid(why)) => {
                tracing::debug!(device.id = device_id, why, "report over MQTT not understood");
                self.app.mqtt.counters.dropped(Drop::BadReport, 1);
                reason::PAYLOAD_INVALID
            }
            Err(failure) => {
                tracing::error!(device.id = device_id, error = ?failure, "report over MQTT not stored");
                // Without an acknowledgement the board sends it again.
                return Err(Violation(reason::SERVER_BUSY).into());
            }
        };
        self.acknowledge(id, qos, code, out);
        Ok(())
    }

    /// What a thing published is acknowledged once it is taken in.
    pub(super) async fn thing_says(
        &mut self,
        thing: &Thing,
        mut publish: Publish,
        out: &mut Vec<u8>,
    ) -> Result<(), Closing> {
        let (id, qos) = (publish.id, publish.qos);
        let code = match insighio::take(&self.app, thing, &mut publish).await {
            Ok(()) => self.route(publish),
            Err(Failure::Invalid(why) | Failure::TooLarge(why)) => {
                tracing::debug!(device.id = thing.device_id, why, "message of a thing not understood");
                self.app.mqtt.counters.dropped(Drop::BadReport, 1);
                reason::PAYLOAD_INVALID
            }
            Err(failure) => {
                tracing::error!(device.id = thing.device_id, error = ?failure, "message of a thing not taken in");
                // Without an acknowledgement it sends it again.
                return Err(Violation(reason::SERVER_BUSY).into());
            }
        };
        self.acknowledge(id, qos, code, out);
        Ok(())
    }

    /// Puts the topic in that an alias stands for, and learns new aliases.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Violation> {
        let Some(alias) = publish.alias else { return Ok(()) };
        if alias == 0 || alias > TOPIC_ALIAS_MAXIMUM {
            return Err(Violation(reason::ALIAS_INVALID));
        }
        let at = usize::from(alias - 1);
        if publish.topic.is_empty() {
            let known = self.aliases.get(at).and_then(Option::as_deref);
            known.ok_or(Violation(reason::ALIAS_INVALID))?.clone_into(&mut publish.topic);
            return Ok(());
        }
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        self.aliases[at] = Some(publish.topic.as_str().into());
        Ok(())
    }
}
