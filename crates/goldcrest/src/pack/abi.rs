//! What all .mpy files of a release need of a board, and whether the boards of the project have it.

use goldcrest_core::mpy::{MpyAbi, MpyHeader};

use crate::Result;
use crate::failure::Failure;
use crate::project::Project;

/// The .mpy version that boards since `MicroPython` 1.19 load.
const VERSION: u8 = 6;
/// The oldest `MicroPython` that loads native code of each sub-version of .mpy 6.
const NATIVE_SINCE: [(u32, u32); 4] = [(1, 19), (1, 20), (1, 22), (1, 23)];

/// Collects the headers of .mpy files.
#[derive(Default)]
pub(super) struct Abis {
    any: bool,
    /// The first file with native code, and what it needs.
    native: Option<(String, MpyAbi)>,
}

impl Abis {
    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, header: MpyHeader) -> Result<()> {
        self.any = true;
        let abi = header.abi;
        if abi.version != VERSION {
            return Err(Failure::refused(
                "mpy",
                format!("{path} is of .mpy version {}: boards of today load version {VERSION}", abi.version),
            )
            .hint("compile it again with a newer mpy-cross, or pack its source"));
        }
        if abi.native.is_none() {
            return Ok(());
        }
        match &self.native {
            Some((first, other)) if *other != abi => Err(Failure::refused(
                "mpy",
                format!("{path} holds native code for {abi}, but {first} for {other}: no board can load both"),
            )
            .hint("make one package for each architecture")),
            Some(_) => Ok(()),
            None => {
                self.native = Some((path.to_owned(), abi));
                Ok(())
            }
        }
    }

    /// What the release needs; checked against `[target] micropython`.
    pub(super) fn finish(self, project: &Project) -> Result<Option<MpyAbi>> {
        let Some((path, abi)) = self.native else { return Ok(self.any.then(|| MpyAbi::bytecode(VERSION))) };
        let since = abi.native.and_then(|native| NATIVE_SINCE.get(usize::from(native.sub_version)).copied());
        match (project.oldest_micropython(), since) {
            (Some(oldest), Some(since)) if oldest < since => Err(Failure::refused(
                "mpy",
                format!("{path} holds native code for {abi}, which needs MicroPython {}.{}; [target] micropython goes down to {}.{}", since.0, since.1, oldest.0, oldest.1),
            )
            .hint("raise [target] micropython, or pack the source")),
            _ => Ok(Some(abi)),
        }
    }
}
