//! RSASSA-PKCS1-v1_5 signatures with SHA-256 (RFC 8017, section 8.2) and the keys that make and check them.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};

use crate::digest::Digest;
use crate::refusal::{Refusal, Refused};

/// The public exponent of every key, as big-endian bytes: 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// Lengths of a modulus, in bytes: 2048 and 3072 bits.
const MODULUS_LENGTHS: [usize; 2] = [256, 384];

/// The private half of a key. No server ever holds one.
pub struct SigningKey {
    pair: RsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Reads an unencrypted PKCS#8 PEM file (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// When the text is not such a file, or the key is not RSA with 2048 or 3072 bits and e = 65537.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(&der_of_pem(pem)?)
            .map_err(|error| KeyError(format!("not a usable rsa key: {error}")))?;
        let components: rsa::PublicKeyComponents<Vec<u8>> = rsa::PublicKeyComponents::from(pair.public());
        if components.e != EXPONENT {
            return Err(KeyError("the public exponent is not 65537".to_owned()));
        }
        let public = PublicKey::from_modulus(components.n).map_err(|refused| KeyError(refused.detail))?;
        let key = Self { pair, public };
        // A damaged private part shows only when it is used: ring checks each signature before it gives it away.
        key.try_sign(b"").map_err(|_| KeyError("the private part does not fit the public one".to_owned()))?;
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the bytes. The same bytes give the same signature.
    ///
    /// # Panics
    /// Never: a key that was read has signed once.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.try_sign(message).expect("the key signed when it was read")
    }

    fn try_sign(&self, message: &[u8]) -> Result<Signature, Unspecified> {
        let mut bytes = vec![0; self.pair.public().modulus_len()];
        // PKCS #1 v1.5 uses no randomness; ring asks for a source all the same.
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut bytes)?;
        Ok(Signature { key_id: self.public.id(), bytes })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// An RSA modulus of 2048 or 3072 bits; the exponent is always 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    modulus: Vec<u8>,
}

impl PublicKey {
    /// The key with this modulus: big-endian bytes without a leading zero.
    ///
    /// # Errors
    /// `format` when the modulus does not have exactly 2048 or 3072 bits, or is even.
    pub fn from_modulus(modulus: Vec<u8>) -> Result<Self, Refused> {
        let has_full_length = MODULUS_LENGTHS.contains(&modulus.len()) && modulus[0] & 0x80 != 0;
        if !has_full_length || modulus[modulus.len() - 1] & 1 == 0 {
            return Err(Refusal::Format.because("a key's modulus is not an odd number of 2048 or 3072 bits"));
        }
        Ok(Self { modulus })
    }

    /// The key with this modulus in base64, as a keyring writes it.
    ///
    /// # Errors
    /// `format` when it is not base64 of such a modulus.
    pub fn from_base64(text: &str) -> Result<Self, Refused> {
        Self::from_modulus(decode_base64(text)?)
    }

    /// The modulus in base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.modulus)
    }

    /// The modulus: big-endian bytes without a leading zero.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The name of the key: the first 8 bytes of the SHA-256 of its modulus.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&Digest::of(&self.modulus).as_bytes()[..8]);
        KeyId(id)
    }

    /// Whether the signature was made over these bytes with this key.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let components = rsa::PublicKeyComponents { n: self.modulus.as_slice(), e: EXPONENT.as_slice() };
        components.verify(&RSA_PKCS1_2048_8192_SHA256, message, &signature.bytes).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// The name of a key, written as 16 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl FromStr for KeyId {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let malformed = || Refusal::Format.because(format!("key id {text:?} is not 16 lowercase hex digits"));
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| malformed())?;
        bytes.try_into().map(Self).map_err(|_| malformed())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

crate::text_type::serde_as_text!(KeyId);

/// A signature and the name of the key that is said to have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key that is said to have signed.
    pub key_id: KeyId,
    /// As long as the key's modulus: 256 or 384 bytes.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// The signature whose bytes are given in base64.
    ///
    /// # Errors
    /// `format` when it is not base64 of 256 or 384 bytes.
    pub fn from_base64(key_id: KeyId, text: &str) -> Result<Self, Refused> {
        let bytes = decode_base64(text)?;
        if !MODULUS_LENGTHS.contains(&bytes.len()) {
            return Err(Refusal::Format.because(format!("a signature has {} bytes, not 256 or 384", bytes.len())));
        }
        Ok(Self { key_id, bytes })
    }

    /// The bytes in base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.bytes)
    }
}

/// Why a key file is not usable: a lower-case fragment that never holds a part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

fn decode_base64(text: &str) -> Result<Vec<u8>, Refused> {
    BASE64.decode(text.as_bytes()).map_err(|error| Refusal::Format.because(format!("not base64: {error}")))
}

fn der_of_pem(pem: &str) -> Result<Vec<u8>, KeyError> {
    let mut lines = pem.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("-----BEGIN PRIVATE KEY-----") {
        return Err(KeyError("not a pkcs#8 pem file (-----BEGIN PRIVATE KEY-----)".to_owned()));
    }
    let mut base64 = String::new();
    for line in lines {
        if line == "-----END PRIVATE KEY-----" {
            return BASE64.decode(base64.as_bytes()).map_err(|_| KeyError("the pem file is not base64".to_owned()));
        }
        base64 += line;
    }
    Err(KeyError("the pem file is cut off: no -----END PRIVATE KEY-----".to_owned()))
}

#[cfg(test)]
mod tests;
