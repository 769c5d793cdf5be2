//! The HTTP device API.

use expect_test::expect;
use serde_json::{Value, json};

use super::{application, board, two_releases};
use crate::app::TestApp;
use crate::http::Response;

async fn get(app: &TestApp, path: &str) -> Response {
    app.anonymous().send("GET", &format!("/api/v1/{path}"), &[], b"").await
}

async fn post(app: &TestApp, path: &str, body: &str) -> Response {
    app.anonymous()
        .send("POST", &format!("/api/v1/{path}"), &[("Content-Type", "application/json")], body.as_bytes())
        .await
}

#[tokio::test]
async fn a_board_goes_the_whole_way_over_http() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    post(&app, &format!("{token}/telemetry"), "{}").await.expect(200);
    // Python's requests writes a list like this.
    let told = get(&app, &format!("{token}/attributes?sharedKeys=fw_title&sharedKeys=fw_version&sharedKeys=fw_size"))
        .await
        .expect(200);
    assert_eq!(told.header("Connection"), Some("close"));
    let told = told.json();
    assert_eq!((&told["shared"]["fw_title"], &told["shared"]["fw_version"]), (&json!("sensor"), &json!("1.0.0")));
    let size = usize::try_from(told["shared"]["fw_size"].as_u64().unwrap()).unwrap();
    let firmware = |rest: &str| format!("{token}/firmware?title=sensor&version=1.0.0{rest}");
    let whole = get(&app, &firmware("")).await.expect(200);
    assert_eq!((whole.body.len(), whole.header("Content-Length")), (size, Some(size.to_string().as_str())));
    // The Python client asks for one chunk more than there is, and adds what it gets.
    let mut chunks = Vec::new();
    for number in 0..=size.div_ceil(1000) {
        chunks.extend(get(&app, &firmware(&format!("&size=1000&chunk={number}"))).await.expect(200).body);
    }
    assert_eq!(chunks, whole.body);
    assert_eq!(get(&app, &firmware("&size=0&chunk=0")).await.expect(200).body, whole.body);
    let software = get(&app, &firmware("").replace("firmware", "software")).await.expect(200);
    assert_eq!(software.body, whole.body);
    for state in ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING"] {
        let said = json!({"ts": 1_800_000_000_000_i64, "values": {"current_fw_title": null, "current_fw_version": null, "fw_state": state}});
        post(&app, &format!("{token}/telemetry"), &said.to_string()).await.expect(200);
    }
    expect!["1.0.0 installing"].assert_eq(&app.admin().deployment_line("one").await);
    let said = json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0", "fw_state": "UPDATED"});
    post(&app, &format!("{token}/telemetry"), &said.to_string()).await.expect(200);
    expect!["in-sync running=1.0.0 desired=1.0.0 failed=-"].assert_eq(&app.admin().device_line("one").await);
}

#[tokio::test]
async fn requests_wait_for_news() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let admin = app.admin();
    let nothing = format!("{token}/attributes/updates?timeout=10");
    let mut none = get(&app, &nothing).await;
    if none.status == 200 {
        // The release of its channel was told first: to a board over HTTP that is news whenever it asks.
        assert_eq!(none.json()["fw_title"], "sensor");
        none = get(&app, &nothing).await;
    }
    assert!(none.expect(408).body.is_empty());
    get(&app, &format!("{token}/rpc?timeout=10")).await.expect(408);
    let path = format!("{token}/attributes/updates?timeout=9000");
    let set = async {
        // Until somebody waits, there is nobody to tell.
        loop {
            admin.put("/api/v1/devices/one/attributes", json!({"period": 5})).await.expect(200);
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::select! { told = get(&app, &path) => told, () = set => unreachable!() };
    assert_eq!(told.expect(200).json(), json!({"period": 5}));
    // A call waits for the board, and the board for a call.
    let rpc = format!("{token}/rpc?timeout=9000");
    let (answered, ()) =
        tokio::join!(admin.post("/api/v1/devices/one/rpc", json!({"method": "led", "params": [1]})), async {
            let call = get(&app, &rpc).await.expect(200).json();
            assert_eq!((&call["method"], &call["params"]), (&json!("led"), &json!([1])));
            post(&app, &format!("{token}/rpc/{}", call["id"]), r#"{"on":true}"#).await.expect(200);
        });
    assert_eq!(answered.expect(200).json()["answer"], json!({"on": true}));
}

#[tokio::test]
async fn a_release_is_told_to_a_board_that_waits() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let said = json!({"current_fw_title": "sensor", "current_fw_version": "1.0.0"});
    post(&app, &format!("{token}/telemetry"), &said.to_string()).await.expect(200);
    let path = format!("{token}/attributes/updates?timeout=9000");
    app.admin().publish(&application("2.0.0", 9)).await;
    let admin = app.admin();
    let move_on = async {
        for version in ["1.1.0", "2.0.0"].into_iter().cycle() {
            admin.set_stable(version).await;
        }
    };
    let told = tokio::select! { told = get(&app, &path) => told, () = move_on => unreachable!() };
    assert!(told.expect(200).json()["fw_version"].is_string());
}

#[tokio::test]
async fn the_rest_is_as_over_mqtt() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    post(&app, &format!("{token}/attributes"), r#"{"serial":"A1"}"#).await.expect(200);
    assert_eq!(
        get(&app, &format!("{token}/attributes?clientKeys=serial")).await.expect(200).json(),
        json!({"client": {"serial": "A1"}})
    );
    // The Python client misspells its keys: all of them are meant.
    let all: Value = get(&app, &format!("{token}/attributes?client_keys=serial")).await.expect(200).json();
    assert_eq!((&all["client"]["serial"], &all["shared"]["fw_version"]), (&json!("A1"), &json!("1.0.0")));
    let limits =
        post(&app, &format!("{token}/rpc"), r#"{"method":"getSessionLimits","params":{}}"#).await.expect(200).json();
    assert_eq!(limits["maxPayloadSize"], 65_536);
    post(&app, &format!("{token}/claim"), r#"{"secretKey":"s"}"#).await.expect(200);
    app.admin().post("/api/v1/devices/one/claim", json!({"secret": "s"})).await.expect(200);
    let profile =
        app.admin().post("/api/v1/profiles", json!({"name": "p", "package": "sensor"})).await.expect(201).json();
    let request =
        json!({"deviceName": "two", "provisionDeviceKey": profile["key"], "provisionDeviceSecret": profile["secret"]});
    let made = post(&app, "provision", &request.to_string()).await.expect(200).json();
    let token = made["credentialsValue"].as_str().unwrap();
    get(&app, &format!("{token}/attributes")).await.expect(200);
    // A failure that lost its end, as over MQTT.
    post(&app, &format!("{token}/telemetry"), r#"{"fw_error":"no room","fw_st"#).await.expect(200);
    expect!["1.0.0 failed(error)"].assert_eq(&app.admin().deployment_line("two").await);
}

#[tokio::test]
async fn wrong_requests_get_a_few_bytes() {
    let app = two_releases().await;
    board(&app, "one", json!({})).await;
    let two = board(&app, "two", json!({})).await;
    let mut lines = Vec::new();
    for (method, path, body) in [
        ("POST", "nobody/telemetry", "{}"),
        ("GET", "nobody/attributes", ""),
        ("GET", "nobody/firmware", ""),
        ("POST", "token-one/telemetry", "{\"t\":"),
        ("POST", "token-one/attributes", "[]"),
        ("POST", "token-one/rpc", "{}"),
        ("GET", "token-one/firmware", ""),
        ("GET", "token-one/firmware?title=sensor&version=9.9", ""),
        ("GET", "token-one/firmware?title=sensor&version=1.0.0&chunk=x", ""),
        ("GET", "token-one/telemetry", ""),
        ("PUT", "token-one/attributes", "{}"),
        ("POST", "provision", "{"),
        ("GET", "provision", ""),
    ] {
        let got = app.anonymous().send(method, &format!("/api/v1/{path}"), &[], body.as_bytes()).await;
        lines.push(format!("{method} {path} {} {}", got.status, got.text().trim_end()));
    }
    let big = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    lines.push(post(&app, &format!("{two}/telemetry"), &big).await.status.to_string());
    expect![[r#"
        POST nobody/telemetry 401 unauthenticated
        GET nobody/attributes 401 unauthenticated
        GET nobody/firmware 401 unauthenticated
        POST token-one/telemetry 400 invalid
        POST token-one/attributes 400 invalid
        POST token-one/rpc 400 invalid
        GET token-one/firmware 400 invalid
        GET token-one/firmware?title=sensor&version=9.9 404 not-found
        GET token-one/firmware?title=sensor&version=1.0.0&chunk=x 400 invalid
        GET token-one/telemetry 405 method-not-allowed
        PUT token-one/attributes 405 method-not-allowed
        POST provision 200 {"errorMsg":"Failed to provision device!","status":"FAILURE"}
        GET provision 405 method-not-allowed
        413"#]]
    .assert_eq(&lines.join("\n"));
    // Each token is one device's: what one tells is not the other's.
    post(&app, &format!("{two}/telemetry"), r#"{"t":1}"#).await.expect(200);
    assert_eq!(app.admin().see("/api/v1/devices/one/telemetry").await, json!({"telemetry": {}}));
    // A management address that is not there stays one.
    app.admin().get("/api/v1/devices/one/nothing").await.expect_error(404, "not-found");
}
