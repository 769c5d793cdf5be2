//! Our agent pulls from nginx what `goldcrest export --static` wrote: the signed layout, both of micropython-ota, and MAC files; the latter from our server too.

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::device::nginx::Nginx;
use goldcrest_e2e::rig::{LIMIT, program, user_files};
use goldcrest_fleet::{Board, Events};
use serde_json::{Value, json};

const MAC: &str = "aabbccddeeff";
const LOGIN: &str = "ann:s3cret";

/// A server, a folder that nginx serves, and a board that knows only the latter.
struct Scene {
    bench: Bench,
    nginx: Nginx,
    layout: &'static str,
    /// The program's file.
    main: &'static str,
    board: Option<Board>,
    events: Option<Events>,
}

impl Scene {
    fn new(layout: &'static str, main: &'static str, login: Option<&str>) -> Result<Self> {
        let bench = Bench::start()?;
        let folder = bench.path("nginx");
        std::fs::create_dir_all(&folder)?;
        let nginx = Nginx::start_with(&folder, login)?;
        let toml = bench.path("project/goldcrest.toml");
        // These layouts show source.
        let text = std::fs::read_to_string(&toml)?.replacen("[pack]", "[pack]\npython = \"raw\"", 1);
        std::fs::write(&toml, text)?;
        Ok(Self { bench, nginx, layout, main, board: None, events: None })
    }

    /// Publishes a program that says its version, and writes it into the folder.
    fn publish(&self, version: &str, main: &[u8]) -> Result<Value> {
        let name = format!("NAME = '{version}'\n");
        self.bench.publish(version, &[(self.main, main), ("part.py", name.as_bytes()), ("same.py", b"SAME = 1\n")])?;
        self.bench.cli(&["channel", "set", "stable", version])?;
        self.export()
    }

    fn export(&self) -> Result<Value> {
        let www = self.bench.path("nginx/www");
        let www = www.to_str().context("a path of text")?;
        self.bench.cli(&["export", "--static", www, "--layout", self.layout])
    }

    /// Makes the board with these settings of its source, and switches it on.
    async fn start(&mut self, modules: &[&str], more: Value) -> Result<()> {
        let modules = [modules, &["source", "store", "web"]].concat();
        let (board, events) = self.bench.puller(&modules, json!({"poll_s": 1, "trial_s": 5}), &more).await?;
        (self.board, self.events) = (Some(board), Some(events));
        Ok(())
    }

    async fn goes_to(&mut self, version: &str) -> Result<()> {
        let events = self.events.as_mut().context("a board")?;
        events.wait_for_line(LIMIT, &format!("app {version}")).await?;
        Ok(())
    }

    /// Two updates, one that fails and is rolled back, one after it; at the end the board holds the release.
    async fn lives(mut self, modules: &[&str], settings: Value) -> Result<()> {
        self.publish("1.0", &program("1.0"))?;
        self.start(modules, settings).await?;
        self.goes_to("1.0").await?;
        self.publish("2.0", &program("2.0"))?;
        self.goes_to("2.0").await?;
        // The trial of 2.0 ends with its first good look, before the next version is taken.
        self.publish("bad", b"print('app bad')\nraise ValueError('bad')\n")?;
        self.goes_to("bad").await?;
        self.goes_to("2.0").await?;
        self.publish("3.0", &program("3.0"))?;
        self.goes_to("3.0").await?;
        let mut board = self.board.take().context("a board")?;
        board.power_cut().await?;
        let tree = user_files(&board.read_tree().await?);
        for (path, bytes) in [(self.main, program("3.0")), ("part.py", b"NAME = '3.0'\n".to_vec())] {
            ensure!(tree.get(path) == Some(&bytes), "{path} is not that of 3.0: {:?}", tree.keys());
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_export() -> Result<()> {
    let scene = Scene::new("native", "main.py", None)?;
    let settings = json!({"source": "static", "server": scene.nginx.url(), "package": "demo", "channel": "stable"});
    scene.lives(&["static", "export"], settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_export_that_somebody_changed_is_not_installed() -> Result<()> {
    let mut scene = Scene::new("native", "main.py", None)?;
    scene.publish("1.0", &program("1.0"))?;
    let settings = json!({"source": "static", "server": scene.nginx.url(), "package": "demo", "channel": "stable"});
    scene.start(&["static", "export"], settings).await?;
    scene.goes_to("1.0").await?;
    scene.publish("2.0", &program("2.0"))?;
    let release = scene.bench.cli(&["release", "show", "2.0"])?;
    let digest = release["digest"].as_str().context("a digest")?;
    let manifest = scene.bench.path(&format!("nginx/www/manifests/{digest}"));
    let text = std::fs::read_to_string(&manifest)?;
    // The export as it was, but for one file: with another manifest behind the channel, and no delta to it.
    std::fs::remove_dir_all(scene.bench.path("nginx/www/deltas"))?;
    std::fs::write(&manifest, text.replace("version 2.0", "version 6.6"))?;
    let events = scene.events.as_mut().context("a board")?;
    events.wait_for_line(LIMIT, "bad-signature").await?;
    // The next export puts it right; the board took it for a failed release, so that another one is wanted.
    scene.publish("3.0", &program("3.0"))?;
    scene.goes_to("3.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_layout_of_micropython_ota() -> Result<()> {
    let scene = Scene::new("micropython-ota", "main.py", None)?;
    let server = format!("{}/demo", scene.nginx.url());
    scene.lives(&["static", "tree"], json!({"source": "static", "server": server, "unsigned": true})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_layout_of_micropython_ota_with_a_password() -> Result<()> {
    let scene = Scene::new("micropython-ota", "main.py", Some(LOGIN))?;
    let server = format!("{}/demo", scene.nginx.url());
    let settings = json!({"source": "static", "server": server, "unsigned": true, "layout": "folder",
        "files": ["main.py", "part.py", "same.py"], "user": "ann", "password": "s3cret"});
    scene.lives(&["static", "tree"], settings).await
}

/// A feed of sensorclass, and a device of this MAC address.
fn open_feed(scene: &Scene) -> Result<()> {
    scene.bench.cli(&["feed", "add", "sensorclass", "local/code"])?;
    let device = ["device", "add", "kitchen", "--package", "demo", "--adapter", "sensorclass", "--id", MAC];
    scene.bench.cli(&device)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mac_files() -> Result<()> {
    let scene = Scene::new("sensorclass", "demo.py", None)?;
    open_feed(&scene)?;
    let settings = json!({"source": "macfile", "server": scene.nginx.url(), "unsigned": true, "mac": MAC});
    scene.lives(&["macfile", "tree"], settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mac_files_of_our_server() -> Result<()> {
    let scene = Scene::new("sensorclass", "demo.py", None)?;
    open_feed(&scene)?;
    let server = format!("{}/local/code", scene.bench.url());
    scene
        .lives(&["macfile", "tree"], json!({"source": "macfile", "server": server, "unsigned": true, "mac": MAC}))
        .await
}
