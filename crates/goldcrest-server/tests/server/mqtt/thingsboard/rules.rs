//! What ThingsBoard does without saying so, and its boards rely on.

use std::time::Duration;

use expect_test::expect;
use serde_json::json;

use super::super::client::{Hello, Peer, packet, text};
use super::{announced, as_sdk, board, chunk, connect, fetch, settled, tell, two_releases};
use crate::app::TestApp;

#[tokio::test]
async fn the_acknowledgement_comes_before_the_answer() {
    // umqtt waits for it inside of `publish`, and calls back for whatever comes meanwhile: with each chunk one call deeper.
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    for request in ["attributes/request/1", "rpc/request/2"] {
        let payload: &[u8] = if request.starts_with('a') { b"{}" } else { br#"{"method":"getSessionLimits"}"# };
        peer.send(&peer.publish_bytes(&format!("v1/devices/me/{request}"), payload, 2, 77, &[])).await;
        let (first, body) = peer.receive().await.unwrap();
        assert_eq!((first, &body[..]), (0x40, &[0, 77][..]));
        peer.message().await;
    }
    // So it is with chunks: `chunk` asserts it.
    fetch(&mut peer).await;
}

#[tokio::test]
async fn nothing_is_pushed_while_a_board_downloads() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let update =
        |at: &'static str| json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0", "fw_state": at});
    app.admin().set_stable("1.1.0").await;
    peer.message().await;
    tell(&mut peer, update("DOWNLOADING")).await;
    chunk(&mut peer, "fw", "1/chunk/0", "1000").await.unwrap();
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 5})).await.expect(200);
    app.admin().set_stable("1.0.0").await;
    let admin = app.admin();
    let called = tokio::join!(
        admin.post("/api/v1/devices/one/rpc", json!({"method": "led", "params": 1, "timeout_ms": 9_000})),
        async {
            chunk(&mut peer, "fw", "1/chunk/1", "1000").await.unwrap();
            peer.nothing().await;
            tell(&mut peer, update("DOWNLOADED")).await;
            peer.nothing().await;
            tell(&mut peer, update("VERIFIED")).await;
            // Now all of it comes: what was set, the call, and what it shall run instead.
            let mut heard = Vec::new();
            for _ in 0..3 {
                let got = peer.message().await;
                if got.topic.contains("rpc/request/") {
                    let answer = got.topic.replace("request", "response");
                    peer.publish(&answer, "\"done\"", 0).await;
                    heard.push("call".to_owned());
                } else {
                    heard.push(if got.payload.contains("period") { got.payload } else { "release".into() });
                }
            }
            heard.sort();
            expect![[r#"call release {"period":5}"#]].assert_eq(&heard.join(" "));
        }
    );
    assert_eq!(called.0.expect(200).json()["answer"], "done");
}

#[tokio::test]
async fn nothing_is_pushed_when_a_board_connects() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 5})).await.expect(200);
    let mut peer = connect(&app, &token).await;
    peer.nothing().await;
    // Not even what a session of MQTT would keep.
    let keep = Hello { is_clean: false, ..as_sdk(&token) };
    let (mut peer, welcome) = Peer::join(app.mqtt, keep).await;
    assert_eq!(welcome[0], 0, "no session");
    peer.subscribe("v1/devices/me/attributes", 1).await;
    peer.leave().await;
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 6})).await.expect(200);
    let (mut peer, welcome) = Peer::join(app.mqtt, keep).await;
    assert_eq!(welcome[0], 0, "no session");
    peer.nothing().await;
    peer.subscribe("v1/devices/me/attributes", 1).await;
    peer.nothing().await;
    assert_eq!(announced(&mut peer).await["shared"]["fw_version"], "1.0.0");
}

#[tokio::test]
async fn what_was_held_back_is_not_told_to_the_next_connection() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    chunk(&mut peer, "fw", "1/chunk/0", "1000").await.unwrap();
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 5})).await.expect(200);
    peer.leave().await;
    let mut peer = connect(&app, "token-one").await;
    tell(&mut peer, json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0", "fw_state": "UPDATED"})).await;
    peer.nothing().await;
}

#[tokio::test]
async fn the_newest_connection_of_a_board_counts_and_ids_do_not() {
    let app = two_releases().await;
    let (one, two) = (board(&app, "one", json!({})).await, board(&app, "two", json!({})).await);
    let mut other = connect(&app, &two).await;
    let mut old = connect(&app, &one).await;
    let mut new = connect(&app, &one).await;
    assert_eq!(old.ended().await, None, "MQTT 3.1.1 gives no reason");
    // The same client id, and another board: undisturbed.
    other.nothing().await;
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 5})).await.expect(200);
    assert_eq!(new.message().await.payload, r#"{"period":5}"#);
    other.nothing().await;
}

/// boot.py tells by a connection of its own that the update worked, at `QoS` 0, and main.py connects at once: its
/// packets may overtake the others.
#[tokio::test]
async fn what_was_on_its_way_when_the_board_connected_anew_is_heard() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let mut old = connect(&app, &token).await;
    let _new = connect(&app, &token).await;
    let said = json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0", "fw_state": "UPDATED"}).to_string();
    old.send(&old.publish_bytes("v1/devices/me/telemetry", said.as_bytes(), 0, 0, &[])).await;
    old.send(&[0xe0, 0]).await;
    assert_eq!(old.ended().await, None);
    assert_eq!(app.admin().device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
}

/// The same, as fast as a board can.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_two_connections() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    for round in 0..60 {
        let (mut peer, _) = Peer::join(app.mqtt, as_sdk(&token)).await;
        let said = json!({"ts": 1_799_999_000_000_i64 + round, "values": {"round": round}}).to_string();
        peer.send(&peer.publish_bytes("v1/devices/me/telemetry", said.as_bytes(), 0, 0, &[])).await;
        peer.send(&[0xe0, 0]).await;
    }
    let mut kept = 0;
    for _ in 0..100 {
        let told = app.admin().see("/api/v1/devices/one/telemetry?limit=100&key=round").await;
        kept = told["telemetry"]["round"].as_array().map_or(0, Vec::len);
        if kept == 60 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{kept} of 60");
}

#[tokio::test]
async fn a_failure_without_its_end_is_understood() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    app.admin().set_stable("1.1.0").await;
    peer.message().await;
    tell(&mut peer, json!({"fw_state": "VERIFIED"})).await;
    // umqtt counts characters: the packet is announced as many bytes too short as there are accents, and they begin the next one.
    let said = "{\"fw_state\": \"FAILED\", \"fw_error\": \"Excepción: Título y versión no coinciden\"}";
    let missing = said.len() - said.chars().count();
    let mut bytes =
        packet(0x30, &[text("v1/devices/me/telemetry"), said.as_bytes()[..said.len() - missing].to_vec()].concat());
    bytes.extend_from_slice(&said.as_bytes()[said.len() - missing..]);
    bytes.extend_from_slice(&[0xe0, 0]);
    peer.send(&bytes).await;
    drop(peer);
    while app.admin().deployment_line("one").await != "1.0.0 confirmed, 1.1.0 failed(error)" {
        tokio::task::yield_now().await;
    }
    let deployments = app.admin().see("/api/v1/deployments?device=one").await;
    assert_eq!(deployments["deployments"][0]["detail"], "Excepción: Título y versión no coincide");
}

#[tokio::test]
async fn who_loses_the_token_loses_the_connection() {
    let app = TestApp::start_empty(|settings| settings.mqtt.anonymous = None).await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    let listed = app.admin().see("/api/v1/devices/one/credentials").await;
    assert_eq!(listed["credentials"][0]["id"], json!(null), "a token is kept as its hash only");
    let number = &listed["credentials"][0]["number"];
    app.admin().delete(&format!("/api/v1/devices/one/credentials/{number}")).await.expect(204);
    assert_eq!(peer.ended().await, None);
    assert_eq!(Peer::open(app.mqtt).await.introduce(as_sdk(&token)).await, [0, 4]);
}
