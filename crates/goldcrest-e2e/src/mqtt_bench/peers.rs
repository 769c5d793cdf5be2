//! The two that are measured: `goldcrest serve` with enrolled devices, and mosquitto as Debian has it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::json;

use crate::bench::Bench;
use crate::mosquitto::Mosquitto;

/// Kernel ticks of a second, as `/proc/<pid>/stat` counts: fixed for programs on Linux.
const TICKS: f64 = 100.0;

/// Someone to measure.
pub struct Peer {
    /// For the table.
    pub name: &'static str,
    /// MQTT over TCP.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// User and password of each client.
    pub clients: Vec<(String, String)>,
    /// User and password of who publishes.
    pub publisher: (String, String),
    /// A topic that one client alone is told on; `{}` stands for its number.
    own: String,
    ids: Vec<i64>,
    /// Its processes and folders live as long as the value.
    kept: Kept,
}

/// What lives as long as the peer.
enum Kept {
    Ours(Box<Bench>),
    Mosquitto(#[expect(dead_code, reason = "held so that the process and its folder live")] Mosquitto),
}

impl Peer {
    /// Our server with this many devices, all of which may hear `fleet/all`.
    ///
    /// # Errors
    /// When it does not start or refuses a device.
    pub fn ours(count: usize) -> Result<Self> {
        let mut bench = Bench::start()?;
        bench.post("mqtt/rules", &json!({"allow": "subscribe", "filter": "fleet/#"}))?;
        let (mut clients, mut ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let made = bench.post("devices", &json!({"name": format!("d{number}"), "package": "demo"}))?;
            let token = made["token"].as_str().context("a token")?.to_owned();
            clients.push(("device".to_owned(), token));
            ids.push(made["device"]["id"].as_i64().context("an id")?);
        }
        // Enrolling has filled its memory: what it holds from here on is for its clients.
        bench.kill_server()?;
        bench.start_server()?;
        let (address, pid) = (bench.mqtt().parse()?, bench.pid().context("a process")?);
        let publisher = ("operator".to_owned(), bench.token().to_owned());
        let own = "goldcrest/v1/{}/app/notify".to_owned();
        Ok(Self { name: "goldcrest", address, pid, clients, publisher, own, ids, kept: Kept::Ours(Box::new(bench)) })
    }

    /// mosquitto without persistence or passwords: the least that it can do.
    ///
    /// # Errors
    /// When there is no mosquitto or it does not start.
    pub fn mosquitto(count: usize) -> Result<Self> {
        let mut broker = Mosquitto::prepare()?;
        let port = broker.port();
        broker.start(&format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nlog_type error\n"
        ))?;
        let (address, pid) = (SocketAddr::from(([127, 0, 0, 1], port)), broker.pid().context("a process")?);
        let login = ("user".to_owned(), "password".to_owned());
        Ok(Self {
            name: "mosquitto",
            address,
            pid,
            clients: vec![login.clone(); count],
            publisher: login,
            own: "devices/{}/app/notify".to_owned(),
            ids: (0..i64::try_from(count)?).collect(),
            kept: Kept::Mosquitto(broker),
        })
    }

    /// The topic that only this client is told on.
    pub fn own_topic(&self, number: usize) -> String {
        self.own.replace("{}", &self.ids[number].to_string())
    }

    /// Our server, when it is this one.
    pub fn bench(&self) -> Option<&Bench> {
        match &self.kept {
            Kept::Ours(bench) => Some(bench),
            Kept::Mosquitto(_) => None,
        }
    }

    /// The topic on which a device of ours hears of the release that it is to run.
    pub fn desired_topic(&self, number: usize) -> String {
        format!("goldcrest/v1/{}/desired", self.ids[number])
    }

    /// Bytes of memory that its process holds now.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// Seconds of processor time that it has used.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub fn processor_s(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // After the name, which may hold anything: state is field 3, utime 14, stime 15.
        let fields: Vec<&str> = stat.rsplit_once(')').context("a name")?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / TICKS)
    }
}
