//! `publish --git`: what git has, and not what lies around.

use std::os::unix::fs::symlink;

use expect_test::expect;

use crate::sandbox::{Sandbox, git};

/// A repository in `project/` with one commit, of version `git`.
fn committed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .write("project/goldcrest.toml", "[app]\nname = \"kitchen\"\n[pack]\npython = \"min\"\nexclude = [\"docs\"]\n");
    sandbox.write("project/docs/notes.md", "not packed\n");
    git(&sandbox.path("project"), &["init", "-q", "-b", "main"]);
    commit(&sandbox, "one");
    sandbox
}

fn commit(sandbox: &Sandbox, message: &str) {
    git(&sandbox.path("project"), &["add", "-A"]);
    git(&sandbox.path("project"), &["commit", "-q", "--allow-empty", "-m", message]);
}

/// The paths of a published release.
fn paths(sandbox: &Sandbox, version: &str) -> Vec<String> {
    let shown = sandbox.json(&["release", "show", version]);
    shown["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_tag_becomes_a_release_whatever_the_work_tree_holds() {
    let sandbox = committed();
    git(&sandbox.path("project"), &["tag", "v1.2.0"]);
    sandbox.write("project/main.py", "this is not Python (\n");
    sandbox.write("project/extra.py", "print('not committed')\n");
    let _served = sandbox.serve();
    let published = sandbox.json(&["publish", "--git", "v1.2.0"]);
    assert_eq!((published["version"].as_str(), published["created"].as_u64()), (Some("1.2.0"), Some(1_700_000_000)));
    assert_eq!(published["commit"].as_str().map(str::len), Some(40));
    assert_eq!(paths(&sandbox, "1.2.0"), ["main.py"]);
    // The same commit by another name is the same release.
    assert_eq!(sandbox.json(&["publish", "--git", "main"])["uploaded"], false);
    sandbox.write("project/main.py", "print('two')\n");
    commit(&sandbox, "two");
    let next = sandbox.json(&["publish", "--git", "main", "--channel", "beta"]);
    let version = next["version"].as_str().unwrap();
    assert!(version.starts_with("1.2.0-1-g"), "{version}");
    assert_eq!(paths(&sandbox, version), ["extra.py", "main.py"]);
}

#[test]
fn a_bare_repository_publishes_a_folder_of_its_tree() {
    let sandbox = committed();
    sandbox.write(
        "project/boards/two/goldcrest.toml",
        "[app]\nname = \"two\"\nversion = \"7\"\n[pack]\nroot = \"src\"\npython = \"raw\"\n",
    );
    sandbox.write("project/boards/two/src/main.py", "print(2)\n");
    sandbox.write("project/boards/two/src/shared.py", "x = 1\n");
    symlink("shared.py", sandbox.path("project/boards/two/src/link.py")).unwrap();
    commit(&sandbox, "two boards");
    git(&sandbox.path("."), &["clone", "-q", "--bare", "project", "bare.git"]);
    let _served = sandbox.serve();
    let args = ["--project", "boards/two", "publish", "--git", "main", "--git-dir", "../bare.git"];
    assert_eq!(sandbox.json(&args)["package"], "two");
    let shown = sandbox.json(&["release", "show", "--package", "two", "7"]);
    let files: Vec<&str> = shown["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["link.py", "main.py", "shared.py"]);
    assert_eq!(shown["files"][0]["digest"], shown["files"][2]["digest"]);
}

#[test]
fn what_is_not_in_the_commit_is_named() {
    let sandbox = committed();
    let _served = sandbox.serve();
    sandbox.run(&["publish", "--git", "none"]).refused(
        3,
        &expect![[r#"
            error: "none" is no branch, tag or commit of $DIR/project
            hint: git branch, git tag; --git-dir DIR names another repository
        "#]],
    );
    // Nothing that git takes for an option.
    sandbox.run(&["publish", "--git=--output=x"]).refused(
        3,
        &expect![[r#"
            error: "--output=x" is no branch, tag or commit of $DIR/project
            hint: git branch, git tag; --git-dir DIR names another repository
        "#]],
    );
    sandbox.run(&["--project", "docs", "publish", "--git", "main", "--git-dir", ".git"]).refused(
        3,
        &expect![[r#"
            error: main has no goldcrest.toml in docs/
            hint: commit one (goldcrest init makes it), or name the project's folder with --project
        "#]],
    );
    sandbox.run(&["publish", "--git", "main", "--git-dir", "../config"]).refused(
        3,
        &expect![[r#"
            error: "main" is no branch, tag or commit of ../config
            hint: git branch, git tag; --git-dir DIR names another repository
        "#]],
    );
}

#[test]
fn pointers_and_submodules_are_no_content() {
    let sandbox = committed();
    let _served = sandbox.serve();
    sandbox.write("project/model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    commit(&sandbox, "a pointer");
    for args in [&["publish", "--git", "main"][..], &["publish", "--version", "9"]] {
        sandbox.run(args).refused(
            6,
            &expect![[r#"
                error: model.bin is a pointer of git LFS: its content is not here
                hint: git lfs pull, then publish from the work tree; or exclude it in goldcrest.toml
            "#]],
        );
    }
    std::fs::remove_file(sandbox.path("project/model.bin")).unwrap();
    commit(&sandbox, "no pointer");
    let id = "1111111111111111111111111111111111111111";
    let submodule = |path: &str| {
        let entry = format!("160000,{id},{path}");
        git(&sandbox.path("project"), &["update-index", "--add", "--cacheinfo", &entry]);
        git(&sandbox.path("project"), &["commit", "-q", "-m", "a submodule"]);
    };
    submodule("docs/vendor");
    sandbox.ok(&["publish", "--git", "main"]);
    submodule("vendor");
    sandbox.run(&["publish", "--git", "main"]).refused(
        6,
        &expect![[r#"
            error: vendor is a submodule: its files are in another repository
            hint: publish from a work tree that has them (git submodule update --init), or exclude it in goldcrest.toml
        "#]],
    );
}

#[test]
fn links_that_leave_the_tree_are_refused() {
    let sandbox = committed();
    let _served = sandbox.serve();
    symlink("/etc/passwd", sandbox.path("project/passwd")).unwrap();
    commit(&sandbox, "a link");
    sandbox.run(&["publish", "--git", "main"]).refused(
        6,
        &expect![[r#"
            error: passwd is a symbolic link to /etc/passwd, outside of the root
            hint: copy the file into the project, or exclude the link in goldcrest.toml
        "#]],
    );
}

/// A commit that no git client makes: its tree names a file outside, and a file below a link.
#[test]
fn a_tree_that_climbs_writes_nothing() {
    let sandbox = committed();
    let _served = sandbox.serve();
    let project = sandbox.path("project");
    let blob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    git(&project, &["update-index", "--add", "--cacheinfo", &format!("100644,{blob},empty")]);
    git(&project, &["hash-object", "-w", "-t", "blob", "/dev/null"]);
    let id = (0..40).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()).collect::<Vec<u8>>();
    let tree = [b"100644 ../../climbed\0".as_slice(), &id, b"100644 goldcrest.toml\0", &id].concat();
    sandbox.write_bytes("tree", &tree);
    let run = |args: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(&project).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let tree = run(&["hash-object", "--literally", "-w", "-t", "tree", "../tree"]);
    let commit = run(&["-c", "user.name=a", "-c", "user.email=a@b.c", "commit-tree", &tree, "-m", "evil"]);
    let mut ran = sandbox.run(&["publish", "--git", &commit]);
    ran.stderr = ran.stderr.replace(&commit, "$COMMIT");
    ran.refused(
        6,
        &expect![[r#"
            error: "../../climbed" in commit $COMMIT leaves its folder
            hint: no git client makes such a commit: look at where it came from
        "#]],
    );
}

#[test]
fn a_release_of_a_waiting_commit_is_no_longer_pending() {
    let sandbox = committed();
    git(&sandbox.path("."), &["clone", "-q", "--bare", "project", "bare.git"]);
    let _served = sandbox.serve_with(&["--git-root", &sandbox.path(".").to_string_lossy()]);
    let git_dir = sandbox.path("bare.git");
    let setting = format!("git={}", git_dir.display());
    sandbox.ok(&["feed", "add", "gogs", "acme/kitchen", "--package", "kitchen", "--set", &setting]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let waiting = loop {
        let ran = sandbox.run(&["release", "list"]);
        if ran.stderr.contains("of which no release was signed") || std::time::Instant::now() > deadline {
            break ran.stderr;
        }
    };
    assert!(waiting.contains("main of acme/kitchen is at "), "{waiting}");
    sandbox.ok(&["publish", "--git", "main"]);
    assert_eq!(sandbox.json(&["release", "list"])["pending"], serde_json::json!([]));
}
