//! Releases written by hand, good ones and ones that no packer of ours would make.
//!
//! The text is put together here and only the signature comes from the product, so a case can break any line.

use std::collections::BTreeMap;

use goldcrest_core::digest::Digest;
use goldcrest_core::keyring::Keyring;
use goldcrest_core::object::to_wire;
use goldcrest_core::signature::SigningKey;

use crate::hostile::{Body, Offer};

/// Opens a test key of `vectors/keys/`.
///
/// # Panics
/// When the file is not there or is not a key.
pub fn key(name: &str) -> SigningKey {
    let path = format!("{}/../../vectors/keys/TEST-ONLY-{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let pem = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    SigningKey::from_pem(&pem).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A keyring as text, signed by `roots`.
pub fn keyring(version: u64, threshold: usize, roots: &[&str], release: &[&str], revoked: &[&str]) -> Vec<u8> {
    let mut text = format!("goldcrest-keyring 1\nversion {version}\nthreshold {threshold}\n");
    for (word, names) in [("root", roots), ("release", release)] {
        let mut lines: Vec<_> = names.iter().map(|n| key(n).public().clone()).collect();
        lines.sort_by_key(|k| k.id().to_string());
        for public in lines {
            text += &format!("{word} {} {}\n", public.id(), public.to_base64());
        }
    }
    let mut ids: Vec<_> = revoked.iter().map(|n| key(n).public().id().to_string()).collect();
    ids.sort();
    for id in ids {
        text += &format!("revoked {id}\n");
    }
    let keys: Vec<_> = roots.iter().map(|n| key(n)).collect();
    let bytes = signed(&text, &keys.iter().collect::<Vec<_>>());
    debug_assert!(Keyring::parse(&bytes).is_ok(), "a crafted keyring is a keyring");
    bytes
}

/// The keyring that the boards of these tests start with: version 2, one root, one release key, one revoked key.
pub fn first_keyring() -> Vec<u8> {
    keyring(2, 1, &["root-a"], &["release"], &["revoked"])
}

/// A release under construction.
#[derive(Clone, Debug)]
pub struct Crafted {
    /// The lines that will be signed; break them at will.
    pub text: String,
    /// Objects in wire form, by digest.
    pub objects: BTreeMap<String, Vec<u8>>,
}

impl Crafted {
    /// A good release of the package `demo` with these files (any order, plain bytes).
    pub fn new(version: &str, counter: u64, files: &[(&str, &[u8])]) -> Self {
        let mut files = files.to_vec();
        files.sort_unstable_by_key(|(path, _)| *path);
        let mut text = format!(
            "goldcrest 1\npackage demo\nversion {version}\ncounter {counter}\nfloor 0\nagent 1\ncreated {counter}\nfiles {}\n",
            files.len()
        );
        let mut objects = BTreeMap::new();
        for (path, bytes) in files {
            let digest = Digest::of(bytes).to_string();
            text += &format!("{digest} {} - {path}\n", bytes.len());
            objects.insert(digest, to_wire(bytes, 10));
        }
        Self { text, objects }
    }

    /// Replaces the first `from` in the text.
    ///
    /// # Panics
    /// When the text does not hold `from`: the case would test nothing.
    #[must_use]
    pub fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.text.contains(from), "{from:?} is not in the manifest:\n{}", self.text);
        self.text = self.text.replacen(from, to, 1);
        self
    }

    /// Release digest: over the text.
    pub fn digest(&self) -> String {
        Digest::of(self.text.as_bytes()).to_string()
    }

    /// Text and signature line.
    pub fn signed_by(&self, name: &str) -> Vec<u8> {
        signed(&self.text, &[&key(name)])
    }

    /// What a server offers that serves this release honestly.
    pub fn offer(&self) -> Offer {
        self.offer_signed_by("release")
    }

    /// As [`Self::offer`], signed by another key.
    pub fn offer_signed_by(&self, name: &str) -> Offer {
        Offer {
            manifest: Some((self.digest(), Body::Whole(self.signed_by(name)))),
            objects: self.objects.iter().map(|(d, wire)| (d.clone(), Body::Whole(wire.clone()))).collect(),
            keyring: None,
        }
    }
}

fn signed(text: &str, keys: &[&SigningKey]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for key in keys {
        let signature = key.sign(text.as_bytes());
        bytes.extend_from_slice(format!("sig {} {}\n", key.public().id(), signature.to_base64()).as_bytes());
    }
    bytes
}
