//! Our side of the contest: the shipped agent as .mpy, and the real server.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use goldcrest_fleet::{Board, BoardEvent, BoardSettings, Micropython, Tree};

use super::contest::{Contestant, Done, mpy_cross};
use super::payload::{Case, Files};
use crate::bench::Bench;
use crate::rig::{LIMIT, eventually};
use crate::wire::Wire;

/// Files are packed byte for byte, so that both sides send the same; they are pieces of source, no modules.
const PROJECT: &str = "[app]\nname = \"demo\"\nversion = \"0\"\n[pack]\nroot = \"src\"\nraw = [\"**\"]\nallow_secrets = [\"**\"]\n[sign]\nkey = \"demo\"\n";
/// The board's own program: no part of the releases, as on the other side.
pub const PROGRAM: &[u8] = b"import goldcrest, time\nwhile True:\n    goldcrest.poll()\n    time.sleep_ms(20)\n";

/// A server with keys of this many bits (3072 is the default of `goldcrest keygen`), and releases of plain files.
///
/// # Errors
/// When it does not start.
pub fn bench(bits: &str) -> Result<Bench> {
    let bench = Bench::start_with_keys(bits)?;
    std::fs::write(bench.path("project/goldcrest.toml"), PROJECT)?;
    Ok(bench)
}

/// Devices for the runs of one update.
pub struct Enrolment<'a> {
    bench: &'a Bench,
    case: &'static str,
    version: String,
    settings: serde_json::Value,
    devices: AtomicU32,
}

/// A board that runs the release before, and a server that offers the one after.
///
/// # Errors
/// When the first release is not installed.
pub async fn prepare<'a>(bench: &'a Bench, micropython: &Micropython, case: &'a Case) -> Result<Contestant<'a>> {
    let (before, after) = (format!("{}-1", case.key), format!("{}-2", case.key));
    let wire = Wire::to(&bench.url())?;
    publish(bench, &before, &case.before)?;
    let mut board = bench.device_at(&wire.url(), case.key, &[("main.py", PROGRAM)]).await?;
    let mut events = board.events();
    board.power_on().await?;
    let installed = eventually(&before, || is_confirmed(bench, case.key, &before).ok()?.then_some(())).await;
    installed.with_context(|| format!("see {}", board.log_path().display()))?;
    board.power_cut().await?;
    events.wait_for(LIMIT, |event| *event == BoardEvent::Off).await?;
    let mut settings = BoardSettings::new(bench.rig.folder.path(), case.key, micropython);
    settings.mpy_cross = Some(mpy_cross());
    let tree = board.read_tree().await?;
    let json = tree.get("goldcrest.json").context("the board has settings")?;
    let json = serde_json::from_slice(json)?;
    board.stop().await?;
    publish(bench, &after, &case.after)?;
    let enrolment = Enrolment { bench, case: case.key, version: after, settings: json, devices: AtomicU32::new(0) };
    let mut contestant =
        Contestant { settings, image: Vec::new(), expected: &case.after, wire, done: Done::Confirmed(enrolment) };
    contestant.image = std::fs::read(contestant.image_path())?;
    Ok(contestant)
}

fn publish(bench: &Bench, version: &str, files: &Files) -> Result<()> {
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    bench.publish(version, &files)?;
    bench.cli(&["channel", "set", "stable", version])?;
    Ok(())
}

impl Enrolment<'_> {
    /// Makes a new device of a board that is off; returns its name.
    ///
    /// # Errors
    /// When the server refuses it, or the flash can't be written.
    pub async fn enrol(&self, board: &Board, url: &str) -> Result<String> {
        let name = format!("{}-{}", self.case, self.devices.fetch_add(1, Ordering::Relaxed));
        let added = self.bench.cli(&["device", "add", &name, "--package", "demo"])?;
        let mut settings = self.settings.clone();
        settings["token"] = added["token"].clone();
        settings["server"] = url.into();
        // A busy machine must not end a trial that a small heap would have passed.
        settings["trial_s"] = 30.into();
        let file = ("goldcrest.json".to_owned(), settings.to_string().into_bytes());
        board.write_files(&Tree::from([file])).await?;
        Ok(name)
    }

    /// Whether the server knows the new release as confirmed by the device.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub fn is_confirmed(&self, device: &str) -> Result<bool> {
        is_confirmed(self.bench, device, &self.version)
    }
}

/// Whether the server knows a release as confirmed by a device.
///
/// # Errors
/// When the server can't be asked.
pub fn is_confirmed(bench: &Bench, device: &str, version: &str) -> Result<bool> {
    let device = bench.api(&format!("devices/{device}"))?;
    Ok(device["running"] == version && device["state"] == "in-sync")
}
