//! console.insigh.io in small: a control channel on a broker, packages behind a download address, a history of what things answered.
//!
//! After the platform's documentation ("Packages", "Device Communication"): a request is a retained `SenML` message, the thing fetches the
//! package with its id, key and control channel, clears the request and says 1 or 2.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::{Shared, local};
use crate::mosquitto::Mosquitto;
use crate::mqtt_bench::client::Client;

/// The thing that the console knows.
pub const ID: &str = "06c80d38-07a0-4f3a-87ed-ee17232cd7e7";
/// Its key.
pub const KEY: &str = "6bb7163b-6edd-42b3-8546-c76693bc2f18";
/// Its control channel.
pub const CONTROL: &str = "6979beea-6c10-4ab2-a684-11989451d7e6";
/// The platform's own login at the broker.
const CONSOLE: &str = "console";
/// Most bytes of a request head.
const MAX_HEAD: usize = 8 << 10;

/// A running console; it ends with the value.
#[derive(Debug)]
pub struct Console {
    broker: Mosquitto,
    http_port: u16,
    state: Shared<State>,
    say: UnboundedSender<(String, Vec<u8>)>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct State {
    /// File id, its type, its bytes.
    packages: Vec<(String, Vec<u8>)>,
    /// What the thing said on the topic of requests, in a line each.
    answers: Vec<String>,
    downloads: usize,
}

impl Console {
    /// Starts it.
    ///
    /// # Errors
    /// When mosquitto is not there or does not start.
    pub async fn start() -> Result<Self> {
        let mut broker = Mosquitto::prepare()?;
        for (user, password) in [(CONSOLE, "console"), (ID, KEY)] {
            let file = broker.path("passwords");
            let make: &[&str] = if file.exists() { &["-b"] } else { &["-b", "-c"] };
            let added = Command::new("mosquitto_passwd").args(make).arg(&file).args([user, password]).output()?;
            ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let access = format!(
            "user {CONSOLE}\ntopic readwrite channels/#\n\nuser {ID}\ntopic readwrite channels/+/messages/{ID}/#\n"
        );
        std::fs::write(broker.path("access"), access)?;
        let (passwords, access) = (broker.path("passwords"), broker.path("access"));
        broker.start(&format!(
            "listener {} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\nuser root\npersistence false\n",
            broker.port(),
            passwords.display(),
            access.display()
        ))?;
        let state = Shared::new(State::default());
        let mut listening = Client::connect(local(broker.port()), "platform-hears", CONSOLE, "console").await?;
        listening.subscribe("channels/#").await?;
        let mut saying = Client::connect(local(broker.port()), "platform-says", CONSOLE, "console").await?;
        let (say, mut to_say) = unbounded_channel::<(String, Vec<u8>)>();
        let heard = state.clone();
        let messages = tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = listening.message() => {
                        let Ok(message) = message else { return };
                        heard.lock().hear(&message.topic, &message.payload);
                    }
                    Some((topic, payload)) = to_say.recv() => {
                        if saying.publish(&topic, &payload, true).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let http = TcpListener::bind(local(0)).await?;
        let http_port = http.local_addr()?.port();
        let served = state.clone();
        let packages = tokio::spawn(async move {
            while let Ok((mut stream, _)) = http.accept().await {
                let served = served.clone();
                // A client that leaves early is its own business.
                tokio::spawn(async move { drop(answer(&mut stream, &served).await) });
            }
        });
        Ok(Self { broker, http_port, state, say, tasks: [messages, packages] })
    }

    /// `mqtt://127.0.0.1:port`.
    pub fn mqtt(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.broker.port())
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    fn topic() -> String {
        format!("channels/{CONTROL}/messages/{ID}/ota")
    }

    /// Registers a package and asks the thing to install it. Returns its file id.
    ///
    /// # Errors
    /// When the platform has lost its broker.
    pub fn request(&self, extension: &str, package: &[u8]) -> Result<String> {
        let mut state = self.state.lock();
        let file_id = format!("{:08x}", 0xfa88_84d2_u32.wrapping_add(u32::try_from(state.packages.len())?));
        state.packages.push((file_id.clone(), package.to_vec()));
        drop(state);
        let request = json!([
            {"n": "e", "v": 0}, {"n": "i", "vs": file_id}, {"n": "t", "vs": extension}, {"n": "s", "v": package.len()},
        ]);
        self.say.send((Self::topic(), request.to_string().into_bytes())).context("the platform has lost its broker")?;
        Ok(file_id)
    }

    /// What the thing said about requests so far: `1 fa8884d2`, `2 fa8884d2 why`, `cleared`.
    pub fn answers(&self) -> Vec<String> {
        self.state.lock().answers.clone()
    }

    /// Packages that were fetched.
    pub fn downloads(&self) -> usize {
        self.state.lock().downloads
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl State {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        if topic != Console::topic() {
            return;
        }
        if payload.is_empty() {
            self.answers.push("cleared".into());
            return;
        }
        let records: Vec<Value> = serde_json::from_slice(payload).unwrap_or_default();
        let value = |name: &str| {
            let record = records.iter().find(|record| record["n"] == name)?;
            let value = record.get("v").or_else(|| record.get("vs"))?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        // Its own requests come back to it.
        if let Some(event) = value("e").filter(|event| event != "0") {
            let words = [Some(event), value("i"), value("m")];
            self.answers.push(words.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
    }

    fn package(&self, head: &str) -> Option<Vec<u8>> {
        let target = head.strip_prefix("GET ")?.split(' ').next()?;
        let query = target.strip_prefix("/mf-rproxy/packages/download?")?;
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        if value("did") != Some(ID) || value("dk") != Some(KEY) || value("cid") != Some(CONTROL) {
            return None;
        }
        let file_id = value("fuid")?;
        self.packages.iter().find(|(id, _)| id == file_id).map(|(_, package)| package.clone())
    }
}

async fn answer(stream: &mut tokio::net::TcpStream, state: &Shared<State>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < MAX_HEAD, "a head without an end");
        head.push(stream.read_u8().await?);
    }
    let package = state.lock().package(&String::from_utf8_lossy(&head));
    let (status, body) = match package {
        Some(package) => {
            state.lock().downloads += 1;
            ("200 OK", package)
        }
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}
