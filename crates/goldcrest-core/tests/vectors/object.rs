//! Cases of objects in wire form: each line has the size and the digest that a manifest announces.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression};
use goldcrest_core::Digest;
use goldcrest_core::object::from_wire;

use super::{Files, cases, check, read};

pub(crate) fn generate() -> Files {
    let plain = sample();
    let small = b"led = 2\n";
    let zlib = deflate(&plain, 10);
    let mut out = Output { files: Files::new(), lines: String::new() };

    for window_bits in [9, 10, 11, 12] {
        out.add(&format!("window-{window_bits}"), "ok", "all", &deflate(&plain, window_bits), &plain);
    }
    out.add("plain", "ok", "all", small, small);
    out.add("empty", "ok", "all", b"", b"");
    out.add("window-13", "format", "all", &deflate(&plain, 13), &plain);
    out.add("window-15", "format", "all", &deflate(&plain, 15), &plain);
    out.add("dictionary", "format", "server", &with_header(&zlib, 0x28, 0x20), &plain);
    out.add("header-check-wrong", "format", "server", &[&[zlib[0], zlib[1] ^ 1], &zlib[2..]].concat(), &plain);
    out.add("method-unknown", "format", "all", &with_header(&zlib, 0x29, 0), &plain);
    out.add("short-and-not-zlib", "format", "all", &small[..6], small);
    out.add("truncated-in-header", "truncated", "all", &zlib[..1], &plain);
    out.add("truncated-in-stream", "truncated", "all", &zlib[..zlib.len() / 2], &plain);
    out.add("truncated-to-nothing", "truncated", "all", b"", &plain);
    out.add("truncated-in-check", "truncated", "server", &zlib[..zlib.len() - 2], &plain);
    out.add("inflates-to-less", "truncated", "all", &deflate(&plain[..plain.len() - 1], 10), &plain);
    out.add("inflates-to-more", "endless", "all", &deflate(&[&plain[..], b"!"].concat(), 10), &plain);
    out.add("endless", "endless", "all", &deflate(&vec![0; 1 << 20], 10), &plain);
    out.add("longer-than-announced", "endless", "all", &[&small[..], b"!"].concat(), small);
    out.add("trailing-bytes", "endless", "all", &[&zlib[..], b"tail"].concat(), &plain);
    out.add("plain-with-other-bytes", "hash", "all", b"led = 3\n", small);
    let other = String::from_utf8(plain.clone()).unwrap().replacen("reading", "READING", 1).into_bytes();
    out.add("zlib-with-other-bytes", "hash", "all", &deflate(&other, 10), &plain);
    // A block of the reserved type 3: no inflater can go on.
    out.add("damaged-stream", "hash", "all", &[&zlib[..2], &[0x07; 40]].concat(), &plain);
    let mut wrong_check = zlib.clone();
    *wrong_check.last_mut().unwrap() ^= 1;
    out.add("wrong-check", "hash", "server", &wrong_check, &plain);

    out.files.insert("cases.txt".to_owned(), out.lines.into_bytes());
    out.files
}

struct Output {
    files: Files,
    lines: String,
}

impl Output {
    fn add(&mut self, name: &str, expected: &str, by: &str, wire: &[u8], announced: &[u8]) {
        self.files.insert(format!("{name}.wire"), wire.to_vec());
        self.lines += &format!("{name}.wire {expected} {by} {} {}\n", announced.len(), Digest::of(announced));
    }
}

/// About 9 KB whose repeats are near, but also further apart than every window.
fn sample() -> Vec<u8> {
    (0..240_u32).map(|n| format!("reading {n:03} of sensor {}: {}\n", n % 7, n * n)).collect::<String>().into_bytes()
}

fn deflate(plain: &[u8], window_bits: u8) -> Vec<u8> {
    let compress = Compress::new_with_window_bits(Compression::best(), true, window_bits);
    let mut encoder = ZlibEncoder::new_with_compress(Vec::new(), compress);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The stream under another header whose check is right.
fn with_header(zlib: &[u8], method: u8, flags: u8) -> Vec<u8> {
    let check = 31 - u8::try_from(u16::from_be_bytes([method, flags]) % 31).unwrap();
    [&[method, flags + check % 31], &zlib[2..]].concat()
}

#[test]
fn object_cases_hold() {
    for case in cases("object") {
        let [file, expected, _by, size, digest] = &case[..] else { panic!("{case:?}") };
        let outcome = from_wire(&read("object", file), size.parse().unwrap(), &digest.parse().unwrap());
        check(file, expected, outcome);
    }
}
