//! WebSocket frames (RFC 6455) as a plain stream of bytes. MQTT packets may span frames, so their borders mean nothing here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::mqtt::connection::Transport;

/// Most bytes of one frame from the server.
const MAX_FRAME: usize = 16 << 10;
/// Most bytes of a control frame.
const MAX_CONTROL: usize = 125;

const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;

/// A WebSocket of the server over an upgraded connection.
pub(super) struct WebSocket<S> {
    stream: S,
    /// Header of the frame that is being read.
    header: [u8; 14],
    header_length: usize,
    /// Bytes of its payload that have not come.
    left: u64,
    /// Bytes of it that have: where in the mask they are.
    come: usize,
    /// Payload of a control frame.
    control: Vec<u8>,
    /// Frames to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
    is_closed: bool,
}

impl<S> WebSocket<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            header: [0; 14],
            header_length: 0,
            left: 0,
            come: 0,
            control: Vec::new(),
            out: Vec::new(),
            written: 0,
            is_closed: false,
        }
    }

    fn kind(&self) -> u8 {
        self.header[0] & 0x0f
    }

    /// Bytes that a header has, as far as it has come.
    fn wanted(&self) -> usize {
        match (self.header_length, self.header[1] & 0x7f) {
            (0 | 1, _) => 2,
            (_, 126) => 8,
            (_, 127) => 14,
            _ => 6,
        }
    }

    /// The first two bytes have come: is it a frame that a client may send?
    fn check(&self) -> io::Result<()> {
        let is_known = matches!(self.kind(), CONTINUATION | BINARY | CLOSE | PING | PONG);
        let is_masked = self.header[1] & 0x80 != 0;
        let is_whole = self.header[0] & FINAL != 0 && usize::from(self.header[1] & 0x7f) <= MAX_CONTROL;
        let is_control = self.kind() & 8 != 0;
        if !is_known || !is_masked || self.header[0] & 0x70 != 0 || (is_control && !is_whole) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// The header is whole: how long is the payload?
    fn begin(&mut self) {
        let extended = &self.header[2..10];
        self.left = match self.header[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([extended[0], extended[1]])),
            127 => extended.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            length => u64::from(length),
        };
        self.come = 0;
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        let mask_at = self.header_length - 4;
        for byte in bytes {
            *byte ^= self.header[mask_at + self.come % 4];
            self.come += 1;
        }
    }

    /// A control frame is whole: answers it.
    fn answer(&mut self) {
        let payload = std::mem::take(&mut self.control);
        match self.kind() {
            // One answer is enough when they pile up (RFC 6455, 5.5.3).
            PING if self.out.is_empty() => frame(&mut self.out, PONG, &payload),
            CLOSE => {
                self.is_closed = true;
                frame(&mut self.out, CLOSE, payload.get(..2).unwrap_or_default());
            }
            _ => {}
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(FINAL | kind);
    // Frames of the server are at most MAX_FRAME long.
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => out.push(length),
        _ => {
            out.push(126);
            out.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        (self.out, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // Answers to pings go out while nothing else does.
            if let Poll::Ready(Err(error)) = this.poll_out(cx) {
                return Poll::Ready(Err(error));
            }
            if this.is_closed {
                return Poll::Ready(Ok(()));
            }
            let wanted = this.wanted();
            if this.header_length < wanted {
                let mut part = ReadBuf::new(&mut this.header[this.header_length..wanted]);
                ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
                let come = part.filled().len();
                if come == 0 {
                    return Poll::Ready(Ok(()));
                }
                this.header_length += come;
                if this.header_length >= 2 {
                    this.check()?;
                }
                if this.header_length > 2 && this.header_length == this.wanted() {
                    this.begin();
                }
                continue;
            }
            if this.left == 0 {
                if this.kind() & 8 != 0 {
                    this.answer();
                }
                this.header_length = 0;
                continue;
            }
            let most = usize::try_from(this.left).unwrap_or(usize::MAX);
            let is_control = this.kind() & 8 != 0;
            let mut scratch = [0; MAX_CONTROL];
            let room = if is_control {
                &mut scratch[..most.min(MAX_CONTROL)]
            } else {
                buf.initialize_unfilled_to(most.min(buf.remaining()))
            };
            let mut part = ReadBuf::new(room);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
            let come = part.filled().len();
            if come == 0 {
                return Poll::Ready(Ok(()));
            }
            this.left -= come as u64;
            this.unmask(part.filled_mut());
            if is_control {
                this.control.extend_from_slice(part.filled());
            } else {
                buf.advance(come);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        let taken = bytes.len().min(MAX_FRAME);
        frame(&mut this.out, BINARY, &bytes[..taken]);
        if let Poll::Ready(Err(error)) = this.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_closed {
            this.is_closed = true;
            frame(&mut this.out, CLOSE, &1000_u16.to_be_bytes());
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {}

#[cfg(test)]
mod tests;
