//! Deltas: made before boards are told, offered only where they fit, and always right.

use std::collections::BTreeMap;

use expect_test::expect;
use goldcrest_core::Digest;
use goldcrest_core::delta::{apply_to_manifest, apply_to_object};
use serde_json::{Value, json};

use crate::app::{Device, TestApp};
use crate::http::Response;
use crate::releases::{Plan, Release};

/// A program that is long enough for a delta to pay.
fn program(number: u32) -> Vec<u8> {
    let lines = (0..200).map(|n| format!("def step_{n}(value):\n    return value * {} + {n}\n", n * n + 7));
    lines.chain([format!("VERSION = {number}\n")]).collect::<String>().into_bytes()
}

/// A release of a changing program, a small file that no delta pays for, and one that never changes.
fn release(number: u32) -> Release {
    let files = vec![
        ("main.py", program(number)),
        ("small.txt", format!("{number}\n").repeat(9).into_bytes()),
        ("same.txt", b"never changed\n".repeat(30)),
    ];
    Plan { files, ..Plan::new(&format!("{number}.0"), u64::from(number) * 100) }.build()
}

/// The part of a manifest that is signed.
fn signed_part(manifest: &[u8]) -> &[u8] {
    let at = manifest.windows(5).position(|window| window == b"\nsig ").unwrap() + 1;
    &manifest[..at]
}

async fn check_in(device: &Device<'_>, run: &str) -> Response {
    let tag = format!("\"{run}\"");
    let path = format!("/d/v1/checkin?run={run}&state=ok&k=1&delta=1");
    device.send("GET", &path, &[("If-None-Match", &tag)], b"").await
}

async fn object(device: &Device<'_>, to: &[u8], from: &str, headers: &[(&str, &str)]) -> Response {
    device.send("GET", &format!("/d/v1/objects/{}?from={from}", Digest::of(to)), headers, b"").await
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// `from: size of whole_size` for each way to a version.
async fn ways(app: &TestApp, version: &str) -> BTreeMap<String, (i64, i64)> {
    let release = app.admin().see(&format!("/api/v1/releases/sensor/{version}")).await;
    let way = |row: &Value| {
        let size = |key: &str| row[key].as_i64().unwrap();
        (row["from"].as_str().unwrap().to_owned(), (size("size"), size("whole_size")))
    };
    release["deltas"].as_array().unwrap().iter().map(way).collect()
}

/// A server whose device runs 1.0 and is told of 2.0.
async fn told() -> (TestApp, Release, Release) {
    let app = TestApp::start().await;
    let (one, two) = (release(1), release(2));
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0").await;
    app.device("one").await.update("-", &one).await;
    app.admin().publish(&two).await;
    app.admin().set_stable("2.0").await;
    (app, one, two)
}

/// The device that [`told`] made, with a new token.
async fn device(app: &TestApp) -> Device<'_> {
    let token = app.admin().post("/api/v1/devices/one/token", json!({})).await.expect(200).json()["token"].clone();
    app.device_with("one", token.as_str().unwrap())
}

#[tokio::test]
async fn a_board_gets_manifest_and_objects_as_deltas_with_the_shortest_heads() {
    let (app, one, two) = told().await;
    let device = device(&app).await;
    let offer = check_in(&device, &one.digest).await.expect(226);
    let head = offer.head.replace(&two.digest, "<digest>").replace(&offer.body.len().to_string(), "<length>");
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    expect![[r#"
        [
            "HTTP/1.1 226 IM Used",
            "Connection: close",
            "Content-Length: <length>",
            "Etag: \"<digest>\"",
            "Goldcrest-Poll: 60",
        ]
    "#]]
    .assert_debug_eq(&lines);
    assert_eq!(apply_to_manifest(signed_part(&one.manifest), &offer.body).unwrap(), two.manifest);
    let (old, new) = (program(1), program(2));
    let delta = object(&device, &new, &digest(&old), &[]).await.expect(226);
    let length = delta.body.len();
    assert_eq!(delta.head, format!("HTTP/1.1 226 IM Used\r\nContent-Length: {length}\r\nConnection: close"));
    assert!(length < 30, "{length}");
    assert_eq!(apply_to_object(&old, &delta.body, new.len() as u64, &Digest::of(&new)).unwrap(), new);
    // What it says about itself is what goes over the wire.
    let small =
        object(&device, b"2\n2\n2\n2\n2\n2\n2\n2\n2\n", &digest(b"1\n1\n1\n1\n1\n1\n1\n1\n1\n"), &[]).await.expect(200);
    let size = offer.body.len() + length + small.body.len();
    let whole = two.manifest.len() + two.objects[&Digest::of(&new)].len() + small.body.len();
    let way = (i64::try_from(size).unwrap(), i64::try_from(whole).unwrap());
    assert_eq!(ways(&app, "2.0").await, BTreeMap::from([("1.0".into(), way)]));
    assert!(size * 3 < whole, "{size} {whole}");
}

#[tokio::test]
async fn a_board_that_wants_no_delta_gets_what_it_always_got() {
    let (app, one, two) = told().await;
    let device = device(&app).await;
    let offer = device.check_in(&one.digest, "ok", &[]).await.expect(200);
    assert_eq!(offer.body, two.manifest);
    assert_eq!(offer.header("Date"), None);
    let new = Digest::of(&program(2));
    let whole = device.send("GET", &format!("/d/v1/objects/{new}"), &[], b"").await.expect(200);
    assert_eq!(whole.body, two.objects[&new]);
    assert_eq!(whole.header("Etag"), Some(format!("\"{new}\"").as_str()));
}

#[tokio::test]
async fn an_edited_or_unknown_base_gets_the_whole_object() {
    let (app, _, two) = told().await;
    let device = device(&app).await;
    let new = program(2);
    let edited = [&program(1)[..], b"# by hand\n"].concat();
    for from in [digest(&edited), digest(&new), digest(b""), "-".into(), "..%2F".into(), String::new()] {
        let whole = object(&device, &new, &from, &[]).await.expect(200);
        assert_eq!(whole.body, two.objects[&Digest::of(&new)], "{from}");
    }
    // An object that no release of the project has is not there, whatever it is made from.
    object(&device, &edited, &digest(&program(1)), &[]).await.expect(404);
    // The way back was not made: nobody was sent there.
    object(&device, &program(1), &digest(&new), &[]).await.expect(200);
}

#[tokio::test]
async fn a_manifest_from_a_run_that_is_unknown_is_a_delta_from_nothing() {
    let (app, one, two) = told().await;
    let device = device(&app).await;
    let unknown = "0".repeat(64);
    for run in ["-", unknown.as_str()] {
        let path = format!("/d/v1/checkin?run={run}&state=ok&k=1&delta=1");
        let offer = device.send("GET", &path, &[], b"").await.expect(226);
        assert_eq!(apply_to_manifest(b"", &offer.body).unwrap(), two.manifest, "{run}");
        // It fits every base: the board need not know.
        assert_eq!(apply_to_manifest(signed_part(&one.manifest), &offer.body).unwrap(), two.manifest);
        assert!(offer.body.len() * 5 < two.manifest.len() * 4);
    }
}

#[tokio::test]
async fn a_board_that_has_what_it_should_gets_304_with_delta_too() {
    let (app, one, two) = told().await;
    let device = device(&app).await;
    check_in(&device, &two.digest).await.expect(304);
    let nothing = check_in(&device, &two.digest).await.expect(304);
    assert!(nothing.body.is_empty());
    let path = format!("/d/v1/checkin?run={}&state=ok&k=1&delta=1", one.digest);
    let unwanted = format!("\"{}\", \"{}\"", one.digest, two.digest);
    device.send("GET", &path, &[("If-None-Match", &unwanted)], b"").await.expect(304);
    let tag = format!("\"{}\"", digest(&program(2)));
    object(&device, &program(2), &digest(&program(1)), &[("If-None-Match", &tag)]).await.expect(304);
}

#[tokio::test]
async fn a_manifest_that_the_board_has_is_not_sent_again() {
    let (app, one, two) = told().await;
    let device = device(&app).await;
    let ask = async |have: &str, delta: &str| {
        let path = format!("/d/v1/checkin?run={}&state=ok&k=1&have={have}{delta}", one.digest);
        device.send("GET", &path, &[], b"").await
    };
    for delta in ["", "&delta=1"] {
        let offer = ask(&two.digest, delta).await.expect(200);
        assert_eq!((offer.body.len(), offer.header("Content-Length")), (0, Some("0")));
        assert_eq!(offer.header("Etag"), Some(format!("\"{}\"", two.digest).as_str()));
    }
    // One of another release, or none.
    for have in [one.digest.as_str(), ""] {
        ask(have, "&delta=1").await.expect(226);
        assert_eq!(ask(have, "").await.expect(200).body, two.manifest);
    }
}

#[tokio::test]
async fn a_board_on_the_way_from_another_release_has_one_made_for_the_next() {
    let (app, one, two) = told().await;
    let beta = app.device_on("two", "beta").await;
    let other = release(3);
    app.admin().publish(&other).await;
    beta.check_in(&other.digest, "ok", &[]).await.expect(304);
    assert_eq!(ways(&app, "2.0").await.len(), 1);
    app.admin().patch("/api/v1/devices/two", json!({"channel": "stable"})).await.expect(200);
    // The first board of its kind gets the manifest packed, and whole objects.
    let offer = check_in(&beta, &other.digest).await.expect(226);
    assert_eq!(apply_to_manifest(b"", &offer.body).unwrap(), two.manifest);
    until(&app, "2.0", "3.0").await;
    let offer = check_in(&beta, &other.digest).await.expect(226);
    assert_eq!(apply_to_manifest(signed_part(&other.manifest), &offer.body).unwrap(), two.manifest);
    object(&beta, &program(2), &digest(&program(3)), &[]).await.expect(226);
    object(&beta, &program(2), &digest(&program(1)), &[]).await.expect(226);
    assert_ne!(one.digest, two.digest);
}

/// Asks until the job has made a way; each question is a request, so this ends.
async fn until(app: &TestApp, to: &str, from: &str) {
    for _ in 0..5_000 {
        if ways(app, to).await.contains_key(from) {
            return;
        }
    }
    panic!("no delta from {from} to {to}");
}

#[tokio::test]
async fn deltas_are_ready_when_a_rollout_tells_its_boards() {
    let (app, one, _) = told().await;
    let device = device(&app).await;
    let three = release(3);
    app.admin().publish(&three).await;
    let body = json!({"package": "sensor", "version": "3.0", "stages": ["100%"]});
    app.admin().post("/api/v1/rollouts", body).await.expect(201);
    let offer = check_in(&device, &one.digest).await.expect(226);
    assert_eq!(apply_to_manifest(signed_part(&one.manifest), &offer.body).unwrap(), three.manifest);
    object(&device, &program(3), &digest(&program(1)), &[]).await.expect(226);
}

#[tokio::test]
async fn a_job_may_run_twice() {
    let (app, _, _) = told().await;
    let device = device(&app).await;
    let before =
        (ways(&app, "2.0").await, object(&device, &program(2), &digest(&program(1)), &[]).await.expect(226).body);
    for _ in 0..3 {
        app.admin().set_stable("2.0").await;
    }
    let after =
        (ways(&app, "2.0").await, object(&device, &program(2), &digest(&program(1)), &[]).await.expect(226).body);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_restart_makes_what_is_missing() {
    let (app, _, _) = told().await;
    // This board runs 3.0 and is told nothing: only the look at the start finds that a way from there is missing.
    let three = release(3);
    app.admin().publish(&three).await;
    app.device_on("two", "beta").await.check_in(&three.digest, "ok", &[]).await.expect(304);
    assert_eq!(ways(&app, "2.0").await.len(), 1);
    let app = app.restart().await;
    until(&app, "2.0", "3.0").await;
    assert_eq!(ways(&app, "2.0").await.len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_a_job_makes_it_later() {
    let app = TestApp::start().await;
    let one = release(1);
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0").await;
    app.device("one").await.update("-", &one).await;
    let large = |number: u32| {
        let table: Vec<String> = (0..6_000_u32).map(|n| (n.wrapping_mul(n ^ number) % 7919).to_string()).collect();
        let files: Vec<(&str, Vec<u8>)> =
            vec![("main.py", table.join("\n").into_bytes()), ("lib/shared.py", program(number))];
        Plan { files, ..Plan::new(&format!("{number}.0"), u64::from(number) * 100) }.build()
    };
    let two = large(2);
    app.admin().publish(&two).await;
    let app = app.restart().await;
    until(&app, "2.0", "1.0").await;
    assert_eq!(ways(&app, "2.0").await.len(), 1);
}

#[tokio::test]
async fn a_part_is_sent_of_plain_objects_only() {
    let (app, _, two) = told().await;
    let device = device(&app).await;
    let new = program(2);
    let whole = &two.objects[&Digest::of(&new)];
    assert!(whole.len() < new.len());
    let packed = object(&device, &new, "-", &[("Range", "bytes=100-")]).await.expect(200);
    assert_eq!((&packed.body, packed.header("Accept-Ranges")), (whole, None));
}

#[tokio::test]
async fn a_board_that_resumes_gets_the_rest_and_no_delta() {
    let app = TestApp::start().await;
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let old: Vec<u8> = std::iter::repeat_with(next).take(1000).collect();
    let new = [&old[..900], b"another end"].concat();
    let plan = |file: &Vec<u8>, version, counter| {
        Plan { files: vec![("noise.bin", file.clone())], ..Plan::new(version, counter) }.build()
    };
    let (one, two) = (plan(&old, "1.0", 100), plan(&new, "2.0", 200));
    app.admin().publish(&one).await;
    app.admin().set_stable("1.0").await;
    let device = app.device("one").await;
    device.update("-", &one).await;
    app.admin().publish(&two).await;
    app.admin().set_stable("2.0").await;
    let rest = object(&device, &new, &digest(&old), &[("Range", "bytes=500-")]).await.expect(206);
    assert_eq!(rest.body, new[500..]);
    let delta = object(&device, &new, &digest(&old), &[]).await.expect(226);
    assert_eq!(apply_to_object(&old, &delta.body, 911, &Digest::of(&new)).unwrap(), new);
}
