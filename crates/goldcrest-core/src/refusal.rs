//! The names under which the packer, the server and the board refuse something (docs/release-format.md, "Refusals").

use std::fmt;
use std::str::FromStr;

/// What was refused, by its published name, and what exactly was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The published name.
    pub refusal: Refusal,
    /// What, where and what to do next: a lower-case fragment.
    pub detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal, self.detail)
    }
}

impl std::error::Error for Refused {}

macro_rules! refusals {
    ($($variant:ident $name:literal $doc:literal),+ $(,)?) => {
        /// A published reason to refuse a release, an object or a keyring.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal {
            $(#[doc = $doc] $variant),+
        }

        impl Refusal {
            /// Every refusal, in the order of the page.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The published name, for example `bad-signature`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

refusals! {
    Format "format" "Not a manifest of format 1, a malformed, misplaced or too long line, or a count that does not agree.",
    BadSignature "bad-signature" "The signature does not fit the bytes.",
    UnknownKey "unknown-key" "No signature is by a key of the keyring.",
    RevokedKey "revoked-key" "The signing key is revoked.",
    KeyringOld "keyring-old" "A keyring whose version is not above the one in force.",
    KeyringThreshold "keyring-threshold" "Too few valid root signatures.",
    Floor "floor" "The counter is below the board's floor.",
    Agent "agent" "The release needs a newer agent.",
    Board "board" "Made for other boards.",
    Mpy "mpy" "Compiled for another .mpy version or architecture.",
    Package "package" "Another package than the board is set up for.",
    Expired "expired" "Past `expires`.",
    Path "path" "A path leaves the root, is reserved, or has a forbidden character.",
    PathLong "path-long" "A path or a segment is too long.",
    Duplicate "duplicate" "The same path twice.",
    Space "space" "The staged files and copies do not fit the free flash.",
    Hash "hash" "An object's bytes have another digest.",
    Truncated "truncated" "The connection ended before the announced length.",
    Endless "endless" "More bytes than announced.",
    Missing "missing" "An object is not in the archive and not on the server.",
}

impl Refusal {
    /// This refusal with what exactly was wrong.
    pub fn because(self, detail: impl Into<String>) -> Refused {
        Refused { refusal: self, detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Refusal {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let found = Self::ALL.iter().copied().find(|refusal| refusal.as_str() == text);
        found.ok_or_else(|| Self::Format.because(format!("{text:?} is not the name of a refusal")))
    }
}

#[cfg(test)]
mod tests;
