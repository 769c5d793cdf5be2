//! insigh.io things: the platform as their client sees it. Names and payloads are those of insighioNode.

mod http;
mod mqtt;

use serde_json::{Value, json};

use crate::app::{Device, TestApp};
use crate::http::{Response, send};
use crate::mqtt::client::{Hello, Peer, hello};

const ID: &str = "06c80d38-07a0-4f3a-87ed-ee17232cd7e7";
const KEY: &str = "6bb7163b-6edd-42b3-8546-c76693bc2f18";
const CONTROL: &str = "6979beea-6c10-4ab2-a684-11989451d7e6";
const DATA: &str = "c0e19e84-2570-449e-a68b-00f7457d8447";

/// A device that is a thing, with settings besides its channels.
async fn thing<'a>(app: &'a TestApp, name: &str, settings: Value) -> Device<'a> {
    let device = app.device(name).await;
    let mut all = json!({"control_channel": CONTROL, "data_channel": DATA});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let body = json!({"adapter": "insighio", "id": ID, "secret": KEY, "settings": all});
    app.admin().post(&format!("/api/v1/devices/{name}/credentials"), body).await.expect(201);
    device
}

/// The client's connection: client id is its MAC address, user name its id, password its key.
async fn connect(app: &TestApp) -> Peer {
    Peer::join(app.mqtt, Hello { user: Some(ID), password: Some(KEY), ..hello(4, "aa00bb11ccdd") }).await.0
}

/// A topic on the control channel.
fn control(leaf: &str) -> String {
    format!("channels/{CONTROL}/messages/{ID}/{leaf}")
}

/// What the client subscribes to.
fn everything() -> String {
    format!("channels/{CONTROL}/messages/{ID}/#")
}

/// The download as the client spells it.
async fn download(app: &TestApp, file_id: &str) -> Response {
    let path = format!("/mf-rproxy/packages/download?fuid={file_id}&did={ID}&dk={KEY}&cid={CONTROL}");
    send(app.address, "GET", &path, &[("User-Agent", "MicroPython Client")], b"").await
}

/// File id and size of a request.
fn request(payload: &str) -> (String, u64) {
    let records: Value = serde_json::from_str(payload).unwrap();
    let record = |name: &str| records.as_array().unwrap().iter().find(|record| record["n"] == name).unwrap().clone();
    assert_eq!(record("e")["v"], 0);
    assert_eq!(record("t")["vs"], ".tar");
    (record("i")["vs"].as_str().unwrap().to_owned(), record("s")["v"].as_u64().unwrap())
}

/// A status as the client's `SenML` library writes it.
fn status(event: u8, file_id: &str, message: &str) -> String {
    let mut records = json!([{"bn": "", "n": "e", "v": event}, {"n": "i", "vs": file_id}]);
    if !message.is_empty() {
        records.as_array_mut().unwrap().push(json!({"n": "m", "vs": message}));
    }
    records.to_string()
}

/// Stage, reason and detail of a device's events, oldest first.
async fn history(app: &TestApp, device: &str) -> String {
    let events = app.admin().see(&format!("/api/v1/devices/{device}/events")).await;
    let line = |event: &Value| {
        let text = |key: &str| event[key].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{}{}{}{}\n", event["stage"].as_str().unwrap(), text("version"), text("reason"), text("detail"))
    };
    events["events"].as_array().unwrap().iter().rev().map(line).collect()
}
