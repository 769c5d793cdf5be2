//! A bare repository on the server's disk.

use serde_json::json;

use super::{Origin, api, get, listing, serving};

#[tokio::test]
async fn a_repository_is_shown_as_git_has_it() {
    let origin = Origin::new();
    origin.write("src/main.py", b"print(1)\n");
    origin.write("src/lib/a.py", b"");
    origin.write("README.md", b"x");
    origin.push("one");
    origin.git("work", &["tag", "-a", "v1.0", "-m", "annotated"]);
    let sha = origin.push("two\n\nwith a body");
    origin.git("work", &["push", "-q", "origin", "HEAD:refs/heads/feature/x"]);
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    assert_eq!(api(&app, "commits/refs/heads/main?token=x").await.expect(200).text(), sha);
    assert_eq!(api(&app, "commits/refs/heads/feature/x").await.expect(200).text(), sha);
    assert_eq!(api(&app, "branches/feature/x").await.expect(200).json()["commit"]["id"], sha);
    let root = api(&app, &format!("contents/src?ref={sha}&token=x")).await.expect(200);
    let wanted = [
        ("lib".to_owned(), "dir".to_owned(), None),
        ("main.py".to_owned(), "file".to_owned(), Some(b"print(1)\n".to_vec())),
    ];
    assert_eq!(listing(&root), wanted);
    let tree = api(&app, "git/trees/main?recursive=true").await.json();
    assert_eq!(tree["sha"], origin.git("work", &["rev-parse", "HEAD^{tree}"]));
    assert_eq!(tree["tree"].as_array().unwrap().len(), 5);
    let flat = api(&app, "git/trees/main").await.json();
    assert_eq!(flat["tree"].as_array().unwrap().len(), 2);
    // An annotated tag leads to its commit.
    let tagged = origin.git("work", &["rev-parse", "v1.0^{commit}"]);
    assert_eq!(api(&app, "commits/refs/tags/v1.0").await.expect(200).text(), tagged);
    assert_eq!(api(&app, "tags").await.json()[0]["commit"]["sha"], tagged);
    assert_eq!(api(&app, "releases/latest").await.json()["tag_name"], "v1.0");
    let commits = api(&app, "commits").await.json();
    assert_eq!((commits[0]["sha"].as_str(), commits[1]["sha"].as_str()), (Some(&*sha), Some(&*tagged)));
    assert_eq!(commits[0]["commit"]["message"], "two\n\nwith a body\n");
    assert_eq!(commits[0]["commit"]["author"]["date"], "2023-11-14T22:13:20Z");
    assert_eq!(get(&app, "/acme/kitchen/raw/feature/x/src/main.py").await.expect(200).body, b"print(1)\n");
    get(&app, "/acme/kitchen/archive/feature/x.tar.gz").await.expect(200);
    // A push is seen at once.
    origin.write("src/main.py", b"print(2)\n");
    let pushed = origin.push("three");
    assert_eq!(api(&app, "commits/refs/heads/main").await.text(), pushed);
}

#[tokio::test]
async fn what_others_do_to_an_open_repository_is_seen() {
    let origin = Origin::new();
    let app = serving(&origin, json!({"git": origin.bare()})).await;
    let shows = async |sha: &str, text: &[u8]| {
        assert_eq!(api(&app, "commits/refs/heads/main").await.expect(200).text(), sha);
        assert_eq!(get(&app, "/acme/kitchen/raw/main/main.py").await.expect(200).body, text);
    };
    for round in 0..5 {
        let text = format!("print({round})\n");
        origin.write("main.py", text.as_bytes());
        let sha = origin.push("next");
        shows(&sha, text.as_bytes()).await;
        // Other packs hold what loose objects and older packs held; names move to one file.
        origin.git("origin.git", &["gc", "-q", "--prune=now"]);
        shows(&sha, text.as_bytes()).await;
    }
    // Another history under the same names, and nothing left of the first.
    origin.git("work", &["checkout", "-q", "--orphan", "other"]);
    origin.git("work", &["branch", "-q", "-D", "main"]);
    origin.git("work", &["branch", "-q", "-m", "main"]);
    origin.write("main.py", b"print('other')\n");
    let sha = origin.push("other");
    origin.git("origin.git", &["reflog", "expire", "--expire=now", "--all"]);
    origin.git("origin.git", &["gc", "-q", "--prune=now"]);
    shows(&sha, b"print('other')\n").await;
    // Another repository at the same place.
    std::fs::rename(origin.bare(), origin.root().join("gone.git")).unwrap();
    get(&app, "/acme/kitchen/raw/main/main.py").await.expect(404);
    origin.git(".", &["init", "-q", "--bare", "-b", "main", "origin.git"]);
    origin.write("main.py", b"print('new')\n");
    let sha = origin.push("new");
    shows(&sha, b"print('new')\n").await;
}

#[tokio::test]
async fn a_token_is_taken_from_wherever_clients_put_it() {
    let origin = Origin::new();
    origin.push("one");
    let app = crate::app::TestApp::start_empty(|server| server.git_roots.push(origin.root().to_owned())).await;
    let body =
        json!({"adapter": "gogs", "path": "acme/kitchen", "settings": {"git": origin.bare()}, "secret": "t0ken"});
    super::make_feed(&app, body).await;
    let path = "/api/v1/repos/acme/kitchen/commits/refs/heads/main";
    for query in ["?token=t0ken", "?ref=x&access_token=t0ken"] {
        get(&app, &format!("{path}{query}")).await.expect(200);
    }
    let basic = |login: &str| format!("Basic {}", data_encoding::BASE64.encode(login.as_bytes()));
    for header in ["token t0ken", "Bearer t0ken", "bearer t0ken", &basic("t0ken:x-oauth-basic"), &basic("ann:t0ken")] {
        app.anonymous().send("GET", path, &[("Authorization", header)], b"").await.expect(200);
    }
    // What may not be seen is not there, and says as little.
    for query in ["", "?token=", "?token=t0ke", "?token=t0kenn", "?Token=t0ken"] {
        let refused = get(&app, &format!("{path}{query}")).await.expect(404);
        assert_eq!(refused.text(), "not-found\n");
        get(&app, &format!("/acme/kitchen/raw/main/x{query}")).await.expect(404);
    }
    for header in ["token wrong", "Basic ???", "Basic", &basic("ann:wrong")] {
        app.anonymous().send("GET", path, &[("Authorization", header)], b"").await.expect(404);
    }
    let admin = app.admin().see("/api/v1/feeds").await;
    assert_eq!(admin["feeds"][0]["secret"], true);
    assert!(!admin.to_string().contains("t0ken"));
}
