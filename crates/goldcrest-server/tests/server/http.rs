//! A small HTTP/1.1 client that shows the bytes as they came: header case, lengths, half-close.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response, with header names as they were on the wire.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Value of a header; the name is compared with its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status and passes the response on.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }

    /// Asserts status and error code of the management API.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        assert_eq!(response.json()["error"], code, "{}", response.text());
        response
    }
}

/// One request on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Host: test".into(), "Connection: close".into()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if !body.is_empty() || method == "POST" || method == "PUT" {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let mut bytes = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    exchange(address, &bytes).await
}

/// Writes these bytes and reads the answer; `None` when the server died before it was whole.
pub(crate) async fn exchange_if_alive(address: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(bytes).await.ok()?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.ok()?;
    let is_whole = received.windows(4).any(|window| window == b"\r\n\r\n");
    let response = is_whole.then(|| parse(&received))?;
    let length = response.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    (response.body.len() == length).then_some(response)
}

/// Writes these bytes, reads until the server closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Response {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let bytes = bytes.to_vec();
    // A server may answer before it read everything, so both go on at the same time; then its close is no error of ours.
    let sender = tokio::spawn(async move {
        let sent = writing.write_all(&bytes).await;
        drop(sent);
        writing
    });
    let mut received = Vec::new();
    if let Err(error) = reading.read_to_end(&mut received).await {
        assert!(!received.is_empty(), "nothing came: {error}");
    }
    drop(sender.await);
    parse(&received)
}

pub(crate) fn parse(received: &[u8]) -> Response {
    let split = received.windows(4).position(|window| window == b"\r\n\r\n");
    let split = split.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(received)));
    let head = String::from_utf8(received[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head, body: received[split + 4..].to_vec() }
}
