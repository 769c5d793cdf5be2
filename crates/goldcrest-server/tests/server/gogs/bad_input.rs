//! What strangers ask for, and what is in repositories that should not be.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{Origin, api, get, listing, make_feed, serving};
use crate::app::TestApp;

#[tokio::test]
async fn no_route_climbs() {
    let origin = Origin::new();
    origin.write("src/main.py", b"x");
    let sha = origin.push("one");
    std::fs::write(origin.root().join("secret"), b"secret").unwrap();
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    let climbing = ["..", "%2e%2e", "%2E%2e", "..%2f..", "%2e%2e%2fsecret", "..%5c..", "a%00b", ".", "%ff"];
    for climb in climbing {
        for path in [
            format!("api/v1/repos/acme/{climb}"),
            format!("api/v1/repos/{climb}/kitchen/branches"),
            format!("api/v1/repos/acme/kitchen/commits/refs/heads/{climb}/main"),
            format!("api/v1/repos/acme/kitchen/branches/{climb}"),
            format!("api/v1/repos/acme/kitchen/contents/{climb}/secret?ref=main"),
            format!("api/v1/repos/acme/kitchen/contents/src/{climb}/main.py?ref=main"),
            format!("api/v1/repos/acme/kitchen/git/trees/{climb}"),
            format!("api/v1/repos/acme/kitchen/git/blobs/{climb}"),
            format!("api/v1/repos/acme/kitchen/raw/{sha}/{climb}/secret"),
            format!("api/v1/repos/acme/kitchen/archive/{climb}.tar.gz"),
            format!("acme/kitchen/raw/main/{climb}/secret"),
            format!("acme/{climb}/kitchen/raw/main/src/main.py"),
            format!("acme/kitchen/archive/{climb}.zip"),
        ] {
            let answer = get(&app, &format!("/{path}")).await;
            assert_eq!((answer.status, answer.text().as_str()), (404, "not-found\n"), "{path}");
        }
        for of in [climb.to_owned(), format!("refs/heads/{climb}"), format!("heads/{climb}/{climb}")] {
            api(&app, &format!("contents/src?ref={of}")).await.expect(404);
            api(&app, &format!("commits?sha={of}")).await.expect(404);
            api(&app, &format!("raw/src/main.py?ref={of}")).await.expect(404);
        }
    }
}

#[tokio::test]
async fn names_of_repositories_and_settings_are_checked() {
    let origin = Origin::new();
    let app = TestApp::start_empty(|server| server.git_roots.push(origin.root().join("origin.git"))).await;
    let refused = async |body: serde_json::Value| {
        app.admin().post("/api/v1/feeds", body).await.expect_error(422, "invalid").json()["message"].to_string()
    };
    for path in ["acme/..", "../kitchen", "acme/./kitchen", "acme//kitchen", "", "repos/x", "hooks/x", "a b/c"] {
        let said = refused(json!({"adapter": "gogs", "path": path, "package": "sensor"})).await;
        assert!(said.contains("path"), "{path}: {said}");
    }
    let feed = |settings: serde_json::Value| json!({"adapter": "gogs", "path": "acme/kitchen", "settings": settings});
    assert!(refused(feed(json!({}))).await.contains("neither package, nor git or remote"));
    assert!(refused(feed(json!({"git": "/etc"}))).await.contains("not a folder below a git root"));
    assert!(refused(feed(json!({"git": "/none"}))).await.contains("not a folder below a git root"));
    assert!(
        refused(feed(json!({"git": origin.bare().join("objects")}))).await.contains("cannot open the git repository")
    );
    assert!(refused(feed(json!({"remote": "file:///etc"}))).await.contains("not a folder below a git root"));
    assert!(refused(feed(json!({"remote": "ext::sh -c id"}))).await.contains("remote"));
    assert!(refused(feed(json!({"remote": "https://h/x", "other": 1}))).await.contains("unknown field"));
    make_feed(&app, feed(json!({"git": origin.bare()}))).await;
}

#[tokio::test]
async fn an_empty_repository_has_nothing_and_says_so() {
    let origin = Origin::new();
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    api(&app, "commits/refs/heads/main").await.expect(404);
    api(&app, "contents/src").await.expect(404);
    api(&app, "releases/latest").await.expect(404);
    get(&app, "/acme/kitchen/archive/main.zip").await.expect(404);
    assert_eq!(api(&app, "branches").await.expect(200).json(), json!([]));
    let repository = get(&app, "/api/v1/repos/acme/kitchen").await.expect(200).json();
    assert_eq!((repository["empty"].as_bool(), repository["default_branch"].as_str()), (Some(true), Some("main")));
    // Its mirror is one too, and takes what comes later.
    let settings = json!({"remote": format!("file://{}", origin.bare().display()), "webhook_secret": "s"});
    let id = make_feed(&app, json!({"adapter": "gogs", "path": "acme/mirror", "settings": settings})).await;
    let sha = origin.push("the first");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while get(&app, "/api/v1/repos/acme/mirror/commits/refs/heads/main").await.text() != sha {
        app.anonymous().send("POST", &format!("/hooks/git/{id}"), &[("X-Gitlab-Token", "s")], b"").await.expect(202);
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn links_submodules_and_pointers_are_named_and_not_followed() {
    let origin = Origin::new();
    origin.write("src/main.py", b"x");
    origin.write("src/model.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    symlink("/etc/passwd", origin.root().join("work/src/link")).unwrap();
    symlink("..", origin.root().join("work/src/up")).unwrap();
    let sha = origin.push("one");
    origin.git("work", &["update-index", "--add", "--cacheinfo", &format!("160000,{sha},src/vendor")]);
    origin.git("work", &["commit", "-q", "-m", "a submodule"]);
    origin.git("work", &["push", "-q", "origin", "HEAD"]);
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    let folder = api(&app, "contents/src?ref=main").await.expect(200);
    let kinds: Vec<(String, String)> = listing(&folder).into_iter().map(|(name, kind, _)| (name, kind)).collect();
    let wanted =
        [("link", "symlink"), ("main.py", "file"), ("model.bin", "file"), ("up", "symlink"), ("vendor", "submodule")];
    assert_eq!(kinds, wanted.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    let rows = folder.json();
    assert_eq!((rows[0]["target"].as_str(), rows[0]["content"].as_str()), (Some("/etc/passwd"), None));
    assert_eq!((rows[1]["lfs_pointer"].as_bool(), rows[2]["lfs_pointer"].as_bool()), (None, Some(true)));
    api(&app, "contents/src/up/src/main.py?ref=main").await.expect(404);
    api(&app, "contents/src/vendor/x?ref=main").await.expect(404);
    assert_eq!(get(&app, "/acme/kitchen/raw/main/src/link").await.expect(200).body, b"/etc/passwd");
    get(&app, "/acme/kitchen/raw/main/src/up/main.py").await.expect(404);
    get(&app, "/acme/kitchen/raw/main/src/vendor").await.expect(404);
    let modes: Vec<String> = api(&app, "git/trees/main?recursive=1").await.json()["tree"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["mode"].as_str().unwrap(), row["type"].as_str().unwrap()))
        .collect();
    assert_eq!(modes, ["040000 tree", "120000 blob", "100644 blob", "100644 blob", "120000 blob", "160000 commit"]);
}

/// A tree that git itself would never write: an old client that joins names would leave its folder.
#[tokio::test]
async fn names_in_a_tree_that_climb_are_left_out() {
    let origin = Origin::new();
    let good = origin.push("one");
    let blob =
        data_encoding::HEXLOWER.decode(origin.git("work", &["hash-object", "-w", "--stdin"]).as_bytes()).unwrap();
    let mut tree = Vec::new();
    for name in ["..", ".", "a/b", "ok.py", "x\ny"] {
        tree.extend_from_slice(format!("100644 {name}\0").as_bytes());
        tree.extend_from_slice(&blob);
    }
    std::fs::write(origin.root().join("tree"), tree).unwrap();
    let hash = ["hash-object", "--literally", "-w", "-t", "tree", "../tree"];
    let tree = origin.git("work", &hash);
    let commit = origin.git("work", &["commit-tree", &tree, "-p", &good, "-m", "evil"]);
    origin.git("work", &["push", "-q", "origin", &format!("{commit}:refs/heads/evil")]);
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    let names: Vec<String> =
        listing(&api(&app, "contents/?ref=evil").await.expect(200)).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["ok.py"]);
}

#[tokio::test]
async fn huge_trees_and_files_have_limits() {
    let origin = Origin::new();
    origin.write("big/zeros", &vec![0; (33 << 20) + 1]);
    for number in 0..3 {
        origin.write(&format!("sum/{number}"), &vec![number; 12 << 20]);
    }
    for number in 0..10_001 {
        origin.write(&format!("many/{}/{number}", number % 2), b"");
        origin.write(&format!("wide/{number}"), b"");
    }
    origin.push("huge");
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    for path in ["contents/big?ref=main", "contents/sum?ref=main", "contents/wide?ref=main", "raw/main/big/zeros"] {
        let refused = api(&app, path).await.expect(413);
        assert_eq!(refused.text(), "too-large\n", "{path}");
    }
    get(&app, "/acme/kitchen/archive/main.tar.gz").await.expect(413);
    api(&app, "contents/sum/1?ref=main").await.expect(200);
    let tree = api(&app, "git/trees/main?recursive=1").await.expect(200).json();
    assert_eq!((tree["tree"].as_array().unwrap().len(), tree["truncated"].as_bool()), (20_000, Some(true)));
}
