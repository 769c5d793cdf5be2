//! What comes from boards by way of the broker.

use std::sync::Arc;

use crate::App;
use crate::adapter::Adapter;
use crate::adapters::insighio::{self, Thing};
use crate::failure::Failure;
use crate::mqtt::native;
use crate::mqtt::wire::Publish;

/// Of several servers, one gets each message.
pub(super) const FILTERS: [&str; 2] =
    ["$share/goldcrest/goldcrest/v1/+/report", "$share/goldcrest/channels/+/messages/#"];

/// A user property that marks messages of servers: `goldcrest` = `server`. Requests to things and their answers share topics, and a
/// shared subscription can't leave out our own.
pub(super) const OWN: &[u8] = b"\x26\x00\x09goldcrest\x00\x06server";

/// Takes a message in. Returns the device whose retained messages may be others now.
///
/// # Errors
/// When it could not be stored: it must come again.
pub(super) async fn take(app: &Arc<App>, publish: Publish) -> anyhow::Result<Option<i64>> {
    if publish.properties.windows(OWN.len()).any(|part| part == OWN) {
        return Ok(None);
    }
    let taken = if let Some(device_id) = native::report_of(&publish.topic) {
        report(app, device_id, &publish).await
    } else {
        of_thing(app, &publish).await
    };
    match taken {
        Ok(device_id) => Ok(device_id),
        Err(Failure::Invalid(why) | Failure::TooLarge(why)) => {
            tracing::debug!(mqtt.topic = publish.topic, why, "message of a board not understood");
            Ok(None)
        }
        Err(failure) => Err(anyhow::anyhow!("a message of a board could not be stored: {failure:?}")),
    }
}

async fn report(app: &Arc<App>, device_id: i64, publish: &Publish) -> Result<Option<i64>, Failure> {
    let known = app.store.desired_of(&[device_id]).await?;
    let Some(row) = known.first() else { return Ok(None) };
    native::take_report(app, device_id, publish.payload.as_slice()).await?;
    app.mqtt.tell(row.project_id, &publish.topic, publish.payload.as_slice().to_vec());
    Ok(Some(device_id))
}

async fn of_thing(app: &Arc<App>, publish: &Publish) -> Result<Option<i64>, Failure> {
    let Some(id) = publish.topic.split('/').nth(3) else { return Ok(None) };
    let Some(row) = app.store.credential(Adapter::Insighio.as_str(), id).await? else { return Ok(None) };
    let thing = Thing::of(row)?;
    let Some(place) = thing.place(&publish.topic) else { return Ok(None) };
    // Whether it was retained is not told to those who listen all the time; an empty request can mean nothing else.
    insighio::take(app, &thing, place, publish.payload.as_slice(), true).await?;
    app.mqtt.tell(thing.project_id, &publish.topic, publish.payload.as_slice().to_vec());
    Ok(Some(thing.device_id))
}
