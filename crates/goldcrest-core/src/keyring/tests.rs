//! Tests of `keyring`; the cases that the board shares are in `vectors/keyring/`.

use proptest::prelude::*;

use super::*;

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

fn root_a() -> SigningKey {
    key(include_str!("../../../../vectors/keys/TEST-ONLY-root-a.pem"))
}

fn root_b() -> SigningKey {
    key(include_str!("../../../../vectors/keys/TEST-ONLY-root-b.pem"))
}

fn content(version: u64, threshold: u64) -> KeyringContent {
    let roots = vec![root_a().public().clone(), root_b().public().clone()];
    KeyringContent { version, threshold, roots, release: Vec::new(), revoked: Vec::new() }
}

#[test]
fn lists_are_sorted_and_the_bytes_read_back() {
    let mut content = content(1, 1);
    content.revoked = vec!["ff00ff00ff00ff00".parse().unwrap(), "0011223344556677".parse().unwrap()];
    let keyring = Keyring::build_and_sign(content, &[&root_a()]).unwrap();
    assert!(keyring.content.roots[0].id() < keyring.content.roots[1].id());
    assert_eq!(keyring.content.revoked[0].to_string(), "0011223344556677");
    assert!(keyring.is_revoked("ff00ff00ff00ff00".parse().unwrap()));
    assert_eq!(Keyring::parse(&keyring.to_bytes()).unwrap(), keyring);
}

#[test]
fn a_threshold_can_be_reached_by_several_owners_in_turn() {
    let refused = Keyring::build_and_sign(content(1, 2), &[&root_a()]).unwrap_err();
    assert_eq!(refused.to_string(), "keyring-threshold: 1 of 2 roots of keyring 1 signed keyring 1: 2 must");
    let body = write(&content(1, 2));
    // The same content, unsorted, would be another text: sort as `build_and_sign` does.
    let mut sorted = content(1, 2);
    sorted.roots.sort_by_key(PublicKey::id);
    assert_eq!(body.len(), write(&sorted).len());
    let body = write(&sorted);
    let mut half = Keyring::parse(&join_signed(&body, &[root_a().sign(body.as_bytes())])).unwrap();
    assert_eq!(half.verify_self().unwrap_err().refusal, Refusal::KeyringThreshold);
    half.countersign(&root_b());
    half.countersign(&root_b());
    assert_eq!(half.verify_self(), Ok(()));
    assert_eq!(half.signatures.len(), 2);
}

#[test]
fn a_list_above_its_limit_is_refused() {
    let mut many = content(1, 1);
    many.revoked = (0..=MAX_REVOKED).map(|n| format!("{n:016x}").parse().unwrap()).collect();
    let refused = Keyring::build_and_sign(many, &[&root_a()]).unwrap_err();
    assert_eq!(refused.to_string(), "format: 257 revoked keys: 256 are allowed");
}

#[test]
fn the_roots_of_two_keyrings_that_share_none_can_all_sign() {
    let body = write(&Keyring::build_and_sign(content(1, 1), &[&root_a()]).unwrap().content);
    let mut signatures = vec![root_a().sign(body.as_bytes()); 2 * MAX_THRESHOLD];
    assert_eq!(Keyring::parse(&join_signed(&body, &signatures)).unwrap().verify_self(), Ok(()));
    signatures.push(root_b().sign(body.as_bytes()));
    let refused = Keyring::parse(&join_signed(&body, &signatures)).unwrap_err();
    assert_eq!(refused.to_string(), "format: more than 16 signatures");
    let mut many = content(1, 8);
    many.roots = (1..=9).map(|n| PublicKey::from_modulus(vec![0x81 | n << 1; 256]).unwrap()).collect();
    many.roots.sort_by_key(PublicKey::id);
    assert!(read(&write(&many)).is_ok());
    many.threshold = 9;
    assert_eq!(read(&write(&many)).unwrap_err().to_string(), "format: threshold 9 with 9 roots: 1 to 8");
}

#[test]
fn the_same_key_twice_is_refused() {
    let mut twice = content(1, 1);
    twice.release = vec![root_a().public().clone(), root_a().public().clone()];
    assert_eq!(Keyring::build_and_sign(twice, &[&root_a()]).unwrap_err().refusal, Refusal::Format);
}

proptest! {
    #[test]
    fn any_lines_are_read_or_refused(picks in prop::collection::vec(0_usize..8, 0..10), cut in 0_usize..400) {
        let mut content = content(4, 1);
        content.revoked = vec!["0011223344556677".parse().unwrap()];
        let text = String::from_utf8(Keyring::build_and_sign(content, &[&root_a()]).unwrap().to_bytes()).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut text: String = picks.iter().filter_map(|&pick| lines.get(pick).copied()).collect();
        text.truncate(text.len().saturating_sub(cut));
        if let Ok(read) = Keyring::parse(text.as_bytes()) {
            prop_assert_eq!(read.to_bytes(), text.into_bytes());
        }
    }
}
