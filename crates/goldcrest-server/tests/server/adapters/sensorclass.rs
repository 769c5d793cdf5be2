//! sensorclass boards: the list of a MAC address, versions of modules, what is concluded of a board, and bad input.

use std::time::Duration;

use expect_test::expect;
use goldcrest_core::Digest;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::releases::Plan;

const MAC: &str = "aabbccddeeff";

/// A release of the test package: a program and a library, both modules.
fn app_release(version: &str, counter: u64, library: &str) -> crate::releases::Release {
    let files = vec![
        ("boot_user.py", b"import network\n".to_vec()),
        ("lib/deep.py", b"DEEP = 1\n".to_vec()),
        ("mqttclass.py", library.as_bytes().to_vec()),
        ("sensor.py", b"import mqttclass\n".to_vec()),
    ];
    Plan { files, ..Plan::new(version, counter) }.build()
}

/// A package that is one module.
fn module(package: &'static str, path: &'static str, version: &'static str, counter: u64) -> crate::releases::Release {
    let text = format!("VERSION = {version:?}\n").into_bytes();
    Plan { package, files: vec![(path, text)], ..Plan::new(version, counter) }.build()
}

fn id(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()[..12].to_owned()
}

/// A server with a feed at `local/code`, a device of the MAC address, and release 1 on its channel.
async fn start(settings: Value) -> TestApp {
    let app = TestApp::start().await;
    let admin = app.admin();
    admin.publish(&app_release("1", 1, "L = 1\n")).await;
    admin.set_stable("1").await;
    admin.publish(&module("config", "config.py", "6", 10)).await;
    admin.publish(&module("config", "config.py", "7", 11)).await;
    admin.put("/api/v1/channels/config/stable", json!({"version": "7"})).await.expect(200);
    let feed = json!({"adapter": "sensorclass", "path": "/local/code/", "package": "sensor"});
    admin.post("/api/v1/feeds", feed).await.expect(201);
    app.device("kitchen").await;
    let body = json!({"adapter": "sensorclass", "id": "AA:BB:CC:DD:EE:FF", "settings": settings});
    admin.post("/api/v1/devices/kitchen/credentials", body).await.expect(201);
    app
}

async fn get(app: &TestApp, path: &str) -> String {
    let answer = app.anonymous().send("GET", path, &[], b"").await;
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

#[tokio::test]
async fn a_board_gets_its_list_however_it_writes_its_address() {
    let app = start(json!({})).await;
    let list = get(&app, &format!("/local/code/{MAC}")).await;
    let expected =
        format!(r#"200 {{"mqttclass":"{}","name":"sensor","sensor":"{}"}}"#, id("L = 1\n"), id("import mqttclass\n"));
    assert_eq!(list, expected, "the name of the program, and every value a string");
    for spelling in
        ["AABBCCDDEEFF", "aa:bb:cc:dd:ee:ff", "AA-BB-CC-DD-EE-FF", "aa%3Abb%3Acc%3Add%3Aee%3Aff", "/aabbccddeeff"]
    {
        assert_eq!(get(&app, &format!("/local/code/{spelling}")).await, expected, "{spelling}");
    }
    let versions = get(&app, "/local/code/latestversions").await;
    let parsed: Value = serde_json::from_str(&versions[4..]).unwrap();
    assert_eq!(parsed, json!({"config": "7", "mqttclass": id("L = 1\n"), "sensor": id("import mqttclass\n")}));
}

#[tokio::test]
async fn a_module_changes_its_version_exactly_when_its_bytes_change() {
    let app = start(json!({})).await;
    let before = get(&app, &format!("/local/code/{MAC}")).await;
    app.admin().publish(&app_release("2", 2, "L = 1\n")).await;
    app.admin().set_stable("2").await;
    assert_eq!(get(&app, &format!("/local/code/{MAC}")).await, before);
    app.admin().publish(&app_release("3", 3, "L = 3\n")).await;
    app.admin().set_stable("3").await;
    let after = get(&app, &format!("/local/code/{MAC}")).await;
    assert_eq!(after, before.replace(&id("L = 1\n"), &id("L = 3\n")));
    let old = format!("/local/code/mqttclass{}.py", id("L = 1\n"));
    assert_eq!(get(&app, &old).await, "200 L = 1\n", "what an older list names is still there");
    assert_eq!(get(&app, &format!("/local/code/mqttclass{}.py", id("L = 3\n"))).await, "200 L = 3\n");
    assert_eq!(get(&app, "/local/code/sensor.py").await, "200 import mqttclass\n");
}

#[tokio::test]
async fn pins_name_versions_as_their_owner_called_them() {
    let pins = json!({"config": "!6", "mqttclass": "latest", "sensor": "!latest"});
    let app = start(json!({"name": "program", "pins": pins})).await;
    let list: Value = serde_json::from_str(&get(&app, &format!("/local/code/{MAC}")).await[4..]).unwrap();
    let expected = json!({"name": "program", "config": "!6", "mqttclass": id("L = 1\n"),
        "sensor": format!("!{}", id("import mqttclass\n"))});
    assert_eq!(list, expected);
    assert_eq!(get(&app, "/local/code/config6.py").await, "200 VERSION = \"6\"\n");
    assert_eq!(get(&app, "/local/code/config7.py").await, "200 VERSION = \"7\"\n");
    assert_eq!(get(&app, "/local/code/config!6.py").await, "404 not-found\n", "the mark is not part of a file's name");
}

/// The later form calls the program `nodename`; either form takes the other's key for a module, and fails.
#[tokio::test]
async fn a_list_has_the_form_that_its_board_reads() {
    let app = start(json!({})).await;
    let list = format!("/local/code/{MAC}");
    let forms = async |path: &str| {
        let list: Value = serde_json::from_str(&get(&app, path).await[4..]).unwrap();
        (list["name"].as_str().map(str::to_owned), list["nodename"].as_str().map(str::to_owned))
    };
    let (first, later) = ((Some("sensor".to_owned()), None), (None, Some("sensor".to_owned())));
    assert_eq!(forms(&list).await, first);
    assert_eq!(forms(&list).await, first);
    // A board of the later form that asks under the old name takes `name` for a module: its next list is in its own form.
    assert_eq!(get(&app, "/local/code/namesensor.py").await, "404 not-found\n");
    assert_eq!(forms(&list).await, later);
    assert_eq!(get(&app, "/local/code/nodenamesensor.py").await, "404 not-found\n");
    assert_eq!(forms(&list).await, first);
    // Only the later form asks for this name; somebody who looks at it changes nothing for the board.
    assert_eq!(forms(&format!("{list}.config")).await, later);
    assert_eq!(forms(&list).await, first);
}

/// Behind one address the board that asked last is the one that fetches; what its owner set stays.
#[tokio::test]
async fn two_boards_behind_one_address_have_their_own_forms() {
    let app = start(json!({})).await;
    for (name, mac, settings) in
        [("cellar", "001122334455", json!({})), ("attic", "001122334466", json!({"nodename": false}))]
    {
        app.device(name).await;
        let body = json!({"adapter": "sensorclass", "id": mac, "settings": settings});
        app.admin().post(&format!("/api/v1/devices/{name}/credentials"), body).await.expect(201);
    }
    let is_later = async |mac: &str| get(&app, &format!("/local/code/{mac}")).await.contains("nodename");
    for mac in [MAC, "001122334466", "001122334455"] {
        app.clock.advance(1000);
        assert!(!is_later(mac).await);
    }
    get(&app, "/local/code/namesensor.py").await;
    assert!(!is_later("001122334466").await);
    assert!(!is_later(MAC).await);
    assert!(is_later("001122334455").await, "it asked last");
    app.clock.advance(1000);
    is_later("001122334466").await;
    get(&app, "/local/code/namesensor.py").await;
    assert!(!is_later("001122334466").await, "as it was set");
}

#[tokio::test]
async fn the_form_may_be_set_for_a_device_and_for_a_feed() {
    let app = start(json!({"nodename": true})).await;
    let list = get(&app, &format!("/local/code/{MAC}")).await;
    assert!(list.contains(r#""nodename":"sensor""#) && !list.contains(r#""name""#), "{list}");
    let feed = json!({"adapter": "sensorclass", "path": "later", "package": "sensor", "settings": {"nodename": true}});
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    app.device("cellar").await;
    let body = json!({"adapter": "sensorclass", "id": "001122334455"});
    app.admin().post("/api/v1/devices/cellar/credentials", body).await.expect(201);
    let list = get(&app, "/later/001122334455").await;
    assert!(list.contains(r#""nodename":"sensor""#) && !list.contains(r#""name""#), "{list}");
    let list = get(&app, "/local/code/001122334455").await;
    assert!(list.contains(r#""name":"sensor""#) && !list.contains("nodename"), "{list}");
}

#[tokio::test]
async fn what_a_board_runs_is_concluded_from_what_it_fetches() {
    let app = start(json!({})).await;
    let admin = app.admin();
    let list = format!("/local/code/{MAC}");
    get(&app, &list).await;
    assert_eq!(admin.deployment_line("kitchen").await, "1 notified");
    get(&app, &format!("/local/code/mqttclass{}.py", id("L = 1\n"))).await;
    assert_eq!(admin.deployment_line("kitchen").await, "1 downloading");
    get(&app, &list).await;
    get(&app, &list).await;
    assert_eq!(admin.deployment_line("kitchen").await, "1 downloading", "one module is missing");
    get(&app, &format!("/local/code/sensor{}.py", id("import mqttclass\n"))).await;
    get(&app, &list).await;
    assert_eq!(admin.deployment_line("kitchen").await, "1 downloading", "it may fetch all of it again now");
    get(&app, &list).await;
    assert_eq!(admin.device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
    assert_eq!(admin.deployment_line("kitchen").await, "1 confirmed");
    // The next release changes one module: only that one is waited for.
    admin.publish(&app_release("2", 2, "L = 2\n")).await;
    admin.set_stable("2").await;
    get(&app, &list).await;
    get(&app, &format!("/local/code/mqttclass{}.py", id("L = 2\n"))).await;
    get(&app, &list).await;
    get(&app, &list).await;
    assert_eq!(admin.device_line("kitchen").await, "in-sync running=2 desired=2 failed=-");
}

/// Boards that update once a day are not waited for until the day after.
#[tokio::test]
async fn a_board_that_asks_again_and_fetches_nothing_for_a_while_runs_what_it_fetched() {
    let app = start(json!({})).await;
    let list = format!("/local/code/{MAC}");
    get(&app, &list).await;
    get(&app, &format!("/local/code/mqttclass{}.py", id("L = 1\n"))).await;
    get(&app, &format!("/local/code/sensor{}.py", id("import mqttclass\n"))).await;
    get(&app, &list).await;
    assert_eq!(app.admin().deployment_line("kitchen").await, "1 downloading");
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if app.admin().deployment_line("kitchen").await == "1 confirmed" {
            return;
        }
    }
    panic!("{}", app.admin().deployment_line("kitchen").await);
}

/// A release that the board cannot run: it falls back to its alternate list, and fetches the release again at its next update.
#[tokio::test]
async fn a_board_that_fetches_a_release_again_and_again_does_not_run_it() {
    let app = start(json!({})).await;
    let admin = app.admin();
    let list = format!("/local/code/{MAC}");
    let update = async |version: &str, library: &str| {
        get(&app, &list).await;
        get(&app, &format!("/local/code/mqttclass{}.py", id(library))).await;
        if version == "1" {
            get(&app, &format!("/local/code/sensor{}.py", id("import mqttclass\n"))).await;
        }
    };
    update("1", "L = 1\n").await;
    get(&app, &list).await;
    get(&app, &list).await;
    assert_eq!(admin.device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
    admin.publish(&app_release("2", 2, "import nothere\n")).await;
    admin.set_stable("2").await;
    for expected in ["1 confirmed, 2 downloading", "1 confirmed, 2 downloading", "1 confirmed, 2 rolled-back(error)"] {
        update("2", "import nothere\n").await;
        assert_eq!(admin.deployment_line("kitchen").await, expected);
    }
    assert_eq!(admin.device_line("kitchen").await, "failed running=1 desired=1 failed=2");
    // Back to what it runs.
    admin.set_stable("1").await;
    get(&app, &list).await;
    get(&app, &list).await;
    assert_eq!(admin.device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
}

/// A board that is wiped and set up again, and one that lost a single module, run what they have when they ask for no more.
#[tokio::test]
async fn a_board_that_was_set_up_again_is_believed_again() {
    let app = start(json!({})).await;
    let list = format!("/local/code/{MAC}");
    let modules = [format!("mqttclass{}", id("L = 1\n")), format!("sensor{}", id("import mqttclass\n"))];
    for fetched in [&modules[..], &modules, &modules, &modules, &modules[..1], &modules[1..]] {
        get(&app, &list).await;
        for module in fetched {
            get(&app, &format!("/local/code/{module}.py")).await;
        }
        for _ in 0..3 {
            assert!(get(&app, &list).await.starts_with("200 "), "a list is always there");
        }
        assert_eq!(app.admin().device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
    }
}

/// It was believed to run the release for a day; then it falls back.
#[tokio::test]
async fn a_belief_is_taken_back_when_the_board_fetches_the_release_again() {
    let app = start(json!({})).await;
    let list = format!("/local/code/{MAC}");
    let modules = [format!("mqttclass{}", id("L = 1\n")), format!("sensor{}", id("import mqttclass\n"))];
    get(&app, &list).await;
    for module in &modules {
        get(&app, &format!("/local/code/{module}.py")).await;
    }
    get(&app, &list).await;
    get(&app, &list).await;
    assert_eq!(app.admin().device_line("kitchen").await, "in-sync running=1 desired=1 failed=-");
    get(&app, &format!("/local/code/{}.py", modules[0])).await;
    assert_eq!(app.admin().device_line("kitchen").await, "updating running=- desired=1 failed=-");
}

#[tokio::test]
async fn a_board_that_has_everything_already_is_believed_after_it_asked_three_times() {
    let app = start(json!({})).await;
    for expected in ["1 notified", "1 notified", "1 confirmed"] {
        get(&app, &format!("/local/code/{MAC}")).await;
        assert_eq!(app.admin().deployment_line("kitchen").await, expected);
    }
}

#[tokio::test]
async fn unknown_boards_are_pending_until_they_are_taken_in() {
    let app = start(json!({})).await;
    let admin = app.admin();
    assert_eq!(
        get(&app, "/local/code/00:11:22:33:44:55").await,
        "404 not-found\n",
        "no JSON that it could take for a list"
    );
    let pending = admin.see("/api/v1/pending").await;
    let row = &pending["pending"][0];
    assert_eq!((row["id"].as_str(), row["path"].as_str()), (Some("001122334455"), Some("local/code")));
    app.device("cellar").await;
    let body = json!({"adapter": "sensorclass", "id": "001122334455"});
    admin.post("/api/v1/devices/cellar/credentials", body).await.expect(201);
    assert_eq!(admin.see("/api/v1/pending").await["pending"], json!([]));
    assert!(get(&app, "/local/code/001122334455").await.starts_with("200 {"));
}

#[tokio::test]
async fn noise_does_not_fill_the_list_of_pending_boards() {
    let app = start(json!({})).await;
    for number in 0..1010 {
        get(&app, &format!("/local/code/{number:012x}")).await;
    }
    let pending = app.admin().see("/api/v1/pending?limit=1000").await;
    let rows = pending["pending"].as_array().unwrap();
    assert_eq!((rows.len(), rows[0]["id"].as_str()), (1000, Some("00000000000a")), "those heard longest ago are gone");
}

#[tokio::test]
async fn pins_that_nobody_could_follow_are_refused_by_name() {
    let app = start(json!({})).await;
    let refused = async |settings: Value| {
        let body = json!({"adapter": "sensorclass", "id": "001122334455", "settings": settings});
        let answer = app.admin().post("/api/v1/devices/kitchen/credentials", body).await.expect(422);
        answer.json()["message"].as_str().unwrap().to_owned() + "\n"
    };
    let mut said = refused(json!({"pins": {"config": "8"}})).await;
    said += &refused(json!({"pins": {"config": 6}})).await;
    said += &refused(json!({"pins": {"nothere": "latest"}})).await;
    said += &refused(json!({"pins": {"../config": "6"}})).await;
    said += &refused(json!({"pins": ["config"]})).await;
    said += &refused(json!({"name": ""})).await;
    said += &refused(json!({"name": 7})).await;
    said += &refused(json!({"nodename": "kitchen"})).await;
    said += &refused(json!({"pins": {"!config": "6"}})).await;
    // config1 of version 1, and config of version 11: one file name.
    app.admin().publish(&module("config1", "config1.py", "1", 12)).await;
    app.admin().publish(&module("config", "config.py", "11", 13)).await;
    said += &refused(json!({"pins": {"config": "11"}})).await;
    expect![[r#"
        pins: nobody published config 8: publish it as a package config first, or pin another version
        pins: the version of config is 6: write it as a string, "6"
        pins: nobody published nothere latest: publish it as a package nothere first, or pin another version
        pins: "../config" is not the name of a module
        pins: an object of at most 256 modules with their versions is wanted
        name: the module that the board runs is wanted, as a string
        name: the module that the board runs is wanted, as a string
        nodename: true or false is wanted
        pins: "!config" is not the name of a module
        pins: config11.py is config 11 and another module too: rename one version
    "#]]
    .assert_eq(&said);
}

#[tokio::test]
async fn nothing_outside_of_the_feed_is_found() {
    let app = start(json!({})).await;
    let others = [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/config6.py",
        "../config6.py",
        "lib/deep.py",
        "boot_user.py",
        "boot.py",
        "config8.py",
        "config.pyc",
        "sensor6.py",
        "é6.py",
        "6.py",
        ".py",
        "aabbccddeef",
        "aabbccddeeffg",
        MAC,
    ];
    for path in others {
        let folder = if path == MAC { "local/other" } else { "local/code" };
        let answer = get(&app, &format!("/{folder}/{path}")).await;
        assert_eq!(answer, "404 not-found\n", "{path}");
    }
    let elsewhere = app.anonymous().send("POST", &format!("/local/code/{MAC}"), &[], b"x").await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn a_feed_with_a_password_shows_nothing_without_it() {
    let app = start(json!({})).await;
    let feed = json!({"adapter": "sensorclass", "path": "closed", "package": "sensor", "secret": "esp:secret"});
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    for path in [MAC, "latestversions", "sensor.py", "001122334455"] {
        assert_eq!(get(&app, &format!("/closed/{path}")).await, "401 unauthenticated\n");
    }
    assert_eq!(app.admin().see("/api/v1/pending").await["pending"], json!([]));
    let basic = [("Authorization", "Basic ZXNwOnNlY3JldA==")];
    let answer = app.anonymous().send("GET", &format!("/closed/{MAC}"), &basic, b"").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_release_without_a_program_is_not_told_as_a_list_without_a_name() {
    let app = start(json!({})).await;
    let files = vec![("one.py", b"1\n".to_vec()), ("two.py", b"2\n".to_vec())];
    app.admin().publish(&Plan { files, ..Plan::new("9", 9) }.build()).await;
    app.admin().set_stable("9").await;
    assert_eq!(get(&app, &format!("/local/code/{MAC}")).await, "404 not-found\n");
}
