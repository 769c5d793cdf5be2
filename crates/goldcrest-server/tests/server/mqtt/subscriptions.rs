//! Subscriptions: who may have them, how they end, shared ones, options of MQTT 5.

use serde_json::json;

use super::client::{Hello, Peer, hello};
use crate::app::TestApp;

#[tokio::test]
async fn an_ended_subscription_gets_nothing() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    a.subscribe("t/+", 0).await;
    a.subscribe("t/x", 0).await;
    assert_eq!(a.unsubscribe("t/+").await, [0, 8, 0, 0]);
    assert_eq!(a.unsubscribe("t/+").await, [0, 8, 0, 0x11]);
    a.publish("t/y", "no", 0).await;
    a.publish("t/x", "yes", 0).await;
    assert_eq!(a.message().await.line(), "t/x yes q0");
    let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
    b.subscribe("t/x", 0).await;
    assert_eq!(b.unsubscribe("t/x").await, [0, 8]);
    a.publish("t/x", "no", 0).await;
    b.nothing().await;
}

#[tokio::test]
async fn a_shared_subscription_gives_each_message_to_one_member() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
    a.retain("work/old", "x", 0).await;
    for member in [&mut a, &mut b] {
        assert_eq!(member.subscribe("$share/g/work/+", 1).await, 1);
    }
    // The past belongs to nobody in a group.
    a.nothing().await;
    let (mut boss, _) = Peer::join(app.mqtt, hello(4, "boss")).await;
    for task in ["1", "2", "3", "4"] {
        boss.publish("work/new", task, 1).await;
    }
    let done = [a.message().await, b.message().await, a.message().await, b.message().await];
    let mut tasks: Vec<_> = done.into_iter().map(|got| got.payload).collect();
    tasks.sort();
    assert_eq!(tasks, ["1", "2", "3", "4"]);
    // Who is gone does not get any.
    b.leave().await;
    boss.publish("work/new", "5", 1).await;
    boss.publish("work/new", "6", 1).await;
    assert_eq!([a.message().await.payload, a.message().await.payload], ["5", "6"]);
    for broken in ["$share/g", "$share//t", "$share/g/", "$share/+/t"] {
        assert_eq!(boss.subscribe(broken, 0).await, 0x80, "{broken}");
    }
    // In MQTT 5 a name of a group that cannot be is a malformed packet.
    a.send(&super::client::packet(0x82, b"\x00\x01\x00\x00\x0a$share/+/t\x00")).await;
    assert_eq!(a.ended().await, Some(0x81));
}

#[tokio::test]
async fn options_of_version_5_hold() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    // No local.
    a.subscribe("t", 0b100 | 1).await;
    assert_eq!(a.publish("t", "own", 1).await, 0x10, "nobody else listens");
    b.publish("t", "other", 1).await;
    assert_eq!(a.message().await.line(), "t other q1");
    // Retain as published.
    a.subscribe("r", 0b1000).await;
    b.retain("r", "kept", 0).await;
    assert_eq!(a.message().await.line(), "r kept q0 retained");
    // Retain handling: 1 only tells new ones, 2 nobody, 0 everybody.
    b.subscribe("r", 0b01_0000).await;
    assert_eq!(b.message().await.line(), "r kept q0 retained");
    b.subscribe("r", 0b01_0000).await;
    b.nothing().await;
    b.subscribe("r", 0).await;
    assert_eq!(b.message().await.line(), "r kept q0 retained");
    let (mut c, _) = Peer::join(app.mqtt, hello(5, "c")).await;
    c.subscribe("r", 0b10_0000).await;
    c.nothing().await;
}

#[tokio::test]
async fn what_may_not_be_heard_is_refused_with_0x80_in_both_versions() {
    let app = TestApp::start().await;
    for version in [4, 5] {
        let (mut a, _) = Peer::join(app.mqtt, hello(version, "a")).await;
        for filter in ["nosubscribe", "goldcrest/v1/1/desired", "goldcrest/#", "$SYS/#"] {
            assert_eq!(a.subscribe(filter, 0).await, 0x80, "{filter}");
        }
        let invalid = if version == 5 { 0x8f } else { 0x80 };
        for filter in ["a/#/b", "a+", ""] {
            assert_eq!(a.subscribe(filter, 0).await, invalid, "{filter}");
        }
        assert_eq!(a.subscribe("free", 0).await, 0);
    }
}

#[tokio::test]
async fn a_client_has_a_hundred_subscriptions_at_most() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    for number in 0..100 {
        assert_eq!(a.subscribe(&format!("t/{number}"), 0).await, 0);
    }
    assert_eq!(a.subscribe("t/100", 0).await, 0x97);
    assert_eq!(a.subscribe("t/99", 1).await, 1, "a known one can be changed");
}

#[tokio::test]
async fn a_project_grants_its_boards_what_its_rules_say() {
    let app = TestApp::start().await;
    let (one, two) = (app.device("one").await, app.device("two").await);
    let board = |token| Hello { user: Some("x"), password: Some(token), ..hello(5, "b") };
    let (mut a, _) = Peer::join(app.mqtt, board(&one.token)).await;
    let (mut b, _) = Peer::join(app.mqtt, board(&two.token)).await;
    assert_eq!(a.subscribe("rooms/#", 0).await, 0x80);
    assert_eq!(b.publish("rooms/two/light", "on", 1).await, 0x87);
    let admin = app.admin();
    let rule = |allow: &str, filter: &str| json!({"allow": allow, "filter": filter});
    admin.post("/api/v1/mqtt/rules", rule("publish", "rooms/{name}/+")).await.expect(201);
    let hears = admin.post("/api/v1/mqtt/rules", rule("subscribe", "rooms/#")).await.expect(201).json();
    // In force for who is connected, as soon as the endpoint has read them.
    while a.subscribe("rooms/#", 0).await != 0 {}
    assert_eq!(a.subscribe("#", 0).await, 0x80);
    assert_eq!(b.subscribe("rooms/+/light", 0).await, 0);
    assert_eq!(b.publish("rooms/two/light", "on", 1).await, 0);
    assert_eq!(a.message().await.line(), "rooms/two/light on q0");
    assert_eq!(b.message().await.line(), "rooms/two/light on q0");
    assert_eq!(b.publish("rooms/one/light", "on", 1).await, 0x87, "another board's room");
    // Taken back.
    admin.delete(&format!("/api/v1/mqtt/rules/{}", hears["id"])).await.expect(204);
    while b.publish("rooms/two/light", "off", 1).await != 0x10 {
        b.message().await;
    }
    assert_eq!(admin.see("/api/v1/mqtt/rules").await["rules"][0]["filter"], "rooms/{name}/+");
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin();
    for (allow, filter) in [
        ("read", "a"),
        ("both", "a/#/b"),
        ("both", "goldcrest/v1/#"),
        ("both", "$SYS/#"),
        ("both", "{mac}"),
        ("both", ""),
    ] {
        let body = json!({"allow": allow, "filter": filter});
        admin.post("/api/v1/mqtt/rules", body).await.expect_error(422, "invalid");
    }
    admin.post("/api/v1/mqtt/rules", json!({"allow": "both", "filter": "a"})).await.expect(201);
    admin.post("/api/v1/mqtt/rules", json!({"allow": "both", "filter": "a"})).await.expect_error(409, "conflict");
    admin.delete("/api/v1/mqtt/rules/77").await.expect_error(404, "not-found");
}
