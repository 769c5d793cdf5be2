//! The agent as a part of a release: `[pack] agent = true` replaces the one that a board runs, like any other file.

use std::path::Path;

use goldcrest_core::Digest;
use goldcrest_core::mpy::MpyHeader;
use goldcrest_core::object;
use goldcrest_core::path::DevicePath;

use super::abi::Abis;
use super::{Content, PackedFile, refused};
use crate::Result;
use crate::board_files;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;

/// Where a board has the agent's package.
const FOLDER: &str = "lib/goldcrest/";

/// Adds the agent that this program carries.
pub(super) fn add(content: &mut Content, abis: &mut Abis, compiler: Option<&MpyCross>, window_bits: u8) -> Result<()> {
    if let Some(own) = content.files.iter().find(|f| f.path.as_str().starts_with(FOLDER)) {
        let why = format!("{} is of an agent, and [pack] agent adds the one of this program", own.source);
        return Err(Failure::refused("duplicate", why).hint("exclude lib/goldcrest/** in goldcrest.toml"));
    }
    for (path, bytes) in board_files::agent_files(compiler)? {
        if !path.starts_with(FOLDER) {
            continue; // boot.py is no part of a release
        }
        if Path::new(&path).extension().is_some_and(|e| e == "mpy") {
            abis.add(&path, MpyHeader::parse(&bytes).map_err(|e| refused(&path, &e))?)?;
        }
        let path: DevicePath = path.parse().map_err(|e| refused(&path, &e))?;
        let digest = Digest::of(&bytes);
        let wire = object::to_wire(&bytes, window_bits);
        let (size, wire_size) = (bytes.len() as u64, wire.len() as u64);
        content.objects.insert(digest, wire);
        let source = format!("the agent of goldcrest {}", env!("CARGO_PKG_VERSION"));
        content.files.push(PackedFile { path, source, form: "agent", digest, size, wire_size });
    }
    Ok(())
}

/// What a board may have of another agent: a module that was source must not stay beside the one that is bytecode, or it would be the one that runs.
pub(super) fn deletions(content: &Content) -> Vec<DevicePath> {
    let is_packed = |path: &str| content.files.iter().any(|f| f.path.as_str() == path);
    let has_agent = content.files.iter().any(|f| f.form == "agent");
    let others = board_files::agent_paths().filter(|path| has_agent && !is_packed(path));
    others.filter_map(|path| path.parse().ok()).collect()
}
