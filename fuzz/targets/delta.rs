//! Deltas: what is made leads from the one to the other, and foreign bytes lead nowhere without harm.
#![no_main]

use goldcrest_core::{Digest, delta};

libfuzzer_sys::fuzz_target!(|parts: (&[u8], &[u8], &[u8])| {
    let (old, new, foreign) = parts;
    let digest = Digest::of(new);
    let made = delta::create(old, new);
    let size = new.len() as u64;
    assert_eq!(delta::apply_to_object(old, &made, size, &digest).expect("our own delta applies"), new);
    delta::apply_to_object(old, foreign, size, &digest).ok();
    delta::apply_to_manifest(old, foreign).ok();
});
