//! The keyring: which keys may sign releases, and how one keyring follows another (docs/release-format.md, "Keyring").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::digest::Digest;
use crate::line::{join_signed, parse_number, split_signed};
use crate::refusal::{Refusal, Refused};
use crate::signature::{KeyId, PublicKey, Signature, SigningKey};

/// Most bytes of a keyring with its signatures.
pub const MAX_KEYRING: usize = 64 << 10;
/// Most root keys.
pub const MAX_ROOTS: usize = 16;
/// Most release keys.
pub const MAX_RELEASE_KEYS: usize = 64;
/// Most revoked keys.
pub const MAX_REVOKED: usize = 256;

/// Most roots that must sign.
pub const MAX_THRESHOLD: usize = 8;
/// Most signatures: those of this keyring's roots, and those of the one before.
const MAX_SIGNATURES: usize = 2 * MAX_THRESHOLD;

/// What a keyring says, before it is signed. Lists are in any order until they are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringContent {
    /// At least 1; a successor has a higher one.
    pub version: u64,
    /// Distinct root keys that must sign: 1 to the number of roots, at most [`MAX_THRESHOLD`].
    pub threshold: u64,
    /// Keys that sign keyrings, sorted by id.
    pub roots: Vec<PublicKey>,
    /// Keys that sign releases, sorted by id.
    pub release: Vec<PublicKey>,
    /// Keys that must not be accepted any more, sorted.
    pub revoked: Vec<KeyId>,
}

/// A keyring with its signatures, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// What was signed.
    pub content: KeyringContent,
    /// Over the signed bytes.
    pub digest: Digest,
    /// One to sixteen signatures, not yet verified.
    pub signatures: Vec<Signature>,
    body: String,
}

impl Keyring {
    /// Reads a keyring with its signatures. Signatures are not verified: see [`Keyring::verify_self`].
    ///
    /// # Errors
    /// `format`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let signed = split_signed(bytes, MAX_KEYRING, MAX_SIGNATURES)?;
        let content = read(signed.body)?;
        Ok(Self { content, digest: signed.digest, signatures: signed.signatures, body: signed.body.to_owned() })
    }

    /// The bytes with the signature lines: what was parsed, byte for byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        join_signed(&self.body, &self.signatures)
    }

    /// Sorts the lists and signs with each root key.
    ///
    /// # Errors
    /// `format` for a limit, a key twice or no key to sign with; `keyring-threshold` when the keys are too few.
    pub fn build_and_sign(mut content: KeyringContent, keys: &[&SigningKey]) -> Result<Self, Refused> {
        content.roots.sort_by_key(PublicKey::id);
        content.release.sort_by_key(PublicKey::id);
        content.revoked.sort();
        let body = write(&content);
        let signatures = keys.iter().map(|key| key.sign(body.as_bytes())).collect::<Vec<_>>();
        let keyring = Self::parse(&join_signed(&body, &signatures))?;
        keyring.verify_self()?;
        Ok(keyring)
    }

    /// Adds the signature of one more root key: a threshold above one is reached by several owners in turn.
    pub fn countersign(&mut self, key: &SigningKey) {
        self.signatures.retain(|signature| signature.key_id != key.public().id());
        self.signatures.push(key.sign(self.body.as_bytes()));
    }

    /// The version of the keyring.
    pub fn version(&self) -> u64 {
        self.content.version
    }

    /// The release key of this name, revoked or not.
    pub fn release_key(&self, key_id: KeyId) -> Option<&PublicKey> {
        self.content.release.iter().find(|key| key.id() == key_id)
    }

    /// Whether the key must not be accepted any more.
    pub fn is_revoked(&self, key_id: KeyId) -> bool {
        self.content.revoked.contains(&key_id)
    }

    /// Checks that enough of its own roots signed it: what holds for the first keyring of a project.
    ///
    /// # Errors
    /// `keyring-threshold`.
    pub fn verify_self(&self) -> Result<(), Refused> {
        self.check_threshold_of(&self.content)
    }

    /// Checks that `next` may replace this keyring.
    ///
    /// # Errors
    /// `keyring-old` when its version is not higher; `keyring-threshold` when too few roots of this keyring, or of its own, signed it.
    pub fn accept_successor(&self, next: &Self) -> Result<(), Refused> {
        if next.version() <= self.version() {
            let detail = format!("version {} is not above {}, which is in force", next.version(), self.version());
            return Err(Refusal::KeyringOld.because(detail));
        }
        next.check_threshold_of(&self.content)?;
        next.verify_self()
    }

    /// Whether at least the threshold of distinct roots of `authority` signed this keyring.
    fn check_threshold_of(&self, authority: &KeyringContent) -> Result<(), Refused> {
        let signed: BTreeSet<KeyId> = self
            .signatures
            .iter()
            .filter_map(|signature| {
                let root = authority.roots.iter().find(|root| root.id() == signature.key_id)?;
                root.verify(self.body.as_bytes(), signature).then_some(signature.key_id)
            })
            .collect();
        if (signed.len() as u64) < authority.threshold {
            let detail = format!(
                "{} of {} roots of keyring {} signed keyring {}: {} must",
                signed.len(),
                authority.roots.len(),
                authority.version,
                self.version(),
                authority.threshold
            );
            return Err(Refusal::KeyringThreshold.because(detail));
        }
        Ok(())
    }
}

fn write(content: &KeyringContent) -> String {
    let mut text = format!("goldcrest-keyring 1\nversion {}\nthreshold {}\n", content.version, content.threshold);
    for (kind, keys) in [("root", &content.roots), ("release", &content.release)] {
        for key in keys {
            writeln!(text, "{kind} {} {}", key.id(), key.to_base64()).expect("writing to a string cannot fail");
        }
    }
    for key_id in &content.revoked {
        writeln!(text, "revoked {key_id}").expect("writing to a string cannot fail");
    }
    text
}

fn read(body: &str) -> Result<KeyringContent, Refused> {
    let mut lines = body.split_terminator('\n').peekable();
    if lines.next() != Some("goldcrest-keyring 1") {
        return Err(Refusal::Format.because("line 1: expected goldcrest-keyring 1"));
    }
    let mut number = |key: &str| {
        let value = lines.next().and_then(|line| line.strip_prefix(key)).and_then(|rest| rest.strip_prefix(' '));
        parse_number(value.ok_or_else(|| Refusal::Format.because(format!("expected a {key} line")))?)
    };
    let (version, threshold) = (number("version")?, number("threshold")?);
    let mut roots = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with("root ")) {
        roots.push(read_key(&line["root ".len()..])?);
    }
    let mut release = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with("release ")) {
        release.push(read_key(&line["release ".len()..])?);
    }
    let mut revoked = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with("revoked ")) {
        revoked.push(line["revoked ".len()..].parse()?);
    }
    if let Some(line) = lines.next() {
        return Err(Refusal::Format.because(format!("{line:?} is not expected here: root, release, revoked, sig")));
    }
    let content = KeyringContent { version, threshold, roots, release, revoked };
    check(&content)?;
    Ok(content)
}

/// `<key id> <base64 of the modulus>`, where the one must fit the other.
fn read_key(rest: &str) -> Result<PublicKey, Refused> {
    let (key_id, base64) = rest
        .split_once(' ')
        .ok_or_else(|| Refusal::Format.because(format!("{rest:?} is not a key id and a modulus")))?;
    let key = PublicKey::from_base64(base64)?;
    if key_id.parse::<KeyId>()? != key.id() {
        return Err(Refusal::Format.because(format!("key {key_id} has the id {}", key.id())));
    }
    Ok(key)
}

fn check(content: &KeyringContent) -> Result<(), Refused> {
    let ids = |keys: &[PublicKey]| keys.iter().map(PublicKey::id).collect::<Vec<_>>();
    let lists = [
        ("root", ids(&content.roots), MAX_ROOTS),
        ("release", ids(&content.release), MAX_RELEASE_KEYS),
        ("revoked", content.revoked.clone(), MAX_REVOKED),
    ];
    for (kind, ids, max) in lists {
        if ids.len() > max {
            return Err(Refusal::Format.because(format!("{} {kind} keys: {max} are allowed", ids.len())));
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(Refusal::Format.because(format!("{kind} keys are not sorted by id, or one is there twice")));
        }
    }
    if content.version == 0 || content.version > crate::line::MAX_NUMBER {
        return Err(Refusal::Format.because("the version of a keyring starts at 1"));
    }
    let most = MAX_THRESHOLD.min(content.roots.len());
    if content.threshold == 0 || content.threshold > most as u64 {
        let detail = format!("threshold {} with {} roots: 1 to {most}", content.threshold, content.roots.len());
        return Err(Refusal::Format.because(detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
