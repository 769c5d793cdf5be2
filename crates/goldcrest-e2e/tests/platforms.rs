//! Our agent pulls from the platforms of others: an emulated insigh.io and an emulated ThingsBoard, and our own server in their place.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use goldcrest_core::Digest;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::emulators::insighio::{CONTROL, Console, ID, KEY};
use goldcrest_e2e::emulators::thingsboard::{Firmware, TOKEN, Thingsboard};
use goldcrest_e2e::mosquitto;
use goldcrest_e2e::rig::{LIMIT, eventually, program, user_files};
use goldcrest_fleet::{Board, BoardEvent, Events};
use serde_json::{Value, json};

/// Modules of the agent that both platforms need.
const MODULES: [&str; 9] = ["archive", "mqtt", "package", "source", "store", "tar", "tree", "unpack", "web"];

/// A board that runs version 0 and pulls as `settings` say; it is on.
async fn board(bench: &Bench, settings: &Value) -> Result<(Board, Events)> {
    let platform = settings["source"].as_str().context("a source")?;
    let modules = [&MODULES[..], &[platform]].concat();
    bench.puller(&modules, json!({"package": "demo", "poll_s": 1, "trial_s": 10}), settings).await
}

async fn runs(events: &mut Events, version: &str) -> Result<()> {
    let line = format!("app {version}");
    events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Console(said) if *said == line)).await?;
    Ok(())
}

/// A new signed release, as the file that travels.
fn archive(bench: &Bench, version: &str) -> Result<Vec<u8>> {
    bench.publish(version, &[("main.py", &program(version)), ("lib/sensor.py", b"PERIOD = 1\n")])?;
    bench.archive(version)
}

/// A plain tar of one file, as the platform's own tool makes it.
fn plain_tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = goldcrest_core::archive::header(name, content.len() as u64).to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn thing(console: &Console, more: &Value) -> Value {
    let mut settings = json!({
        "source": "insighio", "server": console.mqtt(), "url": console.url(), "id": ID, "key": KEY, "control": CONTROL,
    });
    if let (Some(all), Some(more)) = (settings.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn insighio_updates_a_board_with_signed_releases_only() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let (bench, console) = (Bench::start()?, Console::start().await?);
    let (mut board, mut events) = board(&bench, &thing(&console, &json!({}))).await?;
    runs(&mut events, "0").await?;
    // Whoever has the platform, has not the board: a package without a signature is refused, and said to be.
    let foreign = console.request(".tar", &plain_tar("main.py", &program("evil")))?;
    let refused = || console.answers().iter().any(|answer| answer.starts_with(&format!("2 {foreign}"))).then_some(());
    eventually("the refusal", refused).await.with_context(|| format!("{:?}", console.answers()))?;
    let signed = console.request(".tar", &archive(&bench, "1.0")?)?;
    runs(&mut events, "1.0").await?;
    let applied = format!("1 {signed}");
    eventually("the answer", || console.answers().contains(&applied).then_some(())).await?;
    eventually("the request taken away", || (console.answers().last()? == "cleared").then_some(())).await?;
    // A release that dies is taken back, and the platform hears of it.
    bench.publish("2.0", &[("main.py", b"raise ValueError('no')\n")])?;
    let dies = console.request(".tar", &bench.archive("2.0")?)?;
    let failed = || console.answers().into_iter().find(|answer| answer.starts_with(&format!("2 {dies}")));
    let said = eventually("the failure", failed).await.with_context(|| format!("{:?}", console.answers()))?;
    ensure!(said.contains("can not apply: crash"), "{said}");
    board.power_cut().await?;
    let tree = user_files(&board.read_tree().await?);
    assert_eq!((&tree["main.py"], tree["lib/sensor.py"].as_slice()), (&program("1.0"), &b"PERIOD = 1\n"[..]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn insighio_updates_a_board_with_plain_packages_when_its_owner_allows_it() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let (bench, console) = (Bench::start()?, Console::start().await?);
    let (_board, mut events) = board(&bench, &thing(&console, &json!({"unsigned": true}))).await?;
    runs(&mut events, "0").await?;
    let plain = console.request(".tar", &plain_tar("main.py", &program("1.0")))?;
    runs(&mut events, "1.0").await?;
    let applied = format!("1 {plain}");
    eventually("the answer", || console.answers().contains(&applied).then_some(())).await?;
    ensure!(console.downloads() == 1, "{} downloads", console.downloads());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn thingsboard_updates_a_board_with_signed_releases() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let (bench, platform) = (Bench::start()?, Thingsboard::start().await?);
    let settings = json!({"source": "thingsboard", "server": platform.mqtt(), "token": TOKEN, "chunk_size": 1024});
    let (mut board, mut events) = board(&bench, &settings).await?;
    runs(&mut events, "0").await?;
    let bytes = archive(&bench, "1.0")?;
    let sha256 = Digest::of(&bytes).to_string();
    platform.assign(&Firmware { title: "demo", version: "1.0", sha256: &sha256, bytes: &bytes })?;
    runs(&mut events, "1.0").await?;
    let states = ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"];
    let done = || (platform.states().ends_with(&states.map(str::to_owned))).then_some(());
    eventually("every state", done).await.with_context(|| format!("{:?}", platform.states()))?;
    ensure!(platform.chunks() >= bytes.len().div_ceil(1024), "{} chunks", platform.chunks());
    let latest: BTreeMap<String, Value> = platform.latest();
    assert_eq!((&latest["current_fw_title"], &latest["current_fw_version"]), (&json!("demo"), &json!("1.0")));
    // The wrong file under a good name: not installed.
    let wrong = plain_tar("main.py", &program("evil"));
    let sha256 = Digest::of(&wrong).to_string();
    platform.assign(&Firmware { title: "demo", version: "2.0", sha256: &sha256, bytes: &wrong })?;
    eventually("the refusal", || (platform.states().last()? == "FAILED").then_some(())).await?;
    board.power_cut().await?;
    assert_eq!(user_files(&board.read_tree().await?)["main.py"], program("1.0"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_in_the_place_of_insighio() -> Result<()> {
    let bench = Bench::start()?;
    bench.publish("1.0", &[("main.py", &program("1.0"))])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    bench.cli(&["device", "add", "one", "--package", "demo"])?;
    let settings = json!({"control_channel": CONTROL, "data_channel": "data", "package": "release"});
    bench.post(
        "devices/one/credentials",
        &json!({"adapter": "insighio", "id": ID, "secret": KEY, "settings": settings}),
    )?;
    let mqtt = format!("mqtt://{}", bench.mqtt());
    let settings = json!({
        "source": "insighio", "server": mqtt, "url": bench.url(), "id": ID, "key": KEY, "control": CONTROL,
    });
    let (_board, mut events) = board(&bench, &settings).await?;
    runs(&mut events, "1.0").await?;
    bench.confirmed("1.0").await?;
    // While it runs: told at once.
    bench.publish("1.1", &[("main.py", &program("1.1"))])?;
    bench.cli(&["channel", "set", "stable", "1.1"])?;
    runs(&mut events, "1.1").await?;
    bench.confirmed("1.1").await?;
    // And one that dies.
    bench.publish("2.0", &[("main.py", b"raise ValueError('no')\n")])?;
    bench.cli(&["channel", "set", "stable", "2.0"])?;
    let failed = || (bench.api("devices/one").ok()?["failed"] == "2.0").then_some(());
    eventually("the failure", failed)
        .await
        .with_context(|| format!("{:#}", bench.api("devices/one/events").unwrap_or_default()))?;
    let shown = bench.api("deployments?device=one")?;
    assert_eq!(
        (&shown["deployments"][0]["state"], &shown["deployments"][0]["reason"]),
        (&json!("failed"), &json!("crash"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_in_the_place_of_thingsboard() -> Result<()> {
    let bench = Bench::start()?;
    bench.publish("1.0", &[("main.py", &program("1.0")), ("lib/sensor.py", b"PERIOD = 1\n")])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    bench.cli(&["device", "add", "one", "--package", "demo"])?;
    let settings = json!({"package": "release"});
    bench.post("devices/one/credentials", &json!({"adapter": "thingsboard", "id": TOKEN, "settings": settings}))?;
    let mqtt = format!("mqtt://{}", bench.mqtt());
    let settings = json!({"source": "thingsboard", "server": mqtt, "token": TOKEN, "chunk_size": 512});
    let (_board, mut events) = board(&bench, &settings).await?;
    runs(&mut events, "1.0").await?;
    bench.confirmed("1.0").await?;
    bench.publish("1.1", &[("main.py", &program("1.1"))])?;
    bench.cli(&["channel", "set", "stable", "1.1"])?;
    runs(&mut events, "1.1").await?;
    bench.confirmed("1.1").await?;
    Ok(())
}
