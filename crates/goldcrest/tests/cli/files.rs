//! `verify` on the golden archives, `init`, and help.

use std::fs;

use expect_test::expect;

use crate::sandbox::Sandbox;

#[test]
fn every_golden_archive_is_judged_by_its_name() {
    let sandbox = Sandbox::new();
    let vectors = format!("{}/../../vectors", env!("CARGO_MANIFEST_DIR"));
    let keyring = format!("{vectors}/keyring/in-force.keyring");
    let cases = fs::read_to_string(format!("{vectors}/archive/cases.txt")).unwrap();
    assert!(cases.lines().count() > 20);
    for case in cases.lines() {
        let [file, expected, _] = case.split(' ').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let ran = sandbox.run(&["--json", "verify", &format!("{vectors}/archive/{file}"), "--keyring", &keyring]);
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let judged = if ran.code == 0 { "ok" } else { answer["error"].as_str().unwrap() };
        assert_eq!((ran.code, judged), (if expected == "ok" { 0 } else { 6 }, expected), "{file}: {}", ran.stderr);
    }
}

#[test]
fn one_changed_byte_is_found() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["pack", "--created", "1700000000", "-o", "out.tar"]);
    let mut bytes = sandbox.read("project/out.tar");
    let object = bytes.len() - 1024 - 512;
    bytes[object] ^= 1;
    sandbox.write_bytes("project/out.tar", &bytes);
    sandbox.run(&["verify", "out.tar"]).refused(6, &expect![[r#"
        error: out.tar is refused: hash: object 65e0cd182c6911b72eb50c22746ef74b84366cd33ec3e051424217f789363b22 has the bytes of ac500761a58e4a795d4b86a0488d6913e967c65b06862a5ec8c0a7759ca03070
        hint: do not install it; get it again from where it was made
    "#]]);
}

#[test]
fn a_new_project_packs_and_is_never_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init", "../shed"]);
    let shed = sandbox.path("shed");
    let packed = sandbox.json(&["pack", "--check", "--project", shed.to_str().unwrap()]);
    assert_eq!((packed["package"].as_str(), packed["files"][0]["path"].as_str()), (Some("shed"), Some("main.py")));
    fs::write(shed.join("main.py"), "mine").unwrap();
    sandbox.run(&["init", "../shed"]).refused(
        1,
        &expect![[r#"
        error: $DIR/shed/goldcrest.toml is there already: nothing was written
        hint: edit it, or give init another folder
    "#]],
    );
    fs::remove_file(shed.join("goldcrest.toml")).unwrap();
    sandbox.ok(&["init", "../shed"]);
    assert_eq!(fs::read_to_string(shed.join("main.py")).unwrap(), "mine");
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_0() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["pack", "--nonsense"]).code, 2);
    assert_eq!(sandbox.run(&[]).code, 2);
    assert_eq!(sandbox.run(&["help", "device", "add"]).code, 0);
    assert_eq!(sandbox.run(&["--version"]).code, 0);
}

#[test]
fn an_error_is_an_object_with_json() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--json", "verify", "nothing.tar"]);
    expect![[
        r#"{"error":"not-found","exit":3,"hint":null,"message":"cannot read nothing.tar: no such file or directory"}"#
    ]]
    .assert_eq(ran.stdout.trim());
    assert_eq!(ran.code, 3);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;
    let sandbox = Sandbox::new();
    let mut child = sandbox.command(&["pack", "--list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
