//! Whatever bytes come, the parser answers; what it accepts, it can be trusted with.

use proptest::prelude::*;

use super::{Packet, Version, connect, frame, parse};

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = frame(&bytes, 64);
        let _ = connect::parse(0x10, &bytes);
        for version in [Version::V3, Version::V5] {
            for kind in 0..16_u8 {
                for flags in [0, 2, 4, 0x0b, 0x0f] {
                    let _ = parse(version, kind << 4 | flags, &bytes);
                }
            }
        }
    }

    #[test]
    fn a_connect_with_any_bytes_changed_does_not_panic(at in 0..60_usize, byte: u8, cut in 0..60_usize) {
        let mut bytes = b"\x00\x04MQTT\x05\xce\x00\x3c\x0b\x11\x00\x00\x00\x05\x21\x00\x02\x22\x00\x03\x00\x02id\x05\x18\x00\x00\x00\x01\x00\x01w\x00\x02hi\x00\x01u\x00\x01p".to_vec();
        assert!(connect::parse(0x10, &bytes).is_ok());
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = connect::parse(0x10, &bytes);
        bytes.truncate(cut);
        let _ = connect::parse(0x10, &bytes);
    }

    #[test]
    fn a_frame_is_cut_where_its_length_says(kind in 1..16_u8, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![kind << 4];
        if body.len() < 128 {
            bytes.push(u8::try_from(body.len()).unwrap());
        } else {
            let [low, high] = u16::try_from(body.len() << 1).unwrap().to_le_bytes();
            bytes.extend([low >> 1 | 0x80, high]);
        }
        let begin = bytes.len();
        bytes.extend(&body);
        prop_assert_eq!(frame(&bytes[..bytes.len().min(begin + body.len().saturating_sub(1))], 1000).unwrap().is_none(), !body.is_empty());
        bytes.extend(b"more");
        prop_assert_eq!(frame(&bytes, 1000).unwrap(), Some((kind << 4, begin, begin + body.len())));
        prop_assert!(body.len() < 100 || frame(&bytes, 100).is_err());
    }
}

#[test]
fn a_length_of_five_bytes_is_refused() {
    assert!(frame(&[0x30, 0xff, 0xff, 0xff, 0xff, 1], usize::MAX).is_err());
    assert_eq!(frame(&[0x30, 0xff, 0xff, 0xff], 1 << 30).unwrap(), None);
    assert!(frame(&[0x30, 0xff, 0xff, 0xff, 0x7f], 1 << 20).is_err());
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    assert!(parse(Version::V3, 0x30, b"\x00\x02\xc3\x28x").is_err());
    assert!(parse(Version::V5, 0x30, b"\x00\x01\xff\x00x").is_err());
    assert!(parse(Version::V3, 0x82, b"\x00\x01\x00\x02\xc3\x28\x00").is_err());
}

#[test]
fn reserved_bits_and_missing_ids_are_refused() {
    for (first, body) in [
        (0x36, &b"\x00\x01t\x00\x01"[..]), // QoS 3
        (0x38, b"\x00\x01tx"),             // duplicate of QoS 0
        (0x32, b"\x00\x01t\x00\x00x"),     // packet id 0
        (0x80, b"\x00\x01\x00\x01t\x00"),  // SUBSCRIBE without its flag
        (0x82, b"\x00\x01\x00\x01t\x04"),  // QoS with a reserved bit
        (0x82, b"\x00\x01"),               // no filter
        (0xc0, b"\x00"),                   // PINGREQ with a body
        (0x10, b""),                       // a second CONNECT
        (0x20, b"\x00\x00"),               // what only servers say
    ] {
        assert!(parse(Version::V3, first, body).is_err(), "{first:#x} {body:?}");
    }
    assert!(matches!(parse(Version::V3, 0xc0, b""), Ok(Packet::Ping)));
}
