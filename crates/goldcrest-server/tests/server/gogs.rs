//! The Gogs updater's server: what its boards, git clients and origins see.

mod bad_input;
mod mirrors;
mod packages;
mod repositories;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::http::Response;

/// A folder with a work tree and its bare origin, made by git itself.
pub(crate) struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    pub(crate) fn new() -> Self {
        let origin = Self { folder: tempfile::tempdir().unwrap() };
        origin.git(".", &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        origin.git(".", &["init", "-q", "-b", "main", "work"]);
        origin.git("work", &["remote", "add", "origin", "../origin.git"]);
        origin
    }

    /// A folder that the server may open repositories below.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.path().join("origin.git")
    }

    /// Runs git with a fixed author and time; what it said.
    pub(crate) fn git(&self, below: &str, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder.path().join(below)).args(args);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder.path().join("work").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Commits everything and pushes it; the commit's id.
    pub(crate) fn push(&self, message: &str) -> String {
        self.git("work", &["add", "-A"]);
        self.git("work", &["commit", "-q", "--allow-empty", "-m", message]);
        self.git("work", &["push", "-q", "--force", "origin", "HEAD", "--tags"]);
        self.git("work", &["rev-parse", "HEAD"])
    }
}

/// A server that may open the origin, with a feed `acme/kitchen` of these settings.
pub(crate) async fn serving(origin: &Origin, settings: Value) -> TestApp {
    let app = TestApp::start_empty(|server| server.git_roots.push(origin.root().to_owned())).await;
    make_feed(&app, json!({"adapter": "gogs", "path": "acme/kitchen", "settings": settings})).await;
    app
}

/// Makes a feed; its id.
pub(crate) async fn make_feed(app: &TestApp, body: Value) -> i64 {
    app.admin().post("/api/v1/feeds", body).await.expect(201).json()["id"].as_i64().unwrap()
}

pub(crate) async fn get(app: &TestApp, path: &str) -> Response {
    app.anonymous().send("GET", path, &[], b"").await
}

/// An answer of the API below the test's repository.
pub(crate) async fn api(app: &TestApp, rest: &str) -> Response {
    get(app, &format!("/api/v1/repos/acme/kitchen/{rest}")).await
}

/// Asks until the answer is as wanted.
pub(crate) async fn until(app: &TestApp, rest: &str, wanted: impl Fn(&Response) -> bool) -> Response {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = api(app, rest).await;
        if wanted(&response) {
            return response;
        }
        assert!(Instant::now() < deadline, "{rest}: {}\n{}", response.head, response.text());
        tokio::task::yield_now().await;
    }
}

/// Name, kind and content of what a folder's listing shows.
pub(crate) fn listing(response: &Response) -> Vec<(String, String, Option<Vec<u8>>)> {
    let row = |row: &Value| {
        let content = row["content"].as_str().map(|text| data_encoding::BASE64.decode(text.as_bytes()).unwrap());
        (row["name"].as_str().unwrap().to_owned(), row["type"].as_str().unwrap().to_owned(), content)
    };
    response.json().as_array().unwrap().iter().map(row).collect()
}
