//! ThingsBoard with clients that nobody here wrote: its SDK for Python over MQTT and HTTP, umqtt.simple on a MicroPython board, paho-mqtt, and
//! mosquitto's where they are installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use goldcrest_core::Digest;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::device::sdists::Sdists;
use goldcrest_e2e::device::wheels::{install, python};
use goldcrest_e2e::rig::{LIMIT, eventually};
use goldcrest_fleet::{Board, BoardSettings, Micropython, Tree};
use serde_json::{Value, json};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// The SDK in a folder of its own, with these words.
fn sdk(bench: &Bench, words: &[&str]) -> Result<Command> {
    let folder = bench.path("sdk");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(python());
    command.env("PYTHONPATH", install("thingsboard")?).current_dir(folder).stdin(Stdio::null());
    command.arg(Path::new(CLIENTS).join("thingsboard_sdk.py")).args(words);
    Ok(command)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said} {}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stdout)?)
}

/// A bench with 1.0.0 on `stable`, and a device with an access token.
fn prepared(name: &str) -> Result<Bench> {
    let bench = Bench::start()?;
    let noise: Vec<u8> =
        (0..40_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ n.to_le_bytes()[1]).collect();
    bench.publish("1.0.0", &[("main.py", b"print('hi')\n"), ("lib/noise.bin", &noise)])?;
    bench.cli(&["channel", "set", "stable", "1.0.0"])?;
    bench.post("devices", &json!({"name": name, "package": "demo"}))?;
    bench.post(&format!("devices/{name}/credentials"), &json!({"adapter": "thingsboard", "id": "the-token"}))?;
    Ok(bench)
}

fn mqtt(bench: &Bench) -> Result<(&str, &str)> {
    bench.mqtt().split_once(':').context("host and port")
}

/// Fetches the package over HTTP: what the SDK must have got.
fn package(bench: &Bench, version: &str) -> Result<Vec<u8>> {
    let url = format!("{}/api/v1/the-token/firmware?title=demo&version={version}", bench.url());
    let mut bytes = Vec::new();
    ureq::get(&url).call()?.body_mut().as_reader().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Version and state of each deployment, and of the device.
fn line(bench: &Bench, name: &str) -> Result<String> {
    let list = bench.api(&format!("deployments?device={name}"))?;
    let deployments = list["deployments"].as_array().context("a list")?.iter();
    let mut parts: Vec<String> = deployments
        .map(|row| format!("{} {}", row["version"].as_str().unwrap_or("?"), row["state"].as_str().unwrap_or("?")))
        .collect();
    parts.reverse();
    let device = bench.api(&format!("devices/{name}"))?;
    parts.push(format!("runs {}", device["running"].as_str().unwrap_or("nothing")));
    Ok(parts.join(", "))
}

/// Stages that a device reported, in order.
fn stages(bench: &Bench, name: &str) -> Result<String> {
    let list = bench.api(&format!("devices/{name}/events"))?;
    let events = list["events"].as_array().context("a list")?.iter().rev();
    Ok(events.map(|event| event["stage"].as_str().unwrap_or("?")).collect::<Vec<_>>().join(" "))
}

#[test]
fn its_sdk_updates_over_mqtt() -> Result<()> {
    for chunk_size in ["0", "4096"] {
        let bench = prepared("one")?;
        let (host, port) = mqtt(&bench)?;
        let said = output(&mut sdk(&bench, &["mqtt", host, port, "the-token", chunk_size])?)?;
        let digest = Digest::of(&package(&bench, "1.0.0")?);
        assert_eq!(said, format!("updated demo 1.0.0 without an error\npackage {digest}\n"));
        assert_eq!(line(&bench, "one")?, "1.0.0 confirmed, runs 1.0.0");
        assert_eq!(stages(&bench, "one")?, "downloading downloading verified installing confirmed");
    }
    Ok(())
}

#[test]
fn its_sdk_updates_over_http() -> Result<()> {
    for chunk_size in ["0", "4096"] {
        let bench = prepared("one")?;
        let said = output(&mut sdk(&bench, &["http", &bench.url(), "the-token", chunk_size])?)?;
        let digest = Digest::of(&package(&bench, "1.0.0")?);
        assert_eq!(said, format!("connected True\npackage {digest}\nlimits 65536\n"));
        assert_eq!(line(&bench, "one")?, "1.0.0 confirmed, runs 1.0.0");
        // It queues its states and changes them in the queue, so that one may be lost.
        let stages = stages(&bench, "one")?;
        assert!(stages.starts_with("downloading ") && stages.ends_with(" confirmed"), "{stages}");
    }
    Ok(())
}

/// A client that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_sdk_notes_measures_and_is_called() -> Result<()> {
    let bench = prepared("one")?;
    let (host, port) = mqtt(&bench)?;
    put(&bench, "devices/one/attributes", &json!({"period": 5}))?;
    let mut client = Running(sdk(&bench, &["data", host, port, "the-token"])?.stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(client.0.stdout.take().context("its stdout")?).lines();
    let mut next = || anyhow::Ok(lines.next().context("it says no more")??);
    assert_eq!(next()?, "asked {'client': {'serial': 'A1'}, 'shared': {'period': 5}}");
    assert_eq!(next()?, "time True");
    assert_eq!(next()?, "ready");
    put(&bench, "devices/one/attributes", &json!({"period": 6}))?;
    assert_eq!(next()?, "told {'period': 6}");
    let answer = bench.post("devices/one/rpc", &json!({"method": "led", "params": {"on": true}}))?;
    assert_eq!(answer, json!({"answer": {"was": "led"}}));
    assert_eq!(next()?, "called {'method': 'led', 'params': {'on': True}}");
    ensure!(client.0.wait()?.success(), "the client failed");
    let seen = bench.api("devices/one/telemetry?key=t&limit=5")?;
    let wanted = json!([{"at_ms": 1_700_000_000_001_i64, "value": 2}, {"at_ms": 1_700_000_000_000_i64, "value": 1}]);
    assert_eq!(seen["telemetry"]["t"], wanted);
    assert_eq!(bench.post("devices/one/claim", &json!({"secret": "secret"}))?["device"], "one");
    Ok(())
}

fn put(bench: &Bench, path: &str, body: &Value) -> Result<()> {
    let url = format!("{}/api/v1/{path}", bench.url());
    ureq::put(&url).header("Authorization", format!("Bearer {}", bench.token())).send(body.to_string())?;
    Ok(())
}

#[test]
fn its_sdk_provisions() -> Result<()> {
    let bench = prepared("one")?;
    let (host, port) = mqtt(&bench)?;
    let made = bench.post("profiles", &json!({"name": "line", "package": "demo"}))?;
    let (key, secret) = (made["key"].as_str().context("a key")?, made["secret"].as_str().context("a secret")?);
    let said = output(&mut sdk(&bench, &["provision", host, port, key, secret, "two"])?)?;
    assert_eq!(said, "SUCCESS ACCESS_TOKEN\nrefused None\n");
    let said = output(&mut sdk(&bench, &["provision_http", &bench.url(), key, secret, "three"])?)?;
    assert_eq!(said, "connected True\n");
    let devices = bench.api("devices")?;
    let names: Vec<&str> =
        devices["devices"].as_array().context("a list")?.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["one", "three", "two"]);
    Ok(())
}

/// A board without our agent: what it is at first, and how it comes to more.
fn board_files(bench: &Bench, chunk_size: usize) -> Result<Tree> {
    let (host, port) = mqtt(bench)?;
    let read = |path: PathBuf| std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let clients = Path::new(CLIENTS).join("thingsboard_board");
    let umqtt = Sdists::fetch()?.package("micropython-umqtt.simple", "1.3.4");
    let config = json!({"host": host, "port": port.parse::<u16>()?, "token": "the-token", "chunk_size": chunk_size});
    let files = [
        ("FW_METADATA.json", json!({"title": "demo", "version": "1.0.0"}).to_string().into_bytes()),
        ("boot.py", read(clients.join("boot.py"))?),
        ("config.json", config.to_string().into_bytes()),
        ("data/kept.txt", b"kept".to_vec()),
        ("lib/umqtt/simple.py", read(umqtt.join("umqtt/simple.py"))?),
        ("lib/updatable.py", read(clients.join("updatable.py"))?),
        ("main.py", main("1.0.0")),
    ];
    Ok(files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect())
}

fn main(version: &str) -> Vec<u8> {
    let text = format!(
        "import time, updatable\nclient = updatable.Client()\nclient.connect()\nprint('app {version} listens')\nwhile True:\n    \
         client.mqtt.check_msg()\n    time.sleep_ms(20)\n"
    );
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_micropython_board_updates_with_umqtt() -> Result<()> {
    for chunk_size in [0, 1024] {
        let bench = prepared("one")?;
        let mut settings = BoardSettings::new(bench.rig.folder.path(), "tb", &Micropython::find(None)?);
        settings.files = board_files(&bench, chunk_size)?;
        let mut board = Board::create(settings).await?;
        let mut events = board.events();
        board.power_on().await?;
        events.wait_for_line(LIMIT, "app 1.0.0 listens").await?;
        let deep = b"DEEP = 1\n".repeat(600);
        bench.publish("2.0.0", &[("main.py", &main("2.0.0")), ("lib/a/b/deep.py", &deep)])?;
        bench.cli(&["channel", "set", "stable", "2.0.0"])?;
        events.wait_for_line(LIMIT, "downloaded in").await?;
        events.wait_for_line(LIMIT, "installed 2.0.0").await?;
        events.wait_for_line(LIMIT, "app 2.0.0 listens").await?;
        eventually("the last state", || {
            line(&bench, "one").ok().filter(|line| line.ends_with("2.0.0 confirmed, runs 2.0.0"))
        })
        .await?;
        let wanted = "downloading downloading verified confirmed";
        eventually("every state", || stages(&bench, "one").ok().filter(|stages| stages == wanted)).await?;
        let answer = bench.post("devices/one/rpc", &json!({"method": "blink"}))?;
        assert_eq!(answer, json!({"answer": {"did": "blink"}}));
        // `data` is a folder there: the installation fails, and its error has accents, so that its message loses its end.
        bench.publish("3.0.0", &[("data", b"x"), ("main.py", &main("3.0.0"))])?;
        bench.cli(&["channel", "set", "stable", "3.0.0"])?;
        events.wait_for_line(LIMIT, "not installed").await?;
        events.wait_for_line(LIMIT, "app 2.0.0 listens").await?;
        eventually("the failure", || {
            line(&bench, "one").ok().filter(|line| line.ends_with("3.0.0 failed, runs 2.0.0"))
        })
        .await?;
        let list = bench.api("deployments?device=one")?;
        let detail = list["deployments"][0]["detail"].as_str().context("a detail")?;
        assert!(
            detail.starts_with("Excepción producida durante la instalación del paquete de OTA: (OSError)"),
            "{detail}"
        );
        board.power_cut().await?;
        let tree = board.read_tree().await?;
        assert_eq!((&tree["lib/a/b/deep.py"], &tree["data/kept.txt"]), (&deep, &b"kept".to_vec()));
    }
    Ok(())
}

#[test]
fn paho_and_mosquitto_tell_telemetry() -> Result<()> {
    let bench = prepared("one")?;
    let (host, port) = mqtt(&bench)?;
    let script = "import sys, paho.mqtt.publish as p\n\
        p.single('v1/devices/me/telemetry', '{\"by\": \"paho\"}', 1, hostname=sys.argv[1], port=int(sys.argv[2]), auth={'username': 'the-token'})\n";
    let mut paho = Command::new(python()).args(["-", host, port]).stdin(Stdio::piped()).spawn()?;
    paho.stdin.take().context("its stdin")?.write_all(script.as_bytes())?;
    ensure!(paho.wait()?.success(), "paho failed");
    assert_eq!(bench.api("devices/one/telemetry")?["telemetry"]["by"][0]["value"], "paho");
    if Command::new("mosquitto_pub").arg("--help").output().is_err() {
        let missing = "no mosquitto_pub in PATH (Debian: apt-get install mosquitto-clients)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return Ok(());
    }
    // As ThingsBoard's own documentation has it.
    let common = ["-h", host, "-p", port, "-u", "the-token", "-q", "1"];
    let words = ["-t", "v1/devices/me/telemetry", "-m", "{\"by\": \"mosquitto\"}"];
    output(Command::new("mosquitto_pub").args(common).args(words))?;
    assert_eq!(bench.api("devices/one/telemetry")?["telemetry"]["by"][0]["value"], "mosquitto");
    Ok(())
}
