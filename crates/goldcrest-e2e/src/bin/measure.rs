//! The figures of docs/benchmarks.md that need a server and boards; `cargo xtask bench` runs it. Prints tables, with `--json` one line.
#![expect(clippy::print_stdout, reason = "its output is its result")]
#![expect(clippy::format_push_string, reason = "a table is built line by line")]

use std::time::{Duration, Instant};

use anyhow::Result;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::rig::{LIMIT, program};
use goldcrest_e2e::wire::Wire;
use goldcrest_fleet::{Board, BoardEvent};
use serde_json::{Value, json};

const BOARDS: [&str; 5] = ["attic", "garage", "kitchen", "lab", "porch"];
/// Check-ins over which the bytes of one are averaged.
const POLLS: u32 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let one = one_board().await?;
    let five = five_boards().await?;
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json!({"one_board": one, "five_boards": five}));
    } else {
        print!("{}", table(&one, &five));
    }
    Ok(())
}

/// Updates of one board by name in the JSON, and what they are called.
const UPDATES: [(&str, &str); 4] = [
    ("first_60k", "one file of 60 KB, first"),
    ("next_60k", "one file of 60 KB, changed"),
    ("first_92_files", "92 files of 6.9 KB, first"),
    ("2_of_92_files", "2 of 92 files changed"),
];

/// The same figures for people.
fn table(one: &Value, five: &Value) -> String {
    let mut text = format!(
        "{:<28}{:>12}{:>10}{:>10}{:>8}{:>9}\n",
        "update of one board", "bytes down", "bytes up", "programs", "erases", "seconds"
    );
    for (key, title) in UPDATES {
        let cost = &one[key];
        let cell = |name: &str| cost[name].to_string();
        text += &format!(
            "{title:<28}{:>12}{:>10}{:>10}{:>8}{:>9}\n",
            cell("bytes_down"),
            cell("bytes_up"),
            cell("flash_programs"),
            cell("flash_erases"),
            cell("seconds")
        );
    }
    let boot = &one["ordinary_boot"];
    text += &format!(
        "{:<28}{:>12}{:>10}\n{:<28}{:>12}{:>10}{:>10}{:>8}\n",
        "check-in without news",
        boot["checkin_bytes_down"].to_string(),
        boot["checkin_bytes_up"].to_string(),
        "ordinary boot",
        "",
        "",
        boot["flash_programs"].to_string(),
        boot["flash_erases"].to_string()
    );
    let (seconds, poll) = (&five["publish_to_confirmed_seconds"], &five["poll_seconds"]);
    text + &format!("from publish to five boards confirmed, a check-in every {poll} s: {seconds} s\n")
}

/// Files of a synthetic application: `count` files of `size` bytes, those in `changed` different in every round.
fn app(round: u32, count: usize, size: usize, changed: usize) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = (0..count)
        .map(|n| {
            let version = if n < changed { round } else { 0 };
            let line = |i: usize| format!("def f{i}_{n}(x): return x * {} + {version}\n", i * 7919 % 997);
            let mut text: String = (0..)
                .map(line)
                .scan(0, |length, l| {
                    *length += l.len();
                    (*length <= size).then_some(l)
                })
                .collect();
            text.push_str(&"#".repeat(size - text.len()));
            (format!("lib/app/m{n}.py"), text.into_bytes())
        })
        .collect();
    files.push(("main.py".to_owned(), program(&round.to_string())));
    files
}

struct Bed {
    bench: Bench,
    wire: Wire,
    board: Board,
    round: u32,
}

impl Bed {
    /// Publishes the next round and returns what the update cost: bytes, flash operations, seconds.
    async fn update(&mut self, count: usize, size: usize, changed: usize) -> Result<Value> {
        self.round += 1;
        let files = app(self.round, count, size, changed);
        let files: Vec<_> = files.iter().map(|(p, b)| (p.as_str(), b.as_slice())).collect();
        let version = self.round.to_string();
        self.bench.publish(&version, &files)?;
        self.wire.take();
        let before = self.board.flash();
        let start = Instant::now();
        self.bench.cli(&["channel", "set", "stable", &version])?;
        self.bench.confirmed(&version).await?;
        let seconds = start.elapsed().as_secs_f64();
        let (bytes, after) = (self.wire.take(), self.board.flash());
        Ok(json!({
            "bytes_up": bytes.up, "bytes_down": bytes.down,
            "flash_programs": after.programs - before.programs, "flash_erases": after.erases - before.erases,
            "seconds": (seconds * 10.0).round() / 10.0,
        }))
    }
}

async fn one_board() -> Result<Value> {
    let bench = Bench::start()?;
    let wire = Wire::to(&bench.url())?;
    let mut board = bench.device_at(&wire.url(), "kitchen", &[("main.py", &program("0"))]).await?;
    board.power_on().await?;
    let mut bed = Bed { bench, wire, board, round: 0 };
    let first_60k = bed.update(1, 60_000, 1).await?;
    let next_60k = bed.update(1, 60_000, 1).await?;
    let first_92 = bed.update(92, 6_900, 2).await?;
    let two_of_92 = bed.update(92, 6_900, 2).await?;
    let boot = ordinary_boot(&mut bed).await?;
    bed.board.stop().await?;
    Ok(
        json!({"first_60k": first_60k, "next_60k": next_60k, "first_92_files": first_92, "2_of_92_files": two_of_92, "ordinary_boot": boot}),
    )
}

/// Flash operations of a boot with check-ins and no news, and the bytes of one such check-in.
async fn ordinary_boot(bed: &mut Bed) -> Result<Value> {
    bed.board.power_cut().await?;
    let before = bed.board.flash();
    let mut events = bed.board.events();
    bed.board.power_on().await?;
    let up = |e: &BoardEvent| matches!(e, BoardEvent::Console(line) if line.starts_with("app "));
    events.wait_for(LIMIT, up).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    bed.wire.take();
    tokio::time::sleep(Duration::from_secs(u64::from(POLLS))).await;
    let bytes = bed.wire.take();
    bed.board.power_cut().await?;
    let after = bed.board.flash();
    Ok(json!({
        "flash_programs": after.programs - before.programs, "flash_erases": after.erases - before.erases,
        "checkin_bytes_up": bytes.up / u64::from(POLLS), "checkin_bytes_down": bytes.down / u64::from(POLLS),
    }))
}

/// Seconds from the start of `goldcrest publish` until all five boards have confirmed.
async fn five_boards() -> Result<Value> {
    let bench = Bench::start()?;
    let mut boards = Vec::new();
    for name in BOARDS {
        let mut board = bench.device(name, &[("main.py", &program("0"))]).await?;
        board.power_on().await?;
        boards.push(board);
    }
    let mut seconds = Vec::new();
    for round in 1..=5 {
        let files = app(round, 8, 4_000, 4);
        let files: Vec<_> = files.iter().map(|(p, b)| (p.as_str(), b.as_slice())).collect();
        bench.write_project(&files)?;
        let start = Instant::now();
        bench.cli(&["publish", "--version", &round.to_string(), "--channel", "stable"])?;
        bench.confirmed(&round.to_string()).await?;
        seconds.push((start.elapsed().as_secs_f64() * 10.0).round() / 10.0);
    }
    for board in boards {
        board.stop().await?;
    }
    Ok(json!({"publish_to_confirmed_seconds": seconds, "poll_seconds": 1}))
}
