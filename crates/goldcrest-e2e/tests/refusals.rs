//! What a board must not install: every case is named, refused, changes nothing, and is reported by name.

use std::collections::BTreeMap;

use goldcrest_core::digest::Digest;
use goldcrest_e2e::crafted::{Crafted, first_keyring, keyring};
use goldcrest_e2e::hostile::{Body, Hostile, Offer};
use goldcrest_e2e::rig::{Rig, eventually, program, quick, user_files};
use goldcrest_fleet::BoardEvent;
use serde_json::Value;

/// A release that a board would take, with a new file and a changed one.
fn good() -> Crafted {
    Crafted::new("2.0", 200, &[("main.py", &program("2.0")), ("lib/sensor.py", b"PERIOD = 2\n")])
}

fn path_of(path: &str) -> Crafted {
    good().with("lib/sensor.py", path)
}

/// Serves `offer` to a fresh board and expects `reason` in a report, and not a byte changed.
async fn refused(offer: Offer, reason: &str) {
    let report = serve(offer, |report| report["reason"] == reason).await;
    assert!(matches!(report["stage"].as_str(), Some("failed" | "downloading")), "{report}");
}

async fn serve(offer: Offer, wanted: impl Fn(&Value) -> bool) -> Value {
    let rig = Rig::new().expect("a rig");
    let server = Hostile::start(offer).expect("a server");
    let main = program("1.0");
    let files: [(&str, &[u8]); 2] = [("main.py", &main), ("config.json", b"{}")];
    let mut board =
        rig.board("victim", &quick(&server.url(), "gcd_test"), &first_keyring(), &files).await.expect("a board");
    let before = user_files(&board.read_tree().await.expect("its files"));
    board.power_on().await.expect("power");
    let report = eventually("the report", || server.reports().into_iter().find(&wanted)).await;
    board.power_cut().await.expect("power cut");
    let report = report.unwrap_or_else(|e| panic!("{e}; reports: {:#?}", server.reports()));
    let after = user_files(&board.read_tree().await.expect("its files"));
    assert_eq!(after, before, "a refused release changed a file");
    report
}

#[tokio::test]
async fn wrong_signature() {
    let release = good();
    let mut bytes = release.signed_by("release");
    let at = bytes.len() - 10;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    refused(Offer { manifest: Some((release.digest(), Body::Whole(bytes))), ..release.offer() }, "bad-signature").await;
}

#[tokio::test]
async fn text_changed_after_signing() {
    let release = good();
    let text = String::from_utf8(release.signed_by("release")).expect("text");
    let forged = text.replace("version 2.0", "version 2.1");
    let digest = release.clone().with("version 2.0", "version 2.1").digest();
    refused(Offer { manifest: Some((digest, Body::Whole(forged.into_bytes()))), ..release.offer() }, "bad-signature")
        .await;
}

#[tokio::test]
async fn unknown_key() {
    refused(good().offer_signed_by("stranger"), "unknown-key").await;
}

#[tokio::test]
async fn revoked_key() {
    refused(good().offer_signed_by("revoked"), "revoked-key").await;
}

#[tokio::test]
async fn keyring_older_than_the_boards() {
    let old = keyring(1, 1, &["root-a"], &["release", "stranger"], &[]);
    let offer = Offer { keyring: Some((3, old)), ..good().offer_signed_by("stranger") };
    refused(offer, "keyring-old").await;
}

#[tokio::test]
async fn keyring_of_a_stranger() {
    let theirs = keyring(3, 1, &["stranger"], &["stranger"], &[]);
    let offer = Offer { keyring: Some((3, theirs)), ..good().offer_signed_by("stranger") };
    refused(offer, "keyring-threshold").await;
}

#[tokio::test]
async fn counter_below_the_floor() {
    let rig = Rig::new().expect("a rig");
    let raised = good().with("floor 0", "floor 150");
    let server = Hostile::start(raised.offer()).expect("a server");
    let main = program("1.0");
    let json = quick(&server.url(), "gcd_test");
    let mut board = rig.board("victim", &json, &first_keyring(), &[("main.py", &main)]).await.expect("a board");
    board.power_on().await.expect("power");
    let confirmed = |r: &Value| r["stage"] == "confirmed" && r["release"] == raised.digest();
    eventually("the first update", || server.reports().into_iter().find(confirmed)).await.expect("confirmed");
    let old = Crafted::new("1.5", 149, &[("main.py", &program("1.5"))]);
    server.offer(old.offer());
    let refused = |r: &Value| r["reason"] == "floor" && r["release"] == old.digest();
    let found = eventually("the refusal", || server.reports().into_iter().find(refused)).await;
    found.unwrap_or_else(|e| panic!("{e}; reports: {:#?}", server.reports()));
    board.power_cut().await.expect("power cut");
    assert_eq!(board.read_tree().await.expect("its files")["main.py"], program("2.0"));
}

#[tokio::test]
async fn wrong_board() {
    refused(good().with("created", "boards esp32 rp2\ncreated").offer(), "board").await;
}

#[tokio::test]
async fn wrong_mpy_version() {
    refused(good().with("created", "mpy 5\ncreated").offer(), "mpy").await;
}

#[tokio::test]
async fn wrong_mpy_architecture() {
    refused(good().with("created", "mpy 6.3.10\ncreated").offer(), "mpy").await;
}

#[tokio::test]
async fn newer_agent_needed() {
    refused(good().with("agent 1", "agent 2").offer(), "agent").await;
}

#[tokio::test]
async fn other_package() {
    refused(good().with("package demo", "package other").offer(), "package").await;
}

#[tokio::test]
async fn expired() {
    refused(good().with("files 2", "expires 1000\nfiles 2").offer(), "expired").await;
}

/// The release with its sensor file served as `body`.
fn with_object(body: impl FnOnce(Vec<u8>) -> Body) -> Offer {
    let mut offer = good().offer();
    let digest = Digest::of(b"PERIOD = 2\n").to_string();
    let wire = good().objects[&digest].clone();
    offer.objects.insert(digest, body(wire));
    offer
}

#[tokio::test]
async fn object_with_another_hash() {
    refused(with_object(|_| Body::Whole(b"PERIOD = 3\n".to_vec())), "hash").await;
}

#[tokio::test]
async fn truncated_download() {
    refused(with_object(|wire| Body::CutAt { at: wire.len() - 1, bytes: wire }), "truncated").await;
}

#[tokio::test]
async fn truncated_manifest() {
    let release = good();
    let bytes = release.signed_by("release");
    let cut = Body::CutAt { at: bytes.len() - 30, bytes };
    refused(Offer { manifest: Some((release.digest(), cut)), ..release.offer() }, "truncated").await;
}

#[tokio::test]
async fn object_longer_than_the_manifest_says() {
    refused(with_object(|wire| Body::Lies { announced: 1 << 20, bytes: wire }), "endless").await;
}

#[tokio::test]
async fn endless_object() {
    refused(with_object(|_| Body::Endless), "endless").await;
}

#[tokio::test]
async fn endless_manifest() {
    let release = good();
    refused(Offer { manifest: Some((release.digest(), Body::Endless)), ..release.offer() }, "endless").await;
}

#[tokio::test]
async fn manifest_of_two_gigabytes() {
    let release = good();
    let body = Body::Lies { announced: 2 << 30, bytes: release.signed_by("release") };
    refused(Offer { manifest: Some((release.digest(), body)), ..release.offer() }, "endless").await;
}

#[tokio::test]
async fn object_that_the_server_lost() {
    refused(Offer { objects: BTreeMap::new(), ..good().offer() }, "missing").await;
}

#[tokio::test]
async fn path_that_leaves_the_root() {
    refused(path_of("lib/../../etc/passwd").offer(), "path").await;
}

#[tokio::test]
async fn absolute_path() {
    refused(path_of("/lib/sensor.py").offer(), "path").await;
}

#[tokio::test]
async fn path_into_the_agents_folder() {
    refused(path_of(".ota/state").offer(), "path").await;
}

#[tokio::test]
async fn path_of_the_boot_file() {
    refused(path_of("boot.py").offer(), "path").await;
}

#[tokio::test]
async fn path_too_long() {
    refused(path_of(&format!("lib/{}b.py", "a/".repeat(60))).offer(), "path-long").await;
    refused(path_of(&format!("lib/{}.py", "x".repeat(70))).offer(), "path-long").await;
}

#[tokio::test]
async fn the_same_path_twice() {
    refused(path_of("main.py").offer(), "duplicate").await;
}

#[tokio::test]
async fn not_a_manifest() {
    let page = b"<html><h1>Welcome to nginx!</h1></html>\n".to_vec();
    let offer = Offer { manifest: Some((Digest::of(&page).to_string(), Body::Whole(page))), ..Offer::default() };
    refused(offer, "format").await;
}

#[tokio::test]
async fn release_larger_than_free_flash() {
    // Numbers in a fixed pattern would deflate to nothing and still have to fit: the plain size counts.
    let large = vec![b'#'; 3 << 20];
    let release = Crafted::new("2.0", 200, &[("main.py", &program("2.0")), ("large.py", &large)]);
    let report = serve(release.offer(), |r| r["reason"] == "space").await;
    let detail = report["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("needs") && detail.contains("free"), "{detail}");
}

/// The connection ends after every single byte of the manifest and of an object; then the release arrives.
#[tokio::test]
async fn connection_cut_at_any_byte() {
    let rig = Rig::new().expect("a rig");
    let server = Hostile::start(Offer::default()).expect("a server");
    let main = b"import goldcrest, time\nwhile True:\n    goldcrest.check()\n    time.sleep_ms(1)\n";
    let json = quick(&server.url(), "gcd_test");
    let mut board = rig.board("victim", &json, &first_keyring(), &[("main.py", main)]).await.expect("a board");
    let before = user_files(&board.read_tree().await.expect("its files"));
    server.offer_in_turn(cuts());
    board.power_on().await.expect("power");
    eventually("the last cut", || (server.offers_left() == 0).then_some(())).await.expect("every cut was taken");
    board.power_cut().await.expect("power cut");
    assert_eq!(user_files(&board.read_tree().await.expect("its files")), before, "a cut download changed a file");
    let release = good();
    server.offer(release.offer());
    let mut events = board.events();
    board.power_on().await.expect("power");
    let up = |e: &BoardEvent| matches!(e, BoardEvent::Console(line) if line == "app 2.0");
    events.wait_for(goldcrest_e2e::rig::LIMIT, up).await.expect("the release runs");
}

/// One offer per cut, each of another release: a board gives up on a release that never arrives.
fn cuts() -> Vec<Offer> {
    let numbered = |n: usize| good().with("version 2.0", &format!("version 1.{n:04}"));
    let length = numbered(0).signed_by("release").len();
    let object = good().objects[&Digest::of(b"PERIOD = 2\n").to_string()].len();
    let manifests = (0..length).map(|at| {
        let release = numbered(at);
        let body = Body::CutAt { bytes: release.signed_by("release"), at };
        Offer { manifest: Some((release.digest(), body)), ..release.offer() }
    });
    let objects = (0..object).map(|at| {
        let release = numbered(length + at);
        let mut offer = release.offer();
        for body in offer.objects.values_mut() {
            if let Body::Whole(bytes) = body.clone() {
                *body = Body::CutAt { at: at.min(bytes.len() - 1), bytes };
            }
        }
        offer
    });
    manifests.chain(objects).collect()
}
