//! Tests of `digest`.

use super::*;

/// FIPS 180-4 example: SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn piece_by_piece_gives_the_published_digest() {
    let mut hasher = Hasher::new();
    hasher.update(b"a");
    hasher.update(b"bc");
    assert_eq!(hasher.finish().to_string(), ABC);
    assert_eq!(Digest::of(b"abc").to_string(), ABC);
}

#[test]
fn text_reads_back_and_other_text_is_refused() {
    let digest: Digest = ABC.parse().unwrap();
    assert_eq!(digest, Digest::of(b"abc"));
    assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
    assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
    assert_eq!(serde_json::from_str::<Digest>(&format!("\"{ABC}\"")).unwrap(), digest);
    for text in ["", &ABC[1..], &ABC.to_uppercase(), &format!("{ABC}00"), &format!(" {}", &ABC[1..])] {
        assert_eq!(text.parse::<Digest>().unwrap_err().refusal, Refusal::Format, "{text}");
    }
}
