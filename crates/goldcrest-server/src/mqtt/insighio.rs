//! insigh.io over MQTT: a thing uses `channels/<channel>/messages/<its id>/…` of its own channels, and nothing else.
//!
//! What is retained for it is read from the database for each subscription; an empty retained message of the thing takes a request away,
//! also out of the database. What it publishes is taken in, then shown to the project.

use std::sync::Arc;

use super::access::{Speaks, Who};
use super::hub::Hub;
use super::message::Message;
use super::topic::matches;
use super::wire::Publish;
use crate::App;
use crate::adapters::insighio::{self, Place, REQUESTS, Thing, Told};
use crate::failure::Failure;

/// The thing that a client is, if the filter is one of its own.
pub(super) fn thing_of<'a>(who: &'a Who, filter: &str) -> Option<&'a Thing> {
    match who {
        Who::Device { speaks: Speaks::Insighio(thing), .. } if filter.starts_with("channels/") => Some(thing),
        _ => None,
    }
}

fn message(thing: &Thing, (leaf, payload): Told) -> Arc<Message> {
    Message::of_server(thing.control_topic(leaf), payload.into_bytes(), true)
}

/// What a new subscription of a thing is told.
pub(super) async fn states(app: &Arc<App>, thing: &Thing, filter: &str) -> anyhow::Result<Vec<Arc<Message>>> {
    insighio::subscribed(app, thing).await?;
    let told = insighio::retained(app, thing).await?.into_iter();
    Ok(told.map(|told| message(thing, told)).filter(|message| matches(filter, &message.topic)).collect())
}

/// Takes in what a thing published.
///
/// # Errors
/// `Invalid` and `TooLarge` when it is not what belongs there; else the server's own fault.
pub(super) async fn take(app: &Arc<App>, thing: &Thing, publish: &mut Publish) -> Result<(), Failure> {
    let Some(place) = thing.place(&publish.topic) else { return Ok(()) };
    let payload = publish.payload.as_slice();
    insighio::take(app, thing, place, payload, publish.retain).await?;
    if let Place::Control(leaf) = place
        && REQUESTS.contains(&leaf)
        && !payload.is_empty()
    {
        // An answer on the topic of a request must not stand in its place.
        publish.retain = false;
    }
    Ok(())
}

/// Tells things that are there of their updates.
pub(super) async fn tell_updates(app: &Arc<App>, hub: &Hub, things: &[Arc<Thing>]) -> anyhow::Result<()> {
    for thing in things {
        let told = insighio::retained(app, thing).await?;
        for told in told.into_iter().filter(|(leaf, _)| *leaf == "ota") {
            hub.lock().deliver(&message(thing, told));
        }
    }
    Ok(())
}

/// Tells a thing that is there of a command or configuration.
pub(super) async fn tell_action(app: &App, hub: &Hub, device_id: i64, action_id: i64) -> anyhow::Result<()> {
    let Some(thing) = hub.lock().thing(device_id) else { return Ok(()) };
    let actions = app.store.thing_actions(device_id).await?;
    for told in actions.iter().filter(|action| action.id == action_id).flat_map(insighio::messages) {
        hub.lock().deliver(&message(&thing, told));
    }
    Ok(())
}
