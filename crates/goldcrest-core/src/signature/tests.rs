//! Tests of `signature`. The keys are test keys that everyone can read.

use super::*;

const PEM: &str = include_str!("../../../../vectors/keys/TEST-ONLY-release.pem");
const PEM_3072: &str = include_str!("../../../../vectors/keys/TEST-ONLY-release-3072.pem");

#[test]
fn both_sizes_sign_and_verify() {
    for (pem, len) in [(PEM, 256), (PEM_3072, 384)] {
        let key = SigningKey::from_pem(pem).unwrap();
        let signature = key.sign(b"message");
        assert_eq!(signature.bytes.len(), len);
        assert_eq!(signature, key.sign(b"message"));
        assert!(key.public().verify(b"message", &signature));
        assert!(!key.public().verify(b"messagE", &signature));
        let read = Signature::from_base64(signature.key_id, &signature.to_base64()).unwrap();
        assert_eq!(read, signature);
        assert_eq!(&PublicKey::from_base64(&key.public().to_base64()).unwrap(), key.public());
    }
}

#[test]
fn a_signature_by_another_key_does_not_verify() {
    let (key, other) = (SigningKey::from_pem(PEM).unwrap(), SigningKey::from_pem(PEM_3072).unwrap());
    assert!(!key.public().verify(b"message", &other.sign(b"message")));
}

#[test]
fn a_key_id_is_the_start_of_the_digest_of_the_modulus() {
    let public = SigningKey::from_pem(PEM).unwrap().public().clone();
    assert_eq!(public.id().to_string(), Digest::of(public.modulus()).to_string()[..16]);
    assert_eq!(public.id().to_string().parse(), Ok(public.id()));
    assert!("3F1C9A2B4D5E6F70".parse::<KeyId>().is_err());
}

#[test]
fn a_modulus_has_2048_or_3072_bits_and_is_odd() {
    let modulus = SigningKey::from_pem(PEM).unwrap().public().modulus().to_vec();
    let even = [&modulus[..255], &[0]].concat();
    let short = [&[0x7f], &modulus[1..]].concat();
    let padded = [&[0], &modulus[..]].concat();
    for bad in [even, short, padded, modulus[..128].to_vec(), Vec::new()] {
        assert_eq!(PublicKey::from_modulus(bad).unwrap_err().refusal, Refusal::Format);
    }
}

#[test]
fn an_unreadable_key_says_why() {
    let error = |pem: &str| SigningKey::from_pem(pem).unwrap_err().to_string();
    assert_eq!(error(""), "not a pkcs#8 pem file (-----BEGIN PRIVATE KEY-----)");
    assert_eq!(error(&PEM.replace("PRIVATE", "RSA PRIVATE")), "not a pkcs#8 pem file (-----BEGIN PRIVATE KEY-----)");
    assert_eq!(error(&PEM[..400]), "the pem file is cut off: no -----END PRIVATE KEY-----");
    assert_eq!(error(&PEM.replacen("MII", "M?I", 1)), "the pem file is not base64");
    let modulus_damaged = PEM.replacen(&PEM[200..204], "AAAA", 1);
    assert!(error(&modulus_damaged).starts_with("not a usable rsa key: "));
    // Its exponent of the first prime: seen only when it signs.
    let private_damaged = PEM.replacen(&PEM[1300..1304], "AAAA", 1);
    assert_eq!(error(&private_damaged), "the private part does not fit the public one");
}

#[test]
fn a_key_does_not_print_itself() {
    let key = SigningKey::from_pem(PEM).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().id()));
}
