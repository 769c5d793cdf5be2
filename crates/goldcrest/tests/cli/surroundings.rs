//! Serving, logging in and `doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn the_server_ends_cleanly_and_keeps_its_token() {
    for signal in ["TERM", "INT"] {
        let sandbox = Sandbox::new();
        let served = sandbox.serve();
        sandbox.ok(&["publish"]);
        assert_eq!(served.signal(signal), Some(0), "{signal}");
        let again = sandbox.serve();
        let url = again.url.clone();
        assert_eq!(sandbox.json(&["--server", &url, "release", "list"])["releases"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn credentials_are_private_and_open_ones_are_warned_about() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    let file = sandbox.path("config/goldcrest/credentials.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = sandbox.run(&["release", "list"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.contains("warning: $DIR/config/goldcrest/credentials.toml can be read by others (mode 0640)"),
        "{}",
        ran.stderr
    );
}

fn status_of(checks: &Value, name: &str) -> String {
    let found = checks["checks"].as_array().unwrap().iter().find(|c| c["name"] == name);
    found.map_or_else(|| "absent".to_owned(), |c| c["status"].as_str().unwrap().to_owned())
}

#[test]
fn doctor_is_content_with_a_good_setup() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish"]);
    let checks = sandbox.json(&["doctor"]);
    assert_eq!(checks["ok"], true);
    for name in ["project", "key", "keyring", "server", "clock", "token", "trust"] {
        assert_eq!(status_of(&checks, name), "ok", "{name}: {checks}");
    }
}

#[test]
fn doctor_names_what_is_wrong_and_exits_1() {
    let sandbox = Sandbox::new().env("MPY_CROSS", "/nowhere/mpy-cross").env("GOLDCREST_SERVER", "http://127.0.0.1:9");
    sandbox.write("project/goldcrest.toml", "[app]\nnam = \"k\"\n");
    let ran = sandbox.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for line in [
        "fail  mpy-cross    MPY_CROSS names /nowhere/mpy-cross, which does not run",
        "fail  project      $DIR/project/goldcrest.toml:2: unknown field `nam`",
        "fail  server       cannot reach the server http://127.0.0.1:9",
    ] {
        assert!(ran.stdout.contains(line), "{line}\n{}", ran.stdout);
    }
    assert!(ran.stderr.contains("checks failed"), "{}", ran.stderr);
}
