//! `goldcrest migrate`: what would leave a board out of reach is refused, and boards that nobody knows are taken in.

use expect_test::expect;

use crate::sandbox::{Sandbox, Served};

/// A project that is published, and an old one of the package `sample`.
fn start(main: &str) -> (Sandbox, Served) {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    sandbox.write("www/sample/version", "1");
    sandbox.write("www/sample/1_main.py", "print('old')\n");
    sandbox.write("www/sample/1_boot.py", "print('old boot')\n");
    sandbox.ok(&["import", "micropython-ota", sandbox.path("www").to_str().unwrap()]);
    sandbox.write("project/main.py", main);
    sandbox.ok(&["publish", "--python", "raw", "--version", "1.0", "--channel", "stable"]);
    (sandbox, served)
}

const POLLS: &str = "import goldcrest\nwhile True:\n    goldcrest.poll()\n";
const MIGRATE: [&str; 6] = ["migrate", "micropython-ota", "--from", "sample", "--board-server", "http://10.0.0.2:8700"];

#[test]
fn what_would_leave_a_board_out_of_reach_is_refused() {
    let (sandbox, _served) = start(POLLS);
    let with = |more: &[&str]| sandbox.run(&[&MIGRATE[..], more].concat());
    with(&[]).refused(
        1,
        &expect![[r#"
            error: release 1.0 has no boot.py: the boards would come up without a network, and stay so
            hint: add one to the release, or --boot FILE; --no-boot if they need none
        "#]],
    );
    with(&["--no-boot", "--via", "app.py"]).refused(
        3,
        &expect![[r#"
            error: sample 1 has no app.py; it has boot_user.py, main.py
            hint: --via names the file that the old updater fetches and that runs
        "#]],
    );
    with(&["--no-boot", "--package", "sample"]).refused(
        2,
        &expect![[r#"
            error: sample stable is what the old boards get: the last update would go to the new ones too
            hint: name another --package or --channel for the boards under our agent
        "#]],
    );
    with(&["--no-boot", "--channel", "beta"]).refused(
        3,
        &expect![[r#"
            error: channel beta of kitchen points at no release: the boards would have nothing to run
            hint: publish what they are to run: goldcrest publish --channel beta
        "#]],
    );
    let (sandbox, _served) = start("while True:\n    pass\n");
    sandbox.run(&[&MIGRATE[..], &["--no-boot"]].concat()).refused(
        1,
        &expect![[r#"
            error: no file of kitchen 1.0 uses goldcrest: a board that runs it would never be updated again
            hint: call goldcrest.poll() in its loop, publish it, and try again
        "#]],
    );
    assert_eq!(sandbox.run(&["migrate", "gogs"]).code, 2, "neither --from nor --output");
}

#[test]
fn the_last_update_is_text_that_no_old_updater_can_damage() {
    let (sandbox, _served) = start(POLLS);
    sandbox.write("boot.py", "print('network')\n");
    let boot = sandbox.path("boot.py");
    let out = sandbox.path("bridge.py");
    let args = [&MIGRATE[..], &["--boot", boot.to_str().unwrap(), "--output", out.to_str().unwrap()]].concat();
    sandbox.ok(&args);
    let text = String::from_utf8(sandbox.read("bridge.py")).unwrap();
    assert!(text.is_ascii() && !text.contains('\r') && text.ends_with("\n#=\n"));
    assert!(text.lines().all(|line| line.len() <= 160), "a board reads it line by line");
    for path in ["boot_user.py", "goldcrest.json", ".ota/boot.new", ".ota/main.new", ".ota/keyring0"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("#>{path} "))), "{path} is not in it");
    }
    // Without --output it is published with the other files of the old release, and nothing points at it yet.
    let made = sandbox.json(&[&MIGRATE[..], &["--boot", boot.to_str().unwrap()]].concat());
    assert_eq!((made["via"].as_str(), made["version"].as_str()), (Some("main.py"), Some("goldcrest")));
    let release = sandbox.json(&["release", "show", "goldcrest", "--package", "sample"]);
    let paths: Vec<&str> = release["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["boot_user.py", "main.py"]);
    let channels = sandbox.json(&["channel", "list", "--package", "sample"]);
    assert_eq!(channels["channels"][0]["version"], "1");
    let made = sandbox.json(&[&MIGRATE[..], &["--no-boot"]].concat());
    assert_eq!(made["version"], "goldcrest-2", "another one has another version");
    // Updaters that take packages get it as the main.py of one.
    let made = sandbox.json(&["migrate", "thingsboard", "--from", "sample", "--no-boot"]);
    assert_eq!((made["via"].as_str(), made["version"].as_str()), (Some("main.py"), Some("goldcrest-3")));
}

/// Boards to which an earlier bridge is on its way hold its key.
#[test]
fn a_second_bridge_leaves_the_key_of_the_first() {
    let (sandbox, _served) = start(POLLS);
    let made = |file: &str| {
        let out = sandbox.path(file);
        let made = sandbox.json(&[&MIGRATE[..], &["--no-boot", "--output", out.to_str().unwrap()]].concat());
        made["enrolment"].as_str().unwrap().to_owned()
    };
    assert_eq!([made("a.py"), made("b.py"), made("c.py")], ["from-sample", "from-sample-2", "from-sample-3"]);
}

#[test]
fn unknown_boards_are_listed_and_taken_in_with_pins() {
    let (sandbox, served) = start(POLLS);
    sandbox.write("code/latestversions", r#"{"charger": "2", "config": "7"}"#);
    for name in ["charger1.py", "charger2.py", "config6.py", "config7.py"] {
        sandbox.write(&format!("code/{name}"), &format!("# {name}\nX = 1\n"));
    }
    sandbox.ok(&["import", "sensorclass", sandbox.path("code").to_str().unwrap(), "--prefix", "local/code"]);
    assert_eq!(sandbox.ok(&["device", "pending"]), "no unknown board has asked\n");
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let agent = ureq::Agent::from(config);
    let ask =
        || agent.get(format!("{}/local/code/DEADBEEF0001", served.url)).call().unwrap().body_mut().read_to_string();
    assert_eq!(ask().unwrap(), "not-found\n");
    let listed = sandbox.ok(&["device", "pending"]);
    assert!(listed.contains("sensorclass  deadbeef0001  local/code"), "{listed}");
    let add =
        ["device", "add", "garage", "--package", "charger", "--adapter", "sensorclass", "--id", "de:ad:be:ef:00:01"];
    sandbox.run(&[&add[..], &["--pin", "config=8"]].concat()).refused(
        1,
        &expect![[r#"
            error: pins: nobody published config 8: publish it as a package config first, or pin another version
        "#]],
    );
    sandbox.ok(&[&add[..], &["--pin", "config=6", "--set", "nodename=true"]].concat());
    assert_eq!(ask().unwrap(), r#"{"charger":"2","config":"6","nodename":"charger"}"#);
    // Its owner changes the list, as they would change the file.
    let set = |more: &[&str]| sandbox.run(&[&["device", "set", "garage"][..], more].concat());
    let said = sandbox.ok(&["device", "set", "garage", "--pin", "config=!7", "--set", "nodename="]);
    assert!(said.ends_with("sensorclass  {\"pins\":{\"config\":\"!7\"}}\n"), "{said}");
    assert_eq!(ask().unwrap(), r#"{"charger":"2","config":"!7","name":"charger"}"#);
    sandbox.ok(&["device", "set", "garage", "--pin", "config="]);
    assert_eq!(ask().unwrap(), r#"{"charger":"2","name":"charger"}"#);
    set(&["--pin", "config=9"]).refused(
        1,
        &expect![[r#"
            error: pins: nobody published config 9: publish it as a package config first, or pin another version
        "#]],
    );
    set(&["--adapter", "gogs", "--pin", "config=6"]).refused(
        3,
        &expect![[r#"
        error: garage is known to no adapter that is meant
        hint: goldcrest device add NAME --adapter ADAPTER, for boards of another system
    "#]],
    );
    set(&[]).refused(
        2,
        &expect![[r#"
        error: nothing to change
        hint: --rename NAME, --channel CHANNEL, --label KEY=VALUE, --pin MODULE=VERSION or --set KEY=VALUE
    "#]],
    );
    assert_eq!(sandbox.ok(&["device", "pending"]), "no unknown board has asked\n");
}
