//! Tests of `archive`; the cases of whole archives are in `vectors/archive/`.

use proptest::prelude::*;

use super::*;

fn object() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1100)
}

proptest! {
    #[test]
    fn what_was_written_reads_back(manifest in object(), contents in prop::collection::vec(object(), 0..4)) {
        let objects: BTreeMap<Digest, Vec<u8>> =
            contents.into_iter().map(|content| (Digest::of(&content), content)).collect();
        let bytes = write(&manifest, &objects);
        prop_assert_eq!(bytes.len() % BLOCK, 0);
        let archive = read(&bytes).unwrap();
        prop_assert_eq!(archive.manifest, manifest);
        let read_back: BTreeMap<Digest, Vec<u8>> = archive.objects.iter().map(|(digest, wire)| (*digest, wire.to_vec())).collect();
        prop_assert_eq!(read_back, objects);
    }

    #[test]
    fn a_cut_archive_is_truncated(content in object(), cut in 0.0..1.0_f64) {
        let bytes = write(b"manifest", &BTreeMap::from([(Digest::of(&content), content)]));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a point below the length")]
        let at = (bytes.len() as f64 * cut) as usize;
        prop_assert_eq!(read(&bytes[..at]).unwrap_err().refusal, Refusal::Truncated);
    }

    #[test]
    fn a_changed_header_is_refused(at in 0_usize..BLOCK, bit in 0_u8..8) {
        let mut bytes = write(b"manifest", &BTreeMap::new());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
        let _ = read(&bytes);
    }
}
