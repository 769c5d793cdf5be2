//! Tests of `manifest`; the cases that the board shares are in `vectors/manifest/`.

use expect_test::expect;
use proptest::prelude::*;

use super::*;

const PEM: &str = include_str!("../../../../vectors/keys/TEST-ONLY-release.pem");

fn file(path: &str, content: &[u8]) -> FileEntry {
    FileEntry { digest: Digest::of(content), size: content.len() as u64, path: path.parse().unwrap() }
}

fn manifest(files: Vec<FileEntry>) -> Manifest {
    Manifest {
        package: "kitchen-sensor".parse().unwrap(),
        version: "1.5.0".parse().unwrap(),
        counter: 7,
        floor: 3,
        agent: 1,
        boards: Vec::new(),
        mpy: None,
        created: 1_795_000_000,
        expires: None,
        keep: Vec::new(),
        files,
        deletions: Vec::new(),
    }
}

/// The name under which the manifest is refused, or `ok`.
fn verdict(change: impl FnOnce(&mut Manifest)) -> &'static str {
    let mut manifest = manifest(vec![file("main.py", b"1")]);
    change(&mut manifest);
    manifest.into_canonical().map_or_else(|refused| refused.refusal.as_str(), |_| "ok")
}

#[test]
fn canonical_text_is_sorted_and_in_the_order_of_the_page() {
    let mut manifest = manifest(vec![file("main.py", b"1"), file("app/a.mpy", b"")]);
    manifest.boards = ["rp2", "esp32", "rp2"].map(str::to_owned).to_vec();
    manifest.mpy = Some("6.3.10".parse().unwrap());
    manifest.expires = Some(1_826_536_000);
    manifest.keep = ["data/*", "config.json"].map(|text| text.parse().unwrap()).to_vec();
    manifest.deletions = ["old/b.py", "old/a.py"].map(|text| text.parse().unwrap()).to_vec();
    expect![[r"
        goldcrest 1
        package kitchen-sensor
        version 1.5.0
        counter 7
        floor 3
        agent 1
        boards esp32 rp2
        mpy 6.3.10
        created 1795000000
        expires 1826536000
        keep config.json
        keep data/*
        files 2
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 - app/a.mpy
        6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b 1 - main.py
        - old/a.py
        - old/b.py
    "]]
    .assert_eq(&manifest.into_canonical().unwrap().to_text());
}

#[test]
fn what_was_signed_reads_back_byte_for_byte() {
    let key = SigningKey::from_pem(PEM).unwrap();
    let manifest = manifest(vec![file("main.py", b"1")]).into_canonical().unwrap();
    let signed = SignedManifest::sign(&manifest, &[&key]).unwrap();
    assert_eq!(signed.manifest, manifest);
    assert_eq!(signed.digest, Digest::of(manifest.to_text().as_bytes()));
    let read = SignedManifest::parse(&signed.to_bytes()).unwrap();
    assert_eq!(read, signed);
}

#[test]
fn nothing_is_signed_without_a_key_or_unsorted() {
    let key = SigningKey::from_pem(PEM).unwrap();
    let good = manifest(vec![file("a", b"1"), file("b", b"1")]);
    assert_eq!(SignedManifest::sign(&good, &[]).unwrap_err().refusal, Refusal::Format);
    let unsorted = manifest(vec![file("b", b"1"), file("a", b"1")]);
    assert_eq!(SignedManifest::sign(&unsorted, &[&key]).unwrap_err().refusal, Refusal::Format);
}

#[test]
fn a_packer_learns_what_it_must_not_pack() {
    assert_eq!(verdict(|_| {}), "ok");
    assert_eq!(verdict(|m| m.files.push(file("main.py", b"2"))), "duplicate");
    assert_eq!(verdict(|m| m.files.push(file("MAIN.py", b"2"))), "duplicate");
    assert_eq!(verdict(|m| m.files.extend([file("lib/a", b""), file("Lib/b", b"")])), "duplicate");
    assert_eq!(verdict(|m| m.files.push(file("main.py/x", b"2"))), "path");
    assert_eq!(verdict(|m| m.files.push(file("Main.py/x", b"2"))), "path");
    assert_eq!(verdict(|m| m.keep.push("*.py".parse().unwrap())), "path");
    assert_eq!(verdict(|m| m.deletions.push("main.py".parse().unwrap())), "duplicate");
    assert_eq!(verdict(|m| m.floor = 8), "format");
    assert_eq!(verdict(|m| m.counter = 1 << 53), "format");
    assert_eq!(verdict(|m| m.boards = vec!["esp 32".to_owned()]), "format");
    assert_eq!(verdict(|m| m.boards = vec![String::new()]), "format");
}

#[test]
fn limits_hold_at_their_edge() {
    let many = |count: usize| (0..count).map(|n| file(&format!("f{n:04}"), b"")).collect::<Vec<_>>();
    assert_eq!(verdict(|m| m.files = many(MAX_FILES)), "ok");
    assert_eq!(verdict(|m| m.files = many(MAX_FILES + 1)), "format");
    let gone = |count: usize| (0..count).map(|n| format!("old/{n:04}").parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(verdict(|m| m.deletions = gone(MAX_FILES)), "ok");
    assert_eq!(verdict(|m| m.deletions = gone(MAX_FILES + 1)), "format");
    assert_eq!(verdict(|m| m.files[0].size = MAX_FILE_SIZE), "ok");
    assert_eq!(verdict(|m| m.files[0].size = MAX_FILE_SIZE + 1), "format");
    let key = SigningKey::from_pem(PEM).unwrap();
    let long = "p".repeat(60);
    let path = |n: usize| format!("{long}/{n:050}");
    let big = manifest((0..MAX_FILES).map(|n| file(&path(n), b"")).collect());
    let mut bytes = SignedManifest::sign(&big, &[&key]).unwrap().to_bytes();
    assert!(bytes.len() < MAX_MANIFEST, "the largest list of files fits");
    bytes.resize(MAX_MANIFEST + 1, b'\n');
    let refused = SignedManifest::parse(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "format: 1048577 bytes: 1048576 are allowed");
}

#[test]
fn a_refusal_names_the_line() {
    let key = SigningKey::from_pem(PEM).unwrap();
    let good = SignedManifest::sign(&manifest(vec![file("main.py", b"1")]), &[&key]).unwrap().to_bytes();
    let good = String::from_utf8(good).unwrap();
    let detail =
        |old: &str, new: &str| SignedManifest::parse(good.replacen(old, new, 1).as_bytes()).unwrap_err().to_string();
    expect!["format: line 4: expected a counter line"].assert_eq(&detail("counter 7\n", ""));
    expect![[r#"format: line 5: "x" is not a decimal number of at most 2^53 - 1"#]]
        .assert_eq(&detail("floor 3", "floor x"));
    expect![[r#"path: line 9: "../x" is not a plain relative path"#]].assert_eq(&detail("main.py", "../x"));
    expect!["format: 1 file lines, but files says 2"].assert_eq(&detail("files 1", "files 2"));
    expect!["format: no signature line"].assert_eq(&detail("\nsig ", "\nsgi "));
}

#[test]
fn a_board_that_is_not_known_well_passes() {
    let mut manifest = manifest(Vec::new());
    manifest.boards = vec!["esp32".to_owned()];
    manifest.mpy = Some(MpyAbi::bytecode(6));
    manifest.agent = 2;
    assert_eq!(admit(&manifest, &BoardContext { floor: 7, ..BoardContext::default() }), Ok(()));
    let named = BoardContext { board: Some("kitchen-v2".to_owned()), ..BoardContext::default() };
    assert_eq!(admit(&manifest, &named), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(SignedManifest::parse(&bytes).is_err());
    }

    /// Lines of a good manifest, shuffled, repeated and cut: whatever is accepted comes back byte for byte.
    #[test]
    fn lines_in_any_order_are_read_or_refused(picks in prop::collection::vec(0_usize..12, 0..16), cut in 0_usize..40) {
        let key = SigningKey::from_pem(PEM).unwrap();
        let good = SignedManifest::sign(&manifest(vec![file("a", b"1"), file("b", b"")]), &[&key]).unwrap().to_bytes();
        let good = String::from_utf8(good).unwrap();
        let lines: Vec<&str> = good.split_inclusive('\n').collect();
        let mut text: String = picks.iter().filter_map(|&pick| lines.get(pick).copied()).collect();
        text.truncate(text.len().saturating_sub(cut));
        if let Ok(read) = SignedManifest::parse(text.as_bytes()) {
            prop_assert_eq!(read.to_bytes(), text.into_bytes());
        }
    }

    #[test]
    fn what_is_canonical_reads_back(
        names in prop::collection::btree_set("[a-z]{1,6}(\\.py)?(/[a-z ]{0,4}[a-z]){0,2}", 0..8),
        deleted in prop::collection::btree_set("old/[a-z]{1,3}", 0..3),
        counter in 0_u64..1 << 53,
        expires in prop::option::of(0_u64..1 << 53),
    ) {
        let mut manifest = manifest(names.iter().rev().map(|name| file(name, name.as_bytes())).collect());
        manifest.deletions = deleted.iter().rev().map(|path| path.parse().unwrap()).collect();
        (manifest.counter, manifest.floor, manifest.expires) = (counter, counter / 2, expires);
        let Ok(manifest) = manifest.into_canonical() else { return Ok(()) };
        let read = read::read(&manifest.to_text()).unwrap();
        prop_assert_eq!(&read.to_text(), &manifest.to_text());
        prop_assert_eq!(read, manifest);
    }
}
