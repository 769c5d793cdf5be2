//! The management API: who may, what is refused, pages.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::releases::release;

#[tokio::test]
async fn the_first_start_makes_an_admin_token_only_its_owner_can_read() {
    let app = TestApp::start().await;
    let path = app.data().join("admin.token");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), app.admin().token);
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    let me = app.admin().see("/api/v1/whoami").await;
    assert_eq!(me, json!({"project": "default", "token": "admin", "expires_ms": null}));
}

#[tokio::test]
async fn no_unknown_or_wrong_kind_of_token_gets_in() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    app.anonymous().send("GET", "/api/v1/devices", &[], b"").await.expect_error(401, "unauthenticated");
    let admin = app.admin();
    for token in ["gca_unknown", "gcd_unknown", "", "gca_"] {
        admin.with_token(token).get("/api/v1/devices").await.expect_error(401, "unauthenticated");
    }
    admin.with_token(&device.token).get("/api/v1/devices").await.expect_error(403, "forbidden");
}

#[tokio::test]
async fn a_token_works_until_it_expires_or_is_deleted() {
    let app = TestApp::start().await;
    let body = json!({"name": "ci", "expires_in_s": 60});
    let made = app.admin().post("/api/v1/tokens", body).await.expect(201).json();
    assert_eq!(made["expires_ms"], 1_800_000_060_000_i64);
    let admin = app.admin();
    let ci = admin.with_token(made["token"].as_str().unwrap());
    ci.get("/api/v1/whoami").await.expect(200);
    app.clock.advance(60_000);
    let expired = ci.get("/api/v1/whoami").await.expect_error(401, "token-expired").json();
    assert_eq!(expired["hint"], "make a new token with POST /api/v1/tokens");
    let listed = admin.see("/api/v1/tokens").await;
    assert!(!listed.to_string().contains(made["token"].as_str().unwrap()));
    admin.delete("/api/v1/tokens/ci").await.expect(204);
    ci.get("/api/v1/whoami").await.expect_error(401, "unauthenticated");
    admin.delete("/api/v1/tokens/ci").await.expect_error(404, "not-found");
    admin.delete("/api/v1/tokens/admin").await.expect_error(409, "conflict");
}

#[tokio::test]
async fn no_secret_is_in_the_database() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (admin_token, device_token) = (app.admin().token.clone(), device.token.clone());
    let app = app.restart().await;
    for name in ["goldcrest.db", "goldcrest.db-wal"] {
        let bytes = std::fs::read(app.data().join(name)).unwrap_or_default();
        for token in [&admin_token, &device_token] {
            assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{name}");
        }
    }
}

#[tokio::test]
async fn unknown_fields_and_bad_values_are_invalid() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let cases = [
        json!({"name": "a", "package": "sensor", "colour": "red"}),
        json!({"name": "a b", "package": "sensor"}),
        json!({"name": "a", "package": "Sensor"}),
        json!({"name": "a"}),
        json!({"name": "a", "package": "sensor", "labels": {"": "x"}}),
        json!({"name": "a", "package": "sensor", "hardware_id": ""}),
        json!([]),
    ];
    for case in cases {
        admin.post("/api/v1/devices", case).await.expect_error(422, "invalid");
    }
    admin.send("POST", "/api/v1/devices", b"{").await.expect_error(422, "invalid");
    for query in ["limit=0", "limit=1001", "limit=x", "colour=red", "state=happy", "label=none"] {
        admin.get(&format!("/api/v1/devices?{query}")).await.expect_error(422, "invalid");
    }
    admin.post("/api/v1/tokens", json!({"name": "t", "expires_in_s": 0})).await.expect_error(422, "invalid");
    admin.get("/api/v1/nothing").await.expect_error(404, "not-found");
    admin.get("/api/v1/rollouts/x").await.expect_error(404, "not-found");
    admin.delete("/api/v1/packages").await.expect_error(405, "method-not-allowed");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let app = TestApp::start().await;
    let admin = app.admin();
    for path in ["/api/v1/devices/x", "/api/v1/devices/x/events", "/api/v1/releases/sensor/9", "/api/v1/rollouts/7"] {
        admin.get(path).await.expect_error(404, "not-found");
    }
    admin.delete("/api/v1/devices/x").await.expect_error(404, "not-found");
    admin.put("/api/v1/channels/sensor/stable", json!({"version": "9"})).await.expect_error(404, "not-found");
}

#[tokio::test]
async fn a_device_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let body = json!({"name": "one", "package": "sensor", "channel": "beta", "hardware_id": "aabbcc", "labels": {"room": "a"}});
    let made = admin.post("/api/v1/devices", body.clone()).await.expect(201).json();
    assert!(made["token"].as_str().unwrap().starts_with("gcd_"));
    assert_eq!(made["device"]["labels"], json!({"room": "a"}));
    admin.post("/api/v1/devices", body).await.expect_error(409, "conflict");
    app.device("two").await;
    admin.patch("/api/v1/devices/one", json!({"name": "two"})).await.expect_error(409, "conflict");
    let changed =
        admin.patch("/api/v1/devices/one", json!({"name": "three", "labels": {"room": "b"}})).await.expect(200);
    assert_eq!(changed.json()["labels"], json!({"room": "b"}));
    assert_eq!(changed.json()["channel"], "beta");
    admin.get("/api/v1/devices/one").await.expect(404);
    admin.delete("/api/v1/devices/three").await.expect(204);
    admin.get("/api/v1/devices/three").await.expect(404);
    app.device_with("three", made["token"].as_str().unwrap()).check_in("-", "ok", &[]).await.expect(401);
}

#[tokio::test]
async fn joining_a_channel_with_a_release_deploys_it() {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.publish(&release("1.0.0", 100)).await;
    admin.publish(&release("2.0.0", 200)).await;
    admin.set_stable("1.0.0").await;
    admin.put("/api/v1/channels/sensor/beta", json!({"version": "2.0.0"})).await.expect(200);
    app.device("one").await;
    assert_eq!(admin.deployment_line("one").await, "1.0.0 queued");
    admin.patch("/api/v1/devices/one", json!({"channel": "beta"})).await.expect(200);
    assert_eq!(admin.deployment_line("one").await, "1.0.0 cancelled(replaced), 2.0.0 queued");
    let channels = admin.see("/api/v1/channels?package=sensor").await;
    assert_eq!(channels["channels"][0]["devices"], 0);
    assert_eq!(channels["channels"][1]["devices"], 1);
}

#[tokio::test]
async fn lists_come_in_pages_and_by_filter() {
    let app = TestApp::start().await;
    let admin = app.admin();
    for number in 0..7 {
        let body =
            json!({"name": format!("d{number}"), "package": "sensor", "labels": {"half": format!("{}", number % 2)}});
        admin.post("/api/v1/devices", body).await.expect(201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.see(&format!("/api/v1/devices?limit=3&after={after}")).await;
        all.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(all, ["d0", "d1", "d2", "d3", "d4", "d5", "d6"]);
    assert_eq!(names(&admin.see("/api/v1/devices?label=half=1").await), ["d1", "d3", "d5"]);
    assert_eq!(names(&admin.see("/api/v1/devices?label=half=_").await), Vec::<String>::new());
    admin.patch("/api/v1/devices/d0", json!({"labels": {"Room": "A%"}})).await.expect(200);
    assert_eq!(names(&admin.see("/api/v1/devices?label=Room=A%25").await), ["d0"]);
    for other in ["room=A%25", "Room=a%25", "oom=A%25", "Room=A"] {
        assert_eq!(names(&admin.see(&format!("/api/v1/devices?label={other}")).await), Vec::<String>::new(), "{other}");
    }
    assert_eq!(names(&admin.see("/api/v1/devices?state=trial").await), Vec::<String>::new());
    assert_eq!(names(&admin.see("/api/v1/devices?package=other").await), Vec::<String>::new());
    for counter in 1..=5 {
        admin.publish(&release(&format!("{counter}.0"), counter)).await;
    }
    let first = admin.see("/api/v1/releases?package=sensor&limit=2").await;
    assert_eq!(
        (first["releases"][0]["version"].as_str(), first["releases"][1]["version"].as_str()),
        (Some("5.0"), Some("4.0"))
    );
    let second = admin.see(&format!("/api/v1/releases?limit=2&after={}", first["next"])).await;
    assert_eq!(second["releases"][0]["version"], "3.0");
}
