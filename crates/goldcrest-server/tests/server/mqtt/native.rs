//! The native protocol over MQTT: what a board is told, what it tells, and who sees it.

use serde_json::{Value, json};

use super::client::{Hello, Peer, hello};
use crate::app::{Device, TestApp};
use crate::releases::release;

fn as_board<'a>(device: &'a Device<'_>) -> Hello<'a> {
    Hello { user: Some("board"), password: Some(&device.token), ..hello(4, "umqtt_client") }
}

async fn operator(app: &TestApp) -> Peer {
    let token = app.admin().token;
    Peer::join(app.mqtt, Hello { user: Some(&token), ..hello(5, "ops") }).await.0
}

async fn id_of(app: &TestApp, name: &str) -> String {
    app.admin().see(&format!("/api/v1/devices/{name}")).await["id"].to_string()
}

fn release_of(payload: &str) -> Value {
    serde_json::from_str::<Value>(payload).unwrap()["release"].clone()
}

#[tokio::test]
async fn a_board_is_told_what_it_shall_run_and_when_that_changes() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let device = app.device("one").await;
    let (mut board, _) = Peer::join(app.mqtt, as_board(&device)).await;
    assert_eq!(board.subscribe("goldcrest/v1/me/desired", 1).await, 1);
    let got = board.message().await;
    assert_eq!(got.line(), "goldcrest/v1/me/desired {\"keyring\":1,\"release\":null,\"version\":null} q1 retained");
    let release = release("1.0.0", 1);
    admin.publish(&release).await;
    admin.set_stable("1.0.0").await;
    let got = board.message().await;
    assert_eq!((got.topic.as_str(), got.retain), ("goldcrest/v1/me/desired", false));
    let told: Value = serde_json::from_str(&got.payload).unwrap();
    assert_eq!(told, json!({"release": release.digest, "version": "1.0.0", "keyring": 1}));
    // Nothing more is said while it updates, and the state is there for the next subscription.
    device.update("-", &release).await;
    board.nothing().await;
    let id = id_of(&app, "one").await;
    assert_eq!(board.subscribe(&format!("goldcrest/v1/{id}/desired"), 0).await, 0);
    let again = board.message().await;
    assert_eq!(release_of(&again.payload), release.digest.as_str());
    assert_eq!(again.topic, format!("goldcrest/v1/{id}/desired"));
}

#[tokio::test]
async fn reports_over_mqtt_count_like_those_over_http() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let device = app.device("one").await;
    let release = release("1.0.0", 1);
    admin.publish(&release).await;
    admin.set_stable("1.0.0").await;
    let mut ops = operator(&app).await;
    ops.subscribe("goldcrest/v1/+/report", 0).await;
    let board = Hello { version: 5, ..as_board(&device) };
    let (mut board, _) = Peer::join(app.mqtt, board).await;
    device.check_in("-", "ok", &[]).await.expect(200);
    let id = id_of(&app, "one").await;
    for (stage, topic) in [
        ("downloading", "goldcrest/v1/me/report".to_owned()),
        ("trial", format!("goldcrest/v1/{id}/report")),
        ("confirmed", "goldcrest/v1/me/report".to_owned()),
    ] {
        let report = json!({"stage": stage, "release": release.digest}).to_string();
        assert_eq!(board.publish(&topic, &report, 1).await, 0);
        // Acknowledged means stored.
        assert_eq!(admin.deployment_line("one").await, format!("1.0.0 {stage}"));
        let seen = ops.message().await;
        assert_eq!((seen.topic, seen.payload), (format!("goldcrest/v1/{id}/report"), report));
    }
    assert_eq!(admin.device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
    for broken in ["", "{", "{\"stage\":\"confirmed\"}", &"x".repeat(9000)] {
        assert_eq!(board.publish("goldcrest/v1/me/report", broken, 1).await, 0x99);
    }
    ops.nothing().await;
}

#[tokio::test]
async fn a_board_that_comes_back_was_never_gone() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let presence = format!("goldcrest/v1/{}/presence", id_of(&app, "one").await);
    let mut ops = operator(&app).await;
    ops.subscribe("goldcrest/v1/+/presence", 0).await;
    assert_eq!(ops.message().await.line(), format!("{presence} offline q0 retained"));
    let will = Hello { will: Some(("goldcrest/v1/me/app/will", "lost", &[])), ..as_board(&device) };
    ops.subscribe("goldcrest/v1/+/app/#", 0).await;
    let (mut first, _) = Peer::join(app.mqtt, will).await;
    assert_eq!(ops.message().await.line(), format!("{presence} online q0"));
    let (second, _) = Peer::join(app.mqtt, will).await;
    assert_eq!(first.ended().await, None);
    ops.nothing().await;
    drop(second);
    let mut lines = [ops.message().await.payload, ops.message().await.payload];
    lines.sort();
    assert_eq!(lines, ["lost", "offline"]);
}

#[tokio::test]
async fn a_board_uses_its_own_topics_and_no_others() {
    let app = TestApp::start().await;
    let (one, two) = (app.device("one").await, app.device("two").await);
    let (id, other) = (id_of(&app, "one").await, id_of(&app, "two").await);
    let (mut a, _) = Peer::join(app.mqtt, Hello { version: 5, ..as_board(&one) }).await;
    let (mut b, _) = Peer::join(app.mqtt, as_board(&two)).await;
    for filter in ["#", "+/+/+/+", "goldcrest/#", "goldcrest/v1/+/desired", &format!("goldcrest/v1/{other}/#"), "rooms"]
    {
        assert_eq!(a.subscribe(filter, 0).await, 0x80, "{filter}");
    }
    for topic in [
        &format!("goldcrest/v1/{other}/app/x"),
        &format!("goldcrest/v1/{other}/report"),
        &format!("goldcrest/v1/{id}/desired"),
        "goldcrest/v1/me/presence",
        "goldcrest/v1/me/app",
        "rooms",
    ] {
        assert_eq!(a.publish(topic, "x", 1).await, 0x87, "{topic}");
    }
    // Its application's topics are free, also for people.
    b.subscribe("goldcrest/v1/me/#", 0).await;
    for _ in 0..2 {
        let state = b.message().await;
        assert!(state.topic.starts_with("goldcrest/v1/me/"), "{}", state.topic);
    }
    let mut ops = operator(&app).await;
    ops.subscribe("goldcrest/v1/+/app/#", 0).await;
    assert_eq!(ops.publish(&format!("goldcrest/v1/{other}/app/cmd"), "blink", 1).await, 0);
    assert_eq!(b.message().await.line(), "goldcrest/v1/me/app/cmd blink q0");
    assert_eq!(ops.message().await.line(), format!("goldcrest/v1/{other}/app/cmd blink q0"));
    a.publish("goldcrest/v1/me/app/log", "hi", 0).await;
    assert_eq!(ops.message().await.line(), format!("goldcrest/v1/{id}/app/log hi q0"));
    assert_eq!(ops.publish(&format!("goldcrest/v1/{id}/desired"), "x", 1).await, 0x87);
    b.nothing().await;
}

#[tokio::test]
async fn people_see_the_whole_fleet_in_one_subscription() {
    let app = TestApp::start().await;
    for name in ["one", "two", "three"] {
        app.device(name).await;
    }
    let mut ops = operator(&app).await;
    ops.subscribe("goldcrest/v1/+/desired", 0).await;
    let mut topics = Vec::new();
    for _ in 0..3 {
        topics.push(ops.message().await.topic);
    }
    ops.nothing().await;
    topics.dedup();
    assert_eq!(topics.len(), 3);
}

#[tokio::test]
async fn who_loses_a_token_loses_the_connection() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let (one, two) = (app.device("one").await, app.device("two").await);
    let (mut a, _) = Peer::join(app.mqtt, Hello { version: 5, ..as_board(&one) }).await;
    let (mut b, _) = Peer::join(app.mqtt, Hello { version: 5, ..as_board(&two) }).await;
    admin.post("/api/v1/devices/one/token", json!({})).await.expect(200);
    assert_eq!(a.ended().await, Some(0x87));
    admin.delete("/api/v1/devices/two").await.expect(204);
    assert_eq!(b.ended().await, Some(0x87));
    let made = admin.post("/api/v1/tokens", json!({"name": "tool"})).await.expect(201).json();
    let token = made["token"].as_str().unwrap();
    let (mut tool, _) = Peer::join(app.mqtt, Hello { user: Some(token), ..hello(5, "tool") }).await;
    admin.delete("/api/v1/tokens/tool").await.expect(204);
    assert_eq!(tool.ended().await, Some(0x87));
    let mut late = Peer::open(app.mqtt).await;
    assert_eq!(late.introduce(as_board(&one)).await, [0, 4]);
}

#[tokio::test]
async fn a_connected_board_is_seen() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (mut board, _) = Peer::join(app.mqtt, as_board(&device)).await;
    board.nothing().await;
    while app.admin().see("/api/v1/devices/one").await["last_seen_ms"].is_null() {
        tokio::task::yield_now().await;
    }
}
