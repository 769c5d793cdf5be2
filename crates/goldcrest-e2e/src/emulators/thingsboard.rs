//! A ThingsBoard in small: one device and its token, shared attributes with a firmware, chunks on request, telemetry.
//!
//! After ThingsBoard's documentation of the MQTT device API and of OTA updates. Its topics do not name the device, so there is one device only;
//! it has a listener of mosquitto of its own, on which another token gets nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::{Shared, local};
use crate::mosquitto::Mosquitto;
use crate::mqtt_bench::client::{Client, Message};

/// Access token of the device.
pub const TOKEN: &str = "A1_TEST_TOKEN";
const ATTRIBUTES: &str = "v1/devices/me/attributes";

/// A running ThingsBoard; it ends with the value.
#[derive(Debug)]
pub struct Thingsboard {
    /// Held: the broker ends with it.
    _broker: Mosquitto,
    device_port: u16,
    state: Shared<State>,
    say: UnboundedSender<(String, Vec<u8>)>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    shared: Map<String, Value>,
    firmware: Vec<u8>,
    telemetry: Vec<Map<String, Value>>,
    chunks: usize,
}

/// A firmware as its owner registers it.
#[derive(Debug, Clone, Copy)]
pub struct Firmware<'a> {
    /// `fw_title`.
    pub title: &'a str,
    /// `fw_version`.
    pub version: &'a str,
    /// Lower-case hexadecimal digits of its SHA-256.
    pub sha256: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

impl Thingsboard {
    /// Starts it.
    ///
    /// # Errors
    /// When mosquitto is not there or does not start.
    pub async fn start() -> Result<Self> {
        let mut broker = Mosquitto::prepare()?;
        let device_port = TcpListener::bind(local(0))?.local_addr()?.port();
        // Who shows another token is let in, as mosquitto has no passwords to check here, and gets nothing.
        let access = broker.path("access");
        std::fs::write(&access, format!("user {TOKEN}\ntopic readwrite #\n"))?;
        broker.start(&format!(
            "per_listener_settings true\nuser root\npersistence false\nmessage_size_limit 0\n\
             listener {} 127.0.0.1\nallow_anonymous true\n\
             listener {device_port} 127.0.0.1\nallow_anonymous true\nacl_file {}\n",
            broker.port(),
            access.display()
        ))?;
        let mut listening = Client::connect(local(broker.port()), "platform-hears", "platform", "").await?;
        listening.subscribe("#").await?;
        let mut saying = Client::connect(local(broker.port()), "platform-says", "platform", "").await?;
        let state = Shared::new(State::default());
        let (say, mut to_say) = unbounded_channel::<(String, Vec<u8>)>();
        let heard = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let answer = tokio::select! {
                    message = listening.message() => {
                        let Ok(message) = message else { return };
                        heard.lock().hear(&message)
                    }
                    Some(said) = to_say.recv() => Some(said),
                };
                if let Some((topic, payload)) = answer
                    && saying.publish(&topic, &payload, false).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { _broker: broker, device_port, state, say, task })
    }

    /// Where the device connects: `mqtt://127.0.0.1:port`.
    pub fn mqtt(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.device_port)
    }

    /// Assigns a firmware: shared attributes, and their update to the device.
    ///
    /// # Errors
    /// When the platform has lost its broker.
    pub fn assign(&self, firmware: &Firmware<'_>) -> Result<()> {
        let attributes = json!({
            "fw_title": firmware.title,
            "fw_version": firmware.version,
            "fw_tag": format!("{} {}", firmware.title, firmware.version),
            "fw_size": firmware.bytes.len(),
            "fw_checksum_algorithm": "SHA256",
            "fw_checksum": firmware.sha256,
        });
        let mut state = self.state.lock();
        state.firmware = firmware.bytes.to_vec();
        state.shared.extend(attributes.as_object().cloned().unwrap_or_default());
        drop(state);
        self.say
            .send((ATTRIBUTES.into(), attributes.to_string().into_bytes()))
            .context("the platform has lost its broker")
    }

    /// The states that the device told, without repetitions.
    pub fn states(&self) -> Vec<String> {
        let state = self.state.lock();
        let told = state.telemetry.iter().filter_map(|values| values.get("fw_state")?.as_str());
        let mut states: Vec<String> = told.map(str::to_owned).collect();
        states.dedup();
        states
    }

    /// The newest value of each key of telemetry.
    pub fn latest(&self) -> BTreeMap<String, Value> {
        self.state.lock().telemetry.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Chunks that were asked for.
    pub fn chunks(&self) -> usize {
        self.state.lock().chunks
    }
}

impl Drop for Thingsboard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Takes a message of the device in; what is to be answered.
    fn hear(&mut self, message: &Message) -> Option<(String, Vec<u8>)> {
        let topic = message.topic.as_str();
        if topic == "v1/devices/me/telemetry" {
            let said: Value = serde_json::from_slice(&message.payload).ok()?;
            let values = said.get("values").unwrap_or(&said);
            self.telemetry.extend(values.as_object().cloned());
            return None;
        }
        if let Some(number) = topic.strip_prefix(ATTRIBUTES).and_then(|rest| rest.strip_prefix("/request/")) {
            let asked: Value = serde_json::from_slice(&message.payload).ok()?;
            let keys = asked["sharedKeys"].as_str().unwrap_or_default().split(',');
            let shared: Map<String, Value> =
                keys.filter_map(|key| Some((key.to_owned(), self.shared.get(key)?.clone()))).collect();
            let answer = if shared.is_empty() { json!({}) } else { json!({"shared": shared}) };
            return Some((format!("{ATTRIBUTES}/response/{number}"), answer.to_string().into_bytes()));
        }
        let asked = topic.strip_prefix("v2/fw/request/")?;
        let (number, chunk) = asked.split_once("/chunk/")?;
        self.chunks += 1;
        let size: usize = std::str::from_utf8(&message.payload).ok()?.parse().unwrap_or(self.firmware.len());
        let part = self.firmware.chunks(size.max(1)).nth(chunk.parse().ok()?).unwrap_or_default();
        Some((format!("v2/fw/response/{number}/chunk/{chunk}"), part.to_vec()))
    }
}
