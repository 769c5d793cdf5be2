//! The way over: a board with an old updater makes its last update, which installs our agent; then it runs under ours, and nothing is lost.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use goldcrest::board_files::agent_files;
use goldcrest::mpy_cross::MpyCross;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::device::sdists::Sdists;
use goldcrest_e2e::device::theirs::library;
use goldcrest_e2e::rig::{LIMIT, eventually, program};
use goldcrest_fleet::{Board, Events, Tree};
use serde_json::{Value, json};

/// What brings up the network of a board that runs under ours.
const BOOT: &[u8] = b"print('network up')\n";
/// What is the board's own, and must be there at the end.
const OWN: [(&str, &[u8]); 2] = [("data/log.txt", b"1\n2\n3\n"), ("secrets.py", b"user = 'otauser'\n")];

fn own_files() -> Tree {
    OWN.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
}

/// Publishes what the boards run under our agent.
fn publish_new(bench: &Bench, version: &str) -> Result<()> {
    let main = program(version);
    let module = format!("VERSION = '{version}'\n");
    bench.publish(version, &[("boot.py", BOOT), ("main.py", &main), ("lib/deep.py", module.as_bytes())])?;
    bench.cli(&["channel", "set", "stable", version])?;
    Ok(())
}

/// The board went over: it runs 1.0, takes 2.0, and has all that was its own. Returns the name of its device.
async fn went_over(bench: &Bench, mut board: Board, mut events: Events) -> Result<String> {
    events.wait_for_line(LIMIT, "goldcrest: the agent is installed").await?;
    events.wait_for_line(LIMIT, "network up").await?;
    events.wait_for_line(LIMIT, "app 1.0").await?;
    bench.confirmed("1.0").await?;
    publish_new(bench, "2.0")?;
    events.wait_for_line(LIMIT, "app 2.0").await?;
    bench.confirmed("2.0").await?;
    board.power_cut().await?;
    let tree = board.read_tree().await?;
    for (path, bytes) in OWN {
        ensure!(tree.get(path).map(Vec::as_slice) == Some(bytes), "{path} is lost");
    }
    let compiler = MpyCross::find().map_err(|e| anyhow::anyhow!("{e}"))?;
    for (path, bytes) in agent_files(compiler.as_ref()).map_err(|e| anyhow::anyhow!("{e}"))? {
        ensure!(tree.get(&path) == Some(&bytes), "{path} is not that of the agent");
    }
    let settings: Value = serde_json::from_slice(&tree["goldcrest.json"])?;
    ensure!(settings.get("enroll").is_none() && settings["token"].is_string(), "{settings}");
    ensure!(!tree.contains_key(".ota/boot.new") && !tree.contains_key(".ota/main.new"), "the bridge left its files");
    let devices = bench.api("devices?package=demo")?;
    let [device] = devices["devices"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        bail!("one device is expected: {devices:#}")
    };
    Ok(device["name"].as_str().unwrap_or_default().to_owned())
}

fn write(bench: &Bench, path: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = bench.path(path);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    std::fs::write(&path, bytes)?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of text")
}

/// boot.py and main.py after the README of micropython-ota.
fn ota_files(url: &str) -> [(&'static str, String); 2] {
    let boot = format!(
        "import micropython_ota\nprint('boot old')\nmicropython_ota.ota_update('{url}/ota', 'sample', ['boot.py', 'main.py'])\n"
    );
    let main = format!(
        "import micropython_ota, time\nprint('app old')\nwhile True:\n    time.sleep_ms(200)\n    \
         micropython_ota.check_for_ota_update('{url}/ota', 'sample')\n"
    );
    [("boot.py", boot), ("main.py", main)]
}

/// A board with PyPI's micropython-ota, served from what `goldcrest import` read.
async fn ota_board(bench: &Bench) -> Result<(Board, Events)> {
    write(bench, "www/sample/version", b"1\n")?;
    let mut files: Tree = library(&Sdists::fetch()?)?;
    files.extend(own_files());
    files.insert("version".to_owned(), b"1".to_vec());
    for (path, bytes) in ota_files(&bench.url()) {
        write(bench, &format!("www/sample/1_{path}"), bytes.as_bytes())?;
        files.insert(path.to_owned(), bytes.into_bytes());
    }
    bench.cli(&["import", "micropython-ota", text(&bench.path("www"))?, "--prefix", "ota"])?;
    let mut board = bench.rig.foreign_board("old", files).await?;
    let mut events = board.events();
    board.power_on().await?;
    events.wait_for_line(LIMIT, "app old").await?;
    Ok((board, events))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_micropython_ota() -> Result<()> {
    let bench = Bench::start()?;
    let (board, events) = ota_board(&bench).await?;
    publish_new(&bench, "1.0")?;
    let made = bench.cli(&["migrate", "micropython-ota", "--from", "sample", "--package", "demo"])?;
    ensure!(made["via"] == "main.py" && made["version"] == "goldcrest", "{made}");
    bench.cli(&["channel", "set", "stable", "goldcrest", "--package", "sample"])?;
    let name = went_over(&bench, board, events).await?;
    ensure!(name.starts_with("demo-"), "{name}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_micropython_ota_by_boot_py() -> Result<()> {
    let bench = Bench::start()?;
    let (board, events) = ota_board(&bench).await?;
    publish_new(&bench, "1.0")?;
    bench.cli(&["migrate", "micropython-ota", "--from", "sample", "--package", "demo", "--via", "boot.py"])?;
    bench.cli(&["channel", "set", "stable", "goldcrest", "--package", "sample"])?;
    went_over(&bench, board, events).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_while_the_agent_is_installed_leave_a_board_that_gets_there() -> Result<()> {
    let bench = Bench::start()?;
    let (mut board, mut events) = ota_board(&bench).await?;
    publish_new(&bench, "1.0")?;
    bench.cli(&["migrate", "micropython-ota", "--from", "sample", "--package", "demo"])?;
    bench.cli(&["channel", "set", "stable", "goldcrest", "--package", "sample"])?;
    // The last update is on the board: from here on the power goes, a little later each time.
    events.wait_for_line(LIMIT, "Hard-resetting device").await?;
    for wait_ms in (0..30).map(|step| step * 15) {
        board.power_cut().await?;
        board.power_on().await?;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    board.power_cut().await?;
    let mut events = board.events();
    board.power_on().await?;
    events.wait_for_line(LIMIT, "app 1.0").await?;
    bench.confirmed("1.0").await?;
    board.power_cut().await?;
    let tree = board.read_tree().await?;
    for (path, bytes) in OWN {
        ensure!(tree.get(path).map(Vec::as_slice) == Some(bytes), "{path} is lost");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_is_damaged_leaves_the_old_updater_at_work() -> Result<()> {
    let bench = Bench::start()?;
    let (board, mut events) = ota_board(&bench).await?;
    publish_new(&bench, "1.0")?;
    let file = bench.path("bridge.py");
    let made = ["migrate", "micropython-ota", "--package", "demo", "--output", text(&file)?];
    bench.cli(&made)?;
    let whole = std::fs::read_to_string(&file)?;
    // One digit of a digest in one of its comments.
    let line = whole.lines().find(|line| line.starts_with("#>lib/goldcrest/")).context("a file")?;
    let other = if line.ends_with('0') { "1" } else { "0" };
    let damaged = whole.replacen(line, &format!("{}{other}", &line[..line.len() - 1]), 1);
    for (version, main) in [("2", damaged.as_str()), ("3", &whole)] {
        write(&bench, "www/sample/version", version.as_bytes())?;
        write(&bench, &format!("www/sample/{version}_boot.py"), ota_files(&bench.url())[0].1.as_bytes())?;
        write(&bench, &format!("www/sample/{version}_main.py"), main.as_bytes())?;
        bench.cli(&["import", "micropython-ota", text(&bench.path("www"))?, "--prefix", "ota"])?;
        bench.cli(&["channel", "set", "stable", version, "--package", "sample"])?;
        if version == "2" {
            events.wait_for_line(LIMIT, "damaged: lib/goldcrest/").await?;
        }
    }
    // It waits a minute, resets, and its old boot.py finds the better one.
    events.wait_for_line(LIMIT * 2, "boot old").await?;
    went_over(&bench, board, events).await.map(drop)
}

/// A form of sensorclass: its files, what its program does to be updated, and the name of its list.
struct Form {
    files: &'static str,
    /// Brings in the first list, as the bootloader does.
    boot: &'static str,
    again: &'static str,
    list: &'static str,
}

const FIRST: Form = Form { files: "sensorclass", boot: "", again: "config.set('update')", list: "MAC" };

const LATER: Form = Form {
    files: "sensorclass_later",
    boot: "import config\nif not config.nodename:\n    config.set('update')\n    config.set('update_result', 0)\n",
    again: "config.set('update')\nconfig.set('update_result', 0)",
    list: "MAC",
};

#[tokio::test(flavor = "multi_thread")]
async fn from_sensorclass() -> Result<()> {
    let (bench, board, mut events, id) = sensorclass_board(&FIRST).await?;
    events.wait_for_line(LIMIT, "ValueError").await?;
    let (board, events) = sensorclass_taken_in(&bench, board, &id).await?;
    sensorclass_went_over(&bench, board, events).await
}

/// Its list is asked for by the first form's name: the server learns the form from the module that the board makes of `name`.
#[tokio::test(flavor = "multi_thread")]
async fn from_sensorclass_with_a_nodename() -> Result<()> {
    let (bench, board, mut events, id) = sensorclass_board(&LATER).await?;
    events.wait_for_line(LIMIT, "no answer").await?;
    let (board, mut events) = sensorclass_taken_in(&bench, board, &id).await?;
    events.wait_for_line(LIMIT, "getting namecharger.py").await?;
    events.wait_for_line(LIMIT, "Update success!!").await?;
    sensorclass_went_over(&bench, board, events).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_sensorclass_with_config_files() -> Result<()> {
    let (bench, board, mut events, id) = sensorclass_board(&Form { list: "MAC.config", ..LATER }).await?;
    events.wait_for_line(LIMIT, "no answer").await?;
    let (board, events) = sensorclass_taken_in(&bench, board, &id).await?;
    sensorclass_went_over(&bench, board, events).await
}

/// A board of sensorclass that nobody knows yet, and a server that took over the folder it was served from. Returns the board's MAC address.
async fn sensorclass_board(form: &Form) -> Result<(Bench, Board, Events, String)> {
    let bench = Bench::start()?;
    let app = format!(
        "import config, machine, time\nprint('app old')\nconfig.set('reboots', 0)\ntime.sleep_ms(500)\n{}\nmachine.reset()\n",
        form.again
    );
    write(&bench, "code/charger1.py", app.as_bytes())?;
    write(&bench, "code/latestversions", br#"{"charger": "1"}"#)?;
    write(&bench, "code/deadbeef1234", br#"{"name": "charger", "charger": "latest"}"#)?;
    bench.cli(&["import", "sensorclass", text(&bench.path("code"))?, "--prefix", "local/code"])?;
    bench.cli(&["--yes", "device", "rm", "charger-deadbeef1234"])?;
    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let mut files = own_files();
    let base = format!("{}/local/code/", bench.url());
    for (folder, name) in [
        ("sensorclass", "httpclient.py"),
        (form.files, "config.py"),
        (form.files, "main.py"),
        (form.files, "updater.py"),
    ] {
        let source = std::fs::read_to_string(format!("{clients}/{folder}/{name}"))?;
        let source = source.replace("@BASE@", &base).replace("@LIST@", form.list);
        files.insert(name.to_owned(), source.into_bytes());
    }
    files.insert("boot.py".to_owned(), format!("print('old network')\n{}", form.boot).into_bytes());
    let mut board = bench.rig.foreign_board("old", files).await?;
    let events = board.events();
    board.power_on().await?;
    let id = eventually("the board to be pending", || {
        let pending = bench.api("pending").ok()?;
        pending["pending"][0]["id"].as_str().map(str::to_owned)
    });
    let id = id.await?;
    Ok((bench, board, events, id))
}

/// Its owner takes the board in, switches it off and on, and it runs what it ran before.
async fn sensorclass_taken_in(bench: &Bench, mut board: Board, id: &str) -> Result<(Board, Events)> {
    bench.cli(&["device", "add", "garage", "--package", "charger", "--adapter", "sensorclass", "--id", id])?;
    board.power_cut().await?;
    let events = board.events();
    board.power_on().await?;
    let mut seen = board.events();
    seen.wait_for_line(LIMIT, "app old").await?;
    let runs = eventually("the old board to be known to run 1", || {
        let devices = bench.api("devices").ok()?;
        (devices["devices"][0]["running"] == "1").then_some(())
    });
    runs.await?;
    Ok((board, events))
}

async fn sensorclass_went_over(bench: &Bench, board: Board, events: Events) -> Result<()> {
    publish_new(bench, "1.0")?;
    bench.cli(&["migrate", "sensorclass", "--from", "charger", "--package", "demo"])?;
    bench.cli(&["channel", "set", "stable", "goldcrest", "--package", "charger"])?;
    let name = went_over(bench, board, events).await?;
    ensure!(name == "garage", "it is still the device that it was, not {name}");
    Ok(())
}

/// The number of the newest commit, and its files.
type Head = (u32, BTreeMap<String, Vec<u8>>);

/// A Gogs as its updater sees it: one repository, whose files and head the test sets.
struct Gogs {
    port: u16,
    files: Arc<Mutex<Head>>,
}

const TOKEN: &str = "0123456789abcdef";

impl Gogs {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let files: Arc<Mutex<Head>> = Arc::default();
        let shared = Arc::clone(&files);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is its own affair.
                drop(serve(stream, &shared));
            }
        });
        Ok(Self { port, files })
    }

    fn push(&self, path: &str, bytes: &[u8]) {
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.0 += 1;
        files.1.insert(path.to_owned(), bytes.to_vec());
    }
}

fn serve(mut stream: TcpStream, files: &Mutex<Head>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?;
    let target = head.split(' ').nth(1).context("a target")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = {
        let files = files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        answer(path, query, files.0, &files.1)
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(stream, "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    Ok(stream.write_all(&body)?)
}

fn answer(path: &str, query: &str, head: u32, files: &BTreeMap<String, Vec<u8>>) -> Option<Vec<u8>> {
    let sha = format!("{head:040x}");
    let path = path.strip_prefix("/api/v1/repos/me/node/").filter(|_| query.contains(&format!("token={TOKEN}")))?;
    if path == "commits/refs/heads/master" {
        return Some(sha.into_bytes());
    }
    let folder = path.strip_prefix("contents/").filter(|_| query.contains(&format!("ref={sha}")))?;
    let mut entries: BTreeMap<&str, Value> = BTreeMap::new();
    for (path, bytes) in files {
        let Some(rest) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) else { continue };
        match rest.split_once('/') {
            Some((name, _)) => entries.insert(name, json!({"type": "dir", "name": name})),
            None => entries.insert(rest, json!({"type": "file", "name": rest, "content": BASE64.encode(bytes)})),
        };
    }
    serde_json::to_vec(&entries.into_values().collect::<Vec<_>>()).ok()
}

/// A board with the Gogs updater that asks this port, and the program that it finds there at first.
async fn gogs_board(bench: &Bench, port: u16) -> Result<(Board, Events)> {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/gogs/main.py"))?;
    let source = source.replace("@PORT@", &port.to_string()).replace("@TOKEN@", TOKEN);
    let mut files = own_files();
    files.insert("boot.py".to_owned(), b"print('old network')\n".to_vec());
    files.insert("main.py".to_owned(), source.into_bytes());
    files.insert("nodesettings.py".to_owned(), b"settings = {'controllerName': 'old'}\n".to_vec());
    let mut board = bench.rig.foreign_board("old", files).await?;
    let mut events = board.events();
    board.power_on().await?;
    events.wait_for_line(LIMIT, "app old").await?;
    Ok((board, events))
}

const GOGS_APP: &[u8] =
    b"import machine, time\ndef start(env):\n    print('app old')\n    for n in range(8):\n        \
    env['wdt'].feed()\n        time.sleep_ms(200)\n    machine.reset()\n";

#[tokio::test(flavor = "multi_thread")]
async fn from_the_gogs_updater_that_asks_a_gogs() -> Result<()> {
    let bench = Bench::start()?;
    let gogs = Gogs::start()?;
    gogs.push("src/lib/empty.py", b"");
    gogs.push("src/main.py", GOGS_APP);
    let (board, events) = gogs_board(&bench, gogs.port).await?;
    publish_new(&bench, "1.0")?;
    let file = bench.path("bridge.py");
    bench.cli(&["migrate", "gogs", "--package", "demo", "--output", text(&file)?])?;
    gogs.push("src/main.py", &std::fs::read(&file)?);
    let name = went_over(&bench, board, events).await?;
    ensure!(name.starts_with("demo-"), "{name}");
    Ok(())
}

fn git(dir: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(arguments);
    ensure!(command.env("GIT_CONFIG_GLOBAL", "/dev/null").output()?.status.success(), "git {arguments:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_gogs_updater_that_asks_us() -> Result<()> {
    let bench = Bench::start()?;
    write(&bench, "me/node/src/main.py", GOGS_APP)?;
    write(&bench, "me/node/src/lib/empty.py", b"")?;
    let repo = bench.path("me/node");
    for arguments in [&["init", "-q", "--initial-branch=master"][..], &["add", "."], &["commit", "-q", "-m", "one"]] {
        git(&repo, arguments)?;
    }
    bench.cli(&["import", "gogs", &format!("file://{}", text(&repo)?)])?;
    let port = bench.url().rsplit(':').next().context("a port")?.parse()?;
    let (board, events) = gogs_board(&bench, port).await?;
    publish_new(&bench, "1.0")?;
    let made = ["migrate", "gogs", "--from", "node", "--from-channel", "master", "--package", "demo"];
    bench.cli(&made)?;
    bench.cli(&["channel", "set", "master", "goldcrest", "--package", "node"])?;
    let name = went_over(&bench, board, events).await?;
    ensure!(name.starts_with("demo-"), "{name}");
    Ok(())
}
