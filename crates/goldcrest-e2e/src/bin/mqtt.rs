//! `cargo xtask bench mqtt`: our MQTT endpoint and mosquitto in one run. Prints a table, with `--json` one line.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use anyhow::{Result, bail};
use goldcrest_e2e::mqtt_bench::chunks;
use goldcrest_e2e::mqtt_bench::contest::{Figures, json_of, measure, table};
use goldcrest_e2e::mqtt_bench::peers::Peer;
use serde_json::json;

/// Connections, unless `--clients` says otherwise.
const CLIENTS: usize = 5_000;

#[tokio::main]
async fn main() -> Result<()> {
    let (mut is_json, mut count) = (false, CLIENTS);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.size_hint()) {
            ("--json", _) => is_json = true,
            ("--clients", _) => count = words.next().unwrap_or_default().parse()?,
            (other, _) => bail!("it takes --json and --clients NUMBER, not {other:?}"),
        }
    }
    // One after the other: neither takes memory or time from the other.
    let theirs = run(|| Peer::mosquitto(count)).await?;
    let ours = run(|| Peer::ours(count)).await?;
    let (chunks, loopback) = chunks::measure().await?;
    if is_json {
        let figures = json!({"chunks_s": chunks.round(), "loopback_s": loopback.round()});
        let (ours, theirs) = (json_of(&ours), json_of(&theirs));
        println!("{}", json!({"clients": count, "goldcrest": ours, "mosquitto": theirs, "chunks": figures}));
    } else {
        print!("{}", table(&[("goldcrest", ours), ("mosquitto", theirs)], count));
        println!(
            "\nchunks of 4 KiB to 100 boards: {chunks:.0}/s; a bare loopback: {loopback:.0}/s ({:.2} times)",
            loopback / chunks
        );
    }
    Ok(())
}

async fn run(start: impl FnOnce() -> Result<Peer> + Send) -> Result<Figures> {
    let peer = tokio::task::block_in_place(start)?;
    measure(&peer).await
}
