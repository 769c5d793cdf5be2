//! An MQTT client without a library: packets are spelled as bytes, so that it can also say what no library would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to the endpoint.
pub(crate) struct Peer {
    pub(crate) stream: Box<dyn Stream>,
    version: u8,
}

/// What to say first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello<'a> {
    pub(crate) version: u8,
    pub(crate) id: &'a str,
    pub(crate) is_clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    /// Topic, payload, properties.
    pub(crate) will: Option<(&'a str, &'a str, &'a [u8])>,
    pub(crate) properties: &'a [u8],
}

/// A client of this name, without a token.
pub(crate) fn hello(version: u8, id: &str) -> Hello<'_> {
    Hello { version, id, is_clean: true, keep_alive_s: 0, user: None, password: None, will: None, properties: &[] }
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) is_duplicate: bool,
    pub(crate) id: u16,
    pub(crate) properties: Vec<u8>,
}

impl Got {
    /// Topic, payload, `QoS` and whether it was retained, in one line.
    pub(crate) fn line(&self) -> String {
        let retained = if self.retain { " retained" } else { "" };
        format!("{} {} q{}{retained}", self.topic, self.payload, self.qos)
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        bytes.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return bytes;
        }
    }
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first][..], &length(body.len()), body].concat()
}

impl Hello<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.is_clean) << 1;
        let mut body = [&b"\x00\x04MQTT"[..], &[self.version, 0], &self.keep_alive_s.to_be_bytes()].concat();
        let v5 = self.version == 5;
        if v5 {
            body.extend(length(self.properties.len()));
            body.extend_from_slice(self.properties);
        }
        body.extend(text(self.id));
        if let Some((topic, payload, properties)) = self.will {
            flags |= 4;
            if v5 {
                body.extend(length(properties.len()));
                body.extend_from_slice(properties);
            }
            body.extend(text(topic));
            body.extend(text(payload));
        }
        if let Some(user) = self.user {
            flags |= 0x80;
            body.extend(text(user));
        }
        if let Some(password) = self.password {
            flags |= 0x40;
            body.extend(text(password));
        }
        body[7] = flags;
        packet(0x10, &body)
    }
}

impl Peer {
    /// Connects without a word.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), version: 4 }
    }

    /// Connects and is let in. The CONNACK comes with it.
    pub(crate) async fn join(address: SocketAddr, hello: Hello<'_>) -> (Self, Vec<u8>) {
        let mut peer = Self::open(address).await;
        let welcome = peer.introduce(hello).await;
        assert_eq!(welcome[1], 0, "CONNACK {welcome:x?}");
        (peer, welcome)
    }

    /// Says hello; the body of what is answered.
    pub(crate) async fn introduce(&mut self, hello: Hello<'_>) -> Vec<u8> {
        self.version = hello.version;
        self.send(&hello.bytes()).await;
        let (first, body) = self.receive().await.expect("a CONNACK, not the end");
        assert_eq!(first, 0x20, "{body:x?}");
        body
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server takes it").unwrap();
    }

    /// The next packet: first byte and body. `None` at the end.
    pub(crate) async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, self.receive_whenever()).await.expect("a packet or the end in time")
    }

    async fn receive_whenever(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }

    /// The end of the connection; in MQTT 5 the reason that was given before.
    pub(crate) async fn ended(&mut self) -> Option<u8> {
        let mut reason = None;
        while let Some((first, body)) = self.receive().await {
            if first == 0xe0 {
                reason = body.first().copied();
            }
        }
        reason
    }

    /// The next message. Other packets on the way are an error; `QoS` 1 and 2 are acknowledged.
    pub(crate) async fn message(&mut self) -> Got {
        let got = self.message_without_answer().await;
        let [high, low] = got.id.to_be_bytes();
        match got.qos {
            1 => self.send(&[0x40, 2, high, low]).await,
            2 => {
                self.send(&[0x50, 2, high, low]).await;
                let (first, body) = self.receive().await.unwrap();
                assert_eq!((first, &body[..2]), (0x62, &[high, low][..]));
                self.send(&[0x70, 2, high, low]).await;
            }
            _ => {}
        }
        got
    }

    pub(crate) async fn message_without_answer(&mut self) -> Got {
        let (first, body) = self.receive().await.expect("a message, not the end");
        assert_eq!(first >> 4, 3, "not a PUBLISH: {first:#x} {body:x?}");
        self.read_message(first, &body)
    }

    fn read_message(&self, first: u8, body: &[u8]) -> Got {
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, mut rest) = (&body[2..topic_end], &body[topic_end..]);
        let (qos, mut id) = ((first >> 1) & 3, 0);
        if qos > 0 {
            id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        let mut properties = Vec::new();
        if self.version == 5 {
            assert!(rest[0] < 0x80, "short properties");
            let end = 1 + usize::from(rest[0]);
            properties = rest[1..end].to_vec();
            rest = &rest[end..];
        }
        Got {
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            payload: String::from_utf8_lossy(rest).into_owned(),
            qos,
            retain: first & 1 != 0,
            is_duplicate: first & 8 != 0,
            id,
            properties,
        }
    }

    /// Asserts that nothing has come: a ping is answered first.
    pub(crate) async fn nothing(&mut self) {
        self.send(&[0xc0, 0]).await;
        let (first, body) = self.receive().await.expect("an answer to a ping, not the end");
        assert_eq!(first, 0xd0, "came: {body:x?} {}", String::from_utf8_lossy(&body));
    }

    /// Subscribes; the codes.
    pub(crate) async fn subscribe(&mut self, filter: &str, options: u8) -> u8 {
        self.subscribe_with(filter, options, &[]).await
    }

    pub(crate) async fn subscribe_with(&mut self, filter: &str, options: u8, properties: &[u8]) -> u8 {
        let mut body = vec![0, 7];
        if self.version == 5 {
            body.extend(length(properties.len()));
            body.extend_from_slice(properties);
        }
        body.extend(text(filter));
        body.push(options);
        self.send(&packet(0x82, &body)).await;
        let (first, body) = self.receive().await.expect("a SUBACK, not the end");
        assert_eq!((first, &body[..2]), (0x90, &[0, 7][..]), "{body:x?}");
        *body.last().unwrap()
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) -> Vec<u8> {
        let mut body = vec![0, 8];
        if self.version == 5 {
            body.push(0);
        }
        body.extend(text(filter));
        self.send(&packet(0xa2, &body)).await;
        let (first, body) = self.receive().await.unwrap();
        assert_eq!(first, 0xb0);
        body
    }

    /// Publishes; for `QoS` 1 and 2 the reason code of the acknowledgement (0 in MQTT 3.1.1).
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: u8) -> u8 {
        self.publish_with(topic, payload.as_bytes(), qos << 1, &[]).await
    }

    pub(crate) async fn retain(&mut self, topic: &str, payload: &str, qos: u8) -> u8 {
        self.publish_with(topic, payload.as_bytes(), qos << 1 | 1, &[]).await
    }

    pub(crate) async fn publish_with(&mut self, topic: &str, payload: &[u8], flags: u8, properties: &[u8]) -> u8 {
        self.send(&self.publish_bytes(topic, payload, flags, 9, properties)).await;
        let qos = flags >> 1;
        if qos == 0 {
            return 0;
        }
        let (first, body) = self.receive().await.expect("an acknowledgement, not the end");
        assert_eq!((first, &body[..2]), (if qos == 1 { 0x40 } else { 0x50 }, &[0, 9][..]), "{body:x?}");
        let code = body.get(2).copied().unwrap_or(0);
        if qos == 2 && code < 0x80 {
            self.send(&[0x62, 2, 0, 9]).await;
            let (first, body) = self.receive().await.unwrap();
            assert_eq!((first, &body[..2]), (0x70, &[0, 9][..]));
        }
        code
    }

    pub(crate) fn publish_bytes(&self, topic: &str, payload: &[u8], flags: u8, id: u16, properties: &[u8]) -> Vec<u8> {
        let mut body = text(topic);
        if flags & 6 != 0 {
            body.extend(id.to_be_bytes());
        }
        if self.version == 5 {
            body.extend(length(properties.len()));
            body.extend_from_slice(properties);
        }
        body.extend_from_slice(payload);
        packet(0x30 | flags, &body)
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        self.send(&[0xe0, 0]).await;
        self.ended().await;
    }
}
