//! What becomes of releases, good and bad, on real boards with the real server and the real CLI.

use anyhow::Result;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::rig::{LIMIT, eventually, program, user_files};
use goldcrest_fleet::{Board, BoardEvent, Events};
use serde_json::Value;

/// A board that runs release 1.0, confirmed, and is on.
async fn settled(bench: &Bench) -> Result<(Board, Events)> {
    bench.publish("1.0", &[("main.py", &program("1.0")), ("lib/sensor.py", b"PERIOD = 1\n")])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    let mut board = bench.device("kitchen", &[("main.py", &program("0"))]).await?;
    let events = board.events();
    board.power_on().await?;
    deployment(bench, "1.0", "confirmed").await?;
    Ok((board, events))
}

/// Waits until the newest deployment of a version has a state.
async fn deployment(bench: &Bench, version: &str, state: &str) -> Result<Value> {
    let what = format!("{version} to be {state}");
    let found = eventually(&what, || {
        let list = bench.api("deployments?device=kitchen").ok()?;
        list["deployments"].as_array()?.iter().find(|d| d["version"] == version && d["state"] == state).cloned()
    });
    match found.await {
        Ok(found) => Ok(found),
        Err(error) => {
            let events = bench.api("devices/kitchen/events")?;
            anyhow::bail!("{error}; deployments {:#}; events {events:#}", bench.api("deployments?device=kitchen")?)
        }
    }
}

/// Publishes `files` as 2.0, sends it with the server going down while the board tries it, and expects the rollback.
async fn rolled_back(files: &[(&str, &[u8])], reason: &str, trace: &str) {
    let mut bench = Bench::start().expect("a bench");
    let (mut board, mut events) = settled(&bench).await.expect("a settled board");
    bench.publish("2.0", files).expect("published");
    bench.cli(&["channel", "set", "stable", "2.0"]).expect("sent");
    events.wait_for(LIMIT, |e| matches!(e, BoardEvent::Reset(_))).await.expect("the reset into the release");
    bench.kill_server().expect("the server dies");
    let restored = |e: &BoardEvent| matches!(e, BoardEvent::Console(line) if line == "app 1.0");
    events.wait_for(LIMIT, restored).await.expect("the board is back on 1.0 without a server");
    bench.start_server().expect("the server is back");
    let ended = deployment(&bench, "2.0", "rolled-back").await.expect("reported");
    assert_eq!(ended["reason"], reason, "{ended:#}");
    let said = format!("{}{}", ended["detail"].as_str().unwrap_or(""), ended["trace"].as_str().unwrap_or(""));
    assert!(said.contains(trace), "wanted {trace:?} in {ended:#}");
    board.power_cut().await.expect("power cut");
    let tree = user_files(&board.read_tree().await.expect("its files"));
    assert_eq!(tree["main.py"], program("1.0"));
    assert_eq!(tree["lib/sensor.py"], b"PERIOD = 1\n");
    assert!(!tree.contains_key("lib/added.py"), "a file of the failed release is left");
    let device = bench.api("devices/kitchen").expect("the device");
    assert_eq!((&device["running"], &device["failed"]), (&Value::from("1.0"), &Value::from("2.0")), "{device:#}");
}

fn bad(main: &[u8]) -> Vec<(&str, &[u8])> {
    vec![("main.py", main), ("lib/sensor.py", b"PERIOD = 2\n"), ("lib/added.py", b"")]
}

#[tokio::test(flavor = "multi_thread")]
async fn good_release_confirms() {
    let bench = Bench::start().expect("a bench");
    let (mut board, _events) = settled(&bench).await.expect("a settled board");
    bench.publish("2.0", &[("main.py", &program("2.0")), ("lib/added.py", b"X = 1\n")]).expect("published");
    let done = bench.cli(&["deploy", "2.0", "--wait", "--timeout", "1m"]).expect("deployed");
    assert_eq!(done["state"], "completed", "{done:#}");
    board.power_cut().await.expect("power cut");
    let tree = user_files(&board.read_tree().await.expect("its files"));
    assert_eq!(tree["main.py"], program("2.0"));
    assert!(!tree.contains_key("lib/sensor.py"), "a file that the release no longer has is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn raises_at_import() {
    rolled_back(&bad(b"import sensor\nraise ValueError('no sensor')\n"), "crash", "no sensor").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syntax_error() {
    rolled_back(&bad(b"def main(:\n"), "crash", "SyntaxError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_forever() {
    rolled_back(&bad(b"while True:\n    pass\n"), "not-confirmed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_confirms() {
    rolled_back(&bad(b"import time\nwhile True:\n    time.sleep(1)\n"), "not-confirmed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_at_once() {
    rolled_back(&bad(b"import machine\nmachine.reset()\n"), "not-confirmed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_sys_exit() {
    rolled_back(&bad(b"import sys\nsys.exit()\n"), "not-confirmed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lacks_a_module() {
    rolled_back(&bad(b"import microdot\n"), "crash", "no module named 'microdot'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breaks_the_agent() {
    rolled_back_agent(("lib/goldcrest/agent.z", b"garbage"), "crash", "goldcrest").await;
}

/// MicroPython's loader never comes back from this bytecode, and no timer's callback runs meanwhile: on a board it is the watchdog that ends it.
#[tokio::test(flavor = "multi_thread")]
async fn breaks_the_agent_with_bytecode_that_was_cut_short() {
    rolled_back_agent(("lib/goldcrest/__init__.mpy", b"M\x06\x00\x1f\x01"), "not-confirmed", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breaks_the_agent_with_an_endless_import() {
    rolled_back_agent(("lib/goldcrest/__init__.py", b"while True:\n    pass\n"), "not-confirmed", "").await;
}

/// A release whose app is good, with one file of the agent that is not.
async fn rolled_back_agent(file: (&str, &[u8]), reason: &str, trace: &str) {
    let main = program("2.0");
    rolled_back(&[("main.py", &main), file, ("lib/sensor.py", b"PERIOD = 2\n")], reason, trace).await;
}
