//! Things: a device of insigh.io by its id and key, its channels, and where in them a message stands.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::App;
use crate::adapter::Adapter;
use crate::failure::Failure;
use crate::store::CredentialRow;
use crate::token;

/// Most channels of a thing.
const MAX_CHANNELS: usize = 16;
/// Most bytes of a channel's id.
const MAX_CHANNEL: usize = 64;
/// Longest key that is looked at.
const MAX_KEY: usize = 256;
/// How often a thing may say that it can not download, unless its settings say otherwise.
const GIVE_UP_AFTER: u32 = 5;

/// A device that showed its id and key.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) device_id: i64,
    pub(crate) project_id: i64,
    /// The name of its device.
    pub(crate) device: String,
    pub(crate) id: String,
    pub(crate) settings: Settings,
    /// The file that it last gave an answer about, on this connection.
    pub(super) answered: Arc<Mutex<Option<String>>>,
}

/// What its credential says besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Requests go to the thing, and its answers come, on this channel.
    #[serde(alias = "controlChannel", alias = "control")]
    pub(crate) control_channel: String,
    /// Its measurements come on this one.
    #[serde(alias = "dataChannel", alias = "data")]
    pub(crate) data_channel: String,
    /// Others that it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) channels: Vec<String>,
    /// What its packages look like.
    #[serde(default)]
    pub(crate) package: Form,
    /// After so many "can not download" an update has failed.
    #[serde(default = "give_up_after")]
    pub(crate) give_up_after: u32,
}

fn give_up_after() -> u32 {
    GIVE_UP_AFTER
}

/// What a package looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The plain files, for the client of insigh.io.
    #[default]
    Files,
    /// The signed release, for our agent.
    Release,
}

/// Where in a thing's channels a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Data,
    /// What follows the thing's id: `ota`, `stat`, …
    Control(&'a str),
}

impl Thing {
    pub(crate) fn of(row: CredentialRow) -> anyhow::Result<Self> {
        let settings = serde_json::from_str(&row.settings)?;
        let (device, id, answered) = (row.device, row.name, Arc::default());
        Ok(Self { device_id: row.device_id, project_id: row.project_id, device, id, settings, answered })
    }

    fn channels(&self) -> impl Iterator<Item = &str> {
        let own = [&self.settings.control_channel, &self.settings.data_channel];
        own.into_iter().chain(&self.settings.channels).map(String::as_str)
    }

    /// Filters of everything that is its own.
    pub(crate) fn filters(&self) -> impl Iterator<Item = String> {
        self.channels().map(|channel| format!("channels/{channel}/messages/{}/#", self.id))
    }

    /// The topic of a request to it.
    pub(crate) fn control_topic(&self, leaf: &str) -> String {
        format!("channels/{}/messages/{}/{leaf}", self.settings.control_channel, self.id)
    }

    /// Where a topic stands; `None` when it is not its own.
    pub(crate) fn place<'a>(&self, topic: &'a str) -> Option<Place<'a>> {
        let (channel, rest) = topic.strip_prefix("channels/")?.split_once('/')?;
        let leaf = rest.strip_prefix("messages/")?.strip_prefix(self.id.as_str())?;
        let leaf = if leaf.is_empty() { leaf } else { leaf.strip_prefix('/')? };
        if !self.channels().any(|own| own == channel) {
            return None;
        }
        Some(if channel == self.settings.control_channel { Place::Control(leaf) } else { Place::Data })
    }
}

/// The thing of this id, if the key is its own.
pub(crate) async fn identify(app: &App, id: &str, key: &str) -> anyhow::Result<Option<Thing>> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Ok(None);
    }
    let row = app.store.credential(Adapter::Insighio.as_str(), id).await?;
    let hash = token::hash(key);
    let Some(row) = row.filter(|row| row.secret_hash.as_ref() == Some(&hash)) else { return Ok(None) };
    if app.store.has_bootstrap(row.id).await? {
        // It has its key: nobody else shall get it.
        let mut writing = app.store.begin().await?;
        writing.end_bootstrap(row.id).await?;
        writing.commit().await?;
    }
    Thing::of(row).map(Some)
}

/// Checks the settings of a new thing and puts in what is missing: `random` makes the id of a channel.
///
/// # Errors
/// `Invalid` when they can't be settings of a thing.
pub(crate) fn complete(
    mut given: Map<String, Value>,
    mut random: impl FnMut() -> anyhow::Result<String>,
) -> Result<Map<String, Value>, Failure> {
    for names in [["control_channel", "controlChannel", "control"], ["data_channel", "dataChannel", "data"]] {
        if !names.iter().any(|name| given.contains_key(*name)) {
            given.insert(names[0].into(), random()?.into());
        }
    }
    let settings: Settings = serde_json::from_value(Value::Object(given))
        .map_err(|error| Failure::Invalid(format!("settings of a thing: {error}")))?;
    let channels = [&settings.control_channel, &settings.data_channel].into_iter().chain(&settings.channels);
    if let Some(channel) = channels.into_iter().find(|channel| !is_level(channel) || channel.len() > MAX_CHANNEL) {
        let rule = format!("1 to {MAX_CHANNEL} bytes without / + # and spaces");
        return Err(Failure::Invalid(format!("the id of a channel is {rule}, not {channel:?}")));
    }
    if settings.channels.len() > MAX_CHANNELS || !(1..=100).contains(&settings.give_up_after) {
        return Err(Failure::Invalid(format!(
            "settings of a thing: at most {MAX_CHANNELS} more channels, and give_up_after from 1 to 100"
        )));
    }
    match serde_json::to_value(&settings).map_err(anyhow::Error::from)? {
        Value::Object(settings) => Ok(settings),
        _ => Err(anyhow::anyhow!("settings are no object").into()),
    }
}

/// Whether this can be one level of a topic.
fn is_level(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(['/', '+', '#', '?', '&'])
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
