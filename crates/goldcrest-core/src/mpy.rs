//! The .mpy format: which boards can load a compiled file (`MicroPython`'s `docs/reference/mpyfiles.rst`, `py/persistentcode.h`).

use std::fmt;
use std::str::FromStr;

use crate::refusal::{Refusal, Refused};

/// Native architectures by their number in .mpy files and in `sys.implementation._mpy`; 0 is "no native code".
const ARCHITECTURES: [&str; 12] = [
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
];

/// What a release's .mpy files need of a board: `6`, or `6.3 armv7emsp` when they hold native code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MpyAbi {
    /// Bytecode version.
    pub version: u8,
    /// Version of the native interface, 0 to 3; present exactly when `arch` is.
    pub sub_version: Option<u8>,
    /// Native architecture, for example `xtensawin`.
    pub arch: Option<String>,
}

impl MpyAbi {
    /// Bytecode without native code.
    pub fn bytecode(version: u8) -> Self {
        Self { version, sub_version: None, arch: None }
    }

    /// What a board offers, from its `sys.implementation._mpy`.
    ///
    /// A number whose architecture is unknown (a newer `MicroPython`) is taken as a board without native code.
    pub fn of_board(implementation: u64) -> Self {
        let [version, features, ..] = implementation.to_le_bytes();
        let arch = arch_name(usize::try_from(implementation >> 10 & 0xf).unwrap_or(0)).ok().flatten();
        Self { version, sub_version: arch.as_ref().map(|_| features & 3), arch }
    }

    /// Whether a board that offers `board` loads files that need `self`.
    pub fn runs_on(&self, board: &Self) -> bool {
        self.version == board.version && (self.arch.is_none() || self == board)
    }
}

impl fmt::Display for MpyAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sub_version, &self.arch) {
            (Some(sub_version), Some(arch)) => write!(f, "{}.{sub_version} {arch}", self.version),
            _ => write!(f, "{}", self.version),
        }
    }
}

impl FromStr for MpyAbi {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let malformed = || {
            let detail = format!(
                "mpy {text:?} is neither a version such as 6 nor a version and architecture such as 6.3 armv7emsp"
            );
            Refusal::Format.because(detail)
        };
        let number = |text: &str| -> Result<u8, Refused> {
            crate::line::parse_number(text)?.try_into().map_err(|_| malformed())
        };
        let Some((versions, arch)) = text.split_once(' ') else { return Ok(Self::bytecode(number(text)?)) };
        let (version, sub_version) = versions.split_once('.').ok_or_else(malformed)?;
        let (version, sub_version) = (number(version)?, number(sub_version)?);
        if sub_version > 3 || !ARCHITECTURES.contains(&arch) {
            return Err(malformed());
        }
        Ok(Self { version, sub_version: Some(sub_version), arch: Some(arch.to_owned()) })
    }
}

crate::text_type::serde_as_text!(MpyAbi);

/// The first bytes of a .mpy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MpyHeader {
    /// What a board must offer to load the file.
    pub abi: MpyAbi,
    /// Bits of a small integer that the file was compiled for: boards have 31 or more.
    pub small_int_bits: u8,
}

impl MpyHeader {
    /// Reads the header of a .mpy file: `M`, version, feature flags, small integer bits.
    ///
    /// # Errors
    /// `format` when the file is shorter, starts with another letter, or names an unknown architecture.
    pub fn parse(file: &[u8]) -> Result<Self, Refused> {
        let &[b'M', version, features, small_int_bits, ..] = file else {
            return Err(Refusal::Format.because("not a .mpy file: it must start with the letter M and three bytes"));
        };
        // Bits 0-1: sub-version, 2-5: architecture, 6: further architecture flags follow (RISC-V extensions).
        let arch = arch_name(usize::from(features >> 2 & 0xf))?;
        let sub_version = arch.as_ref().map(|_| features & 3);
        Ok(Self { abi: MpyAbi { version, sub_version, arch }, small_int_bits })
    }
}

fn arch_name(number: usize) -> Result<Option<String>, Refused> {
    match number.checked_sub(1) {
        None => Ok(None),
        Some(index) => match ARCHITECTURES.get(index) {
            Some(&name) => Ok(Some(name.to_owned())),
            None => Err(Refusal::Format.because(format!("native architecture {number} of a .mpy file is unknown"))),
        },
    }
}

#[cfg(test)]
mod tests;
