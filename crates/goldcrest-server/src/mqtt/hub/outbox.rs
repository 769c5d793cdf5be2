//! Messages on their way to one client: what waits, what is under way, what must be said again after a reconnect.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::mqtt::counters::Held;
use crate::mqtt::limits::{MAX_ALIASES_OUT, MAX_INFLIGHT, MAX_QUEUED, MAX_QUEUED_BYTES, MAX_RETAINED, WRITE_CHUNK};
use crate::mqtt::message::Message;
use crate::mqtt::native;
use crate::mqtt::reason;
use crate::mqtt::wire::encode::{self, Delivery};
use crate::mqtt::wire::{Connect, Version};

/// A message for this client.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) message: Arc<Message>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// The client calls itself `me` in this topic.
    pub(super) as_me: bool,
    /// Subscription identifiers.
    pub(super) identifiers: Box<[u32]>,
    /// Its memory.
    pub(super) _held: Held,
}

/// A `QoS` 1 or 2 message that the client has not acknowledged.
#[derive(Debug)]
struct Open {
    id: u16,
    /// `None` once the client has it and only its release is open.
    parcel: Option<Parcel>,
    must_repeat: bool,
}

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) version: Version,
    waiting: VecDeque<Parcel>,
    waiting_bytes: usize,
    open: Vec<Open>,
    last_id: u16,
    /// Most open messages.
    window: u16,
    max_packet: u32,
    /// Topics that have an alias: the first has 1.
    aliases: Vec<Box<str>>,
    max_aliases: u16,
}

/// Counts of one [`Outbox::take`].
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) sent: u64,
    pub(super) resent: u64,
    pub(super) expired: u64,
    pub(super) too_large: u64,
}

/// Why a message was not queued.
#[derive(Debug)]
pub(super) struct Full;

/// What decides how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// What others send.
    Live,
    /// What a subscription asked for: retained messages, which are bounded themselves.
    Replay,
}

impl Outbox {
    pub(super) fn new(connect: &Connect) -> Self {
        Self {
            version: connect.version,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            open: Vec::new(),
            last_id: 0,
            window: connect.receive_maximum.min(MAX_INFLIGHT),
            max_packet: connect.max_packet,
            aliases: Vec::new(),
            max_aliases: connect.topic_alias_maximum.min(MAX_ALIASES_OUT),
        }
    }

    /// A new connection of the same session: what was open is said again.
    pub(super) fn resume(&mut self, connect: &Connect) {
        let fresh = Self::new(connect);
        let (waiting, open) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.open));
        *self = Self { waiting, waiting_bytes: self.waiting_bytes, open, last_id: self.last_id, ..fresh };
        for open in &mut self.open {
            open.must_repeat = true;
        }
    }

    /// The connection is gone: `QoS` 0 does not wait for the next.
    pub(super) fn pause(&mut self) {
        self.waiting.retain(|parcel| parcel.qos > 0);
        self.waiting_bytes = self.waiting.iter().map(|parcel| parcel.message.weight()).sum();
        self.aliases = Vec::new();
        self.waiting.shrink_to_fit();
    }

    /// Messages that wait or are open.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    pub(super) fn push(&mut self, parcel: Parcel, bound: Bound) -> Result<(), Full> {
        let weight = parcel.message.weight();
        let is_full = match bound {
            Bound::Live => self.waiting.len() >= MAX_QUEUED || self.waiting_bytes + weight > MAX_QUEUED_BYTES,
            Bound::Replay => self.waiting.len() >= MAX_RETAINED + MAX_QUEUED,
        };
        // One message always fits: a packet is smaller than this bound.
        if is_full && !self.waiting.is_empty() {
            return Err(Full);
        }
        self.waiting_bytes += weight;
        self.waiting.push_back(parcel);
        Ok(())
    }

    /// Writes what may go now, until `out` has a chunk.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, now: Instant) -> Taken {
        let mut taken = Taken::default();
        self.repeat(out, now, &mut taken);
        while out.len() < WRITE_CHUNK {
            let Some(next) = self.waiting.front() else { break };
            if next.qos > 0 && self.open.len() >= usize::from(self.window) {
                break;
            }
            let Some(parcel) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= parcel.message.weight();
            let Ok(expiry_s) = parcel.message.seconds_left(now) else {
                taken.expired += 1;
                continue;
            };
            let id = if parcel.qos > 0 { self.free_id() } else { 0 };
            if !self.write(out, &parcel, id, expiry_s, false) {
                taken.too_large += 1;
                continue;
            }
            taken.sent += 1;
            if id > 0 {
                self.last_id = id;
                self.open.push(Open { id, parcel: Some(parcel), must_repeat: false });
            }
        }
        if self.waiting.is_empty() {
            // Idle clients own no buffer.
            self.waiting = VecDeque::new();
        }
        taken
    }

    /// PUBACK, PUBCOMP, or a PUBREC that refuses.
    pub(super) fn finish(&mut self, id: u16) {
        self.open.retain(|open| open.id != id);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }

    /// PUBREC. Whether the id is known.
    pub(super) fn release(&mut self, id: u16) -> bool {
        let open = self.open.iter_mut().find(|open| open.id == id);
        open.map(|open| open.parcel = None).is_some()
    }

    fn repeat(&mut self, out: &mut Vec<u8>, now: Instant, taken: &mut Taken) {
        let mut open = std::mem::take(&mut self.open);
        open.retain_mut(|open| {
            if !open.must_repeat || out.len() >= WRITE_CHUNK {
                return true;
            }
            open.must_repeat = false;
            taken.resent += 1;
            let Some(parcel) = &open.parcel else {
                encode::acknowledgement(out, self.version, 0x62, open.id, reason::SUCCESS);
                return true;
            };
            // One that is over must still be finished: the client may have it.
            let expiry_s = parcel.message.seconds_left(now).unwrap_or(Some(0));
            self.write(out, parcel, open.id, expiry_s, true)
        });
        self.open = open;
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        parcel: &Parcel,
        id: u16,
        expiry_s: Option<u32>,
        is_duplicate: bool,
    ) -> bool {
        let mine;
        let mut topic: &str = &parcel.message.topic;
        if parcel.as_me {
            mine = native::as_me(topic);
            topic = &mine;
        }
        let (alias, is_known) = self.alias(topic);
        let delivery = Delivery {
            version: self.version,
            topic: if is_known { "" } else { topic },
            alias,
            qos: parcel.qos,
            id,
            retain: parcel.retain,
            is_duplicate,
            identifiers: &parcel.identifiers,
            expiry_s,
        };
        let is_written = encode::publish(out, &parcel.message, &delivery, self.max_packet);
        if is_written && alias.is_some() && !is_known {
            self.aliases.push(topic.into());
        }
        is_written
    }

    /// The alias of a topic, given out while there are any, and whether the client knows it.
    fn alias(&self, topic: &str) -> (Option<u16>, bool) {
        if self.max_aliases == 0 {
            return (None, false);
        }
        let known = self.aliases.iter().position(|known| **known == *topic);
        let number = |index: usize| u16::try_from(index + 1).ok();
        match known {
            Some(index) => (number(index), true),
            None if self.aliases.len() < usize::from(self.max_aliases) => (number(self.aliases.len()), false),
            None => (None, false),
        }
    }

    fn free_id(&self) -> u16 {
        let mut id = self.last_id;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            // The window is far smaller than the number of ids.
            if !self.open.iter().any(|open| open.id == id) {
                return id;
            }
        }
    }
}
