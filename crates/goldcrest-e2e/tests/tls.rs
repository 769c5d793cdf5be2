//! Nothing in the clear: a board over HTTPS, and the server attached to a broker over TLS.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goldcrest::board_files::BoardSettings;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::mosquitto::{self, Mosquitto};
use goldcrest_e2e::rig::{eventually, program, quick};
use goldcrest_fleet::Board;
use serde_json::Value;

/// Writes `cert.pem`, `key.pem` and `cert.der` of a server called localhost.
fn certify(folder: &Path) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(folder.join("cert.pem"), certified.cert.pem())?;
    std::fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem())?;
    std::fs::write(folder.join("cert.der"), certified.cert.der())?;
    Ok(())
}

/// A board that speaks TLS with the bench, and trusts the certificate in `ca` when there is one.
async fn board(bench: &Bench, name: &str, ca: Option<Vec<u8>>) -> Result<Board> {
    let added = bench.cli(&["device", "add", name, "--package", "demo"])?;
    let token = added["token"].as_str().context("a token")?;
    let url = bench.https().context("https")?.replace("127.0.0.1", "localhost");
    let settings = BoardSettings { ca: ca.as_ref().map(|_| "ca.der".to_owned()), ..quick(&url, token) };
    let main = program("0");
    let mut files = vec![("main.py", main.as_slice())];
    files.extend(ca.as_ref().map(|ca| ("ca.der", ca.as_slice())));
    let mut board = bench.rig.board(name, &settings, &bench.keyring, &files).await?;
    board.power_on().await?;
    Ok(board)
}

#[tokio::test]
async fn boards_update_over_https_and_turn_from_a_server_that_they_do_not_trust() -> Result<()> {
    let bench = Bench::start_with("2048", |folder| {
        certify(folder).ok();
        let file = |name: &str| folder.join(name).display().to_string();
        ["--https", "127.0.0.1:0", "--tls-cert", &file("cert.pem"), "--tls-key", &file("key.pem")]
            .map(str::to_owned)
            .to_vec()
    })?;
    let own = std::fs::read(bench.path("cert.der"))?;
    let mut trusting = board(&bench, "trusting", Some(own)).await?;
    let mut careless = board(&bench, "careless", None).await?;
    let (main, data) = (program("1"), b"data = 1\n".repeat(4000));
    bench.publish("1", &[("main.py", &main), ("lib/data.py", &data), ("lib/more.py", b"")])?;
    bench.cli(&["channel", "set", "stable", "1"])?;
    bench.confirmed("1").await?;
    for board in [&mut trusting, &mut careless] {
        board.power_cut().await?;
        let tree = board.read_tree().await?;
        ensure!(tree.get("lib/data.py") == Some(&data), "the files of {}", board.log_path().display());
        board.power_on().await?;
    }
    // The next release changes a line: deltas and kept connections go over TLS too.
    let second = program("2");
    bench.publish("2", &[("main.py", &second), ("lib/data.py", &data), ("lib/more.py", b"two = 2\n")])?;
    bench.cli(&["channel", "set", "stable", "2"])?;
    bench.confirmed("2").await?;

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let wary = board(&bench, "wary", Some(other.cert.der().to_vec())).await?;
    let log = wary.log_path();
    let refused = eventually("the handshake to fail", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.lines().find(|line| line.contains("verif") || line.contains("certificate")).map(str::to_owned)
    });
    let refused = refused.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(refused.starts_with("goldcrest: "), "{refused}");
    let devices = bench.api("devices")?;
    let seen = devices["devices"].as_array().context("devices")?.iter().find(|d| d["name"] == "wary");
    ensure!(seen.context("wary")?["last_seen_ms"].is_null(), "{devices:#}");
    for board in [trusting, careless, wary] {
        board.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_server_attaches_to_a_broker_over_tls_and_only_to_one_that_it_trusts() -> Result<()> {
    if mosquitto::find()?.is_none() {
        return Ok(());
    }
    let mut broker = Mosquitto::prepare()?;
    certify(&broker.path(""))?;
    let tls_port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let file = |name: &str| broker.path(name).display().to_string();
    // As root it would give its rights away, and could not read the test's folder any more.
    let configuration = format!(
        "user root\nallow_anonymous true\npersistence false\nlistener {} 127.0.0.1\nlistener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
        broker.port(),
        file("cert.pem"),
        file("key.pem")
    );
    let certificate = file("cert.pem");
    broker.start(&configuration)?;
    let attach = |ca: String| {
        let url = format!("mqtts://goldcrest:PASSWORD@localhost:{tls_port}");
        Bench::start_with("2048", |_| vec!["--attach".into(), url, "--attach-ca".into(), ca])
    };
    let bench = attach(certificate)?;
    bench.publish("1", &[("main.py", b"print('hi')\n")])?;
    bench.cli(&["channel", "set", "stable", "1"])?;
    bench.cli(&["device", "add", "one", "--package", "demo"])?;
    let port = broker.port().to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-t", "goldcrest/v1/1/desired", "-C", "1", "-W", "30"];
    let told = Command::new("mosquitto_sub").args(arguments).output()?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    ensure!(told["version"] == "1", "{told}");

    let elsewhere = tempfile::tempdir()?;
    certify(elsewhere.path())?;
    let wary = attach(elsewhere.path().join("cert.pem").display().to_string())?;
    let why = eventually("the refusal in the log", || {
        let log = std::fs::read_to_string(wary.path("server.log")).ok()?;
        log.lines().find(|line| line.contains("invalid peer certificate")).map(str::to_owned)
    });
    why.await.with_context(|| std::fs::read_to_string(wary.path("server.log")).unwrap_or_default())?;
    let metrics = ureq::get(format!("{}/metrics", wary.url())).call()?.body_mut().read_to_string()?;
    ensure!(metrics.contains("goldcrest_mqtt_attached 0\n"), "{metrics}");
    Ok(())
}
