//! Clients come and go: takeover, resumed sessions, wills, and what happens when a client stays away.

use std::sync::Arc;
use std::time::Instant;

use super::outbox::Outbox;
use super::session::{Key, PendingWill, Session};
use super::{Hub, Link, SessionId, State};
use crate::mqtt::access::Who;
use crate::mqtt::counters::Counters;
use crate::mqtt::limits::{MAX_SESSION_EXPIRY_S, MAX_SESSIONS};
use crate::mqtt::message::{Message, end_of, payload_of};
use crate::mqtt::wire::{Connect, Will};
use crate::mqtt::{native, reason};

/// A client that may come in.
#[derive(Debug)]
pub(in crate::mqtt) struct Arrival<'a> {
    pub(in crate::mqtt) key: Key,
    pub(in crate::mqtt) who: Who,
    pub(in crate::mqtt) connect: &'a Connect,
    pub(in crate::mqtt) will: Option<Will>,
    pub(in crate::mqtt) link: Arc<Link>,
}

/// A client that is in.
#[derive(Debug)]
pub(in crate::mqtt) struct Attached {
    pub(in crate::mqtt) id: SessionId,
    pub(in crate::mqtt) session_present: bool,
}

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum Departure {
    /// It said so: its will is not published.
    Goodbye,
    /// Anything else.
    Lost,
}

/// The project has as many sessions as it may have.
#[derive(Debug)]
pub(in crate::mqtt) struct Crowded;

impl Hub {
    /// Makes or resumes the client's session. An older connection of the same client is closed: the newest one counts.
    pub(in crate::mqtt) fn attach(&self, arrival: Arrival<'_>) -> Result<Attached, Crowded> {
        let mut state = self.lock();
        let Arrival { key, who, connect, will, link } = arrival;
        let counters = Arc::clone(&state.counters);
        let known = state.by_key.get(&key).copied();
        let was_online = known.is_some_and(|id| state.take_over(id, connect.is_clean));
        let kept = state.by_key.get(&key).copied().and_then(|id| Some((id, state.sessions.get_mut(&id)?)));
        let will = will.map(|will| Box::new(PendingWill::new(will, &counters)));
        let (id, session_present) = if let Some((id, session)) = kept {
            session.outbox.resume(connect);
            (session.who, session.will) = (who, will);
            session.link = Some(Arc::clone(&link));
            session.expiry_s = connect.session_expiry_s.min(MAX_SESSION_EXPIRY_S);
            (session.expires, session.will_due) = (None, None);
            link.wake();
            (id, true)
        } else {
            if state.sessions.len() >= MAX_SESSIONS {
                return Err(Crowded);
            }
            (state.add(key, who, connect, will, link), false)
        };
        if let Some(session) = state.sessions.get_mut(&id)
            && let Some(pending) = &mut session.will
        {
            pending.message.from = Some(id);
        }
        if !was_online {
            state.tell_presence(id, true);
        }
        Ok(Attached { id, session_present })
    }

    /// The connection is gone. Nothing happens when another one has taken over.
    pub(in crate::mqtt) fn detach(&self, id: SessionId, link: &Arc<Link>, departure: Departure) {
        let mut state = self.lock();
        let now = Instant::now();
        let Some(session) = state.sessions.get_mut(&id) else { return };
        if !session.link.as_ref().is_some_and(|own| Arc::ptr_eq(own, link)) {
            return;
        }
        session.link = None;
        session.outbox.pause();
        if departure == Departure::Goodbye {
            session.will = None;
        }
        session.expires = Some(end_of(session.expiry_s, now));
        session.will_due = session.will.as_ref().map(|will| end_of(will.delay_s.min(session.expiry_s), now));
        state.tell_presence(id, false);
        state.settle(id, now);
    }

    /// Publishes the wills and ends the sessions whose time has come.
    pub(in crate::mqtt) fn sweep(&self, now: Instant) {
        let mut state = self.lock();
        while let Some((due, id)) = state.deadlines.first().copied().filter(|(due, _)| *due <= now) {
            state.deadlines.remove(&(due, id));
            state.settle(id, now);
        }
    }
}

impl State {
    fn add(
        &mut self,
        key: Key,
        who: Who,
        connect: &Connect,
        will: Option<Box<PendingWill>>,
        link: Arc<Link>,
    ) -> SessionId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if !self.sessions.contains_key(&SessionId(self.last_id)) {
                break;
            }
        }
        let id = SessionId(self.last_id);
        let session = Session {
            key: key.clone(),
            who,
            link: Some(link),
            filters: Vec::new(),
            outbox: Outbox::new(connect),
            unreleased: Vec::new(),
            will,
            expiry_s: connect.session_expiry_s.min(MAX_SESSION_EXPIRY_S),
            expires: None,
            will_due: None,
        };
        self.sessions.insert(id, Box::new(session));
        self.by_key.insert(key, id);
        id
    }

    /// Ends the client's older connection and, for a clean start, its session. Whether it had a connection.
    fn take_over(&mut self, id: SessionId, is_clean: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let old = session.link.take();
        if let Some(old) = &old {
            old.kick(reason::TAKEN_OVER);
            session.outbox.pause();
            // A board that comes back was never gone. For others the specification says: the will is published, unless it
            // may wait and the session goes on.
            let is_board = matches!(session.key, Key::Device(_));
            if is_board || session.will.as_ref().is_some_and(|will| will.delay_s > 0 && !is_clean) {
                session.will = None;
            }
        } else if !is_clean {
            session.will = None;
        }
        if let Some(will) = session.will.take() {
            self.publish_will(*will);
        }
        if is_clean || self.sessions.get(&id).is_some_and(|session| session.expiry_s == 0) {
            self.remove(id);
        }
        old.is_some()
    }

    /// Does what is due for a client that is away, and notes when to look again.
    fn settle(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.link.is_none()) else { return };
        let is_over = session.expires.is_some_and(|expires| expires <= now);
        if is_over || session.will_due.is_some_and(|due| due <= now) {
            session.will_due = None;
            if let Some(will) = session.will.take() {
                self.publish_will(*will);
            }
        }
        if is_over {
            self.remove(id);
            return;
        }
        let Some(session) = self.sessions.get(&id) else { return };
        if let Some(next) = session.expires.into_iter().chain(session.will_due).min() {
            self.deadlines.insert((next, id));
        }
    }

    /// Forgets a session.
    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for filter in &session.filters {
            self.index.remove(filter, id);
        }
        self.by_key.remove(&session.key);
        if session.link.is_some()
            && let Who::Device { id: device_id, .. } = session.who
        {
            self.deliver(&native::presence(device_id, false));
        }
    }

    fn publish_will(&mut self, will: PendingWill) {
        let mut message = will.message;
        message.expires = will.expiry_s.map(|seconds| end_of(seconds, Instant::now()));
        self.route(&Arc::new(message));
    }

    fn tell_presence(&mut self, id: SessionId, is_online: bool) {
        if let Some(Who::Device { id, .. }) = self.sessions.get(&id).map(|session| &session.who) {
            let message = native::presence(*id, is_online);
            self.deliver(&message);
        }
    }
}

impl PendingWill {
    fn new(will: Will, counters: &Counters) -> Self {
        let held = Some(counters.hold(will.topic.len() + will.payload.len() + will.properties.len()));
        let message = Message {
            topic: will.topic.into(),
            payload: payload_of(will.payload),
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.into(),
            expires: None,
            from: None,
            _held: held,
        };
        Self { message, expiry_s: will.expiry_s, delay_s: will.delay_s }
    }
}
