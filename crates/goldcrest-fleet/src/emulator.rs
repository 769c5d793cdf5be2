//! The board's Python side, carried in the binary and laid out beside the image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The file to run.
const ENTRY: &str = "board.py";

const FILES: [(&str, &str); 5] = [
    (ENTRY, include_str!("../board/board.py")),
    ("board_console.py", include_str!("../board/board_console.py")),
    ("board_flash.py", include_str!("../board/board_flash.py")),
    ("board_image.py", include_str!("../board/board_image.py")),
    ("board_machine.py", include_str!("../board/board_machine.py")),
];

/// Writes the emulator to `folder/emulator` where it is not there as it should be; returns the file to run.
pub(crate) fn install(folder: &Path) -> Result<PathBuf> {
    let target = folder.join("emulator");
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    for (name, text) in FILES {
        let path = target.join(name);
        if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
            continue;
        }
        // Written aside and renamed: another board of this folder may be starting from it right now.
        let aside = target.join(format!("{name}.{}", std::process::id()));
        fs::write(&aside, text).with_context(|| format!("cannot write {}", aside.display()))?;
        fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(target.join(ENTRY))
}
