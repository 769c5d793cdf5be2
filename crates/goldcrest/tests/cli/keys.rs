//! Keys and keyrings: made, protected, rotated, revoked.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use goldcrest_core::keyring::Keyring;

use crate::sandbox::Sandbox;

const KEYS: &str = "config/goldcrest/keys";

#[test]
fn new_keys_are_private_sign_a_release_and_are_never_overwritten() {
    let sandbox = Sandbox::new();
    let made = sandbox.json(&["keygen", "--name", "lab", "--bits", "2048"]);
    for file in ["lab.root.pem", "lab.release.pem"] {
        let mode = fs::metadata(sandbox.path(&format!("{KEYS}/{file}"))).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let settings = "[app]\nname = \"kitchen\"\nversion = \"1.0.0\"\n[pack]\npython = \"min\"\n[sign]\nkey = \"lab\"\n";
    sandbox.write("project/goldcrest.toml", settings);
    let packed = sandbox.json(&["pack"]);
    assert_eq!(packed["key_id"], made["release"][0]);
    sandbox.ok(&["verify", "kitchen-1.0.0.tar"]);
    let before = sandbox.read(&format!("{KEYS}/lab.release.pem"));
    sandbox.run(&["keygen", "--name", "lab"]).refused(
        1,
        &expect![[r#"
        error: $DIR/config/goldcrest/keys/lab.root.pem is there already: a key is never overwritten
        hint: goldcrest keygen --rotate for a new release key, or --name for another set of keys
    "#]],
    );
    assert_eq!(sandbox.read(&format!("{KEYS}/lab.release.pem")), before);
}

#[test]
fn a_rotated_key_is_named_by_the_next_keyring_and_the_old_one_can_be_revoked() {
    let sandbox = Sandbox::new();
    let first = Keyring::parse(&sandbox.read(&format!("{KEYS}/default.keyring"))).unwrap();
    let old = first.content.release[0].id().to_string();
    sandbox.run(&["keygen", "--revoke", &old]).refused(
        2,
        &expect![[r#"
        error: key d02574953916e697 is the only release key: nothing could be published any more
        hint: goldcrest keygen --rotate --revoke d02574953916e697
    "#]],
    );
    let rotated = sandbox.json(&["keygen", "--rotate", "--bits", "2048"]);
    assert_eq!(rotated["version"], 2);
    assert_eq!(rotated["release"].as_array().unwrap().len(), 2);
    sandbox.ok(&["pack", "-o", "with-new.tar"]);
    assert!(sandbox.path(&format!("{KEYS}/default.release-{old}.pem")).exists());
    sandbox.run(&["keygen", "--revoke", &old]).refused(2, &expect![[r#"
        error: there is nobody to ask: revoke key d02574953916e697? boards will refuse every release that only this key signed
        hint: add --yes if you mean it
    "#]]);
    let revoked = sandbox.json(&["keygen", "--revoke", &old, "--yes"]);
    assert_eq!((&revoked["version"], &revoked["revoked"][0]), (&3.into(), &old.as_str().into()));
    let third = Keyring::parse(&sandbox.read(&format!("{KEYS}/default.keyring"))).unwrap();
    first.accept_successor(&third).unwrap();
    sandbox.ok(&["verify", "with-new.tar"]);
    let old_key = format!("{KEYS}/default.release-{old}.pem");
    let with_old = sandbox.command(&["pack"]).env("GOLDCREST_SIGNING_KEY", sandbox.path(&old_key)).output().unwrap();
    assert_eq!(with_old.status.code(), Some(6));
    let said = String::from_utf8(with_old.stderr).unwrap();
    assert!(said.contains("revoked-key"), "{said}");
}

#[test]
fn key_that_others_can_read() {
    let sandbox = Sandbox::new();
    let key = sandbox.path(&format!("{KEYS}/default.release.pem"));
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.run(&["pack"]).refused(1, &expect![[r#"
        error: the key $DIR/config/goldcrest/keys/default.release.pem can be read by others (mode 0644)
        hint: chmod 600 $DIR/config/goldcrest/keys/default.release.pem, and goldcrest keygen --rotate if somebody may have copied it
    "#]]);
}

#[test]
fn key_that_is_missing_or_damaged() {
    let sandbox = Sandbox::new();
    let key = sandbox.path(&format!("{KEYS}/default.release.pem"));
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap();
    sandbox.run(&["pack"]).refused(1, &expect![[r#"
        error: the key $DIR/config/goldcrest/keys/default.release.pem is not usable: the pem file is cut off: no -----END PRIVATE KEY-----
        hint: bring it back from a backup, or goldcrest keygen --rotate
    "#]]);
    fs::remove_file(key).unwrap();
    sandbox.run(&["pack"]).refused(
        3,
        &expect![[r#"
        error: cannot read the key $DIR/config/goldcrest/keys/default.release.pem: no such file or directory
        hint: goldcrest keygen
    "#]],
    );
}

#[test]
fn unreadable_key() {
    let sandbox = Sandbox::new();
    // A folder in its place cannot be read by anybody, also not by root, who may read everything else.
    let key = sandbox.path(&format!("{KEYS}/default.release.pem"));
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o700)).unwrap();
    sandbox.run(&["pack"]).refused(
        1,
        &expect![[r#"
        error: cannot read the key $DIR/config/goldcrest/keys/default.release.pem: is a directory
    "#]],
    );
    assert!(!sandbox.path("project/kitchen-1.0.0.tar").exists(), "a release was written");
}

#[test]
fn key_from_the_environment_as_text_wins() {
    let text = fs::read_to_string(format!("{}/../../vectors/keys/TEST-ONLY-stranger.pem", env!("CARGO_MANIFEST_DIR")))
        .unwrap();
    let sandbox = Sandbox::new().env("GOLDCREST_SIGNING_KEY", &text);
    sandbox.run(&["pack"]).refused(
        6,
        &expect![[r#"
        error: keyring version 1 does not accept the key 87e0dfd109436d1f: unknown-key
        hint: sign with a key of the keyring ([sign] in goldcrest.toml), or goldcrest keygen --rotate
    "#]],
    );
}
