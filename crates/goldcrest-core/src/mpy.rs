//! The .mpy format: which boards can load a compiled file (`MicroPython`'s `docs/reference/mpyfiles.rst`, `py/persistentcode.h`).

use std::fmt;
use std::str::FromStr;

use crate::refusal::{Refusal, Refused};

/// What a release's .mpy files need of a board: `6`, or `6.3.10` when they hold native code (sub-version 3, architecture 10).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MpyAbi {
    /// Bytecode version.
    pub version: u8,
    /// What native code needs; none for bytecode alone.
    pub native: Option<NativeAbi>,
}

/// The interface of native code in a .mpy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NativeAbi {
    /// Version of the interface, 0 to 3.
    pub sub_version: u8,
    /// Architecture by its number in `MicroPython`, 1 to 15; 10 is xtensawin, which is the ESP32.
    pub arch: u8,
}

impl NativeAbi {
    /// Bits 0-1 are the sub-version, 2-5 the architecture; 0 is "no native code". What is above are flags of the architecture.
    fn from_features(features: u8) -> Option<Self> {
        let arch = features >> 2 & 0xf;
        (arch > 0).then_some(Self { sub_version: features & 3, arch })
    }
}

impl MpyAbi {
    /// Bytecode without native code.
    pub fn bytecode(version: u8) -> Self {
        Self { version, native: None }
    }

    /// What a board offers, from its `sys.implementation._mpy`.
    pub fn of_board(implementation: u64) -> Self {
        let [version, features, ..] = implementation.to_le_bytes();
        Self { version, native: NativeAbi::from_features(features) }
    }

    /// Whether a board that offers `board` loads files that need `self`.
    pub fn runs_on(&self, board: &Self) -> bool {
        self.version == board.version && (self.native.is_none() || self == board)
    }
}

impl fmt::Display for MpyAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        self.native.map_or(Ok(()), |native| write!(f, ".{}.{}", native.sub_version, native.arch))
    }
}

impl FromStr for MpyAbi {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let malformed = || {
            let detail = format!(
                "mpy {text:?} is neither a version such as 6 nor version, sub-version and architecture such as 6.3.10"
            );
            Refusal::Format.because(detail)
        };
        let numbers = text
            .split('.')
            .map(|part| u8::try_from(crate::line::parse_number(part)?).map_err(|_| malformed()))
            .collect::<Result<Vec<_>, _>>()?;
        match numbers[..] {
            [version] => Ok(Self::bytecode(version)),
            [version, sub_version @ 0..=3, arch @ 1..=15] => {
                Ok(Self { version, native: Some(NativeAbi { sub_version, arch }) })
            }
            _ => Err(malformed()),
        }
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
    /// `format` when the file is shorter or starts with another letter.
    pub fn parse(file: &[u8]) -> Result<Self, Refused> {
        let &[b'M', version, features, small_int_bits, ..] = file else {
            return Err(Refusal::Format.because("not a .mpy file: it must start with the letter M and three bytes"));
        };
        Ok(Self { abi: MpyAbi { version, native: NativeAbi::from_features(features) }, small_int_bits })
    }
}

#[cfg(test)]
mod tests;
