//! Everything that `pack` and the project file refuse, each by its name and place.

use std::os::unix::fs::symlink;

use expect_test::{Expect, expect};

use crate::sandbox::Sandbox;

/// Packs a project with one more file and expects this refusal.
#[track_caller]
fn with_file(path: &str, text: &str, code: i32, expected: &Expect) {
    let sandbox = Sandbox::new();
    sandbox.write(&format!("project/{path}"), text);
    sandbox.run(&["pack", "--check"]).refused(code, expected);
}

/// Packs a project with this project file and expects this refusal.
#[track_caller]
fn with_settings(settings: &str, code: i32, expected: &Expect) {
    let sandbox = Sandbox::new();
    sandbox.write("project/goldcrest.toml", settings);
    sandbox.run(&["pack", "--check"]).refused(code, expected);
}

#[test]
fn syntax_error() {
    with_file(
        "lib/broken.py",
        "x = 1\ndef f(:\n    pass\n",
        1,
        &expect![[r#"
        error: lib/broken.py:2:7: expected a parameter or the end of the parameter list
        hint: correct it; if it is a template and not Python, add "lib/broken.py" to [pack] raw in goldcrest.toml
    "#]],
    );
    with_file(
        "latin.py",
        "x = 1\ny = '\u{fffd}'\nboom(\n",
        1,
        &expect![[r#"
        error: latin.py:4:1: unexpected EOF while parsing
        hint: correct it; if it is a template and not Python, add "latin.py" to [pack] raw in goldcrest.toml
    "#]],
    );
}

#[test]
fn syntax_error_that_only_the_compiler_sees() {
    let sandbox = Sandbox::new();
    sandbox.write("project/lib/a.py", "import micropython\n\n@micropython.viper\ndef f():\n    pass\n");
    sandbox.run(&["pack", "--check", "--python", "mpy"]).refused(
        1,
        &expect![[r#"
        error: lib/a.py:3: invalid arch
        hint: native code is made for one architecture only: add "lib/a.py" to [pack] raw, or ship a .mpy
    "#]],
    );
}

#[test]
fn secret() {
    with_file(
        "wifi_config.py",
        "",
        1,
        &expect![[r#"
        error: wifi_config.py: files named wifi* hold secrets; a release goes to every board
        hint: keep it on the board ([keep] paths in goldcrest.toml), or --allow-secret wifi_config.py if it is none
    "#]],
    );
    with_file(
        "net.py",
        "import network\nWIFI_PASSWORD = 'hunter22'\n",
        1,
        &expect![[r#"
        error: net.py:2: "WIFI_PASSWORD" has a value; a release goes to every board
        hint: keep it on the board ([keep] paths in goldcrest.toml), or --allow-secret net.py if it is none
    "#]],
    );
    let sandbox = Sandbox::new();
    sandbox.write("project/wifi.py", "x = 1\n");
    sandbox.ok(&["pack", "--check", "--allow-secret", "wifi.py"]);
}

#[test]
fn bad_name() {
    with_file(
        "a:b.txt",
        "x",
        6,
        &expect![[r#"
            error: a:b.txt: path: "a:b.txt" has a character that some boards cannot store
            hint: rename it, or exclude it in goldcrest.toml
        "#]],
    );
    with_file(
        "boot.mpy",
        "x",
        6,
        &expect![[r#"
            error: boot.mpy: path: "boot.mpy" is reserved for the agent; pack the project's boot.py as boot_user.py
            hint: rename it, or exclude it in goldcrest.toml
        "#]],
    );
    with_file(
        &format!("{}.txt", "n".repeat(70)),
        "x",
        6,
        &expect![[r#"
            error: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.txt: path-long: "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.txt" of "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.txt" has 74 bytes: 63 are allowed
            hint: rename it, or exclude it in goldcrest.toml
        "#]],
    );
    with_file(
        &format!("{0}/{0}/{0}/a.txt", "folder-folder-folder-folder-folder-folder"),
        "x",
        6,
        &expect![[r#"
            error: folder-folder-folder-folder-folder-folder/folder-folder-folder-folder-folder-folder/folder-folder-folder-folder-folder-folder/a.txt: path-long: "folder-folder-folder-folder-folder-folder/folder-folder-folder-folder-folder-folder/folder-folder-folder-folder-folder-folder/a.txt" has 131 bytes: 120 are allowed
            hint: rename it, or exclude it in goldcrest.toml
        "#]],
    );
}

#[test]
fn case_clash() {
    with_file(
        "MAIN.PY",
        "x = 1\n",
        6,
        &expect![[r#"
        error: this cannot be a release: duplicate: main.py and MAIN.PY differ only by case
    "#]],
    );
}

#[test]
fn two_files_that_become_one() {
    let sandbox = Sandbox::new();
    sandbox.write("project/boot.py", "x = 1\n");
    sandbox.write("project/boot_user.py", "x = 2\n");
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: boot_user.py and boot.py would both become boot_user.py on the board
        hint: exclude one of them in goldcrest.toml
    "#]],
    );
}

#[test]
fn dangling_link() {
    let sandbox = Sandbox::new();
    symlink("../submodule/app.py", sandbox.path("project/app.py")).unwrap();
    sandbox.run(&["pack", "--check"]).refused(
        3,
        &expect![[r#"
        error: app.py is a symbolic link to ../submodule/app.py, which is not there
        hint: a git submodule that was not fetched? git submodule update --init; or exclude it in goldcrest.toml
    "#]],
    );
}

#[test]
fn link_that_leaves_the_root() {
    let sandbox = Sandbox::new();
    sandbox.write("elsewhere/a.txt", "a");
    symlink("../elsewhere", sandbox.path("project/linked")).unwrap();
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: linked is a symbolic link to ../elsewhere, outside of the root
        hint: copy the file into the project, or exclude the link in goldcrest.toml
    "#]],
    );
}

#[test]
fn link_to_a_folder_that_holds_it() {
    let sandbox = Sandbox::new();
    symlink(".", sandbox.path("project/again")).unwrap();
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: again is a symbolic link to a folder that holds it
        hint: exclude it in goldcrest.toml
    "#]],
    );
}

#[test]
fn mpy_of_another_version_and_two_architectures() {
    let sandbox = Sandbox::new();
    sandbox.write_bytes("project/old.mpy", &[b'M', 5, 0, 31]);
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: old.mpy is of .mpy version 5: boards of today load version 6
        hint: compile it again with a newer mpy-cross, or pack its source
    "#]],
    );
    let sandbox = Sandbox::new();
    sandbox.write_bytes("project/a.mpy", &[b'M', 6, 3 | 10 << 2, 31]);
    sandbox.write_bytes("project/b.mpy", &[b'M', 6, 3 | 4 << 2, 31]);
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: b.mpy holds native code for 6.3.4, but a.mpy for 6.3.10: no board can load both
        hint: make one package for each architecture
    "#]],
    );
}

#[test]
fn native_code_on_a_micropython_that_cannot_load_it() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "project/goldcrest.toml",
        "[app]\nname = \"kitchen\"\nversion = \"1\"\n[target]\nmicropython = \">=1.20\"\n",
    );
    sandbox.write_bytes("project/a.mpy", &[b'M', 6, 3 | 10 << 2, 31]);
    sandbox.run(&["pack", "--check"]).refused(
        6,
        &expect![[r#"
        error: a.mpy holds native code for 6.3.10, which needs MicroPython 1.23; [target] micropython goes down to 1.20
        hint: raise [target] micropython, or pack the source
    "#]],
    );
}

#[test]
fn larger_than_the_target() {
    with_settings(
        "[app]\nname = \"kitchen\"\nversion = \"1\"\n[pack]\npython = \"min\"\n[target]\nmax_bytes = \"15\"\n",
        6,
        &expect![[r#"
            error: the release has 16 bytes, [target] max_bytes allows 15; the largest is main.py with 16
            hint: exclude files in goldcrest.toml; goldcrest pack --list shows their sizes
        "#]],
    );
}

#[test]
fn settings_that_are_wrong() {
    with_settings(
        "[app]\nname = \"kitchen\"\n\n[pack]\nexlude = [\"a\"]\n",
        2,
        &expect![[r#"
            error: $DIR/project/goldcrest.toml:5: unknown field `exlude`, expected one of `root`, `include`, `exclude`, `agent`, `python`, `raw`, `window`, `allow_secrets`
        "#]],
    );
    with_settings(
        "[app]\nname = \"Kitchen Sensor\"\n",
        2,
        &expect![[r#"
        error: $DIR/project/goldcrest.toml: [app] name: package name "Kitchen Sensor" may hold only a-z 0-9 - _ .
    "#]],
    );
    with_settings(
        "[app]\nname = \"kitchen\"\nversion = \"1 0\"\n",
        2,
        &expect![[r#"
        error: $DIR/project/goldcrest.toml: [app] version: version name "1 0" may hold only A-Z a-z 0-9 . + - _
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\n[pack]\npython = \"fast\"\n",
        2,
        &expect![[r#"
        error: $DIR/project/goldcrest.toml:4: unknown variant `fast`, expected one of `mpy`, `min`, `raw`
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\n[pack]\nwindow = 15\n",
        2,
        &expect![[r#"
        error: $DIR/project/goldcrest.toml: [pack] window: 15 is not between 9 and 12
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\n[target]\nmicropython = \"1.19\"\n",
        2,
        &expect![[r#"
        error: $DIR/project/goldcrest.toml: [target] micropython: "1.19" is not of the form ">=1.20"
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\nversion = \"1\"\n[pack]\ninclude = [\"src/**\"]\n",
        2,
        &expect![[r#"
        error: [pack] include "src/**" matches no file below $DIR/project
        hint: globs match paths below [pack] root; goldcrest pack --list -v shows what is left out
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\nversion = \"1\"\n[pack]\nroot = \"src\"\n",
        3,
        &expect![[r#"
        error: cannot open [pack] root $DIR/project/src: no such file or directory
    "#]],
    );
    with_settings(
        "[app]\nname = \"k\"\n",
        2,
        &expect![[r#"
        error: the version is "git", but the project is in no git repository with a commit
        hint: commit once, or name the version: --version 1.0.0
    "#]],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("/dev/full", sandbox.path("out.tar")).unwrap();
    sandbox.run(&["pack", "-o", "../out.tar"]).refused(
        1,
        &expect![[r#"
        error: cannot write ../out.tar: no space left on device
    "#]],
    );
}

#[test]
fn missing_file() {
    let sandbox = Sandbox::new();
    sandbox.run(&["verify", "nothing.tar"]).refused(
        3,
        &expect![[r#"
        error: cannot read nothing.tar: no such file or directory
    "#]],
    );
    sandbox.run(&["verify", "nothing.tar", "--keyring", "nothing.keyring"]).refused(
        3,
        &expect![[r#"
        error: cannot read the keyring nothing.keyring: no such file or directory
        hint: goldcrest keygen
    "#]],
    );
    sandbox.run(&["pack", "--project", "../nowhere"]).refused(
        3,
        &expect![[r#"
        error: cannot read ../nowhere/goldcrest.toml: no such file or directory
        hint: goldcrest init
    "#]],
    );
}

#[test]
fn no_project() {
    let sandbox = Sandbox::new();
    std::fs::remove_file(sandbox.path("project/goldcrest.toml")).unwrap();
    sandbox.run(&["pack", "--check"]).refused(
        3,
        &expect![[r#"
        error: no goldcrest.toml in this folder or above it
        hint: goldcrest init, or --project DIR
    "#]],
    );
    sandbox.run(&["pack", "--check", "--project", "nowhere"]).refused(
        3,
        &expect![[r#"
        error: cannot read nowhere/goldcrest.toml: no such file or directory
        hint: goldcrest init
    "#]],
    );
}
