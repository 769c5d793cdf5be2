//! What is measured of a peer: connections, one message to all, one message to each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::peers::Peer;
use crate::bench::Bench;

/// Clients that connect at the same time.
const CONNECTING: usize = 64;
/// What allocators and kernels put off is done after this long.
const SETTLE: Duration = Duration::from_secs(3);
/// Figures of messages are the median of this many rounds.
const ROUNDS: usize = 5;
/// A message that takes longer is lost.
const LIMIT: Duration = Duration::from_mins(1);
/// Bytes of a message.
const PAYLOAD: [u8; 100] = [b'x'; 100];

/// What a peer took.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Bytes of its memory for one connection that says nothing.
    pub bytes_idle: f64,
    /// Connections accepted in a second.
    pub connects_s: f64,
    /// Microseconds of its processor time for one.
    pub connect_us: f64,
    /// Milliseconds from one publish until every client has it.
    pub to_all_ms: f64,
    /// Microseconds of its processor time for one delivery of it.
    pub to_all_us: f64,
    /// Milliseconds for a retained message to each client, from the first publish until the last has it.
    pub to_each_ms: f64,
    /// Microseconds of its processor time for one of them, publish and delivery.
    pub to_each_us: f64,
    /// Of ours: milliseconds from the command that moves a channel until every device has heard of its release.
    pub told_ms: Option<f64>,
}

/// Connects all clients of a peer and puts it to work.
///
/// # Errors
/// When it refuses a client or loses a message.
pub async fn measure(peer: &Peer) -> Result<Figures> {
    let count = peer.clients.len();
    let (memory, processor, start) = (peer.resident()?, peer.processor_s()?, Instant::now());
    let mut clients = connect(peer).await?;
    let seconds = start.elapsed().as_secs_f64();
    let connect_us = (peer.processor_s()? - processor) * 1e6 / float(count);
    sleep(SETTLE).await;
    let bytes_idle = (float(usize::try_from(peer.resident()?)?) - float(usize::try_from(memory)?)) / float(count);
    for (number, client) in clients.iter_mut().enumerate() {
        client.subscribe("fleet/all").await?;
        client.subscribe(&peer.own_topic(number)).await?;
    }
    let (user, password) = &peer.publisher;
    let mut publisher = Client::connect(peer.address, "publisher", user, password).await?;
    let (mut to_all, mut to_each) = (Vec::new(), Vec::new());
    let processor = peer.processor_s()?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        publisher.publish("fleet/all", &PAYLOAD, false).await?;
        clients = receive(clients).await?;
        to_all.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let between = peer.processor_s()?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for number in 0..count {
            publisher.publish(&peer.own_topic(number), &PAYLOAD, true).await?;
        }
        clients = receive(clients).await?;
        to_each.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let to_each_us = (peer.processor_s()? - between) * 1e6 / float(count * ROUNDS);
    let told_ms = match peer.bench() {
        Some(bench) => Some(move_channel(peer, bench, clients).await?),
        None => None,
    };
    Ok(Figures {
        bytes_idle,
        connects_s: float(count) / seconds,
        connect_us,
        to_all_ms: median(to_all),
        to_all_us: (between - processor) * 1e6 / float(count * ROUNDS),
        to_each_ms: median(to_each),
        to_each_us,
        told_ms,
    })
}

/// Moves the channel that all devices follow. -> milliseconds until the last has heard.
async fn move_channel(peer: &Peer, bench: &Bench, mut clients: Vec<Client>) -> Result<f64> {
    tokio::task::block_in_place(|| bench.publish("1", &[("main.py", b"print('hi')\n")]))?;
    for (number, client) in clients.iter_mut().enumerate() {
        client.subscribe(&peer.desired_topic(number)).await?;
    }
    let mut waiting = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let wanted = peer.desired_topic(number);
        waiting.spawn(async move {
            loop {
                let message = timeout(LIMIT, client.message()).await.context("a device was not told")??;
                if message.topic == wanted && String::from_utf8_lossy(&message.payload).contains("\"version\":\"1\"") {
                    return Ok::<_, anyhow::Error>(client);
                }
            }
        });
    }
    let start = Instant::now();
    tokio::task::block_in_place(|| bench.cli(&["channel", "set", "stable", "1"]))?;
    while let Some(told) = waiting.join_next().await {
        told??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

async fn connect(peer: &Peer) -> Result<Vec<Client>> {
    let mut waiting = peer.clients.iter().cloned().enumerate();
    let (mut connecting, mut done) = (JoinSet::new(), Vec::new());
    loop {
        while connecting.len() < CONNECTING
            && let Some((number, (user, password))) = waiting.next()
        {
            let address = peer.address;
            connecting.spawn(async move {
                Ok::<_, anyhow::Error>((
                    number,
                    Client::connect(address, &format!("c{number}"), &user, &password).await?,
                ))
            });
        }
        match connecting.join_next().await {
            Some(connected) => done.push(connected??),
            None => break,
        }
    }
    // Client n is the owner of topic n.
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, client)| client).collect())
}

/// Waits until every client has one message.
async fn receive(clients: Vec<Client>) -> Result<Vec<Client>> {
    let count = clients.len();
    let mut waiting = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        waiting.spawn(async move {
            let message = timeout(LIMIT, client.message())
                .await
                .with_context(|| format!("nothing came to client {number}"))??;
            ensure!(message.payload == PAYLOAD, "client {number} got something else on {}", message.topic);
            Ok::<_, anyhow::Error>((number, client))
        });
    }
    let mut done = Vec::with_capacity(count);
    while let Some(received) = waiting.join_next().await {
        done.push(received??);
    }
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, client)| client).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^53")]
fn float(number: usize) -> f64 {
    number as f64
}

/// The figures by their names.
pub fn json_of(figures: &Figures) -> Value {
    json!({
        "bytes_idle": figures.bytes_idle.round(), "connects_s": figures.connects_s.round(),
        "connect_us": figures.connect_us.round(), "to_all_ms": rounded(figures.to_all_ms),
        "to_all_us": rounded(figures.to_all_us), "to_each_ms": rounded(figures.to_each_ms),
        "to_each_us": rounded(figures.to_each_us), "told_ms": figures.told_ms.map(f64::round),
    })
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// One line of the table for each figure, with the ratio of the first peer to the second.
pub fn table(peers: &[(&str, Figures); 2], count: usize) -> String {
    let [(one, a), (two, b)] = peers;
    let rows = [
        (format!("bytes of memory per idle connection, {count} of them"), a.bytes_idle, b.bytes_idle),
        ("connections per second".to_owned(), a.connects_s, b.connects_s),
        ("processor time per connection, us".to_owned(), a.connect_us, b.connect_us),
        (format!("one message to {count} clients, ms"), a.to_all_ms, b.to_all_ms),
        ("processor time per delivery of it, us".to_owned(), a.to_all_us, b.to_all_us),
        (format!("a retained message to each of {count}, ms"), a.to_each_ms, b.to_each_ms),
        ("processor time per message of these, us".to_owned(), a.to_each_us, b.to_each_us),
    ];
    let mut text = format!("| what | {one} | {two} | ratio |\n|---|---|---|---|\n");
    for (what, ours, theirs) in rows {
        text += &format!("| {what} | {ours:.1} | {theirs:.1} | {:.2} |\n", ours / theirs);
    }
    if let Some(told_ms) = a.told_ms {
        text += &format!("| a channel moves until {count} devices know their release, ms | {told_ms:.0} | | |\n");
    }
    text
}
