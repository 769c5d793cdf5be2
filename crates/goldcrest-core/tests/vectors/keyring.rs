//! Cases of keyrings: whether each may replace `in-force.keyring`.

use goldcrest_core::keyring::{Keyring, KeyringContent};
use goldcrest_core::signature::{PublicKey, SigningKey};

use super::{Files, cases, check, in_force as parsed_in_force, key, read, signed, with};

/// Version 3, two of two roots, two release keys, one revoked key that is a release key all the same.
pub(crate) fn in_force() -> Vec<u8> {
    let (root_a, root_b) = (key("root-a"), key("root-b"));
    build(3, 2, &["root-a", "root-b"], &[&root_a, &root_b])
}

pub(crate) fn generate() -> Files {
    let (root_a, root_b, stranger) = (key("root-a"), key("root-b"), key("stranger"));
    let next = build(4, 2, &["root-a", "root-b"], &[&root_a, &root_b]);
    let text = body(&next);
    let both = ["root-a", "root-b"];
    let mut out = Output { files: Files::new(), lines: String::new() };

    out.add("successor", "ok", &next);
    let rotated = build(4, 2, &["root-b", "stranger"], &[&root_a, &root_b, &stranger]);
    out.add("root-rotated", "ok", &rotated);
    out.add("version-skipped", "ok", &build(9, 1, &["root-a"], &[&root_a, &root_b]));
    out.add("signed-by-a-stranger-too", "ok", &signed(&text, &["stranger", "root-b", "root-a"]));
    out.add("same-version", "keyring-old", &build(3, 1, &["root-a"], &[&root_a, &root_b]));
    out.add("older-version", "keyring-old", &build(2, 2, &both, &[&root_a, &root_b]));
    out.add("one-root-of-two", "keyring-threshold", &signed(&text, &["root-a"]));
    out.add("one-root-twice", "keyring-threshold", &signed(&text, &["root-a", "root-a"]));
    out.add("signed-by-release-key", "keyring-threshold", &signed(&text, &["root-a", "release"]));
    out.add("new-roots-only", "keyring-threshold", &build(4, 1, &["stranger"], &[&stranger]));
    out.add("new-roots-did-not-sign", "keyring-threshold", &signed(&body(&rotated), &both));
    let changed = with(&String::from_utf8(next.clone()).unwrap(), "version 4", "version 5");
    out.add("signature-of-other-bytes", "keyring-threshold", changed.as_bytes());

    for (name, old, new) in
        [("format-2", "goldcrest-keyring 1", "goldcrest-keyring 2"), ("version-missing", "version 4\n", "")]
    {
        out.add(name, "format", &signed(&with(&text, old, new), &both));
    }
    // The roots have signed these all the same, and they do a board no harm.
    for (name, old, new) in [
        ("version-zero", "version 4", "version 0"),
        ("version-with-leading-zero", "version 4", "version 04"),
        ("threshold-zero", "threshold 2", "threshold 0"),
        ("threshold-above-roots", "threshold 2", "threshold 3"),
        ("unknown-line", "revoked ", "retired "),
    ] {
        out.add_for("server", name, "format", &signed(&with(&text, old, new), &both));
    }
    // A board finds the root's signature missing instead.
    let misnamed = with(&text, &format!("root {}", root_a.public().id()), "root 0011223344556677");
    out.add_for("server", "key-id-of-another-key", "format", &signed(&misnamed, &both));
    out.add_for("server", "roots-unsorted", "format", &signed(&swapped(&text, "root "), &both));
    out.add_for("server", "carriage-returns", "format", &signed(&text.replace('\n', "\r\n"), &both));
    out.add_for("server", "key-of-1024-bits", "format", &signed(&with_short_key(&text), &both));
    out.add("unsigned", "format", text.as_bytes());
    out.add("no-final-line-end", "format", &next[..next.len() - 1]);
    out.add("empty", "format", b"");

    out.files.insert("cases.txt".to_owned(), out.lines.into_bytes());
    out.files.insert("in-force.keyring".to_owned(), in_force());
    out.files
}

struct Output {
    files: Files,
    lines: String,
}

impl Output {
    fn add(&mut self, name: &str, expected: &str, bytes: &[u8]) {
        self.add_for("all", name, expected, bytes);
    }

    fn add_for(&mut self, who: &str, name: &str, expected: &str, bytes: &[u8]) {
        self.files.insert(format!("{name}.keyring"), bytes.to_vec());
        self.lines += &format!("{name}.keyring {expected} {who}\n");
    }
}

fn build(version: u64, threshold: u64, roots: &[&str], signers: &[&SigningKey]) -> Vec<u8> {
    let publics = |names: &[&str]| names.iter().map(|name| key(name).public().clone()).collect::<Vec<PublicKey>>();
    let content = KeyringContent {
        version,
        threshold,
        roots: publics(roots),
        release: publics(&["release", "release-3072", "revoked"]),
        revoked: vec![key("revoked").public().id()],
    };
    Keyring::build_and_sign(content, signers).unwrap().to_bytes()
}

fn body(keyring: &[u8]) -> String {
    let text = std::str::from_utf8(keyring).unwrap();
    text[..text.find("sig ").unwrap()].to_owned()
}

/// The text with the first two lines of this kind exchanged.
fn swapped(text: &str, prefix: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| line.starts_with(prefix)).unwrap();
    lines.swap(first, first + 1);
    lines.concat()
}

/// The text with the first root's modulus cut to 1024 bits, under the id that it then has.
fn with_short_key(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("root ")).unwrap();
    let mut modulus = data_encoding::BASE64.decode(line.split(' ').nth(2).unwrap().as_bytes()).unwrap();
    modulus.truncate(128);
    let id = goldcrest_core::Digest::of(&modulus).to_string();
    with(text, line, &format!("root {} {}", &id[..16], data_encoding::BASE64.encode(&modulus)))
}

#[test]
fn keyring_cases_hold() {
    let in_force = parsed_in_force();
    in_force.verify_self().unwrap();
    for case in cases("keyring") {
        let [file, expected, _by] = &case[..] else { panic!("{case:?}") };
        let outcome = Keyring::parse(&read("keyring", file)).and_then(|next| in_force.accept_successor(&next));
        check(file, expected, outcome);
    }
}
