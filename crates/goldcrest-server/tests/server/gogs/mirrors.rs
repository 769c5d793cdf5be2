//! Mirrors of remotes, their webhooks, and commits that wait for a signature.

use ring::hmac;
use serde_json::{Value, json};

use super::{Origin, api, make_feed, serving, until};
use crate::app::TestApp;

const SECRET: &str = "hush";

fn settings(origin: &Origin) -> Value {
    json!({"remote": format!("file://{}", origin.bare().display()), "interval_s": 3600, "webhook_secret": SECRET})
}

fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    data_encoding::HEXLOWER.encode(hmac::sign(&key, body).as_ref())
}

/// Calls the webhook of the first feed; the status.
async fn call(app: &TestApp, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let response = app.anonymous().send("POST", "/hooks/git/1", headers, body).await;
    assert!(response.body.len() < 32);
    response.status
}

#[tokio::test]
async fn a_mirror_follows_its_origin_when_it_calls() {
    let origin = Origin::new();
    origin.write("src/main.py", b"print(1)\n");
    let one = origin.push("one");
    let app = serving(&origin, settings(&origin)).await;
    until(&app, "commits/refs/heads/main", |answer| answer.text() == one).await;
    let body = br#"{"ref":"refs/heads/main"}"#;
    let (hex, prefixed) = (signature(body), format!("sha256={}", signature(body)));
    let mut last = one.clone();
    for (name, value) in [
        ("X-Gogs-Signature", &*hex),
        ("X-Gitea-Signature", &hex),
        ("X-Forgejo-Signature", &hex),
        ("X-Hub-Signature-256", &prefixed),
        ("X-Gitlab-Token", SECRET),
    ] {
        origin.write("src/main.py", format!("print({name:?})\n").as_bytes());
        last = origin.push(name);
        assert_eq!(call(&app, &[(name, value)], body).await, 202, "{name}");
        until(&app, "commits/refs/heads/main", |answer| answer.text() == last).await;
    }
    // A rewritten branch is followed, a removed one is gone, what a board has begun to fetch stays.
    origin.git("work", &["push", "-q", "origin", "HEAD:refs/heads/old"]);
    origin.git("work", &["reset", "-q", "--hard", &one]);
    origin.write("src/main.py", b"print('rewritten')\n");
    let rewritten = origin.push("another two");
    call(&app, &[("X-Gogs-Signature", &hex)], body).await;
    until(&app, "commits/refs/heads/main", |answer| answer.text() == rewritten).await;
    until(&app, "branches/old", |answer| answer.status == 200).await;
    let pinned = api(&app, &format!("contents/src/main.py?ref={last}")).await.expect(200).json();
    assert_eq!(pinned["content"], data_encoding::BASE64.encode(b"print(\"X-Gitlab-Token\")\n"));
    origin.git("work", &["push", "-q", "origin", ":refs/heads/old"]);
    call(&app, &[("X-Gogs-Signature", &hex)], body).await;
    until(&app, "branches/old", |answer| answer.status == 404).await;
}

#[tokio::test]
async fn a_mirror_is_fetched_at_its_interval_and_survives_a_restart() {
    let origin = Origin::new();
    let one = origin.push("one");
    let app = TestApp::start_empty(|server| {
        server.git_roots.push(origin.root().to_owned());
        // What a process left that was killed while it made a mirror.
        std::fs::create_dir_all(server.data.join("git/1.git.new/refs")).unwrap();
    });
    let app = app.await;
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/kitchen", "settings": settings(&origin)})).await;
    until(&app, "commits/refs/heads/main", |answer| answer.text() == one).await;
    let two = origin.push("two");
    // A lock that a killed process left behind is in nobody's way.
    std::fs::write(app.data().join("git/1.git/packed-refs.lock"), b"").unwrap();
    std::fs::write(app.data().join("git/1.git/refs/heads/main.lock"), b"").unwrap();
    app.clock.advance(3_600_000);
    let app = app.restart().await;
    until(&app, "commits/refs/heads/main", |answer| answer.text() == two).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let git = app.admin().see("/api/v1/feeds").await["feeds"][0]["git"].clone();
        assert_eq!(git["error"], Value::Null);
        if git["commit"] == two {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{git}");
    }
    app.admin().delete("/api/v1/feeds/1").await.expect(204);
    let app = app.restart().await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while app.data().join("git/1.git").exists() {
        assert!(std::time::Instant::now() < deadline, "the mirror of a removed feed stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_proof_is_refused_whatever_it_looks_like() {
    let origin = Origin::new();
    origin.push("one");
    let app = serving(&origin, settings(&origin)).await;
    let body = b"{}";
    let (right, other) = (signature(body), signature(b"{ }"));
    let wrong = [
        ("X-Gogs-Signature", &*other),
        ("X-Gogs-Signature", &right[..62]),
        ("X-Gogs-Signature", ""),
        ("X-Gogs-Signature", "zz"),
        ("X-Hub-Signature-256", "sha256="),
        ("X-Hub-Signature", &right),
        ("X-Gitlab-Token", "Hush"),
        ("X-Gitlab-Token", ""),
    ];
    for (name, value) in wrong {
        assert_eq!(call(&app, &[(name, value)], body).await, 401, "{name}: {value}");
    }
    assert_eq!(call(&app, &[], body).await, 401);
    // A feed that is not there, and one without a secret, answer as a wrong proof does.
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/open", "settings": {"git": origin.bare()}})).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"");
    let empty = data_encoding::HEXLOWER.encode(hmac::sign(&key, body).as_ref());
    for (feed, value) in [("2", &*empty), ("99", &empty), ("x", &right), ("-1", &right)] {
        let headers = [("X-Gogs-Signature", value)];
        app.anonymous().send("POST", &format!("/hooks/git/{feed}"), &headers, body).await.expect(401);
    }
    app.anonymous().send("POST", "/hooks/git/2", &[("X-Gitlab-Token", "")], body).await.expect(401);
    app.anonymous().send("GET", "/hooks/git/1", &[], b"").await.expect(404);
}

#[tokio::test]
async fn secrets_of_a_mirror_are_not_shown() {
    let origin = Origin::new();
    let app = TestApp::start_empty(|_| {}).await;
    // Nothing listens there: what went wrong is told without the password.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let remote = format!("http://ann:pa55word@127.0.0.1:{port}/acme/kitchen.git");
    let settings = json!({"remote": remote, "webhook_secret": "pa55word"});
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/kitchen", "settings": settings})).await;
    assert!(error_of(&app).await.contains("the remote does not answer"));
    let feeds = app.admin().see("/api/v1/feeds").await;
    let feed = &feeds["feeds"][0];
    assert_eq!(feed["settings"]["remote"], format!("http://***@127.0.0.1:{port}/acme/kitchen.git"));
    assert_eq!(feed["settings"]["webhook_secret"], "***");
    assert!(!feeds.to_string().contains("pa55word"), "{feeds}");
    api(&app, "branches/main").await.expect(404);
    drop(origin);
}

/// The error of the first feed, once there is one.
async fn error_of(app: &TestApp) -> String {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let feeds = app.admin().see("/api/v1/feeds").await;
        if let Some(error) = feeds["feeds"][0]["git"]["error"].as_str() {
            return error.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "{feeds}");
    }
}

#[tokio::test]
async fn a_remote_with_a_certificate_of_nobody_is_not_trusted() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The other side turns away.
            drop(acceptor.accept(stream).await);
        }
    });
    let app = TestApp::start_empty(|_| {}).await;
    let settings = json!({"remote": format!("https://localhost:{port}/acme/kitchen.git")});
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/kitchen", "settings": settings})).await;
    let error = error_of(&app).await;
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn a_moved_branch_waits_for_its_signature() {
    let origin = Origin::new();
    origin.write("src/main.py", b"print(1)\n");
    origin.write("model.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    let one = origin.push("one");
    let app = TestApp::start_empty(|server| server.git_roots.push(origin.root().to_owned())).await;
    let body = json!({"adapter": "gogs", "path": "acme/kitchen", "package": "sensor", "settings": settings(&origin)});
    make_feed(&app, body).await;
    until(&app, "branches/main", |answer| answer.status == 200).await;
    let pending = waiting(&app, &one).await;
    assert_eq!(pending["branch"], "main");
    assert_eq!(pending["trouble"][0], "model.bin is a pointer of git LFS: its content is not in the repository");
    app.admin().delete("/api/v1/pending-releases/1/0000").await.expect_error(404, "not-found");
    app.admin().delete(&format!("/api/v1/pending-releases/1/{one}")).await.expect(204);
    assert_eq!(app.admin().see("/api/v1/pending-releases").await["pending"], json!([]));
    origin.write("model.bin", b"now here");
    let two = origin.push("two");
    call(&app, &[("X-Gitlab-Token", SECRET)], b"").await;
    assert_eq!(waiting(&app, &two).await["trouble"], json!([]));
    assert_eq!(app.admin().see("/api/v1/pending-releases?package=other").await["pending"], json!([]));
    // The boards of the feed are served from the repository, signed or not: they know no signatures.
    api(&app, "contents/src?ref=main").await.expect(200);
}

/// The pending release of this commit, once it is known.
async fn waiting(app: &TestApp, commit: &str) -> Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let list = app.admin().see("/api/v1/pending-releases?package=sensor").await;
        if list["pending"][0]["commit"] == commit {
            return list["pending"][0].clone();
        }
        assert!(std::time::Instant::now() < deadline, "{list}");
    }
}
