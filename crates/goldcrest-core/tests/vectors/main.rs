//! Makes the golden cases of `vectors/` and checks that the committed files are those, and that every expectation holds.
//!
//! `UPDATE_EXPECT=1 cargo test -p goldcrest-core --test vectors` writes them anew: see `vectors/README.md`.

#![expect(clippy::unwrap_used, clippy::format_push_string, clippy::format_collect, reason = "a test's own helpers")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use goldcrest_core::keyring::Keyring;
use goldcrest_core::refusal::Refused;
use goldcrest_core::signature::{Signature, SigningKey};

mod archive;
mod delta;
mod keyring;
mod manifest;
mod object;
mod path;

/// Files of one kind, by their name.
type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn committed_files_are_what_the_generator_makes() {
    let made = [
        ("manifest", manifest::generate()),
        ("keyring", keyring::generate()),
        ("object", object::generate()),
        ("delta", delta::generate()),
        ("path", path::generate()),
        ("archive", archive::generate()),
    ];
    for (kind, files) in made {
        let folder = vectors().join(kind);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in &files {
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        assert!(committed(kind) == files, "{kind}: run again with UPDATE_EXPECT=1 and look at the difference");
    }
}

#[test]
fn every_refusal_of_a_parser_or_verifier_has_a_case() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in ["manifest", "keyring", "object", "delta", "archive"] {
        seen.extend(cases(kind).into_iter().map(|case| case[1].clone()));
    }
    seen.extend(cases("path").into_iter().map(|case| case[0].clone()));
    let all = goldcrest_core::Refusal::ALL.iter().map(|refusal| refusal.as_str());
    // `space` is known only to a board with its flash.
    let without: Vec<&str> = all.filter(|name| !seen.contains(*name)).collect();
    assert_eq!(without, ["space"]);
}

/// Compares what was done with what the case expects: `ok` or the name of a refusal.
fn check<T>(name: &str, expected: &str, outcome: Result<T, Refused>) {
    let (actual, detail) = match outcome {
        Ok(_) => ("ok", String::new()),
        Err(refused) => (refused.refusal.as_str(), refused.detail),
    };
    assert_eq!(actual, expected, "{name}: {detail}");
}

/// The columns of every line of a kind's `cases.txt`.
fn cases(kind: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(kind, "cases.txt")).unwrap();
    text.split_terminator('\n').map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn read(kind: &str, name: &str) -> Vec<u8> {
    fs::read(vectors().join(kind).join(name)).unwrap()
}

fn committed(kind: &str) -> Files {
    let entries = fs::read_dir(vectors().join(kind)).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// The keyring that verifies the cases of manifests and archives, and that the cases of keyrings want to replace.
fn in_force() -> Keyring {
    Keyring::parse(&keyring::in_force()).unwrap()
}

fn key(name: &str) -> SigningKey {
    let pem = fs::read_to_string(vectors().join(format!("keys/TEST-ONLY-{name}.pem"))).unwrap();
    SigningKey::from_pem(&pem).unwrap()
}

/// The text with a signature line by each key, whatever the text says.
fn signed(text: &str, keys: &[&str]) -> Vec<u8> {
    let lines = keys.iter().map(|name| signature_line(&key(name).sign(text.as_bytes())));
    [text.to_owned(), lines.collect()].concat().into_bytes()
}

fn signature_line(signature: &Signature) -> String {
    format!("sig {} {}\n", signature.key_id, signature.to_base64())
}

/// The text with `old`, which must be there, replaced.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in the text");
    text.replacen(old, new, 1)
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors")
}
