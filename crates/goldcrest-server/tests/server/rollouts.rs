//! Rollouts: the canary fails and nobody else is touched; the canary confirms and the rest follows.

use serde_json::{Value, json};

use crate::app::{Admin, Device, TestApp};
use crate::releases::{Release, release};

/// Five devices that run 1.0.0 from `stable`, and 2.0.0 uploaded.
async fn fleet(app: &TestApp) -> (Vec<Device<'_>>, Release, Release) {
    let (one, two) = (release("1.0.0", 100), release("2.0.0", 200));
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    let mut devices = Vec::new();
    for number in 1..=5 {
        let device = app.device(&format!("board-{number}")).await;
        device.update("-", &one).await;
        devices.push(device);
    }
    app.admin().publish(&two).await;
    (devices, one, two)
}

async fn roll_out(admin: &Admin<'_>, body: Value) -> i64 {
    let made = admin.post("/api/v1/rollouts", body).await.expect(201).json();
    made["id"].as_i64().unwrap()
}

/// State, open stages and numbers of a rollout in one line.
async fn line(app: &TestApp, id: i64) -> String {
    let rollout = app.admin().see(&format!("/api/v1/rollouts/{id}")).await;
    let number = |key: &str| rollout[key].as_i64().unwrap();
    format!(
        "{} stage {} confirmed {} failed {} of {}, {} deployments",
        rollout["state"].as_str().unwrap(),
        number("stage"),
        number("confirmed"),
        number("failed"),
        number("total"),
        rollout["deployments"].as_array().unwrap().len()
    )
}

async fn stable(app: &TestApp) -> String {
    app.admin().see("/api/v1/channels").await["channels"][0]["version"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_failing_canary_halts_the_rollout_and_leaves_the_others_alone() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    let id = roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0", "stages": ["1", "100%"]})).await;
    assert_eq!(line(&app, id).await, "running stage 1 confirmed 0 failed 0 of 5, 1 deployments");
    for device in &devices[1..] {
        device.check_in(&one.digest, "ok", &[]).await.expect(304);
    }
    devices[0].fail(&one.digest, &two).await;
    assert_eq!(line(&app, id).await, "halted stage 1 confirmed 0 failed 1 of 5, 1 deployments");
    let rollout = app.admin().see(&format!("/api/v1/rollouts/{id}")).await;
    assert_eq!(rollout["reason"], "1 deployment failed, at most 0 may");
    assert!(rollout["deployments"][0]["trace"].as_str().unwrap().starts_with("Traceback"));
    assert_eq!(stable(&app).await, "1.0.0");
    for device in &devices[1..] {
        device.check_in(&one.digest, "ok", &[]).await.expect(304);
        assert_eq!(app.admin().device_line(&device.name).await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
    }
    assert_eq!(app.admin().device_line("board-1").await, "failed running=1.0.0 desired=1.0.0 failed=2.0.0");
}

#[tokio::test]
async fn a_confirming_canary_opens_the_rest_and_the_end_moves_the_channel() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    let id = roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0"})).await;
    devices[0].update(&one.digest, &two).await;
    assert_eq!(line(&app, id).await, "running stage 2 confirmed 1 failed 0 of 5, 5 deployments");
    assert_eq!(stable(&app).await, "1.0.0");
    for device in &devices[1..] {
        device.update(&one.digest, &two).await;
    }
    assert_eq!(line(&app, id).await, "completed stage 2 confirmed 5 failed 0 of 5, 5 deployments");
    assert_eq!(stable(&app).await, "2.0.0");
    let late = app.device("late").await;
    assert_eq!(late.check_in("-", "ok", &[]).await.expect(200).body, two.manifest);
}

/// A test build for one board does not reach the others, now or later.
#[tokio::test]
async fn a_rollout_to_some_devices_leaves_the_channel() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    for body in [json!({"devices": ["board-1"]}), json!({"stages": ["20%"]})] {
        let mut body = body;
        (body["package"], body["version"]) = ("sensor".into(), "2.0.0".into());
        let made = app.admin().post("/api/v1/rollouts", body).await.expect(201).json();
        assert_eq!(made["moves_channel"], false);
        if made["state"] == "running" {
            devices[0].update(&one.digest, &two).await;
        }
        let line = line(&app, made["id"].as_i64().unwrap()).await;
        assert!(line.starts_with("completed stage 1 confirmed 1 failed 0"), "{line}");
        assert_eq!(stable(&app).await, "1.0.0");
        assert_eq!(app.admin().device_line("board-1").await, "in-sync running=2.0.0 desired=2.0.0 failed=-");
        for device in &devices[1..] {
            device.check_in(&one.digest, "ok", &[]).await.expect(304);
        }
    }
}

/// What the channel wanted of a board that was away when the rollout began is still wanted of it when the rollout has halted.
#[tokio::test]
async fn a_halted_rollout_gives_boards_back_to_their_channel() {
    let app = TestApp::start().await;
    let (devices, one, _) = fleet(&app).await;
    let fresh = app.device("fresh").await;
    app.admin().publish(&release("1.1.0", 300)).await;
    app.admin().set_stable("1.1.0").await;
    let id = roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0", "stages": ["100%"]})).await;
    app.admin().post(&format!("/api/v1/rollouts/{id}/halt"), json!({})).await.expect(200);
    assert_eq!(app.admin().device_line("board-2").await, "updating running=1.0.0 desired=1.1.0 failed=-");
    let wanted = release("1.1.0", 300);
    assert_eq!(devices[1].check_in(&one.digest, "ok", &[]).await.expect(200).body, wanted.manifest);
    assert_eq!(
        fresh.check_in("-", "ok", &[]).await.expect(200).body,
        wanted.manifest,
        "a new board does not stay blank"
    );
}

#[tokio::test]
async fn a_restart_in_between_loses_nothing() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    let id =
        roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0", "stages": ["1", "60%", "100%"]})).await;
    devices[0].check_in(&one.digest, "ok", &[]).await.expect(200);
    let tokens: Vec<(String, String)> =
        devices.iter().map(|device| (device.name.clone(), device.token.clone())).collect();
    drop(devices);
    let app = app.restart().await;
    assert_eq!(line(&app, id).await, "running stage 1 confirmed 0 failed 0 of 5, 1 deployments");
    let boards: Vec<Device<'_>> = tokens.iter().map(|(name, token)| app.device_with(name, token)).collect();
    boards[0].check_in(&two.digest, "ok", &[]).await.expect(304);
    assert_eq!(line(&app, id).await, "running stage 2 confirmed 1 failed 0 of 5, 3 deployments");
    for board in &boards[1..3] {
        board.update(&one.digest, &two).await;
    }
    drop(boards);
    let app = app.restart().await;
    assert_eq!(line(&app, id).await, "running stage 3 confirmed 3 failed 0 of 5, 5 deployments");
    for (name, token) in &tokens[3..] {
        app.device_with(name, token).update(&one.digest, &two).await;
    }
    assert_eq!(line(&app, id).await, "completed stage 3 confirmed 5 failed 0 of 5, 5 deployments");
}

#[tokio::test]
async fn tolerated_failures_do_not_halt_and_are_not_tried_again() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    let body = json!({"package": "sensor", "version": "2.0.0", "stages": ["100%"], "max_failed": 1});
    let id = roll_out(&app.admin(), body).await;
    devices[0].fail(&one.digest, &two).await;
    for device in &devices[1..] {
        device.update(&one.digest, &two).await;
    }
    assert_eq!(line(&app, id).await, "completed stage 1 confirmed 4 failed 1 of 5, 5 deployments");
    assert_eq!(stable(&app).await, "2.0.0");
    assert_eq!(app.admin().deployment_line("board-1").await, "1.0.0 confirmed, 2.0.0 rolled-back(crash)");
}

#[tokio::test]
async fn a_person_halts_and_resumes() {
    let app = TestApp::start().await;
    let (devices, one, two) = fleet(&app).await;
    let id = roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0", "stages": ["2", "100%"]})).await;
    devices[0].check_in(&one.digest, "ok", &[]).await.expect(200);
    let halted = app.admin().post(&format!("/api/v1/rollouts/{id}/halt"), json!({})).await.expect(200).json();
    assert_eq!((halted["state"].as_str(), halted["reason"].as_str()), (Some("halted"), Some("by admin")));
    // What had begun goes on, what had not is called off.
    assert_eq!(app.admin().deployment_line("board-1").await, "1.0.0 confirmed, 2.0.0 notified");
    assert_eq!(app.admin().deployment_line("board-2").await, "1.0.0 confirmed, 2.0.0 cancelled(halted)");
    devices[1].check_in(&one.digest, "ok", &[]).await.expect(304);
    app.admin().post(&format!("/api/v1/rollouts/{id}/halt"), json!({})).await.expect_error(409, "conflict");
    devices[0].report(json!({"stage": "failed", "release": two.digest, "reason": "space"})).await.expect(204);
    app.admin().post(&format!("/api/v1/rollouts/{id}/resume"), json!({})).await.expect(200);
    devices[1].update(&one.digest, &two).await;
    for device in &devices[2..] {
        device.update(&one.digest, &two).await;
    }
    assert_eq!(line(&app, id).await, "completed stage 2 confirmed 4 failed 1 of 5, 6 deployments");
}

#[tokio::test]
async fn a_rollout_reaches_only_the_devices_it_names() {
    let app = TestApp::start().await;
    let (_devices, _, _) = fleet(&app).await;
    let body = json!({"package": "sensor", "version": "2.0.0", "devices": ["board-4"], "stages": ["100%"]});
    let id = roll_out(&app.admin(), body).await;
    assert_eq!(line(&app, id).await, "running stage 1 confirmed 0 failed 0 of 1, 1 deployments");
    assert_eq!(app.admin().deployment_line("board-4").await, "1.0.0 confirmed, 2.0.0 queued");
}

#[tokio::test]
async fn bad_rollouts_are_refused_and_change_nothing() {
    let app = TestApp::start().await;
    let (_devices, _, _) = fleet(&app).await;
    let admin = app.admin();
    for body in [
        json!({"package": "sensor", "version": "2.0.0", "stages": []}),
        json!({"package": "sensor", "version": "2.0.0", "stages": ["0"]}),
        json!({"package": "sensor", "version": "2.0.0", "stages": ["101%"]}),
        json!({"package": "sensor", "version": "2.0.0", "devices": []}),
        json!({"package": "sensor", "version": "2.0.0", "label": "room=none"}),
        json!({"package": "sensor", "version": "2.0.0", "channel": "empty"}),
        json!({"package": "sensor", "version": "2.0.0", "max_failed": -1}),
    ] {
        admin.post("/api/v1/rollouts", body).await.expect_error(422, "invalid");
    }
    admin.post("/api/v1/rollouts", json!({"package": "sensor", "version": "9"})).await.expect_error(404, "not-found");
    let named = json!({"package": "sensor", "version": "2.0.0", "devices": ["board-1", "nobody"]});
    admin.post("/api/v1/rollouts", named).await.expect_error(404, "not-found");
    assert_eq!(admin.see("/api/v1/rollouts").await["rollouts"], json!([]));
    roll_out(&admin, json!({"package": "sensor", "version": "2.0.0"})).await;
    let second = json!({"package": "sensor", "version": "1.0.0"});
    admin.post("/api/v1/rollouts", second).await.expect_error(409, "conflict");
    admin.put("/api/v1/channels/sensor/stable", json!({"version": "2.0.0"})).await.expect_error(409, "conflict");
}

#[tokio::test]
async fn deleting_the_canary_does_not_hold_the_rollout_up() {
    let app = TestApp::start().await;
    let (_devices, _, _) = fleet(&app).await;
    let id = roll_out(&app.admin(), json!({"package": "sensor", "version": "2.0.0"})).await;
    app.admin().delete("/api/v1/devices/board-1").await.expect(204);
    assert_eq!(line(&app, id).await, "running stage 1 confirmed 0 failed 0 of 4, 1 deployments");
    assert_eq!(app.admin().deployment_line("board-2").await, "1.0.0 confirmed, 2.0.0 queued");
}
