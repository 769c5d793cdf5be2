//! `cargo xtask bench mqtt`: our MQTT endpoint and mosquitto in one run. Prints a table, with `--json` one line.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use anyhow::{Result, bail};
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
    if is_json {
        println!("{}", json!({"clients": count, "goldcrest": json_of(&ours), "mosquitto": json_of(&theirs)}));
    } else {
        print!("{}", table(&[("goldcrest", ours), ("mosquitto", theirs)], count));
    }
    Ok(())
}

async fn run(start: impl FnOnce() -> Result<Peer> + Send) -> Result<Figures> {
    let peer = tokio::task::block_in_place(start)?;
    measure(&peer).await
}
