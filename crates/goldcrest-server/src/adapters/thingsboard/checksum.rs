//! Checksums of a package, all seven kinds that ThingsBoard announces, in its spelling: lower-case hex, numbers with their lowest byte first.

use flate2::Crc;
use md5::{Digest as _, Md5};
use ring::digest;
use serde::{Deserialize, Serialize};

/// How a package is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[default]
    #[serde(rename = "SHA256")]
    Sha256,
    #[serde(rename = "SHA384")]
    Sha384,
    #[serde(rename = "SHA512")]
    Sha512,
    #[serde(rename = "MD5")]
    Md5,
    #[serde(rename = "MURMUR3_32")]
    Murmur32,
    #[serde(rename = "MURMUR3_128")]
    Murmur128,
    #[serde(rename = "CRC32")]
    Crc32,
}

impl Algorithm {
    /// The checksum of these bytes.
    pub(crate) fn of(self, bytes: &[u8]) -> String {
        match self {
            Self::Sha256 => hex(digest::digest(&digest::SHA256, bytes).as_ref()),
            Self::Sha384 => hex(digest::digest(&digest::SHA384, bytes).as_ref()),
            Self::Sha512 => hex(digest::digest(&digest::SHA512, bytes).as_ref()),
            Self::Md5 => hex(&Md5::digest(bytes)),
            Self::Murmur32 => hex(&murmur_32(bytes).to_le_bytes()),
            Self::Murmur128 => {
                let (low, high) = murmur_128(bytes);
                hex(&[low.to_le_bytes(), high.to_le_bytes()].concat())
            }
            Self::Crc32 => {
                let mut crc = Crc::new();
                crc.update(bytes);
                hex(&crc.sum().to_le_bytes())
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Up to 8 bytes as a number, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// `MurmurHash3_x86_32` with seed 0.
fn murmur_32(bytes: &[u8]) -> u32 {
    let mix = |block: &[u8]| {
        let [a, b, c, d, ..] = number(block).to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    };
    let blocks = bytes.chunks_exact(4);
    let rest = blocks.remainder();
    let mut hash =
        blocks.fold(0_u32, |hash, block| (hash ^ mix(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64));
    hash ^= mix(rest);
    // The length counts modulo 2^32.
    let [a, b, c, d, ..] = (bytes.len() as u64).to_le_bytes();
    hash ^= u32::from_le_bytes([a, b, c, d]);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// `MurmurHash3_x64_128` with seed 0: its first and its second half.
fn murmur_128(bytes: &[u8]) -> (u64, u64) {
    let first = |block: &[u8]| number(block).wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let second = |block: &[u8]| number(block).wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let blocks = bytes.chunks_exact(16);
    let (rest_1, rest_2) = blocks.remainder().split_at(blocks.remainder().len().min(8));
    let (mut h1, mut h2) = (0_u64, 0_u64);
    for block in blocks {
        h1 = (h1 ^ first(&block[..8])).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ second(&block[8..])).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    h2 ^= second(rest_2);
    h1 ^= first(rest_1);
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish_64(h1), finish_64(h2));
    h1 = h1.wrapping_add(h2);
    (h1, h2.wrapping_add(h1))
}

fn finish_64(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests;
