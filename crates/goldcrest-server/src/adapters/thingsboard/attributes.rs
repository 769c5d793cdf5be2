//! Attributes: what a device notes of itself (`client`), and what it is told (`shared`), among it the release that it shall run.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::announce::{announced, announces, tell};
use super::{Device, MAX_PAYLOAD};
use crate::App;
use crate::failure::Failure;
use crate::store::Scope;
use crate::telemetry::{MAX_KEY, MAX_VALUE};

/// Which attributes a board asks for; neither: all of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    client: Option<Vec<String>>,
    shared: Option<Vec<String>>,
}

impl Asked {
    /// From names with commas between them.
    pub(super) fn of(client: Option<&str>, shared: Option<&str>) -> Self {
        let names = |text: &str| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            Some(names.map(str::to_owned).collect::<Vec<_>>()).filter(|names| !names.is_empty())
        };
        Self { client: client.and_then(names), shared: shared.and_then(names) }
    }

    /// From the payload of a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))?;
        let object = value.as_object().ok_or("not an object")?;
        let names = |key: &str| object.get(key).and_then(Value::as_str);
        Ok(Self::of(names("clientKeys"), names("sharedKeys")))
    }

    fn wants(&self, scope: Scope, key: &str) -> bool {
        let (own, other) = match scope {
            Scope::Client => (&self.client, &self.shared),
            Scope::Shared => (&self.shared, &self.client),
        };
        own.as_ref().map_or(other.is_none(), |names| names.iter().any(|name| name == key))
    }

    /// Whether a release is asked for.
    fn wants_release(&self) -> bool {
        match &self.shared {
            Some(names) => names.iter().any(|name| announces(name)),
            None => self.client.is_none(),
        }
    }
}

/// What a board is answered: `{"client": {…}, "shared": {…}}`, each left out when there is nothing in it.
pub(super) async fn answer(app: &Arc<App>, device: Device, asked: &Asked) -> anyhow::Result<Value> {
    let (mut client, mut shared) = (Map::new(), Map::new());
    for row in app.store.attributes(device.id).await? {
        let (scope, values) = match row.scope.as_str() {
            "client" => (Scope::Client, &mut client),
            _ => (Scope::Shared, &mut shared),
        };
        if asked.wants(scope, &row.key) {
            values.insert(row.key, serde_json::from_str(&row.value).context("a stored attribute is damaged")?);
        }
    }
    if asked.wants_release()
        && let Some(announced) = announced(app, device.id).await?
    {
        shared.extend(announced.attributes().into_iter().filter(|(key, _)| asked.wants(Scope::Shared, key)));
    }
    let both = [("client", client), ("shared", shared)].into_iter().filter(|(_, values)| !values.is_empty());
    Ok(Value::Object(both.map(|(name, values)| (name.to_owned(), values.into())).collect()))
}

/// Takes in what a board notes of itself.
///
/// # Errors
/// `Invalid` when it is no object, or more than there is room for.
pub(super) async fn take(app: &App, device: Device, payload: &[u8]) -> Result<(), Failure> {
    let value: Value =
        serde_json::from_slice(payload).map_err(|error| Failure::Invalid(format!("not JSON: {error}")))?;
    let Value::Object(values) = value else { return Err(Failure::Invalid("not an object".into())) };
    store(app, device.id, Scope::Client, &values).await
}

async fn store(app: &App, device_id: i64, scope: Scope, values: &Map<String, Value>) -> Result<(), Failure> {
    let values: Vec<(String, String)> = values.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
    let is_too_long =
        |(key, value): &&(String, String)| key.is_empty() || key.len() > MAX_KEY || value.len() > MAX_VALUE;
    if let Some((key, _)) = values.iter().find(is_too_long) {
        let text =
            format!("attribute {key:?}: names of 1 to {MAX_KEY} bytes and values of up to {MAX_VALUE} are allowed");
        return Err(Failure::Invalid(text));
    }
    let mut writing = app.store.begin().await?;
    if !writing.set_attributes(device_id, scope, &values, app.clock.now_ms()).await? {
        let text = format!("the device has no room for more attributes of scope {}", scope.as_str());
        return Err(Failure::Conflict(text, "delete some first"));
    }
    writing.commit().await?;
    Ok(())
}

/// Sets shared attributes, and tells the device if it speaks this protocol and is there.
///
/// # Errors
/// `Invalid` for a name that the server gives its own value to, or what is too long; `Conflict` when there is no room.
pub(crate) async fn set_shared(app: &App, device: Device, values: Map<String, Value>) -> Result<(), Failure> {
    check_names(values.keys())?;
    if Value::Object(values.clone()).to_string().len() > MAX_PAYLOAD {
        return Err(Failure::TooLarge(format!("more than {MAX_PAYLOAD} bytes in one message to a board")));
    }
    store(app, device.id, Scope::Shared, &values).await?;
    tell(app, device, &Value::Object(values));
    Ok(())
}

/// Removes a shared attribute, and tells the device. Whether there was one.
pub(crate) async fn remove_shared(app: &App, device: Device, key: &str) -> Result<bool, Failure> {
    let mut writing = app.store.begin().await?;
    let is_gone = writing.remove_attribute(device.id, Scope::Shared, key).await?;
    writing.commit().await?;
    if is_gone {
        tell(app, device, &json!({"deleted": [key]}));
    }
    Ok(is_gone)
}

fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    names.find(|name| announces(name) || *name == "deleted").map_or(Ok(()), |name| {
        Err(Failure::Invalid(format!("attribute {name:?} is set by the server itself: it follows the desired release")))
    })
}

/// Both scopes as people see them: name to value and time.
pub(crate) async fn shown(app: &App, device_id: i64) -> anyhow::Result<Value> {
    let mut scopes: BTreeMap<String, Map<String, Value>> =
        ["client", "shared"].into_iter().map(|scope| (scope.to_owned(), Map::new())).collect();
    for row in app.store.attributes(device_id).await? {
        let value: Value = serde_json::from_str(&row.value).context("a stored attribute is damaged")?;
        scopes.entry(row.scope).or_default().insert(row.key, json!({"value": value, "at_ms": row.at_ms}));
    }
    Ok(json!(scopes))
}
