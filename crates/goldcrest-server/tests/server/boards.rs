//! What a board is told, and what the server makes of what boards tell.

use serde_json::json;

use crate::app::TestApp;
use crate::releases::{Plan, keyring, release};

#[tokio::test]
async fn a_device_without_a_release_gets_304() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    assert_eq!(app.admin().device_line("one").await, "new running=- desired=- failed=-");
    let nothing = device.check_in("-", "ok", &[]).await.expect(304);
    assert_eq!(nothing.header("Goldcrest-Poll"), Some("60"));
    assert_eq!(nothing.header("Goldcrest-Keyring"), None);
    assert!(nothing.body.is_empty());
    assert_eq!(app.admin().device_line("one").await, "in-sync running=- desired=- failed=-");
}

#[tokio::test]
async fn a_good_update_goes_through_every_state() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 queued");
    let offer = device.check_in("-", "ok", &[]).await.expect(200);
    assert_eq!(offer.body, one.manifest);
    assert_eq!(offer.header("Etag"), Some(format!("\"{}\"", one.digest).as_str()));
    assert_eq!(offer.header("Content-Length"), Some(one.manifest.len().to_string().as_str()));
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    for stage in ["downloading", "verified", "installing"] {
        device.report(json!({"stage": stage, "release": one.digest})).await.expect(204);
        assert_eq!(app.admin().deployment_line("one").await, format!("1.0.0 {stage}"));
    }
    assert_eq!(app.admin().device_line("one").await, "updating running=- desired=1.0.0 failed=-");
    device.check_in(&one.digest, "trial", &[]).await.expect(304);
    assert_eq!(app.admin().device_line("one").await, "trial running=1.0.0 desired=1.0.0 failed=-");
    device.report(json!({"stage": "confirmed", "release": one.digest})).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed");
    device.check_in(&one.digest, "ok", &[]).await.expect(304);
    assert_eq!(app.admin().device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
}

#[tokio::test]
async fn a_check_in_confirms_when_every_report_was_lost() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(200);
    device.check_in(&one.digest, "ok", &[]).await.expect(304);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed");
}

#[tokio::test]
async fn a_rollback_is_told_with_its_traceback_and_not_offered_again() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (one, two) = (release("1.0.0", 100), release("2.0.0", 200));
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.update("-", &one).await;
    app.admin().publish(&two).await;
    app.admin().set_stable("2.0.0").await;
    // It even checked in during the trial.
    device.check_in(&one.digest, "ok", &[]).await.expect(200);
    device.check_in(&two.digest, "trial", &[]).await.expect(304);
    let lost = json!({"stage": "rolled-back", "release": two.digest, "reason": "crash", "detail": "ValueError: x", "trace": "tb"});
    device.report(lost.clone()).await.expect(204);
    assert_eq!(app.admin().device_line("one").await, "failed running=1.0.0 desired=1.0.0 failed=2.0.0");
    device.check_in(&one.digest, "ok", &[&two.digest]).await.expect(304);
    // Even a board that forgot is not offered what failed on it.
    device.check_in(&one.digest, "ok", &[]).await.expect(304);
    // The report arrives twice, and an older one after it: nothing moves.
    device.report(lost).await.expect(204);
    device.report(json!({"stage": "trial", "release": two.digest})).await.expect(204);
    device.report(json!({"stage": "confirmed", "release": two.digest})).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed, 2.0.0 rolled-back(crash)");
    let deployment = &app.admin().see("/api/v1/deployments?device=one").await["deployments"][0];
    assert_eq!((deployment["detail"].as_str(), deployment["trace"].as_str()), (Some("ValueError: x"), Some("tb")));
    let events = app.admin().see("/api/v1/devices/one/events").await;
    let stages: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|row| row["stage"].as_str().unwrap()).collect();
    let expected = ["confirmed", "trial", "rolled-back", "confirmed", "trial", "installing", "verified", "downloading"];
    assert_eq!(stages, expected);
}

#[tokio::test]
async fn an_outcome_whose_report_was_lost_is_concluded_then_explained() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(200);
    device.report(json!({"stage": "installing", "release": one.digest})).await.expect(204);
    device.check_in("-", "ok", &[&one.digest]).await.expect(304);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 rolled-back(error)");
    let late = json!({"stage": "rolled-back", "release": one.digest, "reason": "not-confirmed", "trace": "late"});
    device.report(late).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 rolled-back(not-confirmed)");
}

#[tokio::test]
async fn moving_the_channel_back_is_a_rollback() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (one, two) = (release("1.0.0", 100), release("2.0.0", 200));
    app.admin().publish(&one).await;
    app.admin().publish(&two).await;
    app.admin().set_stable("2.0.0").await;
    device.update("-", &two).await;
    app.admin().set_stable("1.0.0").await;
    assert_eq!(app.admin().deployment_line("one").await, "2.0.0 confirmed, 1.0.0 queued");
    device.update(&two.digest, &one).await;
    assert_eq!(app.admin().device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
}

#[tokio::test]
async fn a_newer_deployment_cancels_the_older_one() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (one, two) = (release("1.0.0", 100), release("2.0.0", 200));
    app.admin().publish(&one).await;
    app.admin().publish(&two).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(200);
    app.admin().set_stable("2.0.0").await;
    device.report(json!({"stage": "downloading", "release": one.digest})).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 cancelled(replaced), 2.0.0 queued");
    device.update("-", &two).await;
}

#[tokio::test]
async fn a_board_that_would_refuse_is_not_offered() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    app.admin().publish(&Plan { boards: &["rp2"], ..Plan::new("1.0.0", 100) }.build()).await;
    app.admin().publish(&Plan { floor: 200, ..Plan::new("2.0.0", 200) }.build()).await;
    let two = Plan { floor: 200, ..Plan::new("2.0.0", 200) }.build();
    let facts = json!({"platform": "esp32", "board": "kitchen", "mpy": 11014, "heap_free": 120_000});
    device.report(json!({"stage": "boot", "facts": facts})).await.expect(204);
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(304);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 failed(board)");
    app.admin().set_stable("2.0.0").await;
    device.update("-", &two).await;
    // It confirmed a floor of 200.
    app.admin().set_stable("1.0.0").await;
    device.check_in(&two.digest, "ok", &[]).await.expect(304);
    let line = "1.0.0 failed(board), 2.0.0 confirmed, 1.0.0 failed(board)";
    assert_eq!(app.admin().deployment_line("one").await, line);
    assert_eq!(app.admin().see("/api/v1/devices/one").await["facts"]["heap_free"], 120_000);
}

#[tokio::test]
async fn a_release_below_the_confirmed_floor_fails_by_name() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let two = Plan { floor: 200, ..Plan::new("2.0.0", 200) }.build();
    app.admin().publish(&release("1.0.0", 100)).await;
    app.admin().publish(&two).await;
    device.report(json!({"stage": "boot", "facts": {"platform": "esp32"}})).await.expect(204);
    app.admin().set_stable("2.0.0").await;
    device.update("-", &two).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in(&two.digest, "ok", &[]).await.expect(304);
    assert_eq!(app.admin().deployment_line("one").await, "2.0.0 confirmed, 1.0.0 failed(floor)");
}

#[tokio::test]
async fn a_board_that_was_flashed_anew_is_brought_back() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.update("-", &one).await;
    device.update("-", &one).await;
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed, 1.0.0 confirmed");
}

#[tokio::test]
async fn a_newer_keyring_is_announced_and_served() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    app.admin().put_bytes("/api/v1/keyring", &keyring(2)).await.expect(200);
    let nothing = device.check_in("-", "ok", &[]).await.expect(304);
    assert_eq!(nothing.header("Goldcrest-Keyring"), Some("2"));
    let served = device.send("GET", "/d/v1/keyring", &[], b"").await.expect(200);
    assert_eq!(served.body, keyring(2));
    let known = device.send("GET", "/d/v1/checkin?run=-&state=ok&k=2", &[], b"").await.expect(304);
    assert_eq!(known.header("Goldcrest-Keyring"), None);
}

#[tokio::test]
async fn a_project_without_a_keyring_has_none_for_boards() {
    let app = TestApp::start_empty(|_| {}).await;
    let device = app.device("one").await;
    device.send("GET", "/d/v1/keyring", &[], b"").await.expect(404);
}

#[tokio::test]
async fn unknown_and_replaced_tokens_are_401() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let headers = [("Authorization", "Bearer gcd_unknown")];
    let refused = app.anonymous().send("GET", "/d/v1/checkin", &headers, b"").await.expect(401);
    assert_eq!(refused.text(), "unauthenticated: no token, or one that this server does not know\n");
    app.anonymous().send("GET", "/d/v1/checkin", &[], b"").await.expect(401);
    let new = app.admin().post("/api/v1/devices/one/token", json!({})).await.expect(200).json();
    device.check_in("-", "ok", &[]).await.expect(401);
    app.device_with("one", new["token"].as_str().unwrap()).check_in("-", "ok", &[]).await.expect(304);
}

#[tokio::test]
async fn malformed_check_ins_and_reports_are_refused_and_newer_fields_ignored() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    for query in ["run=zz&state=ok", "run=-&state=maybe", "run=-&k=-1"] {
        device.send("GET", &format!("/d/v1/checkin?{query}"), &[], b"").await.expect(422);
    }
    device.send("GET", "/d/v1/checkin?run=-&state=ok&k=1&later=yes", &[], b"").await.expect(304);
    for body in ["", "[]", "{}", r#"{"stage":"unknown"}"#, r#"{"stage":"failed"}"#, r#"{"stage":3}"#] {
        device.send("POST", "/d/v1/report", &[], body.as_bytes()).await.expect(422);
    }
    device.report(json!({"stage": "boot", "facts": {}, "newer": [1, 2]})).await.expect(204);
    assert_eq!(app.admin().see("/api/v1/devices/one/events").await["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_newest_two_hundred_events_are_kept() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    for number in 0..205 {
        device.report(json!({"stage": "boot", "detail": format!("start {number}")})).await.expect(204);
    }
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = app.admin().see(&format!("/api/v1/devices/one/events?limit=90{after}")).await;
        all.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_i64() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(all.len(), 200);
    assert_eq!((all[0]["detail"].as_str(), all[199]["detail"].as_str()), (Some("start 204"), Some("start 5")));
}

#[tokio::test]
async fn a_failure_that_may_pass_is_shown_until_it_has() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(200);
    let passing = json!({"stage": "downloading", "release": one.digest, "reason": "network", "detail": "cut"});
    device.report(passing.clone()).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 downloading(network)");
    device.report(json!({"stage": "verified", "release": one.digest})).await.expect(204);
    device.report(passing).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 verified(network)");
    device.check_in("-", "ok", &[]).await.expect(200);
    device.check_in(&one.digest, "ok", &[]).await.expect(304);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed");
}

#[tokio::test]
async fn a_refused_keyring_does_not_end_the_deployment() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0.0").await;
    device.check_in("-", "ok", &[]).await.expect(200);
    device.report(json!({"stage": "failed", "release": one.digest, "reason": "keyring-threshold"})).await.expect(204);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    let events = app.admin().see("/api/v1/devices/one/events").await;
    assert_eq!(events["events"][0]["reason"], "keyring-threshold");
    device.update("-", &one).await;
}
