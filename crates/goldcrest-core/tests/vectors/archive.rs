//! Cases of archives: the whole check that a server makes. No object is held before.

use std::collections::BTreeMap;

use goldcrest_core::Digest;
use goldcrest_core::archive::{check_archive, read as read_archive, write};
use goldcrest_core::object::{DEFAULT_WINDOW_BITS, to_wire};

use super::{Files, cases, check, in_force, read, signed};

const BLOCK: usize = 512;

pub(crate) fn generate() -> Files {
    let objects = objects();
    let (first, second) = (*objects.keys().next().unwrap(), *objects.keys().nth(1).unwrap());
    let manifest = signed(&manifest_text(), &["release"]);
    let good = write(&manifest, &objects);
    let folder_at = BLOCK + manifest.len().next_multiple_of(BLOCK);
    let end = good.len() - 2 * BLOCK;
    let first_at = folder_at + BLOCK;
    let first_len = BLOCK + objects[&first].len().next_multiple_of(BLOCK);
    let (head, body) = (&good[..first_at], &good[first_at..end]);
    let zeros = &[0; 2 * BLOCK][..];
    let mut files = Files::new();
    let mut lines = String::new();
    let mut add = |name: &str, expected: &str, bytes: &[u8]| {
        files.insert(format!("{name}.tar"), bytes.to_vec());
        lines += &format!("{name}.tar {expected} server\n");
    };

    add("good", "ok", &good);
    add("signed-by-stranger", "unknown-key", &write(&signed(&manifest_text(), &["stranger"]), &objects));
    let forged = String::from_utf8(manifest.clone()).unwrap().replace("version 1.0", "version 1.1");
    add("signature-of-other-bytes", "bad-signature", &write(forged.as_bytes(), &objects));
    let without = objects.iter().skip(1).map(|(digest, wire)| (*digest, wire.clone())).collect();
    add("object-missing", "missing", &write(&manifest, &without));
    let exchanged = BTreeMap::from([(first, b"x".repeat(plains()[0].len())), (second, objects[&second].clone())]);
    add("object-with-other-bytes", "hash", &write(&manifest, &exchanged));
    let mut more = objects.clone();
    more.insert(Digest::of(b"more"), b"more".to_vec());
    add("object-not-named", "format", &write(&manifest, &more));

    add("empty", "truncated", b"");
    add("truncated-in-header", "truncated", &good[..300]);
    add("truncated-in-object", "truncated", &good[..first_at + BLOCK + 5]);
    add("truncated-before-end", "truncated", &good[..end]);
    add("truncated-in-end", "truncated", &good[..good.len() - 1]);
    add("bytes-after-end", "format", &[&good[..], &[0; BLOCK]].concat());
    add("one-zero-block-inside", "format", &[head, &zeros[..BLOCK], body, zeros].concat());
    add("manifest-not-first", "format", &[&good[folder_at..first_at], &good[..folder_at], body, zeros].concat());
    add("folder-missing", "format", &[&good[..folder_at], body, zeros].concat());
    let (one, two) = body.split_at(first_len);
    add("objects-unsorted", "format", &[head, two, one, zeros].concat());
    add("object-twice", "format", &[head, one, one, two, zeros].concat());
    add("padding-not-zero", "format", &edited(&good, first_at + first_len - 1, b"!"));

    let header = |at: usize, bytes: &[u8]| {
        let mut entry = good[first_at..first_at + BLOCK].to_vec();
        entry[at..at + bytes.len()].copy_from_slice(bytes);
        checksummed(entry)
    };
    let with_header = |entry: &[u8]| [head, entry, &body[BLOCK..], zeros].concat();
    add("checksum-wrong", "format", &edited(&good, first_at + 148, b"000000"));
    for (name, at, bytes) in [
        ("entry-leaves-the-root", 0, &b"../objects/\0"[..]),
        ("entry-is-absolute", 0, b"/objects/\0"),
        ("entry-is-no-object", 0, b"objects/readme\0"),
        ("entry-is-a-link", 156, b"2"),
        ("entry-is-pax", 156, b"x"),
        ("entry-is-gnu-long-name", 156, b"L"),
        ("header-of-gnu", 257, b"ustar  \0"),
        ("mode-is-executable", 100, b"0000755"),
        ("owner-is-set", 108, b"0001750"),
        ("time-is-set", 136, b"14747474747"),
        ("prefix-is-set", 345, b"app"),
        ("size-is-malformed", 124, b"0000000000x"),
    ] {
        add(name, "format", &with_header(&header(at, bytes)));
    }
    add("size-beyond-the-end", "truncated", &with_header(&header(124, b"00000777777")));
    files.insert("cases.txt".to_owned(), lines.into_bytes());
    files
}

fn plains() -> [Vec<u8>; 2] {
    let mut plains = [b"print('hello')\n".to_vec(), "value = 1\n".repeat(90).into_bytes()];
    plains.sort_by_key(|plain| Digest::of(plain));
    plains
}

fn objects() -> BTreeMap<Digest, Vec<u8>> {
    plains().iter().map(|plain| (Digest::of(plain), to_wire(plain, DEFAULT_WINDOW_BITS))).collect()
}

fn manifest_text() -> String {
    let [a, b] = plains();
    let line = |plain: &[u8], path| format!("{} {} - {path}\n", Digest::of(plain), plain.len());
    let header = "goldcrest 1\npackage app\nversion 1.0\ncounter 7\nfloor 0\nagent 1\ncreated 1795000000\nfiles 2\n";
    [header, &line(&a, "a.py"), &line(&b, "b.py")].concat()
}

fn edited(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    [&bytes[..at], new, &bytes[at + new.len()..]].concat()
}

/// The header with the checksum that fits it.
fn checksummed(mut header: Vec<u8>) -> Vec<u8> {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[test]
fn archive_cases_hold() {
    let keyring = in_force();
    for case in cases("archive") {
        let [file, expected, _by] = &case[..] else { panic!("{case:?}") };
        check(file, expected, check_archive(&read("archive", file), &keyring, |_| None));
    }
}

#[test]
fn an_archive_comes_back_byte_for_byte() {
    let bytes = read("archive", "good.tar");
    let archive = read_archive(&bytes).unwrap();
    let objects = archive.objects.iter().map(|(digest, wire)| (*digest, wire.to_vec())).collect();
    assert!(write(archive.manifest, &objects) == bytes);
}

#[test]
fn a_held_object_need_not_be_sent() {
    let bytes = read("archive", "object-missing.tar");
    let held = objects().into_keys().next().unwrap();
    let size = plains()[0].len() as u64;
    let release = check_archive(&bytes, &in_force(), |digest| (*digest == held).then_some(size)).unwrap();
    assert_eq!(release.objects.len(), 1);
    check("other size", "hash", check_archive(&bytes, &in_force(), |_| Some(size + 1)));
}
