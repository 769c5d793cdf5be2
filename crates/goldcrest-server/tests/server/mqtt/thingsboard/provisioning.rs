//! Boards that become devices, and people who claim them.

use expect_test::expect;
use serde_json::{Value, json};

use super::super::client::{Hello, Peer, hello};
use super::{announced, board, connect, two_releases};
use crate::app::TestApp;

async fn provision(app: &TestApp, hello: Hello<'_>, request: &Value) -> Value {
    let (mut peer, _) = Peer::join(app.mqtt, hello).await;
    assert_eq!(peer.subscribe("/provision/response", 0).await, 0);
    peer.publish("/provision/request", &request.to_string(), 0).await;
    let got = peer.message().await;
    assert_eq!(got.topic, "/provision/response");
    peer.leave().await;
    serde_json::from_str(&got.payload).unwrap()
}

async fn profile(app: &TestApp, max_devices: u32) -> (String, String) {
    let body =
        json!({"name": "line-1", "package": "sensor", "settings": {"checksum": "MD5"}, "max_devices": max_devices});
    let made = app.admin().post("/api/v1/profiles", body).await.expect(201).json();
    (made["key"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_board_that_knows_a_profile_becomes_a_device() {
    let app = two_releases().await;
    let (key, secret) = profile(&app, 3).await;
    let with = |more: Value| {
        let mut request = json!({"provisionDeviceKey": key, "provisionDeviceSecret": secret});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    // As the SDK for MicroPython (by its client id) and the one for Python (by its user name).
    let micropython = hello(4, "provision");
    let python = Hello { user: Some("provision"), ..hello(4, "") };
    let made = provision(&app, micropython, &with(json!({"deviceName": "AA:01"}))).await;
    assert_eq!((&made["status"], &made["credentialsType"]), (&json!("SUCCESS"), &json!("ACCESS_TOKEN")), "{made}");
    let mut peer = connect(&app, made["credentialsValue"].as_str().unwrap()).await;
    assert_eq!(announced(&mut peer).await["shared"]["fw_checksum_algorithm"], "MD5");
    let own = json!({"deviceName": "two", "token": "my-own", "credentialsType": "ACCESS_TOKEN"});
    assert_eq!(provision(&app, python, &with(own)).await["credentialsValue"], "my-own");
    connect(&app, "my-own").await;
    app.admin().get("/api/v1/devices/AA-01").await.expect(200);
    let again = provision(&app, python, &with(json!({"deviceName": "AA:01"}))).await;
    expect![[r#"{"errorMsg":"Failed to provision device!","status":"FAILURE"}"#]].assert_eq(&again.to_string());
    // Without a name it gets one.
    assert_eq!(provision(&app, python, &with(json!({}))).await["status"], "SUCCESS");
    assert_eq!(provision(&app, python, &with(json!({}))).await["status"], "FAILURE", "three were allowed");
    let seen = app.admin().see("/api/v1/profiles").await;
    assert_eq!((&seen["profiles"][0]["made"], &seen["profiles"][0]["secret"]), (&json!(3), &json!(null)));
}

#[tokio::test]
async fn who_does_not_know_the_secret_stays_outside() {
    let app = two_releases().await;
    let (key, secret) = profile(&app, 3).await;
    let wrong = json!({"provisionDeviceKey": key, "provisionDeviceSecret": "guess", "deviceName": "one"});
    let refused = provision(&app, hello(4, "provision"), &wrong).await;
    expect![[r#"{"errorMsg":"Provision data was not found!","status":"NOT_FOUND"}"#]].assert_eq(&refused.to_string());
    for request in [
        json!("{"),
        json!({"provisionDeviceKey": key, "provisionDeviceSecret": secret, "credentialsType": "X509_CERTIFICATE", "hash": "x"}),
        json!({"provisionDeviceKey": key, "provisionDeviceSecret": secret, "deviceName": "x".repeat(65)}),
    ] {
        assert_eq!(provision(&app, hello(4, "provision"), &request).await["status"], "FAILURE");
    }
    // A newcomer hears and says nothing else; two of them do not meet.
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "provision")).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "provision")).await;
    assert_eq!(a.subscribe("#", 0).await, 0x80);
    assert_eq!(a.subscribe("v1/devices/me/attributes", 0).await, 0x80);
    assert_eq!(a.publish("v1/devices/me/telemetry", "{}", 1).await, 0x87);
    b.nothing().await;
    app.admin().delete("/api/v1/profiles/line-1").await.expect(204);
    app.admin()
        .post("/api/v1/profiles", json!({"name": "x", "package": "sensor", "settings": {"no": 1}}))
        .await
        .expect_error(422, "invalid");
    // Another project, or line, still has one.
    app.admin().post("/api/v1/profiles", json!({"name": "other", "package": "sensor"})).await.expect(201);
    let late = json!({"provisionDeviceKey": key, "provisionDeviceSecret": secret});
    assert_eq!(provision(&app, hello(4, "provision"), &late).await["status"], "NOT_FOUND");
    app.admin().delete("/api/v1/profiles/other").await.expect(204);
    // Without profiles nobody gets in that way.
    let closed = TestApp::start_empty(|settings| settings.mqtt.anonymous = None).await;
    assert_eq!(Peer::open(closed.mqtt).await.introduce(hello(4, "provision")).await, [0, 4]);
}

#[tokio::test]
async fn a_device_is_claimed_with_its_secret_while_it_offers_itself() {
    let app = TestApp::start().await;
    let token = board(&app, "one", json!({})).await;
    let admin = app.admin();
    admin.post("/api/v1/devices/one/claim", json!({})).await.expect_error(403, "forbidden");
    let mut peer = connect(&app, &token).await;
    peer.publish("v1/devices/me/claim", r#"{"secretKey":"abc","durationMs":30000}"#, 1).await;
    admin.post("/api/v1/devices/one/claim", json!({"secret": "wrong"})).await.expect_error(403, "forbidden");
    app.clock.advance(30_000);
    admin.post("/api/v1/devices/one/claim", json!({"secret": "abc"})).await.expect_error(403, "forbidden");
    peer.publish("v1/devices/me/claim", r#"{"secretKey":"abc"}"#, 1).await;
    let claimed = admin.post("/api/v1/devices/one/claim", json!({"secret": "abc"})).await.expect(200).json();
    assert_eq!(claimed["device"], "one");
    admin.post("/api/v1/devices/one/claim", json!({"secret": "abc"})).await.expect_error(409, "conflict");
    // It cannot offer itself to somebody else before it is given back.
    peer.publish("v1/devices/me/claim", "", 1).await;
    admin.post("/api/v1/devices/one/claim", json!({})).await.expect_error(409, "conflict");
    admin.delete("/api/v1/devices/one/claim").await.expect(204);
    peer.publish("v1/devices/me/claim", "", 1).await;
    admin.post("/api/v1/devices/one/claim", json!({})).await.expect(200);
}
