//! Whether a board may take a release: the board's own verdicts, as a pure function that the server uses too.

use super::Manifest;
use crate::mpy::MpyAbi;
use crate::refusal::{Refusal, Refused};

/// What a board is, as far as the manifest's header asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BoardContext {
    /// The only package that it accepts; none: any.
    pub package: Option<String>,
    /// The `board` setting; none: the board is known by its platform only.
    pub board: Option<String>,
    /// `sys.platform`; none: unknown, which passes (the board decides).
    pub platform: Option<String>,
    /// `sys.implementation._mpy`; none: unknown, which passes (the board decides).
    pub mpy: Option<u64>,
    /// The highest floor of the releases that it confirmed.
    pub floor: u64,
    /// The agent protocol that it speaks; none: unknown, which passes.
    pub agent: Option<u32>,
    /// Seconds since 1970; none: it has no clock.
    pub now: Option<u64>,
}

/// Checks a verified manifest against a board, in the order of docs/protocol.md, "Reading".
///
/// # Errors
/// `package`, `board`, `mpy`, `agent`, `floor` or `expired`: the first that applies.
pub fn admit(manifest: &Manifest, context: &BoardContext) -> Result<(), Refused> {
    if let Some(package) = context.package.as_ref().filter(|package| *package != manifest.package.as_str()) {
        let detail = format!("the board takes {package}, the release is of {}", manifest.package);
        return Err(Refusal::Package.because(detail));
    }
    check_board(manifest, context)?;
    if let (Some(needed), Some(offered)) = (&manifest.mpy, context.mpy.map(MpyAbi::of_board))
        && !needed.runs_on(&offered)
    {
        return Err(Refusal::Mpy.because(format!("the board loads mpy {offered}, the release is mpy {needed}")));
    }
    if let Some(agent) = context.agent.filter(|&agent| agent < manifest.agent) {
        let detail = format!("the board's agent speaks protocol {agent}, the release needs {}", manifest.agent);
        return Err(Refusal::Agent.because(detail));
    }
    if manifest.counter < context.floor {
        let detail = format!("counter {} is below the board's floor {}", manifest.counter, context.floor);
        return Err(Refusal::Floor.because(detail));
    }
    // A clock that is not later than `created` was never set.
    if let (Some(expires), Some(now)) = (manifest.expires, context.now.filter(|&now| now > manifest.created))
        && now > expires
    {
        return Err(Refusal::Expired.because(format!("expired at {expires}, the board's clock says {now}")));
    }
    Ok(())
}

fn check_board(manifest: &Manifest, context: &BoardContext) -> Result<(), Refused> {
    let names = [context.board.as_deref(), context.platform.as_deref()];
    let is_named = names.iter().flatten().any(|name| manifest.boards.iter().any(|board| board == name));
    // Without the platform the server cannot know; the board itself always does.
    if manifest.boards.is_empty() || is_named || context.platform.is_none() {
        return Ok(());
    }
    let board = names.iter().flatten().copied().collect::<Vec<_>>().join(" or ");
    Err(Refusal::Board.because(format!("made for {}, the board is {board}", manifest.boards.join(", "))))
}
