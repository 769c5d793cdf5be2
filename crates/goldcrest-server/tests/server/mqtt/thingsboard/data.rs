//! Telemetry, attributes and RPC.

use expect_test::expect;
use serde_json::{Value, json};

use super::{ask, board, connect, tell, two_releases};
use crate::app::TestApp;

#[tokio::test]
async fn telemetry_of_every_form_is_kept_and_shown() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    tell(&mut peer, json!({"memory_free": 1000, "ok": true, "none": null})).await;
    tell(&mut peer, json!({"ts": 1_700_000_000_000_i64, "values": {"memory_free": 900}})).await;
    tell(&mut peer, json!([{"ts": 1_700_000_000_001_i64, "values": {"name": "x"}}, {"place": {"x": 1}}])).await;
    let seen = app.admin().see("/api/v1/devices/one/telemetry").await;
    expect![[r#"{"telemetry":{"memory_free":[{"at_ms":1800000000000,"value":1000}],"name":[{"at_ms":1700000000001,"value":"x"}],"ok":[{"at_ms":1800000000000,"value":true}],"place":[{"at_ms":1800000000000,"value":{"x":1}}]}}"#]].assert_eq(&seen.to_string());
    let seen = app.admin().see("/api/v1/devices/one/telemetry?key=memory_free&limit=10").await;
    expect![[
        r#"{"telemetry":{"memory_free":[{"at_ms":1800000000000,"value":1000},{"at_ms":1700000000000,"value":900}]}}"#
    ]]
    .assert_eq(&seen.to_string());
    app.admin().get("/api/v1/devices/nobody/telemetry").await.expect_error(404, "not-found");
}

#[tokio::test]
async fn telemetry_is_bounded() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    let many: Vec<Value> = (0..250_i64).map(|at| json!({"ts": at, "values": {"t": at}})).collect();
    tell(&mut peer, json!(many)).await;
    let keys: serde_json::Map<String, Value> = (0..150).map(|at| (format!("k{at:03}"), json!(at))).collect();
    tell(&mut peer, json!(keys)).await;
    tell(&mut peer, json!({"long": "x".repeat(5_000)})).await;
    let seen = app.admin().see("/api/v1/devices/one/telemetry?limit=1000").await;
    let telemetry = seen["telemetry"].as_object().unwrap();
    assert_eq!(telemetry.len(), 100, "keys");
    let values: Vec<&Value> = telemetry["t"].as_array().unwrap().iter().map(|value| &value["value"]).collect();
    assert_eq!((values.len(), values[0], values[99]), (100, &json!(249), &json!(150)), "the newest are kept");
    assert!(!telemetry.contains_key("long"));
}

#[tokio::test]
async fn attributes_of_both_sides_are_kept_requested_and_told() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    peer.publish("v1/devices/me/attributes", r#"{"serial":"A1","cores":2}"#, 1).await;
    app.admin().put("/api/v1/devices/one/attributes", json!({"period": 5, "name": "x"})).await.expect(200);
    assert_eq!(peer.message().await.payload, r#"{"name":"x","period":5}"#);
    let both = ask(&mut peer, json!({"clientKeys": "serial,unknown", "sharedKeys": "period"})).await;
    assert_eq!(both, json!({"client": {"serial": "A1"}, "shared": {"period": 5}}));
    assert_eq!(ask(&mut peer, json!({"clientKeys": "cores"})).await, json!({"client": {"cores": 2}}));
    assert_eq!(ask(&mut peer, json!({"sharedKeys": "unknown"})).await, json!({}));
    let all = ask(&mut peer, json!({})).await;
    assert_eq!((&all["client"]["cores"], &all["shared"]["fw_version"]), (&json!(2), &json!("1.0.0")));
    app.admin().delete("/api/v1/devices/one/attributes/period").await.expect(204);
    assert_eq!(peer.message().await.payload, r#"{"deleted":["period"]}"#);
    app.admin().delete("/api/v1/devices/one/attributes/period").await.expect_error(404, "not-found");
    let seen = app.admin().see("/api/v1/devices/one/attributes").await;
    assert_eq!((&seen["client"]["serial"]["value"], &seen["shared"]["name"]["value"]), (&json!("A1"), &json!("x")));
    // What follows the desired release is not to be set by hand.
    app.admin().put("/api/v1/devices/one/attributes", json!({"fw_version": "2"})).await.expect_error(422, "invalid");
}

#[tokio::test]
async fn attributes_are_bounded() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    let many: serde_json::Map<String, Value> = (0..101).map(|at| (format!("k{at}"), json!(at))).collect();
    peer.publish("v1/devices/me/attributes", &json!(many).to_string(), 1).await;
    app.admin().put("/api/v1/devices/one/attributes", json!(many)).await.expect_error(409, "conflict");
    let seen = app.admin().see("/api/v1/devices/one/attributes").await;
    assert_eq!(seen, json!({"client": {}, "shared": {}}));
}

#[tokio::test]
async fn people_call_boards_and_hear_what_they_answer() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    let admin = app.admin();
    let (answered, ()) = tokio::join!(
        admin.post("/api/v1/devices/one/rpc", json!({"method": "garbage_collection", "params": {"deep": true}})),
        async {
            let got = peer.message().await;
            assert_eq!(
                (got.topic.as_str(), got.payload.as_str()),
                ("v1/devices/me/rpc/request/1", r#"{"method":"garbage_collection","params":{"deep":true}}"#)
            );
            // An answer to a call that nobody made is nobody's.
            peer.publish("v1/devices/me/rpc/response/99", "1", 1).await;
            peer.publish("v1/devices/me/rpc/response/1", r#"{"Garbage collection":"Done"}"#, 1).await;
        }
    );
    assert_eq!(answered.expect(200).json(), json!({"answer": {"Garbage collection": "Done"}}));
    let one_way = json!({"method": "led", "one_way": true});
    assert_eq!(admin.post("/api/v1/devices/one/rpc", one_way).await.expect(200).json(), json!({"answer": null}));
    assert_eq!(peer.message().await.payload, r#"{"method":"led","params":{}}"#);
    admin
        .post("/api/v1/devices/one/rpc", json!({"method": "led", "timeout_ms": 20}))
        .await
        .expect_error(504, "timed-out");
    peer.message().await;
    peer.leave().await;
    admin
        .post("/api/v1/devices/one/rpc", json!({"method": "led", "timeout_ms": 20}))
        .await
        .expect_error(504, "timed-out");
    admin.post("/api/v1/devices/one/rpc", json!({"method": ""})).await.expect_error(422, "invalid");
}

#[tokio::test]
async fn boards_call_the_server() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    let mut lines = Vec::new();
    for call in ["getSessionLimits", "getCurrentTime", "openTheDoor"] {
        peer.publish(
            "v1/devices/me/rpc/request/3",
            &json!({"method": call, "params": {"timeout": 5000}}).to_string(),
            1,
        )
        .await;
        lines.push(peer.message().await.line());
    }
    expect![[r#"
        v1/devices/me/rpc/response/3 {"maxInflightMessages":100,"maxPayloadSize":65536,"rateLimits":{}} q1
        v1/devices/me/rpc/response/3 {"time":1800000000000} q1
        v1/devices/me/rpc/response/3 {"error":"unknown method"} q1"#]]
    .assert_eq(&lines.join("\n"));
}
