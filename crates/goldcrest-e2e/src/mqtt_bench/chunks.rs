//! Packages by `ThingsBoard`'s chunks: our server, and a loopback that answers with as many bytes and does nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::Client;
use crate::bench::Bench;

/// Boards that fetch at the same time.
const BOARDS: usize = 100;
/// Bytes of a chunk.
const CHUNK: usize = 4096;
/// Bytes of the package's one file, which does not compress.
const FILE: usize = 256 << 10;
/// How long is measured.
const TIME: Duration = Duration::from_secs(5);
/// Bytes of a request for a chunk, as MQTT has it.
const REQUEST: usize = 34;

/// Chunks in a second of our server, and answers of the loopback.
///
/// # Errors
/// When the server does not start or a chunk is not what it should be.
pub async fn measure() -> Result<(f64, f64)> {
    let (bench, tokens) = tokio::task::block_in_place(prepared)?;
    let address: SocketAddr = bench.mqtt().parse()?;
    let mut clients = Vec::with_capacity(BOARDS);
    for (number, token) in tokens.iter().enumerate() {
        clients.push(Client::connect(address, &format!("board{number}"), token, "").await?);
    }
    let ours = run(clients, fetch).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    // A thread of its own, as the server is a process of its own.
    std::thread::spawn(move || answer_all(listener.into_std()));
    let mut streams = Vec::with_capacity(BOARDS);
    for _ in 0..BOARDS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok((ours, run(streams, echo).await?))
}

/// A server with a release, and the access tokens of its boards.
fn prepared() -> Result<(Bench, Vec<String>)> {
    let bench = Bench::start()?;
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let file: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[3]
    })
    .take(FILE)
    .collect();
    bench.publish("1.0", &[("main.py", b"print(1)\n"), ("lib/data.bin", &file)])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    let mut tokens = Vec::with_capacity(BOARDS);
    for number in 0..BOARDS {
        let body = json!({"name": format!("d{number}"), "package": "demo", "credential": {"adapter": "thingsboard"}});
        let made = bench.post("devices", &body)?;
        tokens.push(made["credential"]["id"].as_str().context("an access token")?.to_owned());
    }
    Ok((bench, tokens))
}

/// Asks on every connection at once, each for one after the other. -> answers in a second.
async fn run<C, F>(connections: Vec<C>, ask: impl Fn(C, usize) -> F) -> Result<f64>
where
    F: Future<Output = Result<C>> + Send + 'static,
    C: Send + 'static,
    F::Output: Send,
{
    let (mut asking, mut answers, start) = (JoinSet::new(), 0_u32, Instant::now());
    for connection in connections {
        asking.spawn(ask(connection, 0));
    }
    while let Some(answered) = asking.join_next().await {
        let connection = answered??;
        answers += 1;
        if start.elapsed() < TIME {
            asking.spawn(ask(connection, usize::try_from(answers)? % (FILE / CHUNK)));
        }
    }
    Ok(f64::from(answers) / start.elapsed().as_secs_f64())
}

async fn fetch(mut client: Client, number: usize) -> Result<Client> {
    client.publish(&format!("v2/fw/request/0/chunk/{number}"), b"4096", false).await?;
    let message = client.message().await?;
    ensure!(message.topic == format!("v2/fw/response/0/chunk/{number}"), "an answer on {}", message.topic);
    ensure!(message.payload.len() == CHUNK, "chunk {number} has {} bytes", message.payload.len());
    Ok(client)
}

async fn echo(mut stream: TcpStream, _: usize) -> Result<TcpStream> {
    stream.write_all(&[0; REQUEST]).await?;
    stream.read_exact(&mut [0; CHUNK]).await?;
    Ok(stream)
}

/// The loopback: on its own runtime until the program ends.
fn answer_all(listener: std::io::Result<std::net::TcpListener>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener?)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut request = [0; REQUEST];
                while stream.read_exact(&mut request).await.is_ok() {
                    if stream.write_all(&[1; CHUNK]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}
