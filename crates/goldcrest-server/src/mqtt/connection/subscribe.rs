//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use super::{Client, Closing};
use crate::adapters::insighio::Thing;
use crate::mqtt::hub::{Subscription, Wish};
use crate::mqtt::wire::{Entry, Subscribe, Violation, encode};
use crate::mqtt::{insighio, native, reason, topic};

const SUBACK: u8 = 0x90;
const UNSUBACK: u8 = 0xb0;

impl Client {
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe, out: &mut Vec<u8>) -> Result<(), Closing> {
        let mut codes = Vec::with_capacity(subscribe.entries.len());
        for entry in &subscribe.entries {
            codes.push(self.subscribe_one(entry, subscribe.identifier).await?);
        }
        encode::codes(out, self.version, SUBACK, subscribe.id, &codes);
        Ok(())
    }

    async fn subscribe_one(&self, entry: &Entry, identifier: u32) -> Result<u8, Closing> {
        let Some((group, filter)) = parts(&entry.filter) else { return Ok(reason::FILTER_INVALID) };
        if group.is_some() && entry.no_local {
            return Err(Violation(reason::PROTOCOL_ERROR).into());
        }
        let spelled_out = native::spelled_out(&self.who, filter);
        let as_me = spelled_out.is_some();
        let filter = spelled_out.as_deref().unwrap_or(filter);
        let rules = Arc::clone(self.hub.lock().rules());
        if !self.who.may_subscribe(&rules, filter) {
            tracing::debug!(mqtt.filter = filter, "subscription refused");
            return Ok(reason::UNSPECIFIED);
        }
        let thing = insighio::thing_of(&self.who, filter);
        // A thing that subscribed to everything of its own would take its own answer for the next request.
        let no_local = entry.no_local || thing.is_some();
        let retain_as_published = entry.retain_as_published;
        let options = Subscription { qos: entry.qos, no_local, retain_as_published, as_me, identifier };
        let retain_handling = entry.retain_handling;
        match self.hub.subscribe(self.id, &self.link, &Wish { filter, group, options, retain_handling }) {
            Ok(true) if native::may_match(filter) => self.tell_states(filter, options).await?,
            Ok(true) if let Some(thing) = thing => self.tell_thing(thing, filter, options).await?,
            Ok(_) => {}
            Err(_) => return Ok(reason::QUOTA_EXCEEDED),
        }
        Ok(entry.qos)
    }

    /// Tells a new subscription what the database says now.
    async fn tell_states(&self, filter: &str, wish: Subscription) -> Result<(), Closing> {
        let _turn = self.hub.states_turn.lock().await;
        match native::states(&self.app, self.project_id, &self.hub, &self.who, filter).await {
            Ok(states) if states.is_empty() => Ok(()),
            Ok(states) => {
                self.hub.replay(self.id, &self.link, wish, states);
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "states of devices not read");
                Err(Violation(reason::SERVER_BUSY).into())
            }
        }
    }

    /// Tells a thing what is wanted of it now.
    async fn tell_thing(&self, thing: &Thing, filter: &str, wish: Subscription) -> Result<(), Closing> {
        let _turn = self.hub.states_turn.lock().await;
        match insighio::states(&self.app, thing, filter).await {
            Ok(states) => {
                self.hub.replay(self.id, &self.link, wish, states);
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "requests to a thing not read");
                Err(Violation(reason::SERVER_BUSY).into())
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, id: u16, filters: &[String], out: &mut Vec<u8>) {
        let code = |filter: &String| {
            let (group, filter) = parts(filter)?;
            let spelled_out = native::spelled_out(&self.who, filter);
            let filter = spelled_out.as_deref().unwrap_or(filter);
            self.hub.unsubscribe(self.id, filter, group).then_some(reason::SUCCESS)
        };
        let codes: Vec<u8> = filters.iter().map(|filter| code(filter).unwrap_or(reason::NO_SUBSCRIPTION)).collect();
        encode::codes(out, self.version, UNSUBACK, id, &codes);
    }
}

/// Group and filter; `None` when it is not valid.
fn parts(text: &str) -> Option<(Option<&str>, &str)> {
    let (group, filter) = match text.strip_prefix("$share/") {
        Some(rest) => topic::shared(rest).map(|(group, filter)| (Some(group), filter))?,
        None => (None, text),
    };
    topic::is_filter(filter).then_some((group, filter))
}
