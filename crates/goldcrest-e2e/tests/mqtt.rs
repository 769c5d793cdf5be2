//! MQTT with clients that nobody here wrote: paho-mqtt in both versions, and mosquitto's where they are installed.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::Bench;

/// Python with the packages of requirements.txt; `cargo xtask test` names it.
fn python() -> String {
    std::env::var("GOLDCREST_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A bench with a release on `stable` and a board that has never been seen: its token.
fn prepared() -> Result<(Bench, String)> {
    let bench = Bench::start()?;
    bench.publish("1.0.0", &[("main.py", b"print('hi')\n")])?;
    bench.cli(&["channel", "set", "stable", "1.0.0"])?;
    let made = bench.cli(&["device", "add", "one", "--package", "demo"])?;
    let token = made["token"].as_str().context("a token")?.to_owned();
    Ok((bench, token))
}

#[test]
fn paho_is_a_board_and_an_operator() -> Result<()> {
    let (bench, token) = prepared()?;
    let (host, port) = bench.mqtt().split_once(':').context("host and port")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/paho_client.py");
    let said = output(Command::new(python()).args([script, host, port, &token, bench.token()]))?;
    let wanted = "\
        3.1.1 ops Success Granted QoS 2\n\
        3.1.1 board Success Granted QoS 1\n\
        3.1.1 desired 1.0.0 retained\n\
        3.1.1 refused Unspecified error\n\
        3.1.1 heard app/temperature 20 q0 \n\
        3.1.1 heard app/temperature 21 q1 \n\
        3.1.1 heard app/temperature 22 q2 \n\
        3.1.1 report Success\n\
        3.1.1 heard app/will lost q1\n\
        3.1.1 wrong token Bad user name or password\n\
        5 ops Success Granted QoS 2\n\
        5 board Success Granted QoS 1\n\
        5 desired 1.0.0 retained\n\
        5 refused Unspecified error\n\
        5 heard app/temperature 20 q0 [('unit', 'C')]\n\
        5 heard app/temperature 21 q1 [('unit', 'C')]\n\
        5 heard app/temperature 22 q2 [('unit', 'C')]\n\
        5 report Success\n\
        5 heard app/will lost q1\n\
        5 wrong token Bad user name or password\n";
    assert_eq!(said, wanted);
    let device = bench.cli(&["device", "show", "one"])?;
    assert_eq!(device["facts"]["agent"], "5", "{device}");
    Ok(())
}

#[test]
fn mosquitto_clients_hear_and_say() -> Result<()> {
    if Command::new("mosquitto_pub").arg("--help").output().is_err() {
        let missing = "no mosquitto_pub in PATH (Debian: apt-get install mosquitto-clients)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return Ok(());
    }
    let (bench, token) = prepared()?;
    let (_, port) = bench.mqtt().split_once(':').context("host and port")?;
    for version in ["311", "5"] {
        let as_board = ["-h", "127.0.0.1", "-p", port, "-V", version, "-u", "board", "-P", &token];
        let topic = ["-t", "goldcrest/v1/me/app/state", "-q", "2"];
        output(Command::new("mosquitto_pub").args(as_board).args(topic).args(["-r", "-m", version]))?;
        let heard =
            output(Command::new("mosquitto_sub").args(as_board).args(topic).args(["-v", "-C", "1", "-W", "20"]))?;
        assert_eq!(heard, format!("goldcrest/v1/me/app/state {version}\n"));
        let desired = ["-t", "goldcrest/v1/me/desired", "-C", "1", "-W", "20"];
        let heard = output(Command::new("mosquitto_sub").args(as_board).args(desired))?;
        assert!(heard.contains("\"version\":\"1.0.0\""), "{heard}");
    }
    Ok(())
}
