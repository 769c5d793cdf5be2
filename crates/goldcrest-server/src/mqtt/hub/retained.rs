//! The last message of each topic that asked to be kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::mqtt::limits::{MAX_RETAINED, MAX_RETAINED_BYTES};
use crate::mqtt::message::Message;
use crate::mqtt::topic::{is_wild, matches};

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: HashMap<Box<str>, Arc<Message>>,
    bytes: usize,
    /// Topics that the database has otherwise.
    changed: HashSet<Box<str>>,
}

/// A topic, with what is retained of it now.
pub(in crate::mqtt) type Change = (Box<str>, Option<Arc<Message>>);

/// There is no room for another one.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Retained {
    /// What the database has.
    pub(super) fn of(messages: Vec<Message>) -> Self {
        let bytes = messages.iter().map(Message::weight).sum();
        let messages = messages.into_iter().map(|message| (message.topic.clone(), Arc::new(message))).collect();
        Self { messages, bytes, changed: HashSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// What changed since it was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|topic| (topic.clone(), self.messages.get(&topic).cloned())).collect()
    }

    /// These changes were not written: they are still to be.
    pub(super) fn put_back(&mut self, changes: Vec<Change>) {
        self.changed.extend(changes.into_iter().map(|(topic, _)| topic));
    }

    /// Keeps the message in place of the one before; an empty one only removes that.
    pub(super) fn keep(&mut self, message: &Arc<Message>) -> Result<(), NoRoom> {
        if let Some(before) = self.messages.remove(&message.topic) {
            self.bytes -= before.weight();
            self.changed.insert(message.topic.clone());
        }
        if message.payload.is_empty() {
            return Ok(());
        }
        if self.messages.len() >= MAX_RETAINED || self.bytes + message.weight() > MAX_RETAINED_BYTES {
            return Err(NoRoom);
        }
        self.bytes += message.weight();
        self.messages.insert(message.topic.clone(), Arc::clone(message));
        self.changed.insert(message.topic.clone());
        Ok(())
    }

    /// What a new subscription gets; what is over goes.
    pub(super) fn matching(&mut self, filter: &str) -> Vec<Arc<Message>> {
        if !is_wild(filter) {
            return self.messages.get(filter).cloned().into_iter().collect();
        }
        let now = Instant::now();
        let (bytes, changed) = (&mut self.bytes, &mut self.changed);
        self.messages.retain(|topic, message| {
            let lives = message.seconds_left(now).is_ok();
            if !lives {
                *bytes -= message.weight();
                changed.insert(topic.clone());
            }
            lives
        });
        self.messages.values().filter(|message| matches(filter, &message.topic)).cloned().collect()
    }
}
