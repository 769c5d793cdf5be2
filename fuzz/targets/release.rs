//! Uploads: manifests, keyrings and archives, and what is read of a manifest is written as it was.
#![no_main]

use goldcrest_core::archive;
use goldcrest_core::keyring::Keyring;
use goldcrest_core::{Digest, SignedManifest, mpy::MpyHeader};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(signed) = SignedManifest::parse(bytes) {
        assert_eq!(signed.to_bytes(), bytes, "a manifest has one form");
    }
    if let Ok(keyring) = Keyring::parse(bytes) {
        assert_eq!(keyring.to_bytes(), bytes, "a keyring has one form");
    }
    if let Ok(archive) = archive::read(bytes) {
        let objects: usize = archive.objects.values().map(|wire| wire.len()).sum();
        assert!(objects <= bytes.len(), "objects are parts of the archive");
    }
    MpyHeader::parse(bytes).ok();
    goldcrest_core::object::from_wire(bytes, 4096, &Digest::of(b"")).ok();
});
