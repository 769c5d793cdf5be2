//! The whole product on one bench: `goldcrest serve` as a process, the CLI as its user types it, and boards.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use goldcrest::board_files::BoardSettings;
use goldcrest_fleet::{Board, Events};
use serde_json::Value;

use crate::rig::{Rig, eventually, program, quick, source_modules};

/// A server, a project and its keys.
pub struct Bench {
    /// Boards, and the folder that everything is in.
    pub rig: Rig,
    server: Option<Child>,
    /// More options of `serve`.
    options: Vec<String>,
    address: String,
    mqtt: String,
    https: Option<String>,
    token: String,
    /// What its boards trust at first.
    pub keyring: Vec<u8>,
}

impl Bench {
    /// Starts a server with an empty data folder, makes a project called `demo` and its keys.
    ///
    /// # Errors
    /// When a command fails; the text holds what it said.
    pub fn start() -> Result<Self> {
        Self::start_with_keys("2048")
    }

    /// As [`Self::start`], with keys of this many bits: 2048 saves a debug build seconds, 3072 is what users get.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_keys(bits: &str) -> Result<Self> {
        Self::start_with(bits, |_| Vec::new())
    }

    /// As [`Self::start_with_keys`], with more options for `serve`; they are told the bench's folder.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(bits: &str, options: impl FnOnce(&Path) -> Vec<String>) -> Result<Self> {
        let rig = Rig::new()?;
        let options = options(rig.folder.path());
        let mut bench = Self {
            rig,
            server: None,
            options,
            address: "127.0.0.1:0".to_owned(),
            mqtt: String::new(),
            https: None,
            token: String::new(),
            keyring: Vec::new(),
        };
        bench.start_server()?;
        bench.cli(&["keygen", "--name", "demo", "--bits", bits])?;
        bench.keyring = std::fs::read(bench.path("config/goldcrest/keys/demo.keyring"))?;
        std::fs::create_dir_all(bench.path("project/src"))?;
        std::fs::write(
            bench.path("project/goldcrest.toml"),
            "[app]\nname = \"demo\"\nversion = \"0\"\n[pack]\nroot = \"src\"\nraw = [\"boot.py\", \"main.py\", \"lib/**\"]\n[sign]\nkey = \"demo\"\n",
        )?;
        Ok(bench)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// `127.0.0.1:port` of MQTT; another port after each start.
    pub fn mqtt(&self) -> &str {
        &self.mqtt
    }

    /// `https://127.0.0.1:port`, when its options ask for it; another port after each start.
    pub fn https(&self) -> Option<&str> {
        self.https.as_deref()
    }

    /// The admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A path in the bench's folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.rig.folder.path().join(relative)
    }

    /// Starts the server; after the first time on the same address and data.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_server(&mut self) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.args(["--json", "serve", "--poll", "1", "--listen", &self.address, "--mqtt", "127.0.0.1:0"]);
        command.arg("--data").arg(self.path("data")).args(&self.options);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("server.log"))?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().context("the server has a stdout")?;
        self.server = Some(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)
            .with_context(|| format!("the server said {line:?}; its log is {}", self.path("server.log").display()))?;
        let url = said["url"].as_str().context("a url")?;
        url.strip_prefix("http://").context("an http url")?.clone_into(&mut self.address);
        said["mqtt"]
            .as_str()
            .and_then(|url| url.strip_prefix("mqtt://"))
            .context("an mqtt url")?
            .clone_into(&mut self.mqtt);
        self.https = said["https"].as_str().map(str::to_owned);
        if let Some(token) = said["admin_token"].as_str() {
            token.clone_into(&mut self.token);
        }
        Ok(())
    }

    /// kill -9.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server runs")?;
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    /// Runs one command in the project's folder and returns what it printed as JSON.
    ///
    /// # Errors
    /// When it exits with anything but 0; the text holds its stderr.
    pub fn cli(&self, arguments: &[&str]) -> Result<Value> {
        let (code, stdout, stderr) = self.cli_code(arguments)?;
        ensure!(code == 0, "goldcrest {arguments:?} exited with {code}: {stderr}");
        let last = stdout.lines().last().unwrap_or("null");
        serde_json::from_str(last).with_context(|| format!("goldcrest {arguments:?} printed {stdout:?}"))
    }

    /// As [`Self::cli`]; the command reads `stdin`.
    ///
    /// # Errors
    /// As [`Self::cli`].
    pub fn cli_with(&self, arguments: &[&str], stdin: &str) -> Result<Value> {
        let path = self.path("stdin");
        std::fs::write(&path, stdin)?;
        let output = self.command(arguments)?.stdin(std::fs::File::open(path)?).output()?;
        ensure!(output.status.success(), "goldcrest {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// As [`Self::cli`], for commands that fail: exit code, stdout, stderr.
    ///
    /// # Errors
    /// When the binary can't be run.
    pub fn cli_code(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let output = self.command(arguments)?.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }

    /// Starts a command whose end does not matter.
    ///
    /// # Errors
    /// When the binary can't be run.
    pub fn cli_child(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(arguments)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.arg("--json").arg("--no-input").args(arguments);
        command.env("XDG_CONFIG_HOME", self.path("config")).env("GOLDCREST_SERVER", self.url());
        command.env("GOLDCREST_TOKEN", &self.token);
        let project = self.path("project");
        command.current_dir(if project.is_dir() { &project } else { self.rig.folder.path() });
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Publishes these files as one release, without moving a channel.
    ///
    /// # Errors
    /// When a file can't be written or the release is refused.
    pub fn publish(&self, version: &str, files: &[(&str, &[u8])]) -> Result<Value> {
        self.write_project(files)?;
        self.cli(&["publish", "--version", version])
    }

    /// Makes these files the project's only ones.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write_project(&self, files: &[(&str, &[u8])]) -> Result<()> {
        let root = self.path("project/src");
        std::fs::remove_dir_all(&root)?;
        for (path, bytes) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Enrols a device and makes its board, which is off.
    ///
    /// # Errors
    /// When the server refuses it or the board can't be made.
    pub async fn device(&self, name: &str, files: &[(&str, &[u8])]) -> Result<Board> {
        self.device_at(&self.url(), name, files).await
    }

    /// As [`Self::device`]; the board reaches the server by this address.
    ///
    /// # Errors
    /// When the server refuses it or the board can't be made.
    pub async fn device_at(&self, url: &str, name: &str, files: &[(&str, &[u8])]) -> Result<Board> {
        self.device_for("demo", url, name, files).await
    }

    /// As [`Self::device_at`]; the board takes releases of another package.
    ///
    /// # Errors
    /// When the server refuses it or the board can't be made.
    pub async fn device_for(&self, package: &str, url: &str, name: &str, files: &[(&str, &[u8])]) -> Result<Board> {
        let added = self.cli(&["device", "add", name, "--package", package])?;
        let token = added["token"].as_str().with_context(|| format!("no token in {added}"))?;
        let settings = BoardSettings { package: Some(package.to_owned()), ..quick(url, token) };
        self.rig.board(name, &settings, &self.keyring, files).await
    }

    /// A board that runs [`program`] 0 and pulls with these modules of the agent's sources, as `settings` say and `more` besides; it is on.
    ///
    /// # Errors
    /// When a module is missing or the board can't be made.
    pub async fn puller(&self, modules: &[&str], mut settings: Value, more: &Value) -> Result<(Board, Events)> {
        let both = settings.as_object_mut().zip(more.as_object()).context("two objects")?;
        both.0.extend(both.1.clone());
        let mut files = vec![("goldcrest.json".to_owned(), serde_json::to_vec(&settings)?)];
        files.push(("main.py".to_owned(), program("0")));
        files.extend(source_modules(modules)?);
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let replaced = quick("http://127.0.0.1:1", "none");
        let mut board = self.rig.board("kitchen", &replaced, &self.keyring, &files).await?;
        let events = board.events();
        board.power_on().await?;
        Ok((board, events))
    }

    /// A release as the file that travels: its archive.
    ///
    /// # Errors
    /// When the server does not have it.
    pub fn archive(&self, version: &str) -> Result<Vec<u8>> {
        let url = format!("{}/api/v1/releases/demo/{version}/archive", self.url());
        let answer = ureq::get(url).header("Authorization", format!("Bearer {}", self.token)).call()?;
        Ok(answer.into_body().read_to_vec()?)
    }

    /// Waits until the server knows every device as confirmed on a version.
    ///
    /// # Errors
    /// When that takes too long; the text holds the devices.
    pub async fn confirmed(&self, version: &str) -> Result<()> {
        let what = format!("release {version} on every board");
        let done = eventually(&what, || {
            let devices = self.api("devices").ok()?;
            let mut devices = devices["devices"].as_array()?.iter();
            devices.all(|d| d["running"] == version && d["state"] == "in-sync").then_some(())
        });
        done.await.with_context(|| format!("{:#}", self.api("devices").unwrap_or_default()))
    }

    /// Makes something by the management API.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url());
        let request = ureq::post(&url).header("Authorization", format!("Bearer {}", self.token));
        let text = request.send(body.to_string())?.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
    }

    /// One answer of the management API.
    ///
    /// # Errors
    /// When the server does not answer with 200 and JSON.
    pub fn api(&self, path: &str) -> Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url());
        let mut answer = ureq::get(&url).header("Authorization", format!("Bearer {}", self.token)).call()?;
        let text = answer.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if self.server.is_some()
            && let Err(error) = self.kill_server()
        {
            #[expect(clippy::print_stderr, reason = "a drop has no other way to tell the test's reader")]
            {
                eprintln!("the server did not end: {error}");
            }
        }
    }
}

/// The product's binary, beside the test's own.
///
/// # Errors
/// When it is not built.
pub fn binary() -> Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    while path.pop() {
        let candidate = path.join("goldcrest");
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("the goldcrest binary is not built: cargo build -p goldcrest")
}
