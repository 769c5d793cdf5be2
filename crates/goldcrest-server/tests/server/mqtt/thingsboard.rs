//! Boards of ThingsBoard: what its clients send and expect, packet by packet. docs/adapters.md names these tests.

mod data;
mod hostile;
mod http;
mod provisioning;
mod rules;
mod updates;

use serde_json::{Value, json};

use super::client::{Hello, Peer, hello};
use crate::app::TestApp;
use crate::releases::{Plan, Release};

/// Makes a device on `stable` that is known by an access token: the token.
pub(super) async fn board(app: &TestApp, name: &str, settings: Value) -> String {
    app.device(name).await;
    let body = json!({"adapter": "thingsboard", "id": format!("token-{name}"), "settings": settings});
    let made = app.admin().post(&format!("/api/v1/devices/{name}/credentials"), body).await.expect(201).json();
    made["id"].as_str().unwrap().to_owned()
}

/// Connects as the MicroPython SDK does: a client id that all boards share, a password that means nothing, four subscriptions.
pub(super) async fn connect(app: &TestApp, token: &str) -> Peer {
    let (mut peer, _) = Peer::join(app.mqtt, as_sdk(token)).await;
    for topic in ["attributes", "attributes/response/+", "rpc/request/+", "rpc/response/+"] {
        assert_eq!(peer.subscribe(&format!("v1/devices/me/{topic}"), 1).await, 1, "{topic}");
    }
    peer
}

pub(super) fn as_sdk(token: &str) -> Hello<'_> {
    Hello { user: Some(token), password: Some("pswd"), ..hello(4, "micropython_client") }
}

/// Tells telemetry; it is taken in when this returns.
pub(super) async fn tell(peer: &mut Peer, values: Value) {
    assert_eq!(peer.publish("v1/devices/me/telemetry", &values.to_string(), 1).await, 0);
}

/// Asks for attributes: the answer.
pub(super) async fn ask(peer: &mut Peer, asked: Value) -> Value {
    peer.publish("v1/devices/me/attributes/request/7", &asked.to_string(), 1).await;
    let got = peer.message().await;
    assert_eq!(got.topic, "v1/devices/me/attributes/response/7");
    serde_json::from_str(&got.payload).unwrap()
}

/// Asks for a release as the SDK does.
pub(super) async fn announced(peer: &mut Peer) -> Value {
    let keys = "fw_checksum,fw_checksum_algorithm,fw_size,fw_title,fw_version";
    ask(peer, json!({"sharedKeys": keys})).await
}

/// Asks for a chunk: its bytes, that come after the acknowledgement and without a subscription. `Err` is what `v2/…/error` says.
pub(super) async fn chunk(peer: &mut Peer, kind: &str, request: &str, size: &str) -> Result<Vec<u8>, String> {
    let topic = format!("v2/{kind}/request/{request}");
    peer.send(&peer.publish_bytes(&topic, size.as_bytes(), 2, 5, &[])).await;
    let (first, body) = peer.receive().await.expect("an acknowledgement, not the end");
    assert_eq!((first, &body[..]), (0x40, &[0, 5][..]), "the acknowledgement comes first");
    let (first, body) = peer.receive().await.expect("a chunk, not the end");
    assert_eq!(first, 0x30, "QoS 0: nobody subscribed");
    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let (topic, payload) = (String::from_utf8(body[2..end].to_vec()).unwrap(), body[end..].to_vec());
    if topic == format!("v2/{kind}/error") {
        return Err(String::from_utf8(payload).unwrap());
    }
    assert_eq!(topic, format!("v2/{kind}/response/{request}"));
    Ok(payload)
}

/// Fetches the whole package.
pub(super) async fn fetch(peer: &mut Peer) -> Vec<u8> {
    chunk(peer, "fw", "1/chunk/0", "").await.unwrap()
}

/// A release with a folder, a boot.py and a file that zlib cannot make smaller.
pub(super) fn application(version: &str, counter: u64) -> Release {
    let noise = (0..5_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let files = vec![
        ("boot_user.py", b"print('boot')\n".to_vec()),
        ("lib/deep/noise.bin", noise),
        ("main.py", format!("print('{version}')\n").into_bytes()),
    ];
    Plan { files, ..Plan::new(version, counter) }.build()
}

/// A server with 1.0.0 on `stable`, and 1.1.0 to be put there.
pub(super) async fn two_releases() -> TestApp {
    let app = TestApp::start().await;
    for (version, counter) in [("1.0.0", 1), ("1.1.0", 2)] {
        app.admin().publish(&application(version, counter)).await;
    }
    app.admin().set_stable("1.0.0").await;
    app
}

/// A connected board that runs 1.0.0.
pub(super) async fn settled(app: &TestApp, name: &str) -> Peer {
    let token = board(app, name, json!({})).await;
    let mut peer = connect(app, &token).await;
    tell(&mut peer, json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0", "fw_state": "UPDATED"})).await;
    peer
}
