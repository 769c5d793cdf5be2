//! The server attached to a real mosquitto, configured by the very files of docs/mqtt.md: boards and things that only know the broker.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::mosquitto::{self, Mosquitto};
use serde_json::{Value, json};

const THING: &str = "06c80d38-07a0-4f3a-87ed-ee17232cd7e7";
/// How long something may take that follows from something else.
const LIMIT: Duration = Duration::from_secs(30);

/// The example files of the page, by their paths, and its commands.
fn examples() -> Result<(Vec<(String, String)>, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mqtt.md"))?;
    let section = page.split("## A broker of your own").nth(1).context("the section")?;
    let section = section.split("\n## ").next().context("its end")?;
    let block = |fence: &str| -> Vec<String> {
        section.split(fence).skip(1).filter_map(|rest| Some(rest.split("\n```").next()?.to_owned())).collect()
    };
    let named = |text: String| Some((text.lines().next()?.strip_prefix("# ")?.to_owned(), text));
    let files: Vec<_> = block("```conf\n").into_iter().filter_map(named).collect();
    let commands = block("```sh\n").pop().context("the commands")?;
    ensure!(files.len() == 2, "{files:?}");
    Ok((files, commands))
}

/// The broker of the page; more users come with their passwords.
struct Broker {
    mosquitto: Mosquitto,
    configuration: String,
}

impl Broker {
    fn start(users: &[&str]) -> Result<Self> {
        let mut mosquitto = Mosquitto::prepare()?;
        let (files, commands) = examples()?;
        let folder = mosquitto.path("").display().to_string();
        let here = |text: &str| text.replace("/etc/mosquitto/conf.d/", &folder).replace("/etc/mosquitto/", &folder);
        for (path, text) in &files {
            std::fs::write(here(path), here(text))?;
        }
        for line in commands.lines() {
            ensure!(Command::new("sh").args(["-c", &here(line)]).output()?.status.success(), "{line}");
        }
        for user in users {
            let file = mosquitto.path("goldcrest.passwd");
            let added = Command::new("mosquitto_passwd").arg("-b").arg(file).args([user, "PASSWORD"]).output()?;
            ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let mut configuration = std::fs::read_to_string(mosquitto.path("goldcrest.conf"))?;
        configuration = configuration.replace("listener 1883", &format!("listener {}", mosquitto.port()));
        // As root it would give its rights away, and could not read the test's folder any more.
        write!(configuration, "\nuser root\npersistence false\n")?;
        mosquitto.start(&configuration)?;
        Ok(Self { mosquitto, configuration })
    }

    fn client(&self, program: &str, user: &str, arguments: &[&str]) -> Command {
        let port = self.mosquitto.port().to_string();
        let password = if user == "1" { "PASSWORD-OF-BOARD-1" } else { "PASSWORD" };
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &port, "-u", user, "-P", password]).args(arguments);
        command
    }

    /// What stands retained on a topic for a user; empty when there is nothing.
    fn retained(&self, user: &str, topic: &str) -> Result<String> {
        let output = self.client("mosquitto_sub", user, &["-t", topic, "-C", "1", "-W", "1"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Waits until what stands on a topic is as wanted.
    fn await_retained(&self, user: &str, topic: &str, is_right: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = self.retained(user, topic)?;
            if is_right(&text) {
                return Ok(text);
            }
            ensure!(Instant::now() < deadline, "on {topic} stands {text:?}");
        }
    }

    fn publish(&self, user: &str, topic: &str, payload: &str) -> Result<()> {
        let mut arguments = vec!["-t", topic, "-q", "1"];
        arguments.extend(if payload.is_empty() { vec!["-n", "-r"] } else { vec!["-m", payload] });
        let output = self.client("mosquitto_pub", user, &arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

fn await_state(bench: &Bench, device: &str, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let shown = bench.api(&format!("deployments?device={device}"))?;
        let state = shown["deployments"][0]["state"].as_str().unwrap_or_default().to_owned();
        if state == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{device} is {state}, not {wanted}: {shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A bench attached to a broker, with release 1.0.0 on `stable`, device 1 that speaks our protocol and device 2 that is a thing.
fn attached(broker: &Broker) -> Result<Bench> {
    let url = format!("mqtt://goldcrest:PASSWORD@127.0.0.1:{}", broker.mosquitto.port());
    let bench = Bench::start_with("2048", |_| vec!["--attach".into(), url])?;
    bench.publish("1.0.0", &[("main.py", b"print('hi')\n")])?;
    bench.cli(&["channel", "set", "stable", "1.0.0"])?;
    for name in ["one", "two"] {
        bench.cli(&["device", "add", name, "--package", "demo"])?;
    }
    let settings = json!({"control_channel": "control", "data_channel": "data"});
    let body = json!({"adapter": "insighio", "id": THING, "secret": "key", "settings": settings});
    bench.post("devices/two/credentials", &body)?;
    Ok(bench)
}

#[test]
fn boards_and_things_update_by_way_of_mosquitto() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let mut broker = Broker::start(&["2", THING])?;
    let mut bench = attached(&broker)?;
    // Our own protocol: told, reported, told again when that changes.
    let desired: Value =
        serde_json::from_str(&broker.await_retained("1", "goldcrest/v1/1/desired", |text| text.contains("1.0.0"))?)?;
    let digest = desired["release"].as_str().context("a digest")?.to_owned();
    bench.cli(&["channel", "set", "stable", "1.0.0"])?;
    let report = json!({"stage": "boot", "facts": {"board": "esp32"}}).to_string();
    broker.publish("1", "goldcrest/v1/1/report", &report)?;
    let deadline = Instant::now() + LIMIT;
    while bench.api("devices/one")?["facts"]["board"] != "esp32" {
        ensure!(Instant::now() < deadline, "the report did not come");
    }
    // The thing: asked, it downloads, answers, takes the request away.
    let ota = format!("channels/control/messages/{THING}/ota");
    let request: Value = serde_json::from_str(&broker.await_retained(THING, &ota, |text| text.contains("\"e\""))?)?;
    let file_id = request[1]["vs"].as_str().context("a file id")?;
    ensure!(digest.starts_with(file_id));
    let path = format!("mf-rproxy/packages/download?fuid={file_id}&did={THING}&dk=key&cid=control");
    let package = ureq::get(format!("{}/{path}", bench.url())).call()?.body_mut().read_to_vec()?;
    assert_eq!(package.len() as u64, request[3]["v"].as_u64().context("a size")?);
    let applied = json!([{"n": "e", "v": 1}, {"n": "i", "vs": file_id}]).to_string();
    broker.publish(THING, &ota, &applied)?;
    await_state(&bench, "two", "trial")?;
    broker.publish(THING, &ota, "")?;
    broker.publish(THING, &format!("channels/data/messages/{THING}"), r#"[{"n":"t","v":1}]"#)?;
    await_state(&bench, "two", "confirmed")?;
    broker.await_retained(THING, &ota, str::is_empty)?;
    // A broker that was gone has lost everything: it is told again.
    broker.mosquitto.stop()?;
    bench.publish("1.1.0", &[("main.py", b"print('ho')\n")])?;
    bench.cli(&["channel", "set", "stable", "1.1.0"])?;
    let configuration = broker.configuration.clone();
    broker.mosquitto.start(&configuration)?;
    broker.await_retained("1", "goldcrest/v1/1/desired", |text| text.contains("1.1.0"))?;
    broker.await_retained(THING, &ota, |text| text.contains("\"e\""))?;
    // So has a server that was killed.
    bench.kill_server()?;
    bench.start_server()?;
    broker.publish(THING, &ota, &json!([{"n": "e", "v": 2}, {"n": "i", "vs": "0"}]).to_string())?;
    broker.await_retained(THING, &ota, |text| text.contains("\"e\""))?;
    // A device that is deleted leaves nothing behind.
    let url = format!("{}/api/v1/devices/one", bench.url());
    ureq::delete(url).header("Authorization", format!("Bearer {}", bench.token())).call()?;
    broker.await_retained("1", "goldcrest/v1/1/desired", str::is_empty)?;
    Ok(())
}

#[test]
fn the_broker_keeps_boards_apart() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let broker = Broker::start(&["2", THING])?;
    let bench = attached(&broker)?;
    broker.await_retained("1", "goldcrest/v1/1/desired", |text| text.contains("1.0.0"))?;
    // Board 2 can neither read nor report for board 1, nor can a thing.
    for user in ["2", THING] {
        assert_eq!(broker.retained(user, "goldcrest/v1/1/desired")?, "");
        broker.publish(
            user,
            "goldcrest/v1/1/report",
            &json!({"stage": "boot", "facts": {"board": "evil"}}).to_string(),
        )?;
    }
    // What is no report, and reports about nobody, disturb nothing.
    broker.publish("1", "goldcrest/v1/1/report", "{")?;
    broker.publish("goldcrest", "goldcrest/v1/999/report", &json!({"stage": "boot", "facts": {}}).to_string())?;
    broker.publish("goldcrest", "goldcrest/v1/x/report", "{}")?;
    broker.publish("goldcrest", "channels/control/messages/nobody/ota", "[]")?;
    broker.publish("1", "goldcrest/v1/1/report", &json!({"stage": "boot", "facts": {"board": "good"}}).to_string())?;
    let deadline = Instant::now() + LIMIT;
    while bench.api("devices/one")?["facts"]["board"] != "good" {
        ensure!(Instant::now() < deadline, "the report did not come");
    }
    let metrics = ureq::get(format!("{}/metrics", bench.url())).call()?.body_mut().read_to_string()?;
    ensure!(
        metrics.contains("goldcrest_mqtt_attached 1\n") && metrics.contains("goldcrest_mqtt_attach_connects_total 1\n")
    );
    Ok(())
}

#[test]
fn two_servers_share_the_reports() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let broker = Broker::start(&["2", THING])?;
    let (first, second) = (attached(&broker)?, attached(&broker)?);
    for bench in [&first, &second] {
        let deadline = Instant::now() + LIMIT;
        let url = format!("{}/metrics", bench.url());
        while !ureq::get(&url).call()?.body_mut().read_to_string()?.contains("goldcrest_mqtt_attached 1\n") {
            ensure!(Instant::now() < deadline, "not attached");
        }
    }
    let count = 20;
    for index in 0..count {
        let facts = json!({"stage": "boot", "facts": {"index": index}});
        broker.publish("1", "goldcrest/v1/1/report", &facts.to_string())?;
    }
    let deadline = Instant::now() + LIMIT;
    let boots = |bench: &Bench| -> Result<usize> {
        let events = bench.api("devices/one/events?limit=100")?;
        Ok(events["events"].as_array().context("events")?.len())
    };
    loop {
        let each = [boots(&first)?, boots(&second)?];
        if each.iter().sum::<usize>() == count {
            ensure!(each.iter().all(|share| *share > 0), "{each:?}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{each:?} of {count}");
    }
}
