//! A package shown as a repository.

use serde_json::json;

use super::{Origin, api, get, listing, make_feed};
use crate::app::TestApp;
use crate::releases::Plan;

const MAIN: &[u8] = b"print('one')\n";

fn plan(version: &'static str, counter: u64, main: &[u8]) -> Plan<'static> {
    let files = vec![
        ("boot_user.py", b"import network\n".to_vec()),
        ("lib/__init__.py", Vec::new()),
        ("lib/logo.bin", vec![0, 159, 146, 150]),
        ("main.py", main.to_vec()),
    ];
    Plan { files, ..Plan::new(version, counter) }
}

/// A server with the release 1.0.0 on `stable`.
async fn serving() -> TestApp {
    let app = TestApp::start().await;
    app.admin().publish(&plan("1.0.0", 100, MAIN).build()).await;
    app.admin().set_stable("1.0.0").await;
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/kitchen", "package": "sensor"})).await;
    app
}

#[tokio::test]
async fn the_old_clients_walk_finds_every_file() {
    let app = serving().await;
    let sha = api(&app, "commits/refs/heads/master?token=").await.expect(200);
    assert_eq!(sha.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(sha.header("Connection"), Some("close"));
    let sha = sha.text();
    assert!(sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_hexdigit()), "{sha}");
    assert_eq!(api(&app, "commits/refs/heads/stable").await.expect(200).text(), sha);
    assert_eq!(api(&app, "commits/refs/tags/1.0.0").await.expect(200).text(), sha);
    let root = api(&app, &format!("contents/src?ref={sha}&token=")).await.expect(200);
    let folder = |name: &str| (name.to_owned(), "dir".to_owned(), None);
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), "file".to_owned(), Some(bytes.to_vec()));
    assert_eq!(listing(&root), [file("boot.py", b"import network\n"), folder("lib"), file("main.py", MAIN)]);
    let lib = api(&app, &format!("contents/src/lib?ref={sha}&token=")).await.expect(200);
    assert_eq!(listing(&lib), [file("__init__.py", b""), file("logo.bin", &[0, 159, 146, 150])]);
    // An empty file has its field too.
    assert!(lib.text().contains("\"content\":\"\""), "{}", lib.text());
}

#[tokio::test]
async fn a_moved_channel_is_another_commit_and_the_pinned_one_stays() {
    let app = serving().await;
    let one = api(&app, "commits/refs/heads/stable").await.text();
    app.admin().publish(&plan("2.0.0", 200, b"print('two')\n").build()).await;
    app.admin().set_stable("2.0.0").await;
    let two = api(&app, "commits/refs/heads/stable").await.text();
    assert_ne!(one, two);
    // A board that began before the move gets what it asked for, to the last file.
    let pinned = api(&app, &format!("contents/src/main.py?ref={one}")).await.expect(200).json();
    assert_eq!(pinned["content"], data_encoding::BASE64.encode(MAIN));
    app.admin().set_stable("1.0.0").await;
    assert_eq!(api(&app, "commits/refs/heads/stable").await.text(), one, "a rollback is the same commit again");
}

#[tokio::test]
async fn a_poll_that_finds_nothing_new_is_one_304() {
    let app = serving().await;
    for path in ["branches/stable", "branches/main", "commits/refs/heads/stable"] {
        let first = api(&app, path).await.expect(200);
        let tag = first.header("Etag").unwrap().to_owned();
        let path = format!("/api/v1/repos/acme/kitchen/{path}");
        let again = app.anonymous().send("GET", &path, &[("If-None-Match", &tag)], b"").await.expect(304);
        assert!(again.body.is_empty());
        app.anonymous().send("GET", &path, &[("If-None-Match", "\"other\"")], b"").await.expect(200);
    }
}

/// The tree that git makes of the same files has the same ids, and so have the blobs.
#[tokio::test]
async fn ids_are_those_that_git_gives() {
    let app = serving().await;
    let origin = Origin::new();
    for (path, bytes) in [
        ("boot.py", b"import network\n".as_slice()),
        ("lib/__init__.py", b""),
        ("lib/logo.bin", &[0, 159, 146, 150]),
        ("main.py", MAIN),
    ] {
        origin.write(&format!("src/{path}"), bytes);
    }
    origin.push("the same files");
    let tree = api(&app, "git/trees/stable?recursive=1").await.expect(200).json();
    assert_eq!(tree["sha"], origin.git("work", &["rev-parse", "HEAD^{tree}"]));
    let line = |row: &serde_json::Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let size = row["size"].as_u64().map_or("-".into(), |size| size.to_string());
        format!("{} {} {} {size:>7}\t{}", text("mode"), text("type"), text("sha"), text("path"))
    };
    let lines: Vec<String> = tree["tree"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(lines.join("\n"), origin.git("work", &["ls-tree", "-r", "-t", "-l", "HEAD"]));
    let id = origin.git("work", &["rev-parse", "HEAD:src/lib"]);
    assert_eq!(api(&app, &format!("git/trees/{id}")).await.expect(200).json()["tree"].as_array().unwrap().len(), 2);
    let id = origin.git("work", &["rev-parse", "HEAD:src/main.py"]);
    let blob = api(&app, &format!("git/blobs/{id}")).await.expect(200).json();
    assert_eq!((blob["content"].as_str(), blob["size"].as_u64()), (Some("cHJpbnQoJ29uZScpCg=="), Some(13)));
}

#[tokio::test]
async fn branches_tags_releases_and_commits_are_listed() {
    let app = serving().await;
    app.admin().publish(&plan("2.0.0", 200, b"print('two')\n").build()).await;
    app.admin().put("/api/v1/channels/sensor/beta", json!({"version": "2.0.0"})).await.expect(200);
    let names = |list: &serde_json::Value, key: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&api(&app, "branches").await.json(), "name"), ["stable", "beta"]);
    assert_eq!(names(&api(&app, "tags").await.json(), "name"), ["2.0.0", "1.0.0"]);
    assert_eq!(names(&api(&app, "releases").await.json(), "tag_name"), ["2.0.0", "1.0.0"]);
    assert_eq!(names(&api(&app, "releases?per_page=1&page=2").await.json(), "tag_name"), ["1.0.0"]);
    assert!(names(&api(&app, "tags?page=2").await.json(), "name").is_empty(), "who pages comes to an end");
    assert_eq!(api(&app, "releases/latest").await.json()["tag_name"], "2.0.0");
    let beta = api(&app, "branches/beta").await.json();
    let id = beta["commit"]["id"].as_str().unwrap().to_owned();
    assert_eq!(beta["commit"]["sha"], id);
    assert_eq!(beta["commit"]["timestamp"], "2026-11-18T11:06:40Z");
    let commit = api(&app, &format!("commits/{id}")).await.json();
    assert_eq!(commit["sha"], id);
    assert!(commit["commit"]["message"].as_str().unwrap().starts_with("sensor 2.0.0\n\nRelease "));
    assert_eq!(names(&api(&app, "commits?sha=beta").await.json(), "sha"), [id.as_str()]);
    let repository = get(&app, "/api/v1/repos/acme/kitchen").await.json();
    assert_eq!((repository["default_branch"].as_str(), repository["empty"].as_bool()), (Some("stable"), Some(false)));
    // The same for those who ask in GitHub's way.
    let github = get(&app, "/repos/acme/kitchen/branches/beta").await.expect(200).json();
    assert_eq!(github["commit"]["sha"], id);
}

#[tokio::test]
async fn files_and_archives_have_their_web_addresses() {
    let app = serving().await;
    let sha = api(&app, "commits/refs/heads/stable").await.text();
    for path in [
        "acme/kitchen/raw/stable/src/main.py".to_owned(),
        "acme/kitchen/raw/branch/stable/src/main.py".into(),
        "/acme//kitchen/raw/tag/1.0.0/src/main.py".into(),
        format!("acme/kitchen/raw/commit/{sha}/src/main.py"),
        "api/v1/repos/acme/kitchen/raw/stable/src/main.py".into(),
        "api/v1/repos/acme/kitchen/raw/src/main.py?ref=stable".into(),
    ] {
        let file = get(&app, &format!("/{path}")).await.expect(200);
        assert_eq!((file.body.as_slice(), file.header("Content-Length")), (MAIN, Some("13")), "{path}");
    }
    get(&app, "/acme/kitchen/raw/stable/src").await.expect(404);
    get(&app, "/acme/kitchen/raw/stable/src/none.py").await.expect(404);
    for (name, program) in [("stable.tar.gz", ["tar", "-xzf"]), ("1.0.0.zip", ["python3", "-mzipfile"])] {
        let archive = get(&app, &format!("/acme/kitchen/archive/{name}")).await.expect(200);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, &archive.body).unwrap();
        let mut command = std::process::Command::new(program[0]);
        command.arg(program[1]);
        if program[0] == "python3" {
            command.arg("-e");
        }
        command.arg(&path);
        if program[0] == "python3" {
            command.arg(folder.path());
        }
        assert!(command.current_dir(folder.path()).status().unwrap().success());
        assert_eq!(std::fs::read(folder.path().join("kitchen/src/main.py")).unwrap(), MAIN);
        assert_eq!(std::fs::read(folder.path().join("kitchen/src/lib/__init__.py")).unwrap(), b"");
    }
}

#[tokio::test]
async fn the_folder_of_the_files_is_a_setting() {
    let app = serving().await;
    let body = json!({"adapter": "gogs", "path": "acme/flat", "package": "sensor", "settings": {"base": ""}});
    make_feed(&app, body).await;
    let root = get(&app, "/api/v1/repos/acme/flat/contents/").await.expect(200);
    let names: Vec<String> = listing(&root).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["boot.py", "lib", "main.py"]);
    let (flat, nested) =
        (get(&app, "/api/v1/repos/acme/flat/branches/stable").await, api(&app, "branches/stable").await);
    assert_ne!(flat.json()["commit"]["id"], nested.json()["commit"]["id"], "another tree is another commit");
}

/// Gogs looks up owner and repository in any case; addresses of other systems' files stay as they are.
#[tokio::test]
async fn a_repository_is_found_in_any_case() {
    let app = serving().await;
    let feed = json!({"adapter": "micropython-ota", "path": "Files", "package": "sensor"});
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    for (path, status) in [
        ("/api/v1/repos/Acme/KITCHEN/branches", 200),
        ("/ACME/kitchen/raw/stable/src/main.py", 200),
        ("/Files/version", 200),
        ("/files/version", 404),
    ] {
        let answer = app.anonymous().send("GET", path, &[], b"").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_the_client_cannot_take_is_said_at_publish() {
    let app = serving().await;
    let files = vec![
        ("big/a.bin", vec![1; 20 << 10]),
        ("big/b.bin", vec![2; 13 << 10]),
        ("main.py", b"x = 1\n".to_vec()),
        ("my folder/a.py", b"x = 2\n".to_vec()),
        // The client writes it as UTF-8 into the address.
        ("straße/a.py", b"x = 3\n".to_vec()),
    ];
    let uploaded = app.admin().upload(&Plan { files, ..Plan::new("2.0.0", 200) }.build().archive).await.expect(201);
    let wanted = json!([
        "feed acme/kitchen: big: the Gogs updater holds a whole folder in memory, 33 KiB here: use several folders",
        "feed acme/kitchen: my folder: the Gogs updater asks for no folder with such a name",
    ]);
    assert_eq!(uploaded.json()["warnings"], wanted);
    let fine = app.admin().upload(&plan("3.0.0", 300, MAIN).build().archive).await.expect(201);
    assert_eq!(fine.json()["warnings"], json!([]));
}
