//! Boards with `micropython-ota` 2.1.0 as it is on PyPI, on real MicroPython, served by our server: nothing of ours is on them.

use anyhow::{Result, ensure};
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::device::sdists::Sdists;
use goldcrest_e2e::device::theirs::library;
use goldcrest_e2e::rig::LIMIT;
use goldcrest_fleet::{Board, BoardEvent, Events, ResetCause, Tree};

/// boot.py and main.py after the package's README. `mark` is in both, so that a board shows which ones it runs.
fn program(url: &str, options: Options, mark: &str) -> [(&'static str, Vec<u8>); 2] {
    let Options { update, check, .. } = options;
    let boot = format!(
        "import micropython_ota, secrets\nprint('boot {mark}')\n\
         micropython_ota.ota_update('{url}/ota', 'sample', ['boot.py', 'main.py']{update})\n"
    );
    let main = format!(
        "import micropython_ota, secrets, time\nprint('app {mark}')\nwhile True:\n    time.sleep_ms(100)\n    \
         micropython_ota.check_for_ota_update('{url}/ota', 'sample'{check})\n"
    );
    [("boot.py", boot.into_bytes()), ("main.py", main.into_bytes())]
}

/// How the client is called.
#[derive(Clone, Copy, Default)]
struct Options {
    /// More arguments of `ota_update`.
    update: &'static str,
    /// More arguments of `check_for_ota_update`.
    check: &'static str,
    /// What the feed asks for; the user is `otauser`.
    password: Option<&'static str>,
}

const LOGIN: &str = ", user=secrets.user, passwd=secrets.password";

/// A server with a feed of the package `demo`, and a board with the client that was pointed at it.
struct Scene {
    bench: Bench,
    options: Options,
    board: Board,
    events: Events,
}

impl Scene {
    /// The board has updated itself from what it was born with to 1.0.
    async fn start(options: Options) -> Result<Self> {
        let bench = Bench::start()?;
        let mut files: Tree = library(&Sdists::fetch()?)?;
        // As its README advises, and as `goldcrest publish` demands.
        files.insert("secrets.py".to_owned(), b"user = 'otauser'\npassword = 'top:secret'\n".to_vec());
        files.extend(program(&bench.url(), options, "0").map(|(path, bytes)| (path.to_owned(), bytes)));
        let board = bench.rig.foreign_board("old", files).await?;
        let events = board.events();
        let mut scene = Self { bench, options, board, events };
        scene.release("1.0", &["boot.py", "main.py"])?;
        let feed = ["feed", "add", "micropython-ota", "ota/sample", "--package", "demo"];
        match options.password {
            None => scene.bench.cli(&feed)?,
            Some(password) => scene.bench.cli_with(&[&feed[..], &["--user", "otauser"]].concat(), password)?,
        };
        scene.board.power_on().await?;
        scene.events.wait_for_line(LIMIT, "app 1.0").await?;
        Ok(scene)
    }

    /// Publishes a release with these of the two files and points the channel at it.
    fn release(&self, version: &str, named: &[&str]) -> Result<()> {
        let files = program(&self.bench.url(), self.options, version);
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .filter(|(path, _)| named.contains(path))
            .map(|(path, bytes)| (*path, bytes.as_slice()))
            .collect();
        self.bench.publish(version, &files)?;
        self.bench.cli(&["channel", "set", "stable", version])?;
        Ok(())
    }

    /// At the end boot.py, main.py and `version` are those of one release.
    async fn ends_with(mut self, version: &str) -> Result<()> {
        self.board.power_cut().await?;
        let tree = self.board.read_tree().await?;
        for (path, bytes) in program(&self.bench.url(), self.options, version) {
            ensure!(tree.get(path) == Some(&bytes), "{path} is not that of {version}");
        }
        ensure!(tree.get("version").map(Vec::as_slice) == Some(version.as_bytes()), "version names another one");
        ensure!(!tree.keys().any(|path| path.starts_with("tmp/")), "the client has left its files");
        Ok(())
    }

    async fn goes_to(&mut self, version: &str) -> Result<()> {
        self.events.wait_for_line(LIMIT, &format!("app {version}")).await?;
        Ok(())
    }
}

/// Two releases one after the other, each with a new boot.py and main.py.
async fn updates(options: Options) -> Result<()> {
    let mut scene = Scene::start(options).await?;
    scene.release("2.0_b", &["boot.py", "main.py"])?;
    scene.goes_to("2.0_b").await?;
    scene.ends_with("2.0_b").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_layout_and_a_new_boot_py() -> Result<()> {
    updates(Options::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subdirectory_layout() -> Result<()> {
    updates(Options { update: ", use_version_prefix=False", ..Options::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_authentication() -> Result<()> {
    updates(Options { update: LOGIN, check: LOGIN, password: Some("top:secret") }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_changes_nothing() -> Result<()> {
    let mut scene = Scene::start(Options { update: LOGIN, check: LOGIN, password: Some("top:secret") }).await?;
    scene.bench.cli(&["--yes", "feed", "rm", "1"])?;
    let feed = ["feed", "add", "micropython-ota", "ota/sample", "--package", "demo", "--user", "otauser"];
    scene.bench.cli_with(&feed, "another")?;
    scene.release("2.0", &["boot.py", "main.py"])?;
    scene.events.wait_for_line(LIMIT, "Remote version file").await?;
    scene.ends_with("1.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_reset() -> Result<()> {
    let options = Options { update: ", soft_reset_device=True", check: ", soft_reset_device=True", password: None };
    let mut scene = Scene::start(options).await?;
    scene.release("2.0", &["boot.py", "main.py"])?;
    let soft = |event: &BoardEvent| *event == BoardEvent::Reset(ResetCause::Soft);
    scene.events.wait_for(LIMIT, soft).await?;
    scene.goes_to("2.0").await?;
    scene.ends_with("2.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_keeps_the_old_release() -> Result<()> {
    let mut scene = Scene::start(Options::default()).await?;
    scene.release("2.0", &["main.py"])?;
    scene.events.wait_for_line(LIMIT, "2.0_boot.py not found").await?;
    // It asks again at each boot; a release that has both is taken.
    scene.release("3.0", &["boot.py", "main.py"])?;
    scene.goes_to("3.0").await?;
    scene.ends_with("3.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_the_channel_back_takes_the_board_back() -> Result<()> {
    let mut scene = Scene::start(Options::default()).await?;
    scene.release("2.0", &["boot.py", "main.py"])?;
    scene.goes_to("2.0").await?;
    scene.bench.cli(&["channel", "set", "stable", "1.0"])?;
    scene.goes_to("1.0").await?;
    scene.ends_with("1.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_leaves_the_board_at_work() -> Result<()> {
    let mut scene = Scene::start(Options::default()).await?;
    scene.bench.kill_server()?;
    scene.events.wait_for_line(LIMIT, "Something went wrong").await?;
    scene.bench.start_server()?;
    scene.release("2.0", &["boot.py", "main.py"])?;
    scene.goes_to("2.0").await?;
    scene.ends_with("2.0").await
}
