//! `TestApp`: a running server, and callers whose kind is a type.

use std::net::SocketAddr;
use std::path::Path;

use goldcrest_server::clock::Clock;
use goldcrest_server::{AnonymousSettings, Server, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::{Response, send};
use crate::releases::{Release, keyring};

/// A server over a folder that goes with the value.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    /// For boards only, when the settings have it.
    pub(crate) boards: Option<SocketAddr>,
    /// MQTT over plain TCP.
    pub(crate) mqtt: SocketAddr,
    /// MQTT over TLS, when the settings have it.
    pub(crate) mqtt_tls: Option<SocketAddr>,
    /// HTTPS, and HTTPS for boards, when the settings have them.
    pub(crate) https: Option<SocketAddr>,
    pub(crate) boards_https: Option<SocketAddr>,
    pub(crate) clock: Clock,
    admin_token: String,
    settings: Settings,
    /// Removed with the value.
    _folder: TempDir,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl TestApp {
    /// A server with a keyring in force.
    pub(crate) async fn start() -> Self {
        let app = Self::start_empty(|_| {}).await;
        app.admin().put_bytes("/api/v1/keyring", &keyring(1)).await.expect(200);
        app
    }

    /// A server at its first start, with settings changed.
    pub(crate) async fn start_empty(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path().join("data"), "127.0.0.1:0".parse().unwrap());
        settings.clock = Clock::stepped(1_800_000_000_000);
        settings.mqtt.listen = Some("127.0.0.1:0".parse().unwrap());
        settings.mqtt.anonymous = Some(AnonymousSettings { project: "lab".into(), denied: vec!["nosubscribe".into()] });
        change(&mut settings);
        let server = Server::bind(settings.clone()).await.unwrap();
        let admin_token = server.new_admin_token().expect("a first start makes a token").to_owned();
        let (address, clock) = (server.local_addr(), settings.clock.clone());
        let (mqtt, mqtt_tls) = (server.mqtt_addr().unwrap(), server.mqtt_tls_addr());
        let (https, boards_https) = (server.https_addr(), server.boards_https_addr());
        let boards = server.boards_addr();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(shutdown.clone()));
        Self {
            address,
            boards,
            mqtt,
            mqtt_tls,
            https,
            boards_https,
            clock,
            admin_token,
            settings,
            _folder: folder,
            shutdown,
            running,
        }
    }

    /// The same data folder under a new process's life.
    pub(crate) async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        let server = Server::bind(self.settings.clone()).await.unwrap();
        assert_eq!(server.new_admin_token(), None, "the token of the first start stays");
        let (address, mqtt) = (server.local_addr(), server.mqtt_addr().unwrap());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(shutdown.clone()));
        Self { address, mqtt, shutdown, running, ..self }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.settings.data
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone()
    }

    pub(crate) fn anonymous(&self) -> Anonymous<'_> {
        Anonymous { app: self }
    }

    pub(crate) fn admin(&self) -> Admin<'_> {
        Admin { app: self, token: self.admin_token.clone() }
    }

    /// A new device of the test package on `stable`.
    pub(crate) async fn device(&self, name: &str) -> Device<'_> {
        self.device_on(name, "stable").await
    }

    pub(crate) async fn device_on(&self, name: &str, channel: &str) -> Device<'_> {
        let body = json!({"name": name, "package": "sensor", "channel": channel});
        let made = self.admin().post("/api/v1/devices", body).await.expect(201).json();
        Device { app: self, name: name.into(), token: made["token"].as_str().unwrap().into() }
    }

    /// The device of this token, for example after a restart.
    pub(crate) fn device_with(&self, name: &str, token: &str) -> Device<'_> {
        Device { app: self, name: name.into(), token: token.into() }
    }
}

/// Someone without a token.
pub(crate) struct Anonymous<'a> {
    app: &'a TestApp,
}

impl Anonymous<'_> {
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        send(self.app.address, method, path, headers, body).await
    }
}

/// A person or script with an admin token.
pub(crate) struct Admin<'a> {
    app: &'a TestApp,
    pub(crate) token: String,
}

impl<'a> Admin<'a> {
    pub(crate) fn with_token(&self, token: &str) -> Admin<'a> {
        Admin { app: self.app, token: token.into() }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Response {
        let bearer = format!("Bearer {}", self.token);
        send(self.app.address, method, path, &[("Authorization", &bearer)], body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send("GET", path, b"").await
    }

    /// The JSON of a path that must be there.
    pub(crate) async fn see(&self, path: &str) -> Value {
        self.get(path).await.expect(200).json()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.send("POST", path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Response {
        self.send("PUT", path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn put_bytes(&self, path: &str, body: &[u8]) -> Response {
        self.send("PUT", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Response {
        self.send("PATCH", path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, b"").await
    }

    pub(crate) async fn upload(&self, archive: &[u8]) -> Response {
        self.send("POST", "/api/v1/releases", archive).await
    }

    /// Uploads a release that must be taken.
    pub(crate) async fn publish(&self, release: &Release) {
        self.upload(&release.archive).await.expect(201);
    }

    /// Points `stable` of the test package at a version.
    pub(crate) async fn set_stable(&self, version: &str) {
        self.put("/api/v1/channels/sensor/stable", json!({"version": version})).await.expect(200);
    }

    /// State, running, desired and failed of a device in one line.
    pub(crate) async fn device_line(&self, name: &str) -> String {
        let device = self.see(&format!("/api/v1/devices/{name}")).await;
        let text = |key: &str| device[key].as_str().unwrap_or("-").to_owned();
        format!("{} running={} desired={} failed={}", text("state"), text("running"), text("desired"), text("failed"))
    }

    /// Version and state of each deployment of a device, oldest first.
    pub(crate) async fn deployment_line(&self, device: &str) -> String {
        let list = self.see(&format!("/api/v1/deployments?device={device}")).await;
        let line = |row: &Value| {
            let reason = row["reason"].as_str().map(|reason| format!("({reason})")).unwrap_or_default();
            format!("{} {}{reason}", row["version"].as_str().unwrap(), row["state"].as_str().unwrap())
        };
        let mut lines: Vec<String> = list["deployments"].as_array().unwrap().iter().map(line).collect();
        lines.reverse();
        lines.join(", ")
    }
}

/// A board.
pub(crate) struct Device<'a> {
    app: &'a TestApp,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl Device<'_> {
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str()), ("Goldcrest-Agent", "1")];
        all.extend_from_slice(headers);
        send(self.app.address, method, path, &all, body).await
    }

    /// A check-in that runs `run` (digest or `-`) and does not want `unwanted` besides.
    pub(crate) async fn check_in(&self, run: &str, state: &str, unwanted: &[&str]) -> Response {
        let mut tags: Vec<String> = unwanted.iter().map(|digest| format!("\"{digest}\"")).collect();
        if run != "-" {
            tags.insert(0, format!("\"{run}\""));
        }
        let path = format!("/d/v1/checkin?run={run}&state={state}&k=1");
        match tags.join(", ") {
            none if none.is_empty() => self.send("GET", &path, &[], b"").await,
            tags => self.send("GET", &path, &[("If-None-Match", &tags)], b"").await,
        }
    }

    pub(crate) async fn report(&self, body: Value) -> Response {
        self.send("POST", "/d/v1/report", &[], body.to_string().as_bytes()).await
    }

    /// Goes the whole good way from `run` to `release`.
    pub(crate) async fn update(&self, run: &str, release: &Release) {
        let offered = self.check_in(run, "ok", &[]).await.expect(200);
        assert_eq!(offered.body, release.manifest);
        for stage in ["downloading", "verified", "installing", "trial", "confirmed"] {
            self.report(json!({"stage": stage, "release": release.digest})).await.expect(204);
        }
        self.check_in(&release.digest, "ok", &[]).await.expect(304);
    }

    /// Takes the offered release and rolls it back.
    pub(crate) async fn fail(&self, run: &str, release: &Release) {
        self.check_in(run, "ok", &[]).await.expect(200);
        let body = json!({"stage": "rolled-back", "release": release.digest, "reason": "crash",
            "detail": "ZeroDivisionError", "trace": "Traceback (most recent call last):\n  File \"main.py\", line 1"});
        self.report(body).await.expect(204);
        self.check_in(run, "ok", &[&release.digest]).await.expect(304);
    }
}
