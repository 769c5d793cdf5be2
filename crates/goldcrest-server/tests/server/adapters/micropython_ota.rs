//! micropython-ota: version, both layouts, Basic, rollback, and the manifest of its pull request 20.

use serde_json::json;

use crate::app::TestApp;
use crate::releases::Plan;

const FILES: [(&str, &[u8]); 4] = [
    ("boot_user.py", b"import sample\n"),
    ("data.bin", b"\xff\x00\x01"),
    ("empty.py", b""),
    ("lib/a/b.py", b"B = 1\n"),
];

fn plan(version: &str, counter: u64) -> Plan<'_> {
    let mut plan = Plan::new(version, counter);
    plan.files.extend(FILES.map(|(path, bytes)| (path, bytes.to_vec())));
    plan
}

async fn app_with(versions: &[(&str, u64)], feed: serde_json::Value) -> TestApp {
    let app = TestApp::start().await;
    for (version, counter) in versions {
        app.admin().publish(&plan(version, *counter).build()).await;
    }
    app.admin().set_stable(versions.last().unwrap().0).await;
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    app
}

fn open_feed() -> serde_json::Value {
    json!({"adapter": "micropython-ota", "path": "sample", "package": "sensor"})
}

#[tokio::test]
async fn every_file_is_there_in_both_layouts() {
    let app = app_with(&[("v1.0.0", 100)], open_feed()).await;
    for (path, bytes) in FILES {
        let path = if path == "boot_user.py" { "boot.py" } else { path };
        for mark in ['_', '/'] {
            let answer =
                app.anonymous().send("GET", &format!("/sample/v1.0.0{mark}{path}"), &[], b"").await.expect(200);
            assert_eq!(answer.body, bytes, "{mark} {path}");
        }
    }
    app.anonymous().send("GET", "/sample/v1.0.0_missing.py", &[], b"").await.expect(404);
    app.anonymous().send("GET", "/sample/v2_main.py", &[], b"").await.expect(404);
    app.anonymous().send("GET", "/sample", &[], b"").await.expect(404);
    app.anonymous().send("POST", "/sample/version", &[], b"x").await.expect(404);
}

#[tokio::test]
async fn versions_and_files_with_underscores_are_told_apart() {
    let app = app_with(&[("v1", 100), ("v1_beta", 200)], open_feed()).await;
    let whole = app.anonymous().send("GET", "/sample/v1_beta_main.py", &[], b"").await.expect(200);
    assert!(whole.text().contains("this is v1_beta"));
    let older = app.anonymous().send("GET", "/sample/v1_main.py", &[], b"").await.expect(200);
    assert!(older.text().contains("this is v1'"), "{}", older.text());
}

#[tokio::test]
async fn moving_the_channel_back_is_a_rollback() {
    let app = app_with(&[("v1", 100), ("v2", 200)], open_feed()).await;
    let version = async || app.anonymous().send("GET", "/sample/version", &[], b"").await.expect(200).text();
    assert_eq!(version().await, "v2\n");
    app.admin().set_stable("v1").await;
    assert_eq!(version().await, "v1\n");
    app.anonymous().send("GET", "/sample/v1_main.py", &[], b"").await.expect(200);
}

#[tokio::test]
async fn a_feed_without_a_release_has_no_version() {
    let app = TestApp::start().await;
    let made = app.admin().post("/api/v1/feeds", open_feed()).await.expect(201).json();
    assert!(made["warnings"][0].as_str().unwrap().contains("points at no release yet"), "{made}");
    app.anonymous().send("GET", "/sample/version", &[], b"").await.expect(404);
}

#[tokio::test]
async fn user_and_password_are_asked_for_when_the_feed_has_them() {
    let mut feed = open_feed();
    feed["secret"] = json!("otauser:top:secret");
    let app = app_with(&[("v1", 100)], feed).await;
    let ask = async |path: &str, shown: &[(&str, &str)]| app.anonymous().send("GET", path, shown, b"").await;
    for path in ["/sample/version", "/sample/v1_main.py", "/sample/v1/main.py", "/sample/v1_manifest"] {
        let answer = ask(path, &[]).await.expect(401);
        assert_eq!(answer.header("Www-Authenticate"), Some("Basic realm=\"goldcrest\""));
        assert_eq!(answer.text(), "unauthenticated\n");
        ask(path, &[("Authorization", "Basic b3RhdXNlcjp3cm9uZw==")]).await.expect(401);
        ask(path, &[("Authorization", "Basic %%%")]).await.expect(401);
        ask(path, &[("Authorization", "Basic b3RhdXNlcjp0b3A6c2VjcmV0")]).await.expect(200);
    }
}

#[tokio::test]
async fn the_manifest_of_pull_request_20_lists_folders_before_their_files() {
    let app = app_with(&[("v1", 100)], open_feed()).await;
    let listed = app.anonymous().send("GET", "/sample/v1_manifest", &[], b"").await.expect(200).text();
    assert_eq!(listed, "boot.py\ndata.bin\nempty.py\nlib/\nlib/a/\nlib/a/b.py\nlib/shared.py\nmain.py\n");
    assert_eq!(app.anonymous().send("GET", "/sample/v1/manifest", &[], b"").await.expect(200).text(), listed);
}
