//! What the server remembers of a client between its packets, and between its connections.

use std::sync::Arc;
use std::time::Instant;

use super::outbox::Outbox;
use super::subscriptions::Filter;
use super::{Hub, Link, SessionId, State};
use crate::mqtt::access::Who;
use crate::mqtt::counters::Drop;
use crate::mqtt::limits::MAX_SESSION_EXPIRY_S;
use crate::mqtt::message::Message;

/// What makes two connections one client. The credential decides; the client id only tells apart what shares a credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::mqtt) enum Key {
    /// A board has one session, whatever it calls itself.
    Device(i64),
    /// Token and client id.
    Member(Box<str>, Box<str>),
    /// Client id.
    Anonymous(Box<str>),
    /// A number of its own.
    Newcomer(u64),
}

#[derive(Debug)]
pub(in crate::mqtt) struct Session {
    pub(in crate::mqtt) key: Key,
    pub(in crate::mqtt) who: Who,
    /// `None` while the client is away.
    pub(in crate::mqtt) link: Option<Arc<Link>>,
    pub(super) filters: Vec<Filter>,
    pub(super) outbox: Outbox,
    /// Ids of `QoS` 2 messages from the client that it has not released.
    pub(super) unreleased: Vec<u16>,
    pub(super) will: Option<Box<PendingWill>>,
    /// How long it is kept once the client is away.
    pub(super) expiry_s: u32,
    pub(super) expires: Option<Instant>,
    pub(super) will_due: Option<Instant>,
}

/// A will that was not cancelled yet.
#[derive(Debug)]
pub(super) struct PendingWill {
    pub(super) message: Message,
    pub(super) expiry_s: Option<u32>,
    pub(super) delay_s: u32,
}

/// What became of a `QoS` 2 message's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum Taken {
    New,
    /// It is the same message again.
    Known,
    /// More than the client may have open.
    TooMany,
}

impl State {
    /// The session, if `link` still is its connection.
    fn own(&mut self, id: SessionId, link: &Arc<Link>) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&id)?;
        let is_own = session.link.as_ref().is_some_and(|own| Arc::ptr_eq(own, link));
        is_own.then_some(session)
    }
}

impl Hub {
    /// Moves packets that wait for the client into `out`, as many as fit and as it may have open. Whether any were moved.
    pub(in crate::mqtt) fn take_packets(&self, id: SessionId, link: &Arc<Link>, out: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        let counters = Arc::clone(&state.counters);
        let Some(session) = state.own(id, link) else { return false };
        let taken = session.outbox.take(out, Instant::now());
        drop(state);
        counters.sent(taken.sent);
        counters.dropped(Drop::Expired, taken.expired);
        counters.dropped(Drop::TooLarge, taken.too_large);
        taken.sent > 0 || taken.resent > 0
    }

    /// PUBACK or PUBCOMP: the client has it. There may be room for the next.
    pub(in crate::mqtt) fn acknowledged(&self, id: SessionId, link: &Arc<Link>, packet: u16) {
        if let Some(session) = self.lock().own(id, link) {
            session.outbox.finish(packet);
            link.wake();
        }
    }

    /// PUBREC: whether the id is known, so that PUBREL follows.
    pub(in crate::mqtt) fn received(&self, id: SessionId, link: &Arc<Link>, packet: u16) -> bool {
        self.lock().own(id, link).is_some_and(|session| session.outbox.release(packet))
    }

    /// A `QoS` 2 message came.
    pub(in crate::mqtt) fn take_in(&self, id: SessionId, link: &Arc<Link>, packet: u16, most: usize) -> Taken {
        let mut state = self.lock();
        let Some(session) = state.own(id, link) else { return Taken::Known };
        if session.unreleased.contains(&packet) {
            return Taken::Known;
        }
        if session.unreleased.len() >= most {
            return Taken::TooMany;
        }
        session.unreleased.push(packet);
        Taken::New
    }

    /// PUBREL, or a refusal of the message: the id is free again. Whether it was taken.
    pub(in crate::mqtt) fn let_go(&self, id: SessionId, link: &Arc<Link>, packet: u16) -> bool {
        let mut state = self.lock();
        let Some(session) = state.own(id, link) else { return false };
        let at = session.unreleased.iter().position(|known| *known == packet);
        at.map(|at| session.unreleased.swap_remove(at)).is_some()
    }

    /// MQTT 5: the client changed its mind about how long it is remembered.
    pub(in crate::mqtt) fn set_expiry(&self, id: SessionId, link: &Arc<Link>, seconds: u32) -> Result<(), ()> {
        let mut state = self.lock();
        let Some(session) = state.own(id, link) else { return Ok(()) };
        // A session that was to end with the connection cannot be prolonged by its last packet.
        if session.expiry_s == 0 && seconds > 0 {
            return Err(());
        }
        session.expiry_s = seconds.min(MAX_SESSION_EXPIRY_S);
        Ok(())
    }
}
