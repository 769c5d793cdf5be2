//! The file that an old updater takes as its last update: text that carries our agent, and installs it when it is run.

use data_encoding::BASE64;
use goldcrest_core::{Digest, minify};

use crate::Result;
use crate::board_files::{self, BoardFile};
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;

/// What runs first.
const BRIDGE: &str = include_str!("../../../agent/over/bridge.py");
/// main.py until the first release.
const WAITING: &str = include_str!("../../../agent/over/waiting.py");
/// The first line: by it the file finds itself.
const FIRST_LINE: &str =
    "# Goldcrest's bridge: the last update of the old updater. The agent is in the comments below.\n";
/// Where it says what it may be called.
const NO_NAMES: &str = "_NAMES = ()";
/// Bytes of a file in one comment.
const LINE_BYTES: usize = 96;

/// When the file does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// As soon as it is run or imported.
    AtOnce,
    /// When its `start(env)` is called, which is given a watchdog to feed.
    ByStart,
}

/// Everything that the board is to have: the agent, its settings and keys, and what brings up the network.
///
/// # Errors
/// As [`board_files::agent_files`].
pub(crate) fn files(
    settings: &serde_json::Value,
    keyring: &[u8],
    boot_user: Option<&[u8]>,
    compiler: Option<&MpyCross>,
) -> Result<Vec<BoardFile>> {
    let mut files = Vec::new();
    for (path, bytes) in board_files::agent_files(compiler)? {
        // boot.py comes last, by a rename.
        files.push((if path == "boot.py" { ".ota/boot.new".to_owned() } else { path }, bytes));
    }
    files.push(("goldcrest.json".to_owned(), format!("{settings}\n").into_bytes()));
    files.push((".ota/keyring0".to_owned(), keyring.to_vec()));
    files.push((".ota/main.new".to_owned(), small(WAITING)?.into_bytes()));
    files.extend(boot_user.map(|bytes| ("boot_user.py".to_owned(), bytes.to_vec())));
    files.sort();
    Ok(files)
}

/// The file itself. `names` are those that it may have on the board.
///
/// # Errors
/// When our own part of it cannot be minified.
pub(crate) fn text(names: &[String], runs: Runs, files: &[BoardFile]) -> Result<String> {
    let names = names.iter().fold(String::new(), |list, name| list + &format!("{name:?}, "));
    // Named before it is minified, which may write it another way.
    let mut text = FIRST_LINE.to_owned() + &small(&BRIDGE.replacen(NO_NAMES, &format!("_NAMES = ({names})"), 1))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text += match runs {
        Runs::AtOnce => "_install()\n",
        Runs::ByStart => "def start(env=None):\n    _install(env)\n",
    };
    for (path, bytes) in files {
        text += &format!("#>{path} {}\n", Digest::of(bytes));
        for piece in bytes.chunks(LINE_BYTES) {
            text += &format!("#|{}\n", BASE64.encode(piece));
        }
        text += "#.\n";
    }
    Ok(text + "#=\n")
}

fn small(source: &str) -> Result<String> {
    minify::minify(source).map_err(|e| Failure::failed(format!("the bridge: {e}")))
}
