//! The manifest of a release: which files a board gets, and which boards may take it (docs/release-format.md, "Manifest").

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::keyring::Keyring;
use crate::line::{join_signed, split_signed};
use crate::mpy::MpyAbi;
use crate::name::{PackageName, Version};
use crate::path::{DevicePath, Pattern};
use crate::refusal::{Refusal, Refused};
use crate::signature::{KeyId, Signature, SigningKey};

mod admit;
mod read;
mod rules;

pub use admit::{BoardContext, admit};

/// Most bytes of a manifest with its signatures.
pub const MAX_MANIFEST: usize = 1 << 20;
/// Most files of a release, and most deletions.
pub const MAX_FILES: usize = 4096;
/// Most plain bytes of one file.
pub const MAX_FILE_SIZE: u64 = 16 << 20;
/// Most plain bytes of all files together.
pub const MAX_TOTAL_SIZE: u64 = 64 << 20;
/// Most `keep` patterns.
pub const MAX_KEEP: usize = 64;
/// Most signatures.
const MAX_SIGNATURES: usize = 8;
/// The agent protocol of this version.
pub const AGENT_PROTOCOL: u32 = 1;

/// What a release is, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The package.
    pub package: PackageName,
    /// The version of the package.
    pub version: Version,
    /// Monotonic per package; by default the creation time.
    pub counter: u64,
    /// A board that confirmed this release refuses every counter below.
    pub floor: u64,
    /// Lowest agent protocol that can install it.
    pub agent: u32,
    /// Names of boards or platforms; empty: any board.
    pub boards: Vec<String>,
    /// What the .mpy files need; none: there are no .mpy files.
    pub mpy: Option<MpyAbi>,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub expires: Option<u64>,
    /// Device-owned paths, sorted.
    pub keep: Vec<Pattern>,
    /// The files, sorted by path.
    pub files: Vec<FileEntry>,
    /// Files of an older installation that must go, sorted.
    pub deletions: Vec<DevicePath>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Of the plain bytes.
    pub digest: Digest,
    /// Plain bytes.
    pub size: u64,
    /// Where the board keeps it.
    pub path: DevicePath,
}

impl Manifest {
    /// Brings a manifest whose lists are in any order into the one form that is signed, and checks it.
    ///
    /// # Errors
    /// As [`Manifest::validate`].
    pub fn into_canonical(mut self) -> Result<Self, Refused> {
        self.boards.sort();
        self.boards.dedup();
        self.keep.sort();
        self.keep.dedup();
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.deletions.sort();
        self.validate()?;
        Ok(self)
    }

    /// Checks every rule of the page that the types do not hold already.
    ///
    /// # Errors
    /// `duplicate` for the same path twice, also when only the case differs or when it is to be deleted as well; `path` for a
    /// path that is a file and a folder, or is kept by the device; `format` for order, limits and numbers.
    pub fn validate(&self) -> Result<(), Refused> {
        rules::validate(self)
    }

    /// The bytes that are signed.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "goldcrest 1\npackage {}\nversion {}\ncounter {}\nfloor {}\nagent {}\n",
            self.package, self.version, self.counter, self.floor, self.agent
        );
        if !self.boards.is_empty() {
            line(&mut text, "boards", &self.boards.join(" "));
        }
        if let Some(mpy) = &self.mpy {
            line(&mut text, "mpy", mpy);
        }
        line(&mut text, "created", &self.created);
        if let Some(expires) = self.expires {
            line(&mut text, "expires", &expires);
        }
        for pattern in &self.keep {
            line(&mut text, "keep", pattern);
        }
        line(&mut text, "files", &self.files.len());
        for file in &self.files {
            line(&mut text, file.digest, &format_args!("{} - {}", file.size, file.path));
        }
        for path in &self.deletions {
            line(&mut text, "-", path);
        }
        text
    }
}

fn line(text: &mut String, key: impl std::fmt::Display, value: &dyn std::fmt::Display) {
    writeln!(text, "{key} {value}").expect("writing to a string cannot fail");
}

/// A manifest with its signatures, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// What was signed.
    pub manifest: Manifest,
    /// The release digest: over the signed bytes.
    pub digest: Digest,
    /// One to eight signatures, not yet verified.
    pub signatures: Vec<Signature>,
    /// The signed bytes as they came: they may hold header lines that this version does not know.
    body: String,
}

impl SignedManifest {
    /// Reads a manifest with its signatures. Signatures are not verified.
    ///
    /// # Errors
    /// `format`, `path`, `path-long` or `duplicate`, with the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let signed = split_signed(bytes, MAX_MANIFEST, MAX_SIGNATURES)?;
        let manifest = read::read(signed.body)?;
        manifest.validate()?;
        Ok(Self { manifest, digest: signed.digest, signatures: signed.signatures, body: signed.body.to_owned() })
    }

    /// The bytes that are signed, as they came: the base of a manifest's delta.
    pub fn signed_part(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// The bytes with the signature lines: what was parsed, byte for byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        join_signed(&self.body, &self.signatures)
    }

    /// Checks the manifest and signs it with each key.
    ///
    /// # Errors
    /// As [`Manifest::validate`]; `format` without a key or with more than eight.
    pub fn sign(manifest: &Manifest, keys: &[&SigningKey]) -> Result<Self, Refused> {
        let body = manifest.to_text();
        let signatures = keys.iter().map(|key| key.sign(body.as_bytes())).collect::<Vec<_>>();
        Self::parse(&join_signed(&body, &signatures))
    }

    /// Finds a signature by a release key of the keyring that is not revoked, and returns the key's name.
    ///
    /// # Errors
    /// When there is none: `bad-signature` if such a key is named but the signature does not fit, else `revoked-key` if a
    /// revoked key is named, else `unknown-key`.
    pub fn verify(&self, keyring: &Keyring) -> Result<KeyId, Refused> {
        let mut worst = Refusal::UnknownKey;
        let mut about = self.signatures[0].key_id;
        for signature in &self.signatures {
            let key_id = signature.key_id;
            let failure = match keyring.release_key(key_id) {
                _ if keyring.is_revoked(key_id) => Refusal::RevokedKey,
                Some(key) if key.verify(self.body.as_bytes(), signature) => return Ok(key_id),
                Some(_) => Refusal::BadSignature,
                None => continue,
            };
            if worst != Refusal::BadSignature {
                (worst, about) = (failure, key_id);
            }
        }
        let detail = format!("release {} is not signed by a release key in force (key {about})", self.digest);
        Err(worst.because(detail))
    }
}

#[cfg(test)]
mod tests;
