//! Publishing to a real server: once, twice, changed, corrupted, unreachable, expired.

use std::time::{Duration, Instant};

use expect_test::expect;
use goldcrest::client::{Client, Server};
use goldcrest::failure::Exit;

use crate::sandbox::{Sandbox, without_url};

#[test]
fn publishing_twice_is_once_and_the_keyring_goes_first() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let first = sandbox.run(&["publish", "--channel", "beta"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("sent the first keyring"), "{}", first.stderr);
    assert!(first.stdout.contains("beta is now 1.0.0"), "{}", first.stdout);
    let again = sandbox.run(&["publish"]);
    assert!(!again.stderr.contains("sent"), "{}", again.stderr);
    assert!(again.stdout.contains("published before, with the same content"), "{}", again.stdout);
    let releases = sandbox.json(&["release", "list"]);
    assert_eq!(releases["releases"].as_array().unwrap().len(), 1);
    drop(served);
}

#[test]
fn same_version_with_other_content() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish"]);
    sandbox.write("project/main.py", "print('other')\n");
    sandbox.run(&["publish"]).refused(
        1,
        &expect![[r#"
        error: version 1.0.0 is published already, with other content: a version never changes
        hint: raise [app] version in goldcrest.toml, or --version
    "#]],
    );
    assert_eq!(sandbox.json(&["release", "list"])["releases"].as_array().unwrap().len(), 1);
}

#[test]
fn the_counter_rises_above_the_servers_highest_even_when_clocks_do_not() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish", "--created", "1700000000"]);
    sandbox.write("project/main.py", "print('older clock')\n");
    let second = sandbox.json(&["publish", "--version", "1.0.1", "--created", "1600000000"]);
    assert_eq!(second["counter"], 1_700_000_001);
    // Once more: the same bytes, although the counter was decided by the server's state.
    assert_eq!(sandbox.json(&["publish", "--version", "1.0.1", "--created", "1600000000"])["uploaded"], false);
}

#[test]
fn dry_run_sends_nothing() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish", "--dry-run"]);
    assert_eq!(sandbox.json(&["release", "list"])["releases"].as_array().unwrap().len(), 0);
}

#[test]
fn a_downloaded_release_verifies() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish", "--created", "1700000000"]);
    sandbox.ok(&["release", "download", "1.0.0", "-o", "../back.tar"]);
    sandbox.ok(&["verify", "../back.tar"]);
    sandbox.ok(&["pack", "--created", "1700000000", "-o", "../packed.tar"]);
    assert!(sandbox.read("back.tar") == sandbox.read("packed.tar"));
    sandbox.run(&["release", "show", "9.9.9"]).refused(
        3,
        &expect![[r#"
        error: release kitchen 9.9.9 does not exist
        hint: goldcrest release list
    "#]],
    );
}

#[test]
fn corrupted_upload() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    sandbox.ok(&["publish"]);
    sandbox.ok(&["pack", "--version", "2.0.0", "-o", "out.tar"]);
    let mut bytes = sandbox.read("project/out.tar");
    let object = bytes.len() - 1024 - 512;
    bytes[object] ^= 1;
    let token = String::from_utf8(sandbox.read("data/admin.token")).unwrap();
    let client = Client::new(Server::parse(&served.url).unwrap(), Some(token.trim().to_owned()));
    let refused =
        client.upload("POST", "/api/v1/releases", "application/x-tar", bytes.len(), bytes.as_slice()).unwrap_err();
    assert_eq!((refused.exit, refused.name.as_str()), (Exit::Verification, "hash"));
    assert_eq!(sandbox.json(&["release", "list"])["releases"].as_array().unwrap().len(), 1);
}

/// The server's first upload works in `tmp/upload-1`: with `/dev/full` in the way, every write to it is a real ENOSPC.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_of_the_server() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    std::fs::create_dir(sandbox.path("data/tmp/upload-1")).unwrap();
    std::os::unix::fs::symlink("/dev/full", sandbox.path("data/tmp/upload-1/archive")).unwrap();
    sandbox.run(&["publish", "--channel", "beta"]).refused(
        1,
        &expect![[r#"
        error: the server's disk is full; nothing was changed
        hint: free some space in the server's data folder, then try again
    "#]],
    );
    assert_eq!(sandbox.json(&["release", "list"])["releases"].as_array().unwrap().len(), 0);
    assert_eq!(sandbox.json(&["channel", "list"])["channels"].as_array().unwrap().len(), 0);
    sandbox.ok(&["publish", "--channel", "beta"]);
    sandbox.ok(&["release", "download", "1.0.0", "-o", "../back.tar"]);
    sandbox.ok(&["verify", "../back.tar"]);
}

#[test]
fn a_rotated_keyring_goes_to_the_server_with_the_next_release() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.ok(&["publish"]);
    sandbox.ok(&["keygen", "--rotate", "--bits", "2048"]);
    let ran = sandbox.run(&["publish", "--version", "1.0.1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("sent the new keyring (version 2)"), "{}", ran.stderr);
}

#[test]
fn server_unreachable() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let sandbox = Sandbox::new().env("GOLDCREST_TOKEN", "x");
    let mut ran = sandbox.run(&["--server", &url, "publish"]);
    ran.stderr = without_url(&ran.stderr, &url);
    ran.refused(
        5,
        &expect![[r#"
        error: cannot reach the server $SERVER: nothing listens there
        hint: check the address with --server, or start one: goldcrest serve
    "#]],
    );
}

#[test]
fn not_logged_in_and_wrong_token() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve_only();
    let mut ran = sandbox.run(&["--server", &served.url, "release", "list"]);
    ran.stderr = without_url(&ran.stderr, &served.url);
    ran.refused(
        4,
        &expect![[r#"
        error: no token for $SERVER
        hint: goldcrest login $SERVER
    "#]],
    );
    let mut ran = sandbox.run(&["--server", &served.url, "--token", "wrong", "release", "list"]);
    ran.stderr = without_url(&ran.stderr, &served.url);
    ran.refused(
        4,
        &expect![[r#"
            error: no token, or one that this server does not know
            hint: goldcrest login $SERVER, with a valid token (goldcrest token create makes one)
        "#]],
    );
    let mut ran = sandbox.run(&["login", &served.url, "--token", "wrong"]);
    ran.stderr = without_url(&ran.stderr, &served.url);
    ran.refused(
        4,
        &expect![[r#"
            error: no token, or one that this server does not know
            hint: goldcrest login $SERVER, with a valid token (goldcrest token create makes one)
        "#]],
    );
}

#[test]
fn expired_token() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let token = sandbox.ok(&["token", "create", "short", "--expires", "1s"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut ran = sandbox.run(&["--token", token.trim(), "release", "list"]);
        if ran.code == 0 && Instant::now() < deadline {
            continue;
        }
        ran.stderr = without_url(&ran.stderr, &served.url);
        return ran.refused(
            4,
            &expect![[r#"
                error: the token has expired
                hint: goldcrest login $SERVER, with a valid token (goldcrest token create makes one)
            "#]],
        );
    }
}

#[test]
fn no_server_and_no_address() {
    let sandbox = Sandbox::new();
    sandbox.run(&["release", "list"]).refused(
        2,
        &expect![[r#"
        error: no server is named: not by --server, GOLDCREST_SERVER, goldcrest.toml or an earlier login
        hint: goldcrest login http://127.0.0.1:8700
    "#]],
    );
    sandbox.run(&["--server", "localhost:8700", "release", "list"]).refused(
        2,
        &expect![[r#"
        error: "localhost:8700" is not the address of a server
        hint: write it as http://host:8700, without a path
    "#]],
    );
}
