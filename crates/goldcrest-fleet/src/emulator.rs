//! The board's Python side, carried in the binary and laid out beside the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The file to run: always source.
const ENTRY: (&str, &str) = ("board.py", include_str!("../board/board.py"));

const MODULES: [(&str, &str); 5] = [
    ("board_console", include_str!("../board/board_console.py")),
    ("board_firmware", include_str!("../board/board_firmware.py")),
    ("board_flash", include_str!("../board/board_flash.py")),
    ("board_image", include_str!("../board/board_image.py")),
    ("board_machine", include_str!("../board/board_machine.py")),
];

/// Writes the emulator to a folder in `folder` where it is not there as it should be; returns the file to run. With a compiler
/// its modules are bytecode.
pub(crate) fn install(folder: &Path, mpy_cross: Option<&Path>) -> Result<PathBuf> {
    // Two folders, because MicroPython takes source before bytecode.
    let target = folder.join(if mpy_cross.is_some() { "emulator-mpy" } else { "emulator" });
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    put(&target, ENTRY.0, ENTRY.1.as_bytes())?;
    for (name, text) in MODULES {
        match mpy_cross {
            None => put(&target, &format!("{name}.py"), text.as_bytes())?,
            Some(mpy_cross) => compile(mpy_cross, &target, name, text)?,
        }
    }
    Ok(target.join(ENTRY.0))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    // Written aside and renamed: another board of this folder may be starting from it right now.
    let aside = folder.join(format!("{name}.{}", std::process::id()));
    fs::write(&aside, bytes).with_context(|| format!("cannot write {}", aside.display()))?;
    fs::rename(&aside, &path).with_context(|| format!("cannot write {}", path.display()))
}

/// Bytecode of a module, unless it is there; its source is kept beside it under a name that nothing imports.
fn compile(mpy_cross: &Path, folder: &Path, name: &str, text: &str) -> Result<()> {
    let (bytecode, source) = (format!("{name}.mpy"), format!("{name}.txt"));
    if folder.join(&bytecode).is_file() && fs::read(folder.join(&source)).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    put(folder, &source, text.as_bytes())?;
    let output = Command::new(mpy_cross)
        .args(["-O3".as_ref(), "-s".as_ref(), folder.join(format!("{name}.py")).as_os_str()])
        .arg("-o")
        .arg(folder.join(&bytecode))
        .arg(folder.join(&source))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", mpy_cross.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} refuses {source} of the emulator: {}", mpy_cross.display(), said.trim());
    Ok(())
}
