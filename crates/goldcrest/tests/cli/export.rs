//! `goldcrest export --static`: what a plain web server needs, and nothing that changes while it is read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use expect_test::expect;
use goldcrest_core::keyring::Keyring;
use goldcrest_core::{SignedManifest, delta, object};

use crate::sandbox::Sandbox;

/// A module of some length; `version` changes one line of it.
fn module(version: &str) -> String {
    let lines = (0..200).map(|n| format!("def f{n}(x):\n    return x * {n} + {}\n", n * n % 97));
    format!("VERSION = '{version}'\n") + &lines.collect::<String>()
}

fn publish(sandbox: &Sandbox, version: &str) {
    sandbox.write("project/lib/deep.py", &module(version));
    sandbox.write_bytes("project/logo.bin", &[0xff, 0xfe, 0]);
    sandbox.ok(&["publish", "--python", "raw", "--version", version, "--channel", "stable"]);
}

/// Every file below a folder with its inode: a file that was written again has another one.
fn tree(root: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let about = fs::metadata(&path).unwrap();
                assert_eq!(about.permissions().mode() & 0o777, 0o644, "a web server reads {}", path.display());
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), about.ino());
            }
        }
    }
    found
}

#[test]
fn a_board_finds_a_signed_release_and_the_deltas_to_it() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    publish(&sandbox, "1.0");
    publish(&sandbox, "2.0");
    let out = sandbox.path("www");
    let export = ["export", "--static", out.to_str().unwrap()];
    let first = sandbox.json(&export);
    let read = |path: &str| fs::read(out.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let keyring = Keyring::parse(&read("keyring")).unwrap();
    let channel = String::from_utf8(read("channels/kitchen/stable")).unwrap();
    let [digest, "2.0", "1"] = channel.lines().collect::<Vec<_>>()[..] else { panic!("{channel}") };
    let manifest = read(&format!("manifests/{digest}"));
    let signed = SignedManifest::parse(&manifest).unwrap();
    signed.verify(&keyring).unwrap();
    assert_eq!(signed.digest.to_string(), digest);
    for file in &signed.manifest.files {
        let name = file.digest.to_string();
        object::from_wire(&read(&format!("objects/{}/{name}", &name[..2])), file.size, &file.digest).unwrap();
    }
    // The way from 1.0.
    let deltas = fs::read_dir(out.join("deltas").join(digest)).unwrap();
    let from = deltas.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    assert_eq!(from.len(), 1);
    let base = SignedManifest::parse(&read(&format!("manifests/{}", from[0]))).unwrap();
    assert_eq!(base.manifest.version.as_str(), "1.0");
    let body = read(&format!("deltas/{digest}/{}", from[0]));
    assert_eq!(delta::apply_to_manifest(base.signed_part(), &body).unwrap(), manifest);
    let deep = |signed: &SignedManifest| {
        signed.manifest.files.iter().find(|f| f.path.as_str() == "lib/deep.py").unwrap().clone()
    };
    let (old, new) = (deep(&base), deep(&signed));
    let body = read(&format!("deltas/{}/{}", new.digest, old.digest));
    let made = delta::apply_to_object(module("1.0").as_bytes(), &body, new.size, &new.digest).unwrap();
    assert_eq!(made, module("2.0").as_bytes());
    // Again: nothing is rewritten.
    let before = tree(&out);
    let second = sandbox.json(&export);
    assert_eq!((second["written"].as_u64(), second["same"].as_u64()), (Some(0), first["written"].as_u64()));
    assert_eq!(tree(&out), before);
    // A new release: only what is new, and what it replaced goes with --prune.
    publish(&sandbox, "3.0");
    sandbox.write("www/index.html", "mine\n");
    sandbox.ok(&[&export[..], &["--keep", "2", "--prune"]].concat());
    let after = tree(&out);
    let kept = |path: &String| before.get(path) == after.get(path);
    assert!(kept(&"keyring".to_owned()) && kept(&format!("manifests/{digest}")));
    let gone: Vec<&String> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    assert!(gone.iter().any(|path| **path == format!("manifests/{}", from[0])), "{gone:?}");
    assert!(after.contains_key("index.html"), "what it did not write is not its own");
    assert!(!after.keys().any(|path| path.contains(".tmp")), "{after:?}");
}

#[test]
fn a_layout_for_micropython_ota() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    sandbox.write("project/boot.py", "print('boot')\n");
    publish(&sandbox, "1.0");
    let out = sandbox.path("www");
    let args = ["export", "--static", out.to_str().unwrap(), "--layout", "micropython-ota"];
    let ran = sandbox.run(&args);
    expect![[r#"
        warning: kitchen 1.0: lib/deep.py: micropython-ota 2.1.0 makes no folders
        warning: kitchen 1.0: logo.bin: micropython-ota 2.1.0 takes text only
    "#]]
    .assert_eq(&ran.stderr);
    let files: Vec<String> = tree(&out).into_keys().collect();
    expect![[r#"
        .goldcrest-export
        kitchen/1.0/boot.py
        kitchen/1.0/lib/deep.py
        kitchen/1.0/logo.bin
        kitchen/1.0/main.py
        kitchen/1.0/manifest
        kitchen/1.0_boot.py
        kitchen/1.0_lib/deep.py
        kitchen/1.0_logo.bin
        kitchen/1.0_main.py
        kitchen/1.0_manifest
        kitchen/version"#]]
    .assert_eq(&files.join("\n"));
    assert_eq!(sandbox.read("www/kitchen/version"), b"1.0\n");
    assert_eq!(sandbox.read("www/kitchen/1.0_boot.py"), b"print('boot')\n");
    expect![[r#"
        boot.py
        lib/
        lib/deep.py
        logo.bin
        main.py
    "#]]
    .assert_eq(&String::from_utf8(sandbox.read("www/kitchen/1.0/manifest")).unwrap());
    // What it wrote can be read back as such a system.
    let again = sandbox.json(&["import", "micropython-ota", out.to_str().unwrap(), "--package", "x", "--dry-run"]);
    assert!(again["steps"].to_string().contains("release kitchen 1.0"), "{again}");
}

#[test]
fn a_layout_for_sensorclass() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    for (path, text) in [
        ("deadbeef1234", r#"{"name": "charger", "charger": "1", "mqttclass": "latest"}"#),
        ("latestversions", r#"{"charger": "2", "mqttclass": "11"}"#),
        ("charger1.py", "print(1)\n"),
        ("charger2.py", "print(2)\n"),
        ("mqttclass11.py", "M = 11\n"),
        ("updater.py", "import config\n"),
    ] {
        sandbox.write(&format!("code/{path}"), text);
    }
    sandbox.ok(&["import", "sensorclass", sandbox.path("code").to_str().unwrap(), "--prefix", "local/code"]);
    let out = sandbox.path("www");
    sandbox.ok(&["export", "--static", out.to_str().unwrap(), "--layout", "sensorclass"]);
    let shown = |path: String| format!("{path}: {}", fs::read_to_string(out.join(&path)).unwrap());
    let paths = tree(&out).into_keys().filter(|path| path != ".goldcrest-export");
    let text = paths.map(shown).collect::<Vec<_>>().concat();
    expect![[r#"
        charger1.py: print(1)
        charger2.py: print(2)
        deadbeef1234: {"charger":"1","mqttclass":"11","name":"charger"}
        latestversions: {"charger":"2","mqttclass":"11","updater":"1cc3c6047666"}
        mqttclass11.py: M = 11
        updater.py: import config
        updater1cc3c6047666.py: import config
    "#]]
    .assert_eq(&text);
    // To look is not to ask: the board is as unknown as before.
    let device = sandbox.json(&["device", "show", "charger-deadbeef1234"]);
    assert_eq!((&device["state"], &device["last_seen_ms"]), (&serde_json::json!("new"), &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_exported_is_said() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    let out = sandbox.path("www");
    let args = ["export", "--static", out.to_str().unwrap()];
    sandbox.run(&args).refused(
        3,
        &expect![[r#"
            error: the server has no keyring, so nothing is published there yet
            hint: goldcrest publish
        "#]],
    );
    publish(&sandbox, "1.0");
    sandbox.run(&[&args[..], &["--package", "nothere"]].concat()).refused(
        3,
        &expect![[r#"
            error: no channel of nothere points at a release
            hint: goldcrest channel list
        "#]],
    );
    sandbox.run(&[&args[..], &["--layout", "sensorclass"]].concat()).refused(
        2,
        &expect![[r#"
            error: 0 feeds of sensorclass could be meant
            hint: goldcrest feed add sensorclass PATH, or --feed PATH to name one
        "#]],
    );
    assert!(!out.join("channels").exists(), "nothing is written that nobody asked for");
}
