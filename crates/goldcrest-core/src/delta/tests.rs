//! Tests of `delta`; the cases that the board shares are in `vectors/delta/`.

use proptest::prelude::*;

use super::*;

fn round_trip(base: &[u8], target: &[u8]) -> usize {
    let delta = create(base, target);
    let made = apply_to_object(base, &delta, target.len() as u64, &Digest::of(target)).unwrap();
    assert_eq!(made, target);
    delta.len()
}

/// Bytes without any pattern.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn what_is_the_same_costs_next_to_nothing() {
    let base = noise(60_000, 1);
    let mut changed = base.clone();
    changed[30_000] ^= 1;
    assert!(round_trip(&base, &base) <= 8);
    assert!(round_trip(&base, &changed) <= 20);
    let moved = [&base[40_000..], b"between", &base[..40_000]].concat();
    assert!(round_trip(&base, &moved) <= 30);
}

#[test]
fn numbers_that_all_moved_by_one_are_added_and_not_inserted() {
    let base = noise(4_000, 2);
    let mut moved = base.clone();
    moved.iter_mut().step_by(10).for_each(|byte| *byte = byte.wrapping_add(1));
    assert!(round_trip(&base, &moved) < 100, "{}", round_trip(&base, &moved));
}

#[test]
fn digests_and_signatures_travel_as_bytes() {
    let digest = Digest::of(b"any").to_string();
    assert!(round_trip(b"", digest.as_bytes()) < 48);
    let signature = BASE64.encode(&noise(384, 3));
    assert!(round_trip(b"", format!("sig {signature}\n").as_bytes()) < 420);
    // With padding, and one that no encoder of ours would write.
    let padded = BASE64.encode(&noise(256, 4));
    assert!(round_trip(b"", padded.as_bytes()) < 290);
    round_trip(b"", padded.replace("==", "=").as_bytes());
    round_trip(b"", [b'='; 200].as_slice());
    // Two in a row: each has its padding.
    assert!(round_trip(b"", [padded.clone(), padded].concat().as_bytes()) < 310);
    // Found by fuzzing: what a decoder takes, but no encoder writes.
    let (letters, more) = (["Q".repeat(31), "Q".repeat(19)], "Q".repeat(64));
    round_trip(b"", format!("{}={}S{more}", letters[0], letters[1]).as_bytes());
}

#[test]
fn empty_things_have_deltas_too() {
    round_trip(b"", b"");
    round_trip(b"base", b"");
    round_trip(b"", b"a");
}

#[test]
fn what_would_be_slow_is_not() {
    // One long run: every place of the base is like every other.
    let zeros = vec![0; 64 << 10];
    assert!(round_trip(&zeros, &zeros[1..]) < 100);
    let base = noise(64 << 10, 5);
    round_trip(&base, &noise(64 << 10, 6));
}

#[test]
fn a_delta_pays_from_a_third_and_64_bytes_on() {
    assert!(pays(700, 1000));
    assert!(!pays(701, 1000));
    assert!(pays(20, 84));
    assert!(!pays(20, 83));
    assert!(!pays(0, 63));
}

#[test]
fn a_manifest_delta_is_bounded() {
    // The same KiB again and again: 1,024 times the start of the base, then once more.
    let base = [b'a'; 1024];
    let (first, again) = ([0x81, 0x20, 0x00], [0x81, 0x20, 0xff, 0x0f]);
    let times = |count: usize| encode::deflate(&[&first[..], &again.repeat(count - 1)].concat());
    assert_eq!(apply_to_manifest(&base, &times(1024)).unwrap(), vec![b'a'; MAX_MANIFEST]);
    assert_eq!(apply_to_manifest(&base, &times(1025)).unwrap_err().refusal, Refusal::Endless);
}

#[test]
fn zigzag_numbers_are_read_as_they_are_written() {
    assert_eq!([0, 1, 2, 3, 4].map(signed), [0, -1, 1, -2, 2]);
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab0f=\n".as_slice()), 0..600)
}

proptest! {
    #[test]
    fn any_two_files(base in text(), target in text()) {
        round_trip(&base, &target);
    }

    #[test]
    fn edited_files(base in prop::collection::vec(any::<u8>(), 0..2000), edits in prop::collection::vec((any::<u16>(), 0_usize..40, text()), 0..6)) {
        let mut target = base.clone();
        for (at, removed, put) in edits {
            let start = usize::from(at) % (target.len() + 1);
            let end = (start + removed).min(target.len());
            target.splice(start..end, put.into_iter().take(50));
        }
        round_trip(&base, &target);
    }

    #[test]
    fn a_cut_delta_is_refused(base in text(), target in text(), cut in 1_usize..40) {
        let delta = create(&base, &target);
        let cut = &delta[..delta.len().saturating_sub(cut)];
        prop_assert!(apply_to_object(&base, cut, target.len() as u64, &Digest::of(&target)).is_err());
    }

    #[test]
    fn any_bytes_are_applied_or_refused(base in text(), delta in prop::collection::vec(any::<u8>(), 0..200), size in 0_u64..5000) {
        let _ = apply_to_object(&base, &delta, size, &Digest::of(b""));
        // As ops in a stored block.
        let length = u16::try_from(delta.len()).unwrap();
        let stored = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &delta].concat();
        let _ = apply_to_object(&base, &stored, size, &Digest::of(b""));
        let _ = apply_to_manifest(&base, &stored);
    }
}
