//! kill -9 at any moment loses nothing that was acknowledged. The server runs as a process of its own: this test binary once more.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use goldcrest_server::{Server, Settings};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::http::{Response, exchange_if_alive, send};
use crate::releases::{keyring, release};

/// Set for the child: its data folder.
const DATA: &str = "GOLDCREST_TEST_DATA";
const ROUNDS: u64 = 30;

/// Not a test by itself: the body of the child process.
#[tokio::test]
async fn serve_until_killed() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let server = Server::bind(Settings::new(data.clone().into(), "127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = Path::new(&data).with_extension("address");
    std::fs::write(address.with_extension("new"), server.local_addr().to_string()).unwrap();
    std::fs::rename(address.with_extension("new"), address).unwrap();
    server.run(CancellationToken::new()).await.unwrap();
}

/// A child that does not outlive a failing test.
struct Process(Child);

impl Process {
    /// kill -9, and the data folder is free again.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn spawn(data: &Path) -> (Process, SocketAddr) {
    let address = data.with_extension("address");
    drop(std::fs::remove_file(&address));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["killed::serve_until_killed", "--exact"])
        .env(DATA, data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Process(child);
    loop {
        if let Ok(text) = std::fs::read_to_string(&address) {
            return (child, text.parse().unwrap());
        }
        assert!(child.0.try_wait().unwrap().is_none(), "the server did not start");
        std::thread::yield_now();
    }
}

/// What the server acknowledged.
#[derive(Debug)]
enum Acknowledged {
    Release { version: String, archive: Vec<u8> },
    Device { name: String },
    Report { name: String },
}

async fn see(address: SocketAddr, token: &str, path: &str) -> Response {
    let bearer = format!("Bearer {token}");
    send(address, "GET", path, &[("Authorization", &bearer)], b"").await
}

/// Sends one request; `None` when the server was killed before it answered.
async fn try_send(address: SocketAddr, token: &str, path: &str, body: &[u8]) -> Option<Response> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange_if_alive(address, &[head.as_bytes(), body].concat()).await
}

async fn upload_releases(address: SocketAddr, token: String, first: u64, done: mpsc::UnboundedSender<Acknowledged>) {
    for counter in first.. {
        let one = release(&format!("{counter}.0"), counter);
        let Some(response) = try_send(address, &token, "/api/v1/releases", &one.archive).await else { return };
        assert_eq!(response.status, 201, "{}", response.text());
        let news = Acknowledged::Release { version: format!("{counter}.0"), archive: one.archive };
        if done.send(news).is_err() {
            return;
        }
    }
}

async fn make_devices(address: SocketAddr, token: String, first: u64, done: mpsc::UnboundedSender<Acknowledged>) {
    for number in first.. {
        let name = format!("board-{number}");
        let body = json!({"name": name, "package": "sensor"}).to_string();
        let Some(response) = try_send(address, &token, "/api/v1/devices", body.as_bytes()).await else { return };
        let device_token = response.expect(201).json()["token"].as_str().unwrap().to_owned();
        if done.send(Acknowledged::Device { name: name.clone() }).is_err() {
            return;
        }
        let report = json!({"stage": "boot", "facts": {"platform": "esp32"}}).to_string();
        let Some(response) = try_send(address, &device_token, "/d/v1/report", report.as_bytes()).await else { return };
        response.expect(204);
        if done.send(Acknowledged::Report { name }).is_err() {
            return;
        }
    }
}

async fn check_all(address: SocketAddr, token: &str, all: &[Acknowledged]) {
    for one in all {
        match one {
            Acknowledged::Release { version, archive } => {
                let path = format!("/api/v1/releases/sensor/{version}/archive");
                assert_eq!(see(address, token, &path).await.expect(200).body, *archive, "{version}");
            }
            Acknowledged::Device { name } => {
                let device: Value = see(address, token, &format!("/api/v1/devices/{name}")).await.expect(200).json();
                assert_eq!(device["desired"], "1.0", "a new device is sent to the channel's release");
            }
            Acknowledged::Report { name } => {
                let device: Value = see(address, token, &format!("/api/v1/devices/{name}")).await.expect(200).json();
                assert_eq!(device["facts"], json!({"platform": "esp32"}));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut child, mut address) = spawn(&data);
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap().trim().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    send(address, "PUT", "/api/v1/keyring", &headers, &keyring(1)).await.expect(200);
    send(address, "POST", "/api/v1/releases", &headers, &release("1.0", 1).archive).await.expect(201);
    send(address, "PUT", "/api/v1/channels/sensor/stable", &headers, b"{\"version\":\"1.0\"}").await.expect(200);
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let (done, mut news) = mpsc::unbounded_channel();
        let first = (round + 1) * 1000;
        let uploads = tokio::spawn(upload_releases(address, token.clone(), first, done.clone()));
        let devices = tokio::spawn(make_devices(address, token.clone(), first, done));
        // Each round is killed at another point of its work, with requests in flight.
        for _ in 0..=round {
            all.push(news.recv().await.unwrap());
        }
        child.kill();
        uploads.await.unwrap();
        devices.await.unwrap();
        while let Some(one) = news.recv().await {
            all.push(one);
        }
        (child, address) = spawn(&data);
        check_all(address, &token, &all).await;
    }
    child.kill();
    assert!(all.len() as u64 > ROUNDS);
}
