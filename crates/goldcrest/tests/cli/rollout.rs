//! Devices and rollouts, with a board that is only its check-in.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use serde_json::Value;

use crate::sandbox::Sandbox;

/// What a board says at its check-in after the update.
fn check_in(url: &str, token: &str, running: &str, state: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let request = agent
        .get(format!("{url}/d/v1/checkin?run={running}&state={state}&k=1"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Goldcrest-Agent", "1")
        .header("If-None-Match", format!("\"{running}\""));
    request.call().unwrap().status().as_u16()
}

#[test]
fn a_deploy_that_is_confirmed_is_exit_0() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let device = sandbox.json(&["device", "add", "attic"]);
    let token = device["token"].as_str().unwrap();
    let rollout = sandbox.json(&["deploy"]);
    let id = rollout["id"].to_string();
    let digest = sandbox.json(&["release", "show", "1.0.0"])["digest"].as_str().unwrap().to_owned();
    assert_eq!(check_in(&served.url, token, &digest, "ok"), 304);
    let lines = sandbox.ok(&["--json", "rollout", "wait", &id, "--timeout", "20s"]);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["confirmed"]), (&"completed".into(), &1.into()));
    let devices = sandbox.json(&["device", "list", "--state", "in-sync"]);
    assert_eq!(devices["devices"][0]["running"], "1.0.0");
    assert_eq!(sandbox.json(&["channel", "list"])["channels"][0]["version"], "1.0.0");
}

#[test]
fn a_release_shows_what_boards_fetch_for_it() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let device = sandbox.json(&["device", "add", "attic"]);
    sandbox.json(&["deploy"]);
    let first = sandbox.ok(&["release", "show", "1.0.0"]);
    assert!(first.ends_with("\nno deltas: boards fetch the files that differ\n"), "{first}");
    let digest = sandbox.json(&["release", "show", "1.0.0"])["digest"].as_str().unwrap().to_owned();
    assert_eq!(check_in(&served.url, device["token"].as_str().unwrap(), &digest, "ok"), 304);
    sandbox.ok(&["publish", "--version", "1.1.0", "--channel", "stable"]);
    let second = sandbox.ok(&["release", "show", "1.1.0"]);
    let rows: Vec<Vec<&str>> = second.lines().map(|line| line.split_whitespace().collect()).collect();
    let delta = rows.last().unwrap();
    assert_eq!((delta.len(), delta[0]), (3, "1.0.0"), "{second}");
    assert!(delta[1].parse::<u64>().unwrap() < delta[2].parse().unwrap(), "{second}");
    assert!(second.contains("\nA BOARD THAT RUNS  FETCHES  WITHOUT DELTAS\n"), "{second}");
}

#[test]
fn a_halted_rollout_is_exit_7() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["device", "add", "attic"]);
    let id = sandbox.json(&["deploy", "--canary", "1"])["id"].to_string();
    let running = sandbox.run(&["rollout", "wait", &id, "--timeout", "1s"]);
    assert_eq!(running.code, 1, "{}", running.stderr);
    sandbox.ok(&["rollout", "halt", &id]);
    let waited = sandbox.run(&["rollout", "wait", &id]);
    assert_eq!(waited.code, 7, "{}", waited.stderr);
    assert!(waited.stderr.contains(&format!("error: rollout {id} of kitchen 1.0.0 was halted")), "{}", waited.stderr);
    sandbox.ok(&["rollout", "resume", &id]);
    assert_eq!(sandbox.json(&["rollout", "show", &id])["state"], "running");
}

#[test]
fn a_blank_board_gets_everything_it_needs_and_its_token_stays_private() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["device", "add", "attic", "--board-files", "board", "--board-server", "http://10.0.0.2:8700"]);
    let settings: Value = serde_json::from_slice(&sandbox.read("project/board/goldcrest.json")).unwrap();
    assert_eq!((&settings["server"], &settings["package"]), (&"http://10.0.0.2:8700".into(), &"kitchen".into()));
    let mode = std::fs::metadata(sandbox.path("project/board/goldcrest.json")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(sandbox.read("project/board/.ota/keyring0"), sandbox.read("config/goldcrest/keys/default.keyring"));
    let has = |path: &str| sandbox.path(&format!("project/board/{path}")).exists();
    let [small, source] = ["__init__.mpy agent.z", "__init__.py checkin.py guard.py update.py"]
        .map(|names| names.split(' ').all(|name| has(&format!("lib/goldcrest/{name}"))));
    assert!(has("boot.py") && has("main.py") && (small || source) && !has("boot.mpy"));
    if small {
        let bytes = |name: &str| sandbox.read(&format!("project/board/lib/goldcrest/{name}")).len();
        let agent = bytes("__init__.mpy") + bytes("agent.z");
        assert!(agent <= 10 * 1024, "the agent has {agent} bytes");
    }
    // It stands in the project, and is no part of the next release.
    let packed = sandbox.ok(&["pack", "--list"]);
    assert!(!packed.contains("board/"), "{packed}");
    // The folder has a token now: a second device must not mix with it, and is not even made.
    assert_eq!(sandbox.run(&["device", "add", "garage", "--board-files", "board"]).code, 1);
    assert_eq!(sandbox.run(&["device", "show", "garage"]).code, 3);
}

#[test]
fn a_board_of_an_https_server_gets_the_certificate() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    let certified = rcgen::generate_simple_self_signed(["goldcrest.example".to_owned()]).unwrap();
    std::fs::write(sandbox.path("server.pem"), certified.cert.pem()).unwrap();
    std::fs::write(sandbox.path("server.der"), certified.cert.der()).unwrap();
    std::fs::write(sandbox.path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    for (name, file) in [("attic", "server.pem"), ("cellar", "server.der")] {
        let (folder, certificate) = (format!("board-{name}"), format!("../{file}"));
        let server = ["--board-server", "https://goldcrest.example:8701", "--board-ca", &certificate];
        sandbox.ok(&[&["device", "add", name, "--board-files", &folder], &server[..]].concat());
        assert_eq!(sandbox.read(&format!("project/{folder}/ca.der")), certified.cert.der().as_ref());
        let settings: Value =
            serde_json::from_slice(&sandbox.read(&format!("project/{folder}/goldcrest.json"))).unwrap();
        assert_eq!(settings["ca"], "ca.der");
    }
    // What can't be right is said before there is a device.
    let add = ["device", "add", "garage", "--board-files", "b"];
    let https = ["--board-server", "https://goldcrest.example"];
    sandbox.run(&[&add[..], &https, &["--board-ca", "../key.pem"]].concat()).refused(
        1,
        &expect![[r#"
        error: ../key.pem holds no certificate, neither PEM nor DER: No pem encoded cert found
        hint: the file that goldcrest serve --tls-cert reads, or the certificate of its authority
    "#]],
    );
    sandbox
        .run(&[&add[..], &["--board-server", "http://10.0.0.2:8700", "--board-ca", "../server.pem"]].concat())
        .refused(
            2,
            &expect![[r#"
            error: --board-ca is for an https server, and the board's is http://10.0.0.2:8700
            hint: --board-server https://ADDRESS:PORT
        "#]],
        );
    assert_eq!(sandbox.run(&["device", "show", "garage"]).code, 3);
    let unverified = sandbox.run(&[&add[..], &https].concat());
    assert!(unverified.stderr.contains("will not verify the server's certificate"), "{}", unverified.stderr);
}

#[test]
fn devices_are_changed_and_removed() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["device", "add", "attic", "--label", "floor=2", "--out", "../attic.json"]);
    sandbox.ok(&["device", "set", "attic", "--rename", "loft", "--channel", "beta", "--label", "room=lab"]);
    let device = sandbox.json(&["device", "show", "loft"]);
    assert_eq!(
        (&device["channel"], &device["labels"]),
        (&"beta".into(), &serde_json::json!({"floor": "2", "room": "lab"}))
    );
    let found = sandbox.json(&["device", "list", "--label", "room=lab"]);
    assert_eq!(found["devices"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.run(&["device", "rm", "loft"]).code, 2);
    sandbox.ok(&["device", "rm", "loft", "--yes"]);
    assert_eq!(sandbox.run(&["device", "show", "loft"]).code, 3);
}
