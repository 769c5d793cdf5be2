//! The last message of each topic that asked to be kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::mqtt::limits::{MAX_RETAINED, MAX_RETAINED_BYTES};
use crate::mqtt::message::Message;
use crate::mqtt::topic::{is_wild, matches};

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: HashMap<Box<str>, Arc<Message>>,
    bytes: usize,
}

/// There is no room for another one.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps the message in place of the one before; an empty one only removes that.
    pub(super) fn keep(&mut self, message: &Arc<Message>) -> Result<(), NoRoom> {
        if let Some(before) = self.messages.remove(&message.topic) {
            self.bytes -= before.weight();
        }
        if message.payload.is_empty() {
            return Ok(());
        }
        if self.messages.len() >= MAX_RETAINED || self.bytes + message.weight() > MAX_RETAINED_BYTES {
            return Err(NoRoom);
        }
        self.bytes += message.weight();
        self.messages.insert(message.topic.clone(), Arc::clone(message));
        Ok(())
    }

    /// What a new subscription gets; what is over goes.
    pub(super) fn matching(&mut self, filter: &str) -> Vec<Arc<Message>> {
        if !is_wild(filter) {
            return self.messages.get(filter).cloned().into_iter().collect();
        }
        let now = Instant::now();
        let bytes = &mut self.bytes;
        self.messages.retain(|_, message| {
            let lives = message.seconds_left(now).is_ok();
            if !lives {
                *bytes -= message.weight();
            }
            lives
        });
        self.messages.values().filter(|message| matches(filter, &message.topic)).cloned().collect()
    }
}
