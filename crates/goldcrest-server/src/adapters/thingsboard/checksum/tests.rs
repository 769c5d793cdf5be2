//! Against what Python says: hashlib, zlib, and mmh3 with its bytes in the order of ThingsBoard.

use super::Algorithm::{Crc32, Md5, Murmur32, Murmur128, Sha256, Sha384, Sha512};

#[test]
fn every_kind_is_spelled_as_thingsboard_does() {
    let text = b"Goldcrest, the smallest bird";
    let sums = [Sha256, Sha384, Sha512, Md5, Murmur32, Murmur128, Crc32].map(|kind| kind.of(text));
    let wanted = expect_test::expect![[r"
        74f958eaa0d19d75c62594f0a0286d5bda4b1b5101e26497e856e1c5c5a6dd6e
        624e00f0d884915da0ac69652c830ae20bb24acbf9b1156b59c94924e400f284024cf03ced7b489ee3bc6eaaf4312326
        e393885f01082f2f31d0fdc82d4eb3828a16a60f33baacb582d1ec48f8ee731a0ad71a1f5ada962255b642969b9947e0776c506c996b9ba724036c77fbe539e3
        25619e2f6c0b399fe755161eab7880d0
        0b43f1fc
        0c0b9aa0cb4687fdbb9d1253d500d209
        3bcf472d"]];
    wanted.assert_eq(&sums.join("\n"));
}

#[test]
fn every_length_of_a_rest_counts() {
    let bytes: Vec<u8> = (0..40).collect();
    let sums: Vec<String> =
        (0..40).map(|end| Murmur32.of(&bytes[..end]) + " " + &Murmur128.of(&bytes[..end])).collect();
    let wanted = expect_test::expect!["df7b4f9331601c4d36c7acd56d356e509c99f6ffcdda78a54c256f07532a0e0b"];
    wanted.assert_eq(&Sha256.of(sums.join("\n").as_bytes()));
}
