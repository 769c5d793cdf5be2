//! The server as a client of a broker that is played here, byte by byte: what it says, and what it does when the broker misbehaves.

use goldcrest_server::AttachSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{length, packet, text};
use crate::app::TestApp;

/// The next packet from the server; `None` when it hung up.
async fn next(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut size, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        size |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; size];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

/// A PUBLISH of `QoS` 1 with a packet id of 9.
fn publish(topic: &str, payload: &str, properties: &[u8]) -> Vec<u8> {
    let body = [text(topic), vec![0, 9], length(properties.len()), properties.to_vec(), payload.into()].concat();
    packet(0x32, &body)
}

#[tokio::test]
async fn it_comes_back_to_a_broker_that_misbehaves_and_minds_its_window() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://goldcrest:p%40ss@{}", listener.local_addr().unwrap());
    let app = TestApp::start_empty(|settings| settings.mqtt.attach = Some(AttachSettings::parse(&url).unwrap())).await;
    for name in ["one", "two", "three"] {
        app.device(name).await;
    }
    // It hangs up; it refuses; it answers as MQTT 3.1.1 would; it sends what is no packet.
    for answer in [&b""[..], b"\x20\x03\x00\x87\x00", b"\x20\x02\x00\x05", b"\xff\xff\xff\xff\xff\xff"] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (first, body) = next(&mut stream).await.unwrap();
        assert_eq!((first, &body[..8]), (0x10, &b"\x00\x04MQTT\x05\xc2"[..]));
        assert!(body.ends_with(&[text("goldcrest"), text("p@ss")].concat()));
        stream.write_all(answer).await.unwrap();
        if !answer.is_empty() {
            assert!(next(&mut stream).await.is_none_or(|(first, _)| first == 0xe0), "{answer:x?}");
        }
    }
    let (mut stream, _) = listener.accept().await.unwrap();
    next(&mut stream).await.unwrap();
    // CONNACK: at most two messages under way.
    stream.write_all(b"\x20\x06\x00\x00\x03\x21\x00\x02").await.unwrap();
    let (first, body) = next(&mut stream).await.unwrap();
    assert_eq!(first, 0x82);
    let filters = ["$share/goldcrest/goldcrest/v1/+/report", "$share/goldcrest/channels/+/messages/#"];
    let entries: Vec<u8> = filters.iter().flat_map(|filter| [text(filter), vec![1]].concat()).collect();
    assert_eq!(body, [&[0, 1, 0][..], &entries].concat());
    stream.write_all(&packet(0x90, &[0, 1, 0, 1, 1])).await.unwrap();
    let mut topics = Vec::new();
    for expected in [2, 1] {
        let mut ids = Vec::new();
        for _ in 0..expected {
            let (first, body) = next(&mut stream).await.unwrap();
            assert_eq!(first, 0x33, "QoS 1, retained");
            let end = 2 + usize::from(body[1]);
            topics.push(String::from_utf8(body[2..end].to_vec()).unwrap());
            ids.push([body[end], body[end + 1]]);
        }
        // A report that comes meanwhile is stored, then acknowledged, before anything else is published.
        let report = r#"{"stage":"boot","facts":{"board":"esp32"}}"#;
        stream.write_all(&publish("goldcrest/v1/1/report", report, b"")).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), (0x40, vec![0, 9]));
        assert_eq!(app.admin().see("/api/v1/devices/one").await["facts"]["board"], "esp32");
        for id in ids {
            stream.write_all(&packet(0x40, &id)).await.unwrap();
        }
    }
    assert_eq!(topics, ["goldcrest/v1/1/desired", "goldcrest/v1/2/desired", "goldcrest/v1/3/desired"]);
    // Its own messages come back to it; they, and what nobody understands, are acknowledged and change nothing.
    let own = b"\x26\x00\x09goldcrest\x00\x06server";
    for (topic, payload, properties) in [
        ("goldcrest/v1/1/report", r#"{"stage":"boot","facts":{"board":"own"}}"#, &own[..]),
        ("goldcrest/v1/1/report", "{", b""),
        ("goldcrest/v1/99/report", r#"{"stage":"boot"}"#, b""),
        ("channels/a/messages/b/ota", "[", b""),
        ("channels", "", b""),
    ] {
        stream.write_all(&publish(topic, payload, properties)).await.unwrap();
        assert_eq!(next(&mut stream).await.unwrap(), (0x40, vec![0, 9]), "{topic}");
    }
    assert_eq!(app.admin().see("/api/v1/devices/one").await["facts"]["board"], "esp32");
    // The broker ends it: the next connection goes on with the same session.
    stream.write_all(b"\xe0\x02\x8b\x00").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let (_, body) = next(&mut stream).await.unwrap();
    assert_eq!(body[7], 0xc0, "no clean start");
}
