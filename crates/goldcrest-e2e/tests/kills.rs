//! 200 random kill -9 of boards and of the server during updates: nobody is left between two releases, nothing is lost.
#![expect(clippy::print_stdout, reason = "the seed and the number of kills belong in the log of a test run")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::rig::{program, user_files};
use goldcrest_fleet::{Board, BoardEvent, Events};
use tokio::time::sleep;

const KILLS: u32 = 200;
const BOARDS: [&str; 3] = ["kitchen", "attic", "garage"];
/// Kills of one board per update: a third one could be its third unconfirmed boot, which rightly rolls back.
const BOARD_KILLS: u32 = 2;
const SERVER_KILLS: u32 = 2;
/// An update takes about this long: poll interval, download, two boots.
const SPREAD_MS: u64 = 2500;

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_leave_old_or_new_and_lose_nothing() {
    let seed = std::env::var("GOLDCREST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    println!("GOLDCREST_SEED={seed}");
    kill(Dice(seed)).await.expect("every kill is survived");
}

async fn kill(mut dice: Dice) -> Result<()> {
    let mut bench = Bench::start()?;
    bench.write_project(&borrowed(&release(1)))?;
    bench.cli(&["publish", "--version", "1"])?;
    bench.cli(&["channel", "set", "stable", "1"])?;
    let mut boards = Vec::new();
    for name in BOARDS {
        let mut board = bench.device(name, &[("main.py", &program("0"))]).await?;
        board.power_on().await?;
        let events = board.events();
        boards.push((board, events));
    }
    bench.confirmed("1").await?;
    for (board, events) in &mut boards {
        *events = board.events();
    }
    let mut kills = 0;
    let mut version = 1;
    while kills < KILLS {
        version += 1;
        kills += publish_under_fire(&mut bench, version, &mut dice)?;
        kills += update_under_fire(&mut bench, &mut boards, &mut dice).await?;
        bench.confirmed(&version.to_string()).await.with_context(|| format!("after {kills} kills"))?;
        for (board, events) in &mut boards {
            check_board(board, events, version)
                .await
                .with_context(|| format!("{} after {kills} kills", board.name()))?;
        }
    }
    println!("{kills} kills over {version} releases");
    check_server(&bench, version)
}

/// Kills the server at a random moment of an upload; the upload is repeated until it is acknowledged.
fn publish_under_fire(bench: &mut Bench, version: u32, dice: &mut Dice) -> Result<u32> {
    bench.write_project(&borrowed(&release(version)))?;
    let version = version.to_string();
    let arguments = ["publish", "--version", &version, "--channel", "stable"];
    let mut publish = bench.cli_child(&arguments)?;
    std::thread::sleep(Duration::from_millis(dice.below(300)));
    bench.kill_server()?;
    // Whether it was acknowledged or not, it is repeated.
    publish.wait()?;
    bench.start_server()?;
    bench.cli(&arguments)?;
    Ok(1)
}

async fn update_under_fire(bench: &mut Bench, boards: &mut [(Board, Events)], dice: &mut Dice) -> Result<u32> {
    let mut plan: Vec<(u64, usize)> = Vec::new();
    for target in 0..=BOARDS.len() {
        let kills = if target == BOARDS.len() { SERVER_KILLS } else { BOARD_KILLS };
        plan.extend((0..kills).map(|_| (dice.below(SPREAD_MS), target)));
    }
    plan.sort_unstable();
    let mut now = 0;
    for (at, target) in &plan {
        sleep(Duration::from_millis(at - now)).await;
        now = *at;
        if let Some((board, _)) = boards.get_mut(*target) {
            board.power_cut().await?;
            board.power_on().await?;
        } else {
            bench.kill_server()?;
            bench.start_server()?;
        }
    }
    u32::try_from(plan.len()).context("a small number")
}

/// Exactly the new release on flash, and never anything but the old and the new one on the console.
async fn check_board(board: &mut Board, events: &mut Events, version: u32) -> Result<()> {
    board.power_cut().await?;
    let tree = user_files(&board.read_tree().await?);
    let expected = release(version);
    for (path, bytes) in &expected {
        ensure!(tree.get(*path).is_some_and(|b| b == bytes), "{path} is not that of release {version}");
    }
    let strangers: Vec<_> = tree
        .keys()
        .filter(|p| !p.starts_with("lib/goldcrest/") && *p != "boot.py" && *p != "goldcrest.json")
        .filter(|p| expected.iter().all(|(path, _)| path != p))
        .collect();
    ensure!(strangers.is_empty(), "left over: {strangers:?}");
    let mut seen = BTreeSet::new();
    let app = |e: &BoardEvent| matches!(e, BoardEvent::Console(line) if line.starts_with("app "));
    while let Ok(BoardEvent::Console(line)) = events.wait_for(Duration::ZERO, app).await {
        seen.insert(line.trim_start_matches("app ").to_owned());
    }
    let allowed = [version.to_string(), (version - 1).to_string()];
    ensure!(seen.iter().all(|app| allowed.contains(app)), "ran {seen:?} on the way to {version}");
    board.power_on().await
}

/// Every acknowledged release, device and deployment is there, and every object still has its digest.
fn check_server(bench: &Bench, last: u32) -> Result<()> {
    let devices = bench.api("devices")?;
    ensure!(devices["devices"].as_array().map(Vec::len) == Some(BOARDS.len()), "devices are missing: {devices:#}");
    for version in 1..=last {
        let file = format!("release-{version}.tar");
        bench.cli(&["release", "download", &version.to_string(), "--output", &file])?;
        bench.cli(&["verify", &file])?;
    }
    for name in BOARDS {
        let answer = bench.api(&format!("deployments?device={name}&limit=1000"))?;
        let deployments = answer["deployments"].as_array().context("a list")?;
        for version in 1..=last {
            let version = version.to_string();
            let mine: Vec<_> = deployments.iter().filter(|d| d["version"] == version).collect();
            ensure!(mine.len() == 1 && mine[0]["state"] == "confirmed", "{name}, release {version}: {mine:#?}");
        }
    }
    Ok(())
}

/// Files of a release: a program, a library of some 20 KB that barely deflates, and one file that only every second release has.
fn release(version: u32) -> Vec<(&'static str, Vec<u8>)> {
    let mut dice = Dice(u64::from(version) + 1);
    let noise = (0..1200).fold(String::new(), |noise, _| noise + &format!("{:016x}", dice.next()));
    let mut files =
        vec![("main.py", program(&version.to_string())), ("lib/noise.py", format!("N = '{noise}'\n").into_bytes())];
    if version.is_multiple_of(2) {
        files.push(("lib/even/only.py", b"EVEN = True\n".to_vec()));
    }
    files
}

fn borrowed<'a>(files: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
    files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect()
}

/// A small generator of numbers (xorshift64*), so that a run can be repeated.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }
}
