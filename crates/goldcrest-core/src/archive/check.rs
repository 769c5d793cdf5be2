//! Everything that a server checks before it takes a release.

use std::collections::BTreeMap;

use super::read;
use crate::digest::Digest;
use crate::keyring::Keyring;
use crate::manifest::SignedManifest;
use crate::object::from_wire;
use crate::refusal::{Refusal, Refused};
use crate::signature::KeyId;

/// A release whose signature and objects were all checked.
#[derive(Debug)]
pub struct VerifiedRelease<'a> {
    /// The manifest with its signatures.
    pub signed: SignedManifest,
    /// The release key that signed it.
    pub key_id: KeyId,
    /// The objects that came with the archive: to be stored.
    pub objects: BTreeMap<Digest, VerifiedObject<'a>>,
}

/// An object whose plain bytes have the digest that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedObject<'a> {
    /// As it travels and is stored.
    pub wire: &'a [u8],
    /// Plain bytes.
    pub plain_size: u64,
}

/// Checks an archive against the keyring in force: form, signature, every object, and that none is missing.
///
/// `held` gives the plain size of an object that the server already has.
///
/// # Errors
/// Any name that [`read`], [`SignedManifest::parse`], [`SignedManifest::verify`] and [`from_wire`] give; `format` for an object that
/// the manifest does not name, `hash` for a held object of another size, `missing` for one that is neither sent nor held.
pub fn check_archive<'a>(
    bytes: &'a [u8],
    keyring: &Keyring,
    held: impl Fn(&Digest) -> Option<u64>,
) -> Result<VerifiedRelease<'a>, Refused> {
    let archive = read(bytes)?;
    let signed = SignedManifest::parse(archive.manifest)?;
    let key_id = signed.verify(keyring)?;
    let named: BTreeMap<Digest, u64> = signed.manifest.files.iter().map(|file| (file.digest, file.size)).collect();
    if let Some(digest) = archive.objects.keys().find(|digest| !named.contains_key(digest)) {
        return Err(Refusal::Format.because(format!("object {digest} is not named by the manifest")));
    }
    let mut objects = BTreeMap::new();
    for (digest, plain_size) in named {
        if let Some(&wire) = archive.objects.get(&digest) {
            from_wire(wire, plain_size, &digest)?;
            objects.insert(digest, VerifiedObject { wire, plain_size });
            continue;
        }
        match held(&digest) {
            Some(size) if size == plain_size => {}
            Some(size) => {
                let detail = format!("object {digest} has {size} bytes, the manifest says {plain_size}");
                return Err(Refusal::Hash.because(detail));
            }
            None => return Err(Refusal::Missing.because(format!("object {digest} is neither sent nor held"))),
        }
    }
    Ok(VerifiedRelease { signed, key_id, objects })
}
