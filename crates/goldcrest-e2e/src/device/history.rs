//! Bytes of every update in the last twelve releases of microdot: what others would send, and what crosses the cable with us.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use goldcrest_core::object::{DEFAULT_WINDOW_BITS, to_wire};
use goldcrest_fleet::{Board, Tree};

use super::exchange;
use super::ours::{PROGRAM, is_confirmed};
use super::payload::python_files;
use super::sdists::{Sdists, tar_gz_bytes, versions};
use crate::bench::Bench;
use crate::rig::eventually;
use crate::wire::Wire;

const DEVICE: &str = "kitchen";
/// Where microdot is on the board.
const LIBRARY: &str = "lib/microdot";

/// What becomes of the .py files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// They are sent as they are.
    Source,
    /// They are compiled, as is the default.
    Bytecode,
}

/// Bytes of one update from a release to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The tree as a .tar.gz.
    pub tar_gz: u64,
    /// Every file, deflated by itself.
    pub all_deflated: u64,
    /// Every file that differs, deflated by itself.
    pub changed_deflated: u64,
    /// Ours: the answer that offers the release (its manifest, with the signature), with its head.
    pub offer_down: u64,
    /// Ours: the answers that carry files, with their heads.
    pub objects_down: u64,
    /// Ours: the bodies of all these: the manifest with its signature and the files.
    pub bodies_down: u64,
    /// Ours: everything to the board from power-on until it has confirmed, with two boots and all reports.
    pub down: u64,
    /// Ours: everything from the board.
    pub up: u64,
    /// Answers that were deltas (226).
    pub deltas: u64,
    /// Answers that were whole manifests or objects (200).
    pub whole: u64,
}

/// Installs one release after the other on one board.
///
/// # Errors
/// When a release can't be packed, published or installed.
pub async fn updates(sdists: &Sdists, packing: Packing) -> Result<Vec<Update>> {
    let bench = Bench::start_with_keys("3072")?;
    let python = if packing == Packing::Source { "raw" } else { "mpy" };
    let project = format!(
        "[app]\nname = \"demo\"\nversion = \"0\"\n[pack]\nroot = \"src\"\npython = \"{python}\"\n[sign]\nkey = \"demo\"\n"
    );
    std::fs::write(bench.path("project/goldcrest.toml"), project)?;
    let wire = Wire::to(&bench.url())?;
    let mut board = bench.device_at(&wire.url(), DEVICE, &[("main.py", PROGRAM)]).await?;
    let mut previous = Tree::new();
    let mut updates = Vec::new();
    for version in versions("microdot") {
        publish(&bench, version, &sdists.package("microdot", version).join("src/microdot"))?;
        wire.take();
        install(&bench, &mut board, version).await?;
        let recorded = wire.recorded();
        let bytes = wire.take();
        let tree = library(&board.read_tree().await?);
        ensure!(!tree.is_empty(), "microdot {version} is not on the board");
        if !previous.is_empty() {
            let (tar_gz, all_deflated, changed_deflated) = alternatives(&bench, &previous, &tree)?;
            let traffic = traffic(&recorded);
            updates.push(Update { tar_gz, all_deflated, changed_deflated, down: bytes.down, up: bytes.up, ..traffic });
        }
        previous = tree;
    }
    board.stop().await?;
    Ok(updates)
}

/// The project is the library and nothing else: the board's program is its own.
fn publish(bench: &Bench, version: &str, library: &Path) -> Result<()> {
    let mut files = Vec::new();
    for path in python_files(library)? {
        let name = path.strip_prefix(library)?.to_str().context("names in microdot are text")?;
        files.push((format!("{LIBRARY}/{name}"), std::fs::read(&path)?));
    }
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    bench.publish(version, &files)?;
    bench.cli(&["channel", "set", "stable", version])?;
    Ok(())
}

/// Switches the board on until it has confirmed; the board was off while the release was published.
async fn install(bench: &Bench, board: &mut Board, version: &str) -> Result<()> {
    board.power_on().await?;
    let done = eventually(version, || is_confirmed(bench, DEVICE, version).ok()?.then_some(())).await;
    done.with_context(|| std::fs::read_to_string(board.log_path()).unwrap_or_default())?;
    board.power_cut().await
}

fn library(tree: &Tree) -> Tree {
    tree.iter().filter(|(path, _)| path.starts_with(LIBRARY)).map(|(p, b)| (p.clone(), b.clone())).collect()
}

/// The same update as a .tar.gz, as all files and as the files that differ.
fn alternatives(bench: &Bench, previous: &Tree, tree: &Tree) -> Result<(u64, u64, u64)> {
    let folder = bench.path("tree");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let mut sizes = BTreeMap::new();
    for (path, bytes) in tree {
        let target = folder.join(path);
        std::fs::create_dir_all(target.parent().context("a path in a folder")?)?;
        std::fs::write(&target, bytes)?;
        sizes.insert(path, to_wire(bytes, DEFAULT_WINDOW_BITS).len() as u64);
    }
    let changed = sizes.iter().filter(|(path, _)| previous.get(path.as_str()) != tree.get(path.as_str()));
    let changed = changed.map(|(_, size)| size).sum();
    Ok((tar_gz_bytes(&folder)?, sizes.values().sum(), changed))
}

/// What the recorded answers were for.
fn traffic(connections: &[(Vec<u8>, Vec<u8>)]) -> Update {
    let mut update = Update::default();
    for exchange in connections.iter().flat_map(|(up, down)| exchange::read(up, down)) {
        if !matches!(exchange.status, 200 | 206 | 226) {
            continue;
        }
        if exchange.path.starts_with("/d/v1/checkin") {
            update.offer_down += exchange.down;
        } else {
            update.objects_down += exchange.down;
        }
        update.bodies_down += exchange.body;
        update.deltas += u64::from(exchange.status == 226);
        update.whole += u64::from(exchange.status != 226);
    }
    update
}

/// The middle of some numbers, the mean of the two middle ones of an even count.
pub fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0,
        length if length % 2 == 1 => numbers[middle],
        _ => u64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

#[cfg(test)]
mod tests {
    //! Sums and medians.

    use super::{Update, median, traffic};

    #[test]
    fn only_what_carries_the_release_is_content() {
        let up = b"GET /d/v1/checkin?run=- HTTP/1.1\r\n\r\nGET /d/v1/objects/ab HTTP/1.1\r\n\r\nPOST /d/v1/report HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        let down = b"HTTP/1.1 226 IM Used\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxyHTTP/1.1 204 No Content\r\n\r\n";
        let recorded = [
            (up.to_vec(), down.to_vec()),
            (b"GET /d/v1/checkin?x HTTP/1.1\r\n\r\n".to_vec(), b"HTTP/1.1 304 X\r\n\r\n".to_vec()),
        ];
        let expected =
            Update { offer_down: 44, objects_down: 40, bodies_down: 3, deltas: 1, whole: 1, ..Update::default() };
        assert_eq!(traffic(&recorded), expected);
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!([median(vec![]), median(vec![9]), median(vec![9, 1, 5]), median(vec![4, 1, 9, 6])], [0, 9, 5, 5]);
    }
}
