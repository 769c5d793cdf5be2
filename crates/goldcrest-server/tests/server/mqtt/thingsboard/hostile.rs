//! Input that no good board sends: each has its answer, and nobody else is disturbed.

use serde_json::json;

use super::super::client::{Hello, Peer, hello, packet, text};
use super::{announced, as_sdk, board, chunk, connect, settled, two_releases};
use crate::app::TestApp;

#[tokio::test]
async fn a_token_of_nobody_is_refused() {
    let app = TestApp::start_empty(|settings| settings.mqtt.anonymous = None).await;
    for user in ["token-nobody", "", "gcd_nobody", "\u{7f}"] {
        let answer = Peer::open(app.mqtt).await.introduce(as_sdk(user)).await;
        assert_eq!(answer, [0, 4], "{user:?}");
    }
    let answer = Peer::open(app.mqtt).await.introduce(Hello { user: Some("token-nobody"), ..hello(5, "x") }).await;
    assert_eq!(answer[1], 0x86);
}

#[tokio::test]
async fn what_is_not_understood_is_acknowledged_counted_and_dropped() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let big = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let cases = [
        ("telemetry", "{\"t\": 2"),
        ("telemetry", "[1, 2]"),
        ("telemetry", "\"text\""),
        ("telemetry", big.as_str()),
        ("attributes", "[]"),
        ("attributes", "{\"a\""),
        ("attributes/request/1", "no"),
        ("attributes/request/x", "{}"),
        ("attributes/request/99999999999", "{}"),
        ("rpc/request/1", "{\"method\":"),
        ("claim", "{\"durationMs\":\"x\"}"),
        ("nothing", "{}"),
        ("attributes/response/1", "{}"),
    ];
    for (topic, payload) in cases {
        assert_eq!(peer.publish(&format!("v1/devices/me/{topic}"), payload, 1).await, 0, "{topic}");
        peer.nothing().await;
    }
    let metrics = app.anonymous().send("GET", "/metrics", &[], b"").await.text();
    assert!(
        metrics.contains(&format!("goldcrest_mqtt_dropped_total{{reason=\"bad-report\"}} {}", cases.len())),
        "{metrics}"
    );
    let telemetry = app.admin().see("/api/v1/devices/one/telemetry").await;
    assert_eq!(
        telemetry["telemetry"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["current_fw_title", "current_fw_version", "fw_state"]
    );
    // In MQTT 5 there is a word for it.
    let (mut peer, _) = Peer::join(app.mqtt, Hello { version: 5, ..as_sdk("token-one") }).await;
    assert_eq!(peer.publish("v1/devices/me/telemetry", "{", 1).await, 0x99);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    assert_eq!(peer.publish_with("v1/devices/me/telemetry", b"{\"t\":\"\xff\xfe\"}", 2, &[]).await, 0);
    peer.nothing().await;
    let topic = [&[0, 4][..], b"v1/\xff", b"{}"].concat();
    peer.send(&packet(0x30, &topic)).await;
    assert_eq!(peer.ended().await, None);
}

#[tokio::test]
async fn a_packet_above_the_limit_ends_the_connection() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    peer.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(peer.ended().await, None);
}

#[tokio::test]
async fn chunks_that_are_not_there_say_so_and_end_the_connection() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let whole = chunk(&mut peer, "fw", "1/chunk/0", "").await.unwrap();
    let cases = [
        ("1/chunk/1", "", "chunk 1 is past the end of the package"),
        ("1/chunk/4294967295", "4294967295", "chunk 4294967295 is past the end of the package"),
        ("1/chunk/0", "many", "the chunk size is not a number"),
        ("1/chunk/0", "-1", "the chunk size is not a number"),
        ("1/chunk/0", "1e3", "the chunk size is not a number"),
        ("1/chunk/0", "99999999999", "the chunk size is not a number"),
        ("1/chunk/-1", "", "\"1/chunk/-1\" is not <id>/chunk/<number>"),
        ("1/chunk/0/x", "", "\"1/chunk/0/x\" is not <id>/chunk/<number>"),
        ("x", "", "\"x\" is not <id>/chunk/<number>"),
    ];
    let at_end = whole.len().div_ceil(64).to_string();
    let at_end = format!("1/chunk/{at_end}");
    let late = format!("chunk {} is past the end of the package", whole.len().div_ceil(64));
    for (request, size, wanted) in cases.into_iter().chain([(at_end.as_str(), "64", late.as_str())]) {
        assert_eq!(chunk(&mut peer, "fw", request, size).await, Err(wanted.to_owned()));
        assert_eq!(peer.ended().await, None);
        peer = connect(&app, "token-one").await;
    }
    // Where there is no package at all.
    let admin = app.admin();
    admin.post("/api/v1/devices", json!({"name": "bare", "package": "empty"})).await.expect(201);
    admin
        .post("/api/v1/devices/bare/credentials", json!({"adapter": "thingsboard", "id": "token-bare"}))
        .await
        .expect(201);
    let mut bare = connect(&app, "token-bare").await;
    assert_eq!(announced(&mut bare).await, json!({}));
    assert_eq!(chunk(&mut bare, "sw", "1/chunk/0", "").await, Err("there is no package for this device".to_owned()));
}

#[tokio::test]
async fn a_board_uses_its_own_topics_only() {
    let app = two_releases().await;
    let (one, two) = (board(&app, "one", json!({})).await, board(&app, "two", json!({})).await);
    let id = app.admin().see("/api/v1/devices/two").await["id"].clone();
    let mut other = connect(&app, &two).await;
    let (mut peer, _) = Peer::join(app.mqtt, Hello { version: 5, ..as_sdk(&one) }).await;
    for filter in ["#", "+/devices/me/attributes", "goldcrest/#", "rooms/x", "goldcrest/v1/me/desired"] {
        assert_eq!(peer.subscribe(filter, 0).await, 0x80, "{filter}");
    }
    let inside = format!("goldcrest/tb/{id}/v1/devices/me/attributes");
    assert_eq!(peer.subscribe(&inside, 0).await, 0x80);
    for topic in [inside.as_str(), "rooms/x", "goldcrest/v1/me/report"] {
        assert_eq!(peer.publish(topic, "{}", 1).await, 0x87, "{topic}");
    }
    // What it publishes itself goes to no other board, although all have the same topic.
    peer.publish("v1/devices/me/attributes", r#"{"a":1}"#, 1).await;
    other.nothing().await;
    // A native board does not get in by these topics.
    let native = app.device("native").await;
    let (mut native, _) =
        Peer::join(app.mqtt, Hello { user: Some("board"), password: Some(&native.token), ..hello(5, "n") }).await;
    assert_eq!(native.publish("v1/devices/me/telemetry", "{}", 1).await, 0x87);
}

#[tokio::test]
async fn a_will_is_no_telemetry_and_harms_nobody() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let will = Hello { will: Some(("v1/devices/me/telemetry", r#"{"fw_state":"FAILED"}"#, &[])), ..as_sdk(&token) };
    let (peer, _) = Peer::join(app.mqtt, will).await;
    drop(peer);
    let mut peer = connect(&app, &token).await;
    peer.send(&packet(0x30, &[text("v1/devices/me/telemetry"), b"{}".to_vec()].concat())).await;
    peer.nothing().await;
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 queued");
}
