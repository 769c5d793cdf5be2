//! What a stranger can do to a connection, and the shape of every response on the wire.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::app::TestApp;
use crate::http::{exchange, parse};
use crate::releases::Plan;

#[tokio::test]
async fn header_names_are_in_title_case() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let nothing = device.check_in("-", "ok", &[]).await.expect(304);
    for line in nothing.head.lines().skip(1) {
        let name = line.split(':').next().unwrap();
        for word in name.split('-') {
            assert!(word.starts_with(|first: char| first.is_ascii_uppercase()), "{name}");
        }
    }
    assert_eq!(nothing.header("Goldcrest-Poll"), Some("60"));
}

#[tokio::test]
async fn every_body_has_its_length_and_none_is_chunked() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/api/v1/devices", "/nowhere", "/d/v1/checkin", "/d/v1/objects/x"] {
        let response = app.anonymous().send("GET", path, &[], b"").await;
        assert_eq!(response.header("Content-Length"), Some(response.body.len().to_string().as_str()), "{path}");
        assert_eq!(response.header("Transfer-Encoding"), None);
    }
}

#[tokio::test]
async fn a_head_above_eight_kib_is_refused() {
    let app = TestApp::start().await;
    let fits = format!("GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(7000));
    assert_eq!(exchange(app.address, fits.as_bytes()).await.status, 200);
    let oversize = format!("GET /healthz HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(exchange(app.address, oversize.as_bytes()).await.status, 431);
}

#[tokio::test]
async fn a_board_may_shut_down_its_sending_side_first() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(parse(&received).status, 200);
}

/// The HTTP client of the Gogs updater's and sensorclass's origin ends every request with a second empty line, in a packet of its own.
#[tokio::test]
async fn an_empty_line_too_many_does_not_cost_the_end_of_the_answer() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let file = vec![b'x'; 256 << 10];
    admin.publish(&Plan { files: vec![("big.py", file.clone())], ..Plan::new("1", 1) }.build()).await;
    admin.set_stable("1").await;
    let feed = json!({"adapter": "micropython-ota", "path": "ota", "package": "sensor"});
    admin.post("/api/v1/feeds", feed).await.expect(201);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    stream.write_all(b"GET /ota/1_big.py HTTP/1.0\r\nHost: t\r\n\r\n").await.unwrap();
    let mut received = vec![0; 1];
    stream.read_exact(&mut received).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(b"\r\n").await.unwrap();
    stream.read_to_end(&mut received).await.unwrap();
    let answer = parse(&received);
    assert_eq!((answer.status, answer.body.len()), (200, file.len()));
}

#[tokio::test]
async fn a_connection_is_kept_alive_for_the_next_request() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"}") {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0);
        }
        assert_eq!(parse(&received).status, 200);
    }
}

#[tokio::test]
async fn a_body_above_its_limit_is_413_before_it_is_read() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let announce = |method: &str, path: &str, token: &str, length: u64| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let admin = app.admin();
    for (method, path, token, length) in [
        ("POST", "/d/v1/report", &device.token, 8193),
        ("POST", "/api/v1/devices", &admin.token, (256 << 10) + 1),
        ("PUT", "/api/v1/keyring", &admin.token, (64 << 10) + 1),
        ("POST", "/api/v1/releases", &admin.token, (80 << 20) + 1),
    ] {
        // Nothing of the body is sent: the announced length is enough.
        let response = exchange(app.address, announce(method, path, token, length).as_bytes()).await;
        assert_eq!(response.status, 413, "{path}: {}", response.text());
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_its_limit() {
    let app = TestApp::start().await;
    let admin = app.admin();
    let device = app.device("one").await;
    for (path, token) in [("/api/v1/devices", &admin.token), ("/d/v1/report", &device.token)] {
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for _ in 0..300 {
            bytes.extend_from_slice(b"400\r\n");
            bytes.resize(bytes.len() + 0x400, b' ');
            bytes.extend_from_slice(b"\r\n");
        }
        // No closing chunk: it would go on for ever.
        assert_eq!(exchange(app.address, &bytes).await.status, 413, "{path}");
    }
}

#[tokio::test]
async fn an_upload_cut_in_the_middle_leaves_nothing() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /api/v1/releases HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\nContent-Length: 100000\r\n\r\n",
        app.admin().token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![0; 50_000]).await.unwrap();
    // The server has begun to store it.
    while std::fs::read_dir(app.data().join("tmp")).unwrap().count() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while std::fs::read_dir(app.data().join("tmp")).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.admin().see("/api/v1/releases").await["releases"], json!([]));
}

#[tokio::test]
async fn garbage_is_answered_or_dropped_and_the_server_lives() {
    let app = TestApp::start().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"POST /d/v1/report HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ] {
        assert_eq!(exchange(app.address, garbage).await.status, 400);
    }
    app.anonymous().send("GET", "/healthz", &[], b"").await.expect(200);
}

#[tokio::test]
async fn a_client_that_reads_only_after_sending_still_sees_why_it_was_refused() {
    let app = TestApp::start().await;
    let body = vec![0; 8 << 20];
    let head = format!(
        "POST /api/v1/releases HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer gca_old\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(parse(&received).status, 401);
}
