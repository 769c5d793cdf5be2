//! Messages from one client to others, and what a new subscription is told of the past.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::packet::RetainHandling;

use super::outbox::{Bound, Parcel};
use super::retained::NoRoom;
use super::subscriptions::Subscription;
use super::{Hub, Key, Link, SessionId, State};
use crate::mqtt::counters::Drop;
use crate::mqtt::limits::{MAX_SUBSCRIPTIONS, PARCEL_BYTES};
use crate::mqtt::message::Message;

/// A subscription that its client may have.
#[derive(Debug)]
pub(in crate::mqtt) struct Wish<'a> {
    pub(in crate::mqtt) filter: &'a str,
    pub(in crate::mqtt) group: Option<&'a str>,
    pub(in crate::mqtt) options: Subscription,
    pub(in crate::mqtt) retain_handling: RetainHandling,
}

/// The client has as many subscriptions as one may have.
#[derive(Debug)]
pub(in crate::mqtt) struct TooMany;

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) struct Routed {
    pub(in crate::mqtt) receivers: usize,
    /// It should have been retained, and there was no room.
    pub(in crate::mqtt) not_retained: bool,
}

impl Hub {
    /// Routes a message to everybody who wants it, and keeps it if it asks for that.
    pub(in crate::mqtt) fn publish(&self, message: Message) -> Routed {
        self.lock().route(&Arc::new(message))
    }

    /// Subscribes, and hands out what is retained. Whether states of devices are to be told too.
    pub(in crate::mqtt) fn subscribe(&self, id: SessionId, link: &Arc<Link>, wish: &Wish<'_>) -> Result<bool, TooMany> {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(session) = state.sessions.get_mut(&id) else { return Ok(false) };
        let is_known = session.filters.iter().any(|known| known.is(wish.filter, wish.group));
        if !is_known && session.filters.len() >= MAX_SUBSCRIPTIONS {
            return Err(TooMany);
        }
        let filter = state.index.insert(wish.filter, wish.group, id, wish.options);
        if !is_known {
            session.filters.reserve_exact(usize::from(session.filters.is_empty()));
            session.filters.push(filter);
        }
        let wants_retained = match wish.retain_handling {
            RetainHandling::SendRetained => true,
            RetainHandling::SendRetainedIfNotExists => !is_known,
            RetainHandling::DoNotSendRetained => false,
        };
        // A group's members would all get it.
        if !wants_retained || wish.group.is_some() {
            return Ok(false);
        }
        let retained = state.retained.matching(wish.filter);
        state.replay(id, link, wish.options, retained);
        Ok(true)
    }

    /// Whether there was such a subscription.
    pub(in crate::mqtt) fn unsubscribe(&self, id: SessionId, filter: &str, group: Option<&str>) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(session) = state.sessions.get_mut(&id) else { return false };
        let Some(at) = session.filters.iter().position(|known| known.is(filter, group)) else { return false };
        state.index.remove(&session.filters.swap_remove(at), id);
        true
    }

    /// Hands a new subscription what was before it.
    pub(in crate::mqtt) fn replay(&self, id: SessionId, link: &Arc<Link>, wish: Subscription, past: Vec<Arc<Message>>) {
        self.lock().replay(id, link, wish, past);
    }
}

impl State {
    pub(in crate::mqtt) fn route(&mut self, message: &Arc<Message>) -> Routed {
        let mut not_retained = false;
        if message.retain
            && let Err(NoRoom) = self.retained.keep(message)
        {
            self.counters.dropped(Drop::RetainedFull, 1);
            not_retained = true;
        }
        Routed { receivers: self.deliver(message), not_retained }
    }

    /// Queues a message for everybody who wants it. How many do.
    pub(in crate::mqtt) fn deliver(&mut self, message: &Arc<Message>) -> usize {
        let sessions = &mut self.sessions;
        let is_there = |id| sessions.get(&id).is_some_and(|session| session.link.is_some());
        let hits = self.index.hits(&message.topic, message.from, &is_there);
        let (mut receivers, mut full) = (0, 0);
        for hit in hits {
            let Some(session) = sessions.get_mut(&hit.session) else { continue };
            let qos = hit.wish.qos.min(message.qos);
            if !session.who.may_receive(&message.topic) || (session.link.is_none() && qos == 0) {
                continue;
            }
            receivers += 1;
            let parcel = Parcel {
                message: Arc::clone(message),
                qos,
                retain: message.retain && hit.wish.retain_as_published,
                as_me: hit.wish.as_me,
                identifiers: hit.identifiers.into(),
                _held: self.counters.hold(PARCEL_BYTES),
            };
            match (session.outbox.push(parcel, Bound::Live), &session.link) {
                (Ok(()), Some(link)) => link.wake(),
                (Ok(()), None) => {}
                (Err(_), _) => full += 1,
            }
        }
        self.counters.dropped(Drop::QueueFull, full);
        receivers
    }

    /// Delivers a message if this device has a connection and subscribed to it. Whether it does.
    pub(in crate::mqtt) fn deliver_to_device(&mut self, device_id: i64, message: &Arc<Message>) -> bool {
        let Some(id) = self.by_key.get(&Key::Device(device_id)).copied() else { return false };
        let is_there = self.sessions.get(&id).is_some_and(|session| session.link.is_some());
        let is_wanted = is_there && self.wish(id, &message.topic).is_some();
        if is_wanted {
            self.deliver(message);
        }
        is_wanted
    }

    /// Sends a message to one client that waits for it. `inside` is the topic to which it may have subscribed: then that decides on
    /// the `QoS`, else it is 0.
    pub(in crate::mqtt) fn answer(&mut self, id: SessionId, link: &Arc<Link>, inside: &str, message: Message) {
        let qos = self.wish(id, inside).map_or(0, |qos| qos.min(message.qos));
        let held = self.counters.hold(PARCEL_BYTES);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let message = Arc::new(message);
        let parcel = Parcel { message, qos, retain: false, as_me: false, identifiers: Box::default(), _held: held };
        if session.outbox.push(parcel, Bound::Live).is_err() {
            self.counters.dropped(Drop::QueueFull, 1);
        }
        link.wake();
    }

    /// The `QoS` with which a client wants a topic, if it does.
    fn wish(&mut self, id: SessionId, topic: &str) -> Option<u8> {
        let hits = self.index.hits(topic, None, &|_| true);
        hits.into_iter().find(|hit| hit.session == id).map(|hit| hit.wish.qos)
    }

    fn replay(&mut self, id: SessionId, link: &Arc<Link>, wish: Subscription, past: Vec<Arc<Message>>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let identifiers: Box<[u32]> = Some(wish.identifier).into_iter().filter(|id| *id > 0).collect();
        let mut full = 0;
        for message in past {
            if !session.who.may_receive(&message.topic) {
                continue;
            }
            let qos = wish.qos.min(message.qos);
            let (as_me, identifiers) = (wish.as_me, identifiers.clone());
            let held = self.counters.hold(PARCEL_BYTES);
            let parcel = Parcel { message, qos, retain: true, as_me, identifiers, _held: held };
            full += u64::from(session.outbox.push(parcel, Bound::Replay).is_err());
        }
        self.counters.dropped(Drop::QueueFull, full);
        link.wake();
    }
}
