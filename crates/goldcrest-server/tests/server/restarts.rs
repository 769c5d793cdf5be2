//! The data folder over the life of processes.

use goldcrest_server::Server;
use serde_json::json;

use crate::app::TestApp;
use crate::releases::release;

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let app = TestApp::start().await;
    let error = Server::bind(app.settings()).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("another server uses the data folder"), "{error:#}");
    app.anonymous().send("GET", "/healthz", &[], b"").await.expect(200);
}

#[tokio::test]
async fn heartbeats_are_written_at_shutdown() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    device.check_in("-", "ok", &[]).await.expect(304);
    app.clock.advance(5_000);
    // Nothing but the time changed: this one is only in memory.
    device.check_in("-", "ok", &[]).await.expect(304);
    let app = app.restart().await;
    assert_eq!(app.admin().see("/api/v1/devices/one").await["last_seen_ms"], 1_800_000_005_000_i64);
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    let (token, name) = {
        let device = app.device("one").await;
        device.check_in("-", "ok", &[]).await.expect(200);
        (device.token.clone(), device.name.clone())
    };
    std::fs::create_dir(app.data().join("tmp/upload-9")).unwrap();
    std::fs::write(app.data().join("tmp/upload-9/archive"), b"left by a killed process").unwrap();
    let app = app.restart().await;
    assert_eq!(std::fs::read_dir(app.data().join("tmp")).unwrap().count(), 0);
    assert_eq!(app.admin().see("/api/v1/whoami").await["token"], "admin");
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    let device = app.device_with(&name, &token);
    for digest in one.objects.keys() {
        device.send("GET", &format!("/d/v1/objects/{digest}"), &[], b"").await.expect(200);
    }
    device.report(json!({"stage": "confirmed", "release": one.digest})).await.expect(204);
    assert_eq!(app.admin().device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
}
