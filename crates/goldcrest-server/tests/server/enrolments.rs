//! Boards that enrol themselves with the key that their last old update brought.

use serde_json::json;

use crate::app::TestApp;
use crate::http::Response;
use crate::releases::{Plan, release};

async fn start(devices: u64) -> (TestApp, String) {
    let app = TestApp::start().await;
    app.admin().publish(&release("1", 1)).await;
    app.admin().set_stable("1").await;
    let key = make(&app, devices).await;
    (app, key)
}

async fn make(app: &TestApp, devices: u64) -> String {
    let body = json!({"name": "fleet", "package": "sensor", "devices": devices, "expires_in_s": 3600});
    let made = app.admin().post("/api/v1/enrolments", body).await.expect(201).json();
    made["key"].as_str().unwrap().to_owned()
}

/// A token as a board makes it; `number` tells them apart.
fn token_of(number: u32) -> String {
    format!("gcd_{number:064x}")
}

async fn enrol(app: &TestApp, key: &str, hardware_id: &str) -> Response {
    enrol_with(app, key, hardware_id, &token_of(1)).await
}

async fn enrol_with(app: &TestApp, key: &str, hardware_id: &str, token: &str) -> Response {
    let body = json!({"key": key, "hardware_id": hardware_id, "token": token}).to_string();
    app.anonymous().send("POST", "/d/v1/enroll", &[], body.as_bytes()).await
}

#[tokio::test]
async fn a_board_becomes_a_device_that_is_sent_to_its_channel() {
    let (app, key) = start(5).await;
    let made = enrol(&app, &key, "0a1b2c3d4e5f").await.expect(201).json();
    assert_eq!((made["name"].as_str(), made["package"].as_str()), (Some("sensor-0a1b2c3d4e5f"), Some("sensor")));
    let device = app.device_with("sensor-0a1b2c3d4e5f", &token_of(1));
    device.check_in("-", "ok", &[]).await.expect(200);
    let shown = app.admin().see("/api/v1/devices/sensor-0a1b2c3d4e5f").await;
    assert_eq!((&shown["hardware_id"], &shown["desired"]), (&json!("0a1b2c3d4e5f"), &json!("1")));
    let listed = app.admin().see("/api/v1/enrolments").await;
    assert_eq!(
        (&listed["enrolments"][0]["enrolled"], &listed["enrolments"][0]["devices_left"]),
        (&json!(1), &json!(4))
    );
    assert!(!listed.to_string().contains(&key), "the key is shown once");
}

#[tokio::test]
async fn a_board_may_ask_again_until_its_agent_was_heard() {
    let (app, key) = start(1).await;
    enrol(&app, &key, "aa").await.expect(201);
    // Its answer was lost: it asks again, and is the same device with the same token.
    enrol(&app, &key, "aa").await.expect(201);
    let device = app.device_with("sensor-aa", &token_of(1));
    device.check_in("-", "ok", &[]).await.expect(200);
    // It was wiped before its agent told of itself: another token.
    enrol_with(&app, &key, "aa", &token_of(2)).await.expect(201);
    device.check_in("-", "ok", &[]).await.expect(401);
    let device = app.device_with("sensor-aa", &token_of(2));
    device.report(json!({"stage": "boot", "facts": {"agent": "0.1.0"}})).await.expect(204);
    // Whoever has the key must not take over a board that is at work.
    enrol(&app, &key, "aa").await.expect(409);
    device.check_in("-", "ok", &[]).await.expect(200);
}

#[tokio::test]
async fn a_sensorclass_board_stays_the_device_that_it_was() {
    let (app, key) = start(1).await;
    app.device("kitchen").await;
    let body = json!({"adapter": "sensorclass", "id": "AA:BB:CC:DD:EE:FF"});
    app.admin().post("/api/v1/devices/kitchen/credentials", body).await.expect(201);
    let made = enrol(&app, &key, "aabbccddeeff").await.expect(201).json();
    assert_eq!(made["name"], "kitchen");
    app.device_with("kitchen", &token_of(1)).check_in("-", "ok", &[]).await.expect(200);
}

/// An ESP8266 tells its chip's number: the last three bytes of its MAC address, the lowest first, and a zero.
#[tokio::test]
async fn an_esp8266_of_sensorclass_is_known_by_the_end_of_its_address() {
    let (app, key) = start(3).await;
    for (name, mac) in [("kitchen", "5ccf7f112233"), ("cellar", "5ccf7f445566"), ("attic", "a0ccaa445566")] {
        app.device(name).await;
        let body = json!({"adapter": "sensorclass", "id": mac});
        app.admin().post(&format!("/api/v1/devices/{name}/credentials"), body).await.expect(201);
    }
    let name = async |id: &str, token: u32| {
        let made = enrol_with(&app, &key, id, &token_of(token)).await.expect(201).json();
        made["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("33221100", 1).await, "kitchen");
    assert!(name("66554400", 2).await.ends_with("-66554400"), "two of them end so: it is neither");
    assert!(name("33221101", 3).await.ends_with("-33221101"));
}

#[tokio::test]
async fn a_board_of_an_old_package_goes_on_with_the_new_one() {
    let (app, key) = start(1).await;
    let old = Plan { package: "old", ..Plan::new("9", 9) }.build();
    app.admin().publish(&old).await;
    app.admin().put("/api/v1/channels/old/stable", json!({"version": "9"})).await.expect(200);
    let credential = json!({"adapter": "sensorclass", "id": "aabbccddeeff"});
    let body = json!({"name": "kitchen", "package": "old", "credential": credential});
    app.admin().post("/api/v1/devices", body).await.expect(201);
    assert_eq!(app.admin().deployment_line("kitchen").await, "9 queued");
    let made = enrol(&app, &key, "aabbccddeeff").await.expect(201).json();
    assert_eq!(made["package"], "sensor");
    assert_eq!(app.admin().deployment_line("kitchen").await, "9 confirmed, 1 queued");
    let device = app.device_with("kitchen", &token_of(1));
    device.update("-", &release("1", 1)).await;
    assert_eq!(app.admin().device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
}

#[tokio::test]
async fn keys_have_an_end() {
    let (app, key) = start(1).await;
    enrol(&app, &key, "aa").await.expect(201);
    enrol_with(&app, &key, "bb", &token_of(2)).await.expect(409);
    enrol(&app, "gce_wrong", "bb").await.expect(401);
    enrol(&app, &app.admin().token, "bb").await.expect(401);
    let key = make(&app, 2).await;
    enrol(&app, &key, "bb").await.expect(409);
    enrol_with(&app, &key, "bb", &token_of(2)).await.expect(201);
    app.clock.advance(3_600_000);
    enrol(&app, &key, "cc").await.expect(401);
    let key = make(&app, 2).await;
    app.admin().delete("/api/v1/enrolments/fleet").await.expect(204);
    enrol(&app, &key, "cc").await.expect(401);
    app.admin().delete("/api/v1/enrolments/fleet").await.expect(404);
    // The key opens nothing else.
    let bearer = format!("Bearer {key}");
    for path in ["/api/v1/devices", "/d/v1/checkin?run=-&state=ok&k=0"] {
        assert_eq!(app.anonymous().send("GET", path, &[("Authorization", &bearer)], b"").await.status, 401);
    }
}

#[tokio::test]
async fn what_is_no_hardware_id_is_refused() {
    let (app, key) = start(1).await;
    for id in ["", "../x", "a b", "é", &"a".repeat(41)] {
        enrol(&app, &key, id).await.expect(422);
    }
    for token in [
        "",
        "gcd_",
        "gcd_short",
        &token_of(1)[1..],
        &format!("gca_{}", "0".repeat(64)),
        &format!("gcd_{}", "é".repeat(43)),
        &format!("gcd_{}", "0".repeat(129)),
    ] {
        enrol_with(&app, &key, "aa", token).await.expect(422);
    }
    let body = json!({"name": "f", "package": "sensor", "devices": 0});
    app.admin().post("/api/v1/enrolments", body).await.expect(422);
}
