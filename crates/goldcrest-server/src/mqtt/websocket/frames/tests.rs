//! Whatever a browser or a stranger sends, in whatever pieces: the same bytes come out, or an error.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::WebSocket;

/// Reads everything that a WebSocket gives for these bytes; the other side takes what comes back.
fn read_all(sent: Vec<u8>, piece: usize) -> std::io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        let (near, far) = duplex(1 << 20);
        let (mut far_reading, mut far_writing) = tokio::io::split(far);
        let writing = async {
            for part in sent.chunks(piece) {
                // It may have been refused by now.
                if far_writing.write_all(part).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = far_writing.shutdown().await;
        };
        let mut read = Vec::new();
        let reading = async {
            let mut socket = WebSocket::new(near);
            let result = socket.read_to_end(&mut read).await;
            drop(socket);
            result
        };
        let mut answers = Vec::new();
        let ((), result, _) = tokio::join!(writing, reading, far_reading.read_to_end(&mut answers));
        result.map(|_| read)
    })
}

fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(length @ 0..126) = u8::try_from(payload.len()) {
        bytes.push(0x80 | length);
    } else {
        bytes.push(0xfe);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..40_usize) {
        let _ = read_all(bytes, piece);
    }

    #[test]
    fn payloads_come_out_in_one_piece(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..5),
        mask: [u8; 4],
        piece in 1..500_usize,
        pings: bool,
    ) {
        let mut sent = Vec::new();
        for (number, payload) in payloads.iter().enumerate() {
            sent.extend(frame(if number == 0 { 0x02 } else { 0x00 }, payload, mask));
            if pings {
                sent.extend(frame(0x89, b"ping", mask));
            }
        }
        sent.extend(frame(0x88, &[3, 0xe8], mask));
        prop_assert_eq!(read_all(sent, piece).unwrap(), payloads.concat());
    }
}
