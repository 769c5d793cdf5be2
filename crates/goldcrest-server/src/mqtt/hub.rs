//! The clients of one project: their sessions, what they subscribed to, what is retained. Nothing in it knows another project.
//!
//! One lock per project, held for memory work only; a connection takes its packets out of its session when it is woken.

mod attach;
mod link;
mod outbox;
mod retained;
mod routing;
mod session;
mod subscriptions;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use attach::{Arrival, Departure};
pub(super) use link::{Call, Link};
pub(super) use retained::Change;
use retained::Retained;
pub(super) use routing::Wish;
use session::Session;
pub(super) use session::{Key, Taken};
use subscriptions::Index;
pub(super) use subscriptions::Subscription;

use super::access::{Rule, Speaks, Who};
use super::counters::Counters;
use super::message::Message;
use crate::adapters::insighio::Thing;

/// A session within its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId(u32);

/// The clients of one project.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    /// Held while device states are read and handed out, so that an older one never comes after a newer one.
    pub(super) states_turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(super) struct State {
    sessions: HashMap<SessionId, Box<Session>>,
    by_key: HashMap<Key, SessionId>,
    last_id: u32,
    index: Index,
    retained: Retained,
    /// When to look at which session that is away.
    deadlines: BTreeSet<(Instant, SessionId)>,
    rules: Arc<[Rule]>,
    counters: Arc<Counters>,
}

impl Hub {
    pub(super) fn new(rules: Vec<Rule>, retained: Vec<Message>, counters: Arc<Counters>) -> Self {
        let state = State {
            sessions: HashMap::new(),
            by_key: HashMap::new(),
            last_id: 0,
            index: Index::default(),
            retained: Retained::of(retained),
            deadlines: BTreeSet::new(),
            rules: rules.into(),
            counters,
        };
        Self { state: Mutex::new(state), states_turn: tokio::sync::Mutex::new(()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much a project holds, for the metrics.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Size {
    pub(super) sessions: usize,
    pub(super) retained: usize,
    pub(super) queued: usize,
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sessions: self.sessions + other.sessions,
            retained: self.retained + other.retained,
            queued: self.queued + other.queued,
        }
    }
}

impl State {
    /// What is retained otherwise than when it was asked last.
    pub(super) fn take_retained_changes(&mut self) -> Vec<Change> {
        self.retained.take_changes()
    }

    /// These changes were not written.
    pub(super) fn put_back_retained(&mut self, changes: Vec<Change>) {
        self.retained.put_back(changes);
    }

    pub(super) fn rules(&self) -> &Arc<[Rule]> {
        &self.rules
    }

    pub(super) fn size(&self) -> Size {
        let queued = self.sessions.values().map(|session| session.outbox.len()).sum();
        Size { sessions: self.sessions.len(), retained: self.retained.len(), queued }
    }

    /// Whether this device has a live connection.
    pub(super) fn is_online(&self, device_id: i64) -> bool {
        let id = self.by_key.get(&Key::Device(device_id));
        id.and_then(|id| self.sessions.get(id)).is_some_and(|session| session.link.is_some())
    }

    /// Whether this device has had its connection for this long.
    pub(super) fn is_online_for(&self, device_id: i64, time: Duration) -> bool {
        let id = self.by_key.get(&Key::Device(device_id));
        let link = id.and_then(|id| self.sessions.get(id)).and_then(|session| session.link.as_ref());
        link.is_some_and(|link| link.since.elapsed() >= time)
    }

    /// The insigh.io thing that this device is, if it has a live connection.
    pub(super) fn thing(&self, device_id: i64) -> Option<Arc<Thing>> {
        let session = self.by_key.get(&Key::Device(device_id)).and_then(|id| self.sessions.get(id))?;
        match &session.who {
            Who::Device { speaks: Speaks::Insighio(thing), .. } if session.link.is_some() => Some(Arc::clone(thing)),
            _ => None,
        }
    }

    /// The devices that have one.
    pub(super) fn online_devices(&self) -> Vec<i64> {
        let live = self.sessions.values().filter(|session| session.link.is_some());
        live.filter_map(|session| if let Key::Device(id) = session.key { Some(id) } else { None }).collect()
    }

    /// Closes the connections of the sessions that `is_meant` picks, and forgets the sessions.
    pub(super) fn expel(&mut self, code: u8, is_meant: impl Fn(&Session) -> bool) {
        let meant: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| is_meant(session)).map(|(id, _)| *id).collect();
        for id in meant {
            if let Some(link) = self.sessions.get(&id).and_then(|session| session.link.as_ref()) {
                link.kick(code);
            }
            self.remove(id);
        }
    }

    /// Closes every connection; the sessions stay.
    pub(super) fn kick_all(&self, code: u8) {
        for link in self.sessions.values().filter_map(|session| session.link.as_ref()) {
            link.kick(code);
        }
    }

    /// Puts new rules in force; subscriptions that they do not allow any more end.
    pub(super) fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules.into();
        let (index, rules) = (&mut self.index, &self.rules);
        for (id, session) in &mut self.sessions {
            let who = &session.who;
            session.filters.retain(|filter| {
                let is_allowed = who.may_subscribe(rules, filter.filter());
                if !is_allowed {
                    index.remove(filter, *id);
                }
                is_allowed
            });
        }
    }
}
