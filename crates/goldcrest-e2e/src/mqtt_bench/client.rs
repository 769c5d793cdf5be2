//! An MQTT 3.1.1 client that costs next to nothing: thousands of them have to live beside what is measured.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that was accepted.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What was read and not taken yet.
    held: Vec<u8>,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Client {
    /// Connects with a clean session and without keep-alive.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(address: SocketAddr, id: &str, user: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, held: Vec::new() };
        let mut body = b"\x00\x04MQTT\x04\xc2\x00\x00".to_vec();
        for field in [id, user, password] {
            body.extend(text(field)?);
        }
        client.stream.write_all(&packet(0x10, &body)).await?;
        let (kind, answer) = client.packet().await?;
        ensure!(kind == 0x20 && answer.get(1) == Some(&0), "the server refuses {id}: {kind:#x} {answer:?}");
        Ok(client)
    }

    /// Subscribes with `QoS` 0.
    ///
    /// # Errors
    /// When the server does not grant it.
    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let body = [&[0, 1][..], &text(filter)?, &[0]].concat();
        self.stream.write_all(&packet(0x82, &body)).await?;
        loop {
            // Retained messages may come first.
            let (kind, answer) = self.packet().await?;
            if kind == 0x90 {
                ensure!(answer.last() == Some(&0), "{filter} is not granted");
                return Ok(());
            }
        }
    }

    /// Publishes with `QoS` 0.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], is_retained: bool) -> Result<()> {
        let body = [&text(topic)?[..], payload].concat();
        Ok(self.stream.write_all(&packet(0x30 | u8::from(is_retained), &body)).await?)
    }

    /// The next message.
    ///
    /// # Errors
    /// When the connection ends, or something else comes.
    pub async fn message(&mut self) -> Result<Message> {
        let (kind, body) = self.packet().await?;
        ensure!(kind & 0xf6 == 0x30, "packet {kind:#x} in place of a message");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec())?;
        Ok(Message { topic, payload: body[2 + length..].to_vec() })
    }

    async fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((start, length)) = header(&self.held)
                && self.held.len() >= start + length
            {
                let kind = self.held[0];
                let body = self.held[start..start + length].to_vec();
                self.held.drain(..start + length);
                return Ok((kind, body));
            }
            let read = self.stream.read_buf(&mut self.held).await?;
            ensure!(read > 0, "the server has closed the connection");
        }
    }
}

/// Where the body begins and how long it is.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((at + 2, length));
        }
    }
    None
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Result<Vec<u8>> {
    let mut bytes = u16::try_from(text.len())?.to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}
