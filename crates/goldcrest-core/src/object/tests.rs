//! Tests of `object`; the cases that the board shares are in `vectors/object/`.

use proptest::prelude::*;

use super::*;

#[test]
fn zlib_is_taken_only_when_shorter() {
    assert_eq!(to_wire(b"", 10), b"");
    assert_eq!(to_wire(b"a", 10), b"a");
    assert_eq!(to_wire(b"led = 2\n", 10), b"led = 2\n");
    let text = b"value = 1\n".repeat(100);
    let wire = to_wire(&text, 10);
    assert!(wire.len() < 40, "{}", wire.len());
    assert_eq!(wire[0], 0x28, "deflate with a window of 2^10");
    assert_eq!(from_wire(&wire, 1000, &Digest::of(&text)).unwrap(), text);
}

#[test]
fn a_window_is_taken_to_the_nearest_allowed() {
    let text = b"value = 1\n".repeat(100);
    assert_eq!(to_wire(&text, 0)[0] >> 4, 1);
    assert_eq!(to_wire(&text, 15)[0] >> 4, 4);
}

#[test]
fn a_size_above_the_limit_is_refused_before_memory_is_taken() {
    let refused = from_wire(b"", MAX_FILE_SIZE + 1, &Digest::of(b"")).unwrap_err();
    assert_eq!(refused.refusal, Refusal::Format);
}

proptest! {
    #[test]
    fn wire_and_back(plain in prop::collection::vec(prop::sample::select(b"abc\n".as_slice()), 0..5000), bits in 9_u8..=12) {
        let wire = to_wire(&plain, bits);
        prop_assert!(wire.len() <= plain.len());
        prop_assert_eq!(from_wire(&wire, plain.len() as u64, &Digest::of(&plain)).unwrap(), plain);
    }

    #[test]
    fn random_bytes_travel_plain(plain in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(from_wire(&to_wire(&plain, 10), plain.len() as u64, &Digest::of(&plain)).unwrap(), plain);
    }

    #[test]
    fn a_changed_byte_never_passes(at in 0_usize..26, bit in 0_u8..8) {
        let plain = b"value = 1\n".repeat(100);
        let mut wire = to_wire(&plain, 10);
        let at = at % wire.len();
        wire[at] ^= 1 << bit;
        // The window in the header may change without any effect on these bytes.
        if let Ok(read) = from_wire(&wire, 1000, &Digest::of(&plain)) {
            prop_assert_eq!(read, plain);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(wire in prop::collection::vec(any::<u8>(), 0..200), size in 0_u64..5000) {
        let _ = from_wire(&wire, size, &Digest::of(b""));
        let with_header = [&[0x28, 0xcf][..], &wire].concat();
        let _ = from_wire(&with_header, size, &Digest::of(b""));
    }
}
