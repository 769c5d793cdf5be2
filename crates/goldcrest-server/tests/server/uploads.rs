//! Uploads: what is taken, and every way in which one is refused by name with nothing changed.

use goldcrest_core::archive;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::releases::{Plan, Release, keyring, keyring_with, release};

/// Uploads `archive` and expects it to be refused by this name, with no release and no temporary file left.
async fn refused(app: &TestApp, archive: &[u8], status: u16, code: &str) -> Value {
    let before = app.admin().see("/api/v1/releases").await;
    let error = app.admin().upload(archive).await.expect_error(status, code).json();
    assert_eq!(app.admin().see("/api/v1/releases").await, before);
    assert_eq!(std::fs::read_dir(app.data().join("tmp")).unwrap().count(), 0, "temporary files are left");
    error
}

fn without_object(release: &Release, index: usize) -> Vec<u8> {
    let mut objects = release.objects.clone();
    let digest = *objects.keys().nth(index).unwrap();
    objects.remove(&digest);
    archive::write(&release.manifest, &objects)
}

#[tokio::test]
async fn a_good_release_is_taken_shown_and_given_back() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    let made = app.admin().upload(&one.archive).await.expect(201).json();
    assert_eq!(made["digest"], one.digest);
    assert_eq!(made["file_count"], 2);
    assert_eq!(made["created_ms"], 1_795_000_000_000_i64);
    assert_eq!(made["uploaded_ms"], 1_800_000_000_000_i64);
    let wire: usize = one.objects.values().map(Vec::len).sum();
    assert_eq!(made["wire_size"], wire);
    let seen = app.admin().see("/api/v1/releases/sensor/1.0.0").await;
    assert_eq!(seen["files"][1]["path"], "main.py");
    assert_eq!(app.admin().get("/api/v1/releases/sensor/1.0.0/archive").await.expect(200).body, one.archive);
    let packages = app.admin().see("/api/v1/packages").await;
    assert_eq!(packages["packages"], json!([{"name": "sensor", "releases": 1, "latest": "1.0.0"}]));
}

#[tokio::test]
async fn the_same_release_again_is_no_change() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    app.admin().publish(&one).await;
    app.admin().upload(&one.archive).await.expect(200);
    assert_eq!(app.admin().see("/api/v1/releases").await["releases"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn same_version_with_other_content_is_a_conflict() {
    let app = TestApp::start().await;
    app.admin().publish(&release("1.0.0", 100)).await;
    refused(&app, &release("1.0.0", 101).archive, 409, "conflict").await;
}

#[tokio::test]
async fn a_counter_that_is_not_above_the_highest_is_a_conflict() {
    let app = TestApp::start().await;
    app.admin().publish(&release("1.0.0", 100)).await;
    refused(&app, &release("1.0.1", 100).archive, 409, "conflict").await;
    refused(&app, &release("1.0.1", 99).archive, 409, "conflict").await;
}

#[tokio::test]
async fn a_corrupted_upload_is_refused() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    let mut damaged = one.archive.clone();
    // In the zlib stream of the last object, which has one block before the two closing ones.
    let at = damaged.len() - 1024 - 512 + 20;
    damaged[at] ^= 0x40;
    let (_, last) = one.objects.last_key_value().unwrap();
    assert!(last.len() > 20 && last.len() < 512, "the flipped bit must be in an object");
    refused(&app, &damaged, 422, "hash").await;
    refused(&app, &one.archive[..one.archive.len() - 700], 422, "truncated").await;
    refused(&app, b"", 422, "truncated").await;
    refused(&app, b"hello", 422, "truncated").await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    let manifest = String::from_utf8(one.manifest.clone()).unwrap().replace("counter 100", "counter 101");
    refused(&app, &archive::write(manifest.as_bytes(), &one.objects), 422, "bad-signature").await;
}

#[tokio::test]
async fn an_unknown_and_a_revoked_key_are_refused() {
    let app = TestApp::start().await;
    let stranger = Plan { key: "stranger", ..Plan::new("1.0.0", 100) }.build();
    refused(&app, &stranger.archive, 422, "unknown-key").await;
    let revoked = Plan { key: "revoked", ..Plan::new("1.0.0", 100) }.build();
    refused(&app, &revoked.archive, 422, "revoked-key").await;
}

#[tokio::test]
async fn a_missing_object_is_refused_unless_the_project_has_it() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    for index in 0..one.objects.len() {
        refused(&app, &without_object(&one, index), 422, "missing").await;
    }
    app.admin().publish(&one).await;
    let two = release("1.1.0", 101);
    let shared = two.objects.keys().position(|digest| one.objects.contains_key(digest)).unwrap();
    app.admin().upload(&without_object(&two, shared)).await.expect(201);
    // And back out it is whole.
    assert_eq!(app.admin().get("/api/v1/releases/sensor/1.1.0/archive").await.expect(200).body, two.archive);
}

#[tokio::test]
async fn without_a_keyring_no_release_is_taken() {
    let app = TestApp::start_empty(|_| {}).await;
    refused(&app, &release("1.0.0", 100).archive, 409, "conflict").await;
}

#[tokio::test]
async fn only_a_successor_replaces_the_keyring() {
    let app = TestApp::start_empty(|_| {}).await;
    let admin = app.admin();
    admin.get("/api/v1/keyring").await.expect_error(404, "not-found");
    admin.put_bytes("/api/v1/keyring", b"goldcrest-keyring 1\n").await.expect_error(422, "format");
    assert_eq!(admin.put_bytes("/api/v1/keyring", &keyring(2)).await.expect(200).json(), json!({"version": 2}));
    admin.put_bytes("/api/v1/keyring", &keyring(2)).await.expect(200);
    admin.put_bytes("/api/v1/keyring", &keyring(1)).await.expect_error(422, "keyring-old");
    let next = keyring_with(3, &["stranger"], &["release"]);
    let mut forged = next.clone();
    let at = forged.len() - 10;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    admin.put_bytes("/api/v1/keyring", &forged).await.expect_error(422, "keyring-threshold");
    admin.put_bytes("/api/v1/keyring", &next).await.expect(200);
    assert_eq!(admin.get("/api/v1/keyring").await.expect(200).body, next);
    // It is in force at once.
    refused(&app, &release("1.0.0", 100).archive, 422, "revoked-key").await;
}
