//! The same over TLS and WebSocket.

use std::sync::Arc;

use goldcrest_server::TlsSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::client::{Peer, hello, packet};
use crate::app::TestApp;

#[tokio::test]
async fn tls_1_2_and_1_3_carry_mqtt() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let app = TestApp::start_empty(|settings| {
        settings.mqtt.tls = Some(TlsSettings { listen: "127.0.0.1:0".parse().unwrap(), certificate, key });
    })
    .await;
    let address = app.mqtt_tls.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let mut peer = Peer::over(stream);
        assert_eq!(peer.introduce(hello(4, "tls")).await, [0, 0]);
        peer.subscribe("t", 1).await;
        peer.send(&peer.publish_bytes("t", "x".repeat(100_000).as_bytes(), 0, 0, &[])).await;
        assert_eq!(peer.message().await.payload.len(), 100_000);
        peer.nothing().await;
    }
    // Plain MQTT on the TLS address.
    let mut plain = Peer::open(address).await;
    plain.send(&hello(4, "plain").bytes()).await;
    let _ = plain.ended().await;
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "").unwrap();
    let mut settings = goldcrest_server::Settings::new(folder.path().join("data"), "127.0.0.1:0".parse().unwrap());
    let listen = "127.0.0.1:0".parse().unwrap();
    settings.mqtt.tls = Some(TlsSettings { listen, certificate: file.clone(), key: file });
    let error = goldcrest_server::Server::bind(settings).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with("no certificate in ") && text.ends_with("empty.pem: it must be PEM"), "{text}");
}

/// Opens a WebSocket; the head of the answer and the stream.
async fn upgrade(app: &TestApp, protocol: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

/// A frame as a client sends it, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

async fn read_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let length = match stream.read_u8().await.unwrap() {
        126 => stream.read_u16().await.unwrap(),
        short => u16::from(short),
    };
    let mut payload = vec![0; usize::from(length)];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

#[tokio::test]
async fn websocket_carries_mqtt_on_the_http_address() {
    let app = TestApp::start().await;
    let (head, mut socket) = upgrade(&app, "mqttv3.1, mqtt").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "the sample of RFC 6455\n{head}");
    assert!(head.contains("Sec-Websocket-Protocol: mqtt\r\n"), "{head}");
    // A packet in two frames, then two packets in one, with a ping in between.
    let hello = hello(4, "web").bytes();
    socket.write_all(&frame(0x02, &hello[..5])).await.unwrap();
    socket.write_all(&frame(0x89, b"are you there")).await.unwrap();
    socket.write_all(&frame(0x80, &hello[5..])).await.unwrap();
    assert_eq!(read_frame(&mut socket).await, (0x8a, b"are you there".to_vec()));
    assert_eq!(read_frame(&mut socket).await, (0x82, vec![0x20, 2, 0, 0]));
    let subscribe = packet(0x82, b"\x00\x01\x00\x01t\x00");
    let publish = packet(0x30, &[&b"\x00\x01t"[..], &vec![b'x'; 40_000]].concat());
    socket.write_all(&frame(0x82, &[subscribe, publish].concat())).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < 5 + 4 + 3 + 40_000 {
        let (first, payload) = read_frame(&mut socket).await;
        assert_eq!(first, 0x82);
        answer.extend(payload);
    }
    assert_eq!(&answer[..5], [0x90, 3, 0, 1, 0]);
    socket.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
    assert_eq!(read_frame(&mut socket).await, (0x88, vec![3, 0xe8]));
    assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_websocket_for_mqtt_is_refused() {
    let app = TestApp::start().await;
    let plain = app.anonymous().send("GET", "/mqtt", &[], b"").await;
    plain.expect_error(422, "invalid");
    let (head, _) = upgrade(&app, "chat").await;
    assert!(head.starts_with("HTTP/1.1 422 "), "{head}");
    // Frames that no client may send: unmasked, text, with reserved bits, a ping that is too long.
    for bytes in [&b"\x82\x01x"[..], &frame(0x81, b"x"), &frame(0xc2, b"x"), &frame(0x89, &[0; 126])] {
        let (head, mut socket) = upgrade(&app, "mqtt").await;
        assert!(head.starts_with("HTTP/1.1 101 "));
        socket.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(!rest.contains(&0x20), "{rest:x?}");
    }
}
