//! Releases and keyrings signed by the test keys of `vectors/keys`.

use std::collections::BTreeMap;

use goldcrest_core::keyring::{Keyring, KeyringContent};
use goldcrest_core::manifest::{FileEntry, Manifest};
use goldcrest_core::object::{DEFAULT_WINDOW_BITS, to_wire};
use goldcrest_core::signature::SigningKey;
use goldcrest_core::{Digest, SignedManifest, archive};

/// A signed release and its parts.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) digest: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) archive: Vec<u8>,
    pub(crate) objects: BTreeMap<Digest, Vec<u8>>,
}

/// What a test wants of a release.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    pub(crate) package: &'a str,
    pub(crate) version: &'a str,
    pub(crate) counter: u64,
    pub(crate) floor: u64,
    pub(crate) boards: &'a [&'a str],
    pub(crate) files: Vec<(&'a str, Vec<u8>)>,
    pub(crate) key: &'a str,
}

impl<'a> Plan<'a> {
    /// A release of the test package with one file.
    pub(crate) fn new(version: &'a str, counter: u64) -> Self {
        let main = format!("print('this is {version}')\n").repeat(20).into_bytes();
        let files = vec![("main.py", main), ("lib/shared.py", b"SHARED = 1\n".to_vec())];
        Self { package: "sensor", version, counter, floor: 0, boards: &[], files, key: "release" }
    }

    pub(crate) fn build(self) -> Release {
        let files = self.files.iter().map(|(path, plain)| FileEntry {
            digest: Digest::of(plain),
            size: plain.len() as u64,
            path: path.parse().unwrap(),
        });
        let manifest = Manifest {
            package: self.package.parse().unwrap(),
            version: self.version.parse().unwrap(),
            counter: self.counter,
            floor: self.floor,
            agent: 1,
            boards: self.boards.iter().map(ToString::to_string).collect(),
            mpy: None,
            created: 1_795_000_000,
            expires: None,
            keep: vec![],
            files: files.collect(),
            deletions: vec![],
        };
        let signed = SignedManifest::sign(&manifest.into_canonical().unwrap(), &[&key(self.key)]).unwrap();
        let objects = self.files.iter().map(|(_, plain)| (Digest::of(plain), to_wire(plain, DEFAULT_WINDOW_BITS)));
        let objects: BTreeMap<Digest, Vec<u8>> = objects.collect();
        let manifest = signed.to_bytes();
        let archive = archive::write(&manifest, &objects);
        Release { digest: signed.digest.to_string(), manifest, archive, objects }
    }
}

/// A release of the test package that any board takes.
pub(crate) fn release(version: &str, counter: u64) -> Release {
    Plan::new(version, counter).build()
}

/// The keyring of the tests: both roots may sign, `revoked` is.
pub(crate) fn keyring(version: u64) -> Vec<u8> {
    keyring_with(version, &["release", "revoked"], &["revoked"])
}

/// A keyring with these release keys and revocations.
pub(crate) fn keyring_with(version: u64, release_keys: &[&str], revoked: &[&str]) -> Vec<u8> {
    let content = KeyringContent {
        version,
        threshold: 1,
        roots: vec![key("root-a").public().clone(), key("root-b").public().clone()],
        release: release_keys.iter().map(|name| key(name).public().clone()).collect(),
        revoked: revoked.iter().map(|name| key(name).public().id()).collect(),
    };
    Keyring::build_and_sign(content, &[&key("root-a")]).unwrap().to_bytes()
}

fn key(name: &str) -> SigningKey {
    let path = format!("{}/../../vectors/keys/TEST-ONLY-{name}.pem", env!("CARGO_MANIFEST_DIR"));
    SigningKey::from_pem(&std::fs::read_to_string(path).unwrap()).unwrap()
}
