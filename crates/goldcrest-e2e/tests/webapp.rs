//! A real application: a web page served by microdot, updated across two releases of microdot as PyPI has them.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result};
use goldcrest::webboard::{self, Edition, MICRODOT, PACKAGE};
use goldcrest_core::Digest;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::rig::{LIMIT, eventually, program};
use goldcrest_fleet::{Board, Tree};
use serde_json::{Value, json};

const OLD: Edition<'_> = Edition { version: "1.0.0", colour: "teal", microdot: MICRODOT[0], fault: "" };
const NEW: Edition<'_> = Edition { version: "1.1.0", colour: "darkorange", microdot: MICRODOT[1], fault: "" };
const CRASHING: Edition<'_> =
    Edition { version: "1.2.0", colour: "crimson", microdot: MICRODOT[1], fault: "import thermometer\n" };
/// The framework's module on the board.
const FRAMEWORK: &str = "lib/microdot/microdot.mpy";

/// A bench with one board that serves a page.
struct Kitchen {
    bench: Bench,
    board: Board,
    port: u16,
}

impl Kitchen {
    async fn new() -> Result<Self> {
        let bench = Bench::start()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let config = json!({"name": "kitchen", "port": port}).to_string();
        let files: [(&str, &[u8]); 2] = [("main.py", &program("0")), ("config.json", config.as_bytes())];
        let mut board = bench.device_for(PACKAGE, &bench.url(), "kitchen", &files).await?;
        board.power_on().await?;
        Ok(Self { bench, board, port })
    }

    /// Publishes an edition to the channel of the board and returns what the server holds of it once its deployment is `state`.
    async fn send(&self, edition: Edition<'_>, state: &str) -> Result<(Value, Value)> {
        let app = self.bench.path("app");
        let downloads =
            std::env::var_os("GOLDCREST_DOWNLOADS").map_or_else(|| self.bench.path("downloads"), PathBuf::from);
        webboard::write(&app, edition, "\n[sign]\nkey = \"demo\"\n", &downloads).map_err(|e| anyhow::anyhow!("{e}"))?;
        self.bench.cli(&["publish", "--channel", "stable", "--project", &app.to_string_lossy()])?;
        let what = format!("{} to be {state}", edition.version);
        let ended = eventually(&what, || {
            let list = self.bench.api("deployments?device=kitchen").ok()?;
            let list = list["deployments"].as_array()?;
            list.iter().find(|d| d["version"] == edition.version && d["state"] == state).cloned()
        });
        let ended = ended
            .await
            .with_context(|| format!("{:#}", self.bench.api("devices/kitchen/events").unwrap_or_default()))?;
        Ok((self.bench.api(&format!("releases/{PACKAGE}/{}", edition.version))?, ended))
    }

    /// The page over HTTP, as soon as it is that of the edition.
    async fn page(&self, edition: Edition<'_>) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/", self.port);
        let named = [format!("webboard {}", edition.version), edition.colour.to_owned(), "kitchen".to_owned()];
        let mut seen = String::new();
        let what = format!("the page of {}", edition.version);
        let page = eventually(&what, || {
            // Nobody listens while the board starts.
            seen = ureq::get(&url)
                .config()
                .timeout_global(Some(LIMIT))
                .build()
                .call()
                .ok()?
                .body_mut()
                .read_to_string()
                .ok()?;
            named.iter().all(|part| seen.contains(part)).then(|| seen.clone())
        });
        page.await.with_context(|| format!("{url} serves {seen:?}"))
    }

    /// What is on the flash; the board is off for a moment.
    async fn flash(&mut self) -> Result<Tree> {
        self.board.power_cut().await?;
        let tree = self.board.read_tree().await?;
        self.board.power_on().await?;
        Ok(tree)
    }

    /// Checks page and flash against the release that the server holds, and returns the framework's bytes on the board.
    async fn runs(&mut self, edition: Edition<'_>, release: &Value) -> Vec<u8> {
        self.page(edition).await.expect("the page after the update");
        let tree = self.flash().await.expect("the board's flash");
        let files = release["files"].as_array().expect("the release's files");
        assert!(files.iter().any(|file| file["path"] == FRAMEWORK), "{release:#}");
        for file in files {
            let bytes = &tree[file["path"].as_str().expect("a path")];
            assert_eq!(Digest::of(bytes).to_string(), file["digest"], "{file:#} is not what the board has");
        }
        let framework = tree[FRAMEWORK].clone();
        let page = self.page(edition).await.expect("the page after a power cut");
        assert!(page.contains(&format!("microdot.mpy: {} bytes", framework.len())), "{page}");
        assert!(String::from_utf8_lossy(&tree["config.json"]).contains(&self.port.to_string()), "its own file changed");
        framework
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_served_across_two_releases_of_its_framework_and_a_crash() {
    let mut kitchen = Kitchen::new().await.expect("a board");
    let (first, _) = kitchen.send(OLD, "confirmed").await.expect("the first release");
    let old = kitchen.runs(OLD, &first).await;

    let (second, _) = kitchen.send(NEW, "confirmed").await.expect("the second release");
    let new = kitchen.runs(NEW, &second).await;
    assert!(old != new, "microdot {} and {} are the same on the board", MICRODOT[0], MICRODOT[1]);

    let (_, ended) = kitchen.send(CRASHING, "rolled-back").await.expect("the crash is reported");
    assert_eq!(ended["reason"], "crash", "{ended:#}");
    assert!(ended["trace"].as_str().is_some_and(|trace| trace.contains("thermometer")), "{ended:#}");
    assert_eq!(kitchen.runs(NEW, &second).await, new);
}
