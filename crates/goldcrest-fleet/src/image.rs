//! Making and reading flash images, by MicroPython itself: what it reads is what a board sees.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::BoardSettings;

/// The files of a board: path without the leading `/`, and bytes.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Heap of the processes that handle images; a board's own limit does not matter there.
const HEAP: &str = "8M";

/// Makes the image file anew, all erased, formats it and puts `files` on it.
pub(crate) async fn format(settings: &BoardSettings, entry: &Path, image: &Path) -> Result<()> {
    let erased = vec![0xff; settings.block_size as usize];
    let mut file = File::create(image).with_context(|| format!("cannot write {}", image.display()))?;
    for _ in 0..settings.flash_blocks {
        file.write_all(&erased).with_context(|| format!("cannot write {}", image.display()))?;
    }
    drop(file);
    run("format", settings, entry, image, &settings.files).await.map(drop)
}

/// Puts `files` on an image that is there; others stay.
pub(crate) async fn copy(settings: &BoardSettings, entry: &Path, image: &Path, files: &Tree) -> Result<()> {
    run("copy", settings, entry, image, files).await.map(drop)
}

/// Every file of an image.
pub(crate) async fn dump(settings: &BoardSettings, entry: &Path, image: &Path) -> Result<Tree> {
    let output = run("dump", settings, entry, image, &Tree::new()).await?;
    parse(&output).with_context(|| format!("reading {}", image.display()))
}

async fn run(mode: &str, settings: &BoardSettings, entry: &Path, image: &Path, files: &Tree) -> Result<Vec<u8>> {
    let mut child = Command::new(settings.micropython.path())
        .args(["-X", &format!("heapsize={HEAP}")])
        .arg(entry)
        .arg(mode)
        .args(settings.flash_arguments(image))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", settings.micropython.path().display()))?;
    let mut stdin = child.stdin.take().context("the image process has no stdin")?;
    let mut bytes = Vec::new();
    for (path, content) in files {
        bytes.extend_from_slice(format!("{} {path}\n", content.len()).as_bytes());
        bytes.extend_from_slice(content);
    }
    let feed = async move {
        // A process that gave up closes the pipe; its own words, read below, say why.
        if stdin.write_all(&bytes).await.is_ok() {
            drop(stdin.shutdown().await);
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.context("waiting for the image process")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cannot {mode} the flash of board {} ({}): {}", settings.name, output.status, said.trim());
    }
    Ok(output.stdout)
}

fn parse(mut output: &[u8]) -> Result<Tree> {
    let mut tree = Tree::new();
    while !output.is_empty() {
        let mut line = String::new();
        output.read_line(&mut line).context("a path is not UTF-8")?;
        let (length, path) = line.trim_end().split_once(' ').context("the list of files is damaged")?;
        let mut content = vec![0; length.parse().context("the list of files is damaged")?];
        output.read_exact(&mut content).with_context(|| format!("{path} is cut short"))?;
        tree.insert(path.to_owned(), content);
    }
    Ok(tree)
}
