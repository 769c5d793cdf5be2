//! A connection's stream with what is read and not yet handled, and what is made and not yet written.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::server::TlsStream;

use crate::mqtt::hub::{Call, Link};
use crate::mqtt::limits::{LINGER, MAX_LINGER_BYTES, READ_CHUNK, WRITE_CHUNK, WRITE_TIMEOUT};
use crate::mqtt::wire::{self, Violation};

thread_local! {
    /// Where every connection of this thread reads into.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_CHUNK]);
}

/// What MQTT runs over.
pub(in crate::mqtt) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Asks the system to acknowledge what was read at once. Small boards write a packet in pieces and wait for that, 40 ms each
    /// time; the request holds for the next read only.
    fn acknowledge_quickly(&self) {}
}

impl Transport for TcpStream {
    fn acknowledge_quickly(&self) {
        #[cfg(target_os = "linux")]
        // Only slower without it.
        let _ = rustix::net::sockopt::set_tcp_quickack(self, true);
    }
}

impl Transport for TlsStream<TcpStream> {
    fn acknowledge_quickly(&self) {
        self.get_ref().0.acknowledge_quickly();
    }
}

/// What a connection wakes up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Something was read.
    Bytes,
    /// Everything is written.
    Written,
    /// The session has packets.
    Packets,
    /// The session wants the connection closed.
    Close(u8),
    /// The other side is gone.
    Gone,
    Alarm,
}

pub(super) struct Socket<S> {
    stream: S,
    /// Read, and not handled from `handled` on. No allocation when it is empty.
    inbox: Vec<u8>,
    handled: usize,
    /// To be written, from `written` on. No allocation when it is empty.
    pub(super) out: Vec<u8>,
    written: usize,
    /// Since when `out` has not moved.
    stuck_since: Option<Instant>,
}

impl<S: Transport> Socket<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, inbox: Vec::new(), handled: 0, out: Vec::new(), written: 0, stuck_since: None }
    }

    pub(super) fn is_writing(&self) -> bool {
        self.out.len() - self.written >= WRITE_CHUNK / 2
    }

    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.stuck_since
    }

    /// The next whole frame: its first byte and where its body is.
    pub(super) fn frame(&mut self, max: usize) -> Result<Option<(u8, Range<usize>)>, Violation> {
        let frame = wire::frame(&self.inbox[self.handled..], max)?;
        if frame.is_none() {
            if self.handled == self.inbox.len() {
                self.inbox = Vec::new();
            } else if self.handled > 0 {
                self.inbox.drain(..self.handled);
                self.inbox.shrink_to_fit();
            }
            self.handled = 0;
        }
        Ok(frame.map(|(first, begin, end)| (first, self.handled + begin..self.handled + end)))
    }

    /// The first byte that is not handled.
    pub(super) fn first_byte(&self) -> Option<u8> {
        self.inbox.get(self.handled).copied()
    }

    pub(super) fn body(&self, range: &Range<usize>) -> &[u8] {
        &self.inbox[range.clone()]
    }

    /// The frame that ends with this body is done with.
    pub(super) fn consumed(&mut self, range: &Range<usize>) {
        self.handled = range.end;
    }

    /// Waits for the next thing to do. Writes what is to be written meanwhile.
    pub(super) async fn event(&mut self, link: &Link, mut alarm: Pin<&mut Sleep>) -> Event {
        poll_fn(|cx| {
            if let Poll::Ready(call) = link.poll_call(cx) {
                return Poll::Ready(call.into());
            }
            let io = self.poll_io(cx);
            if io.is_ready() {
                return io;
            }
            alarm.as_mut().poll(cx).map(|()| Event::Alarm)
        })
        .await
    }

    /// Waits for bytes of a client that has no session yet.
    pub(super) async fn bytes(&mut self) -> Event {
        poll_fn(|cx| self.poll_io(cx)).await
    }

    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match self.poll_write(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Gone),
            Poll::Ready(Ok(())) if self.stuck_since.take().is_some() => return Poll::Ready(Event::Written),
            _ => {}
        }
        // Who does not take its answers is not asked for more.
        if self.out.len() - self.written >= 2 * WRITE_CHUNK {
            return Poll::Pending;
        }
        self.poll_read(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.stuck_since.get_or_insert_with(Instant::now);
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    self.stuck_since = Some(Instant::now());
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx) {
            flushed?;
            (self.out, self.written) = (Vec::new(), 0);
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        READ_BUFFER.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(shared);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.stream.acknowledge_quickly();
                    self.inbox.extend_from_slice(buffer.filled());
                    Poll::Ready(Event::Bytes)
                }
                Poll::Ready(_) => Poll::Ready(Event::Gone),
                Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Writes what is left and closes, so that the other side can read why: a close with unread bytes would reset the connection.
    pub(super) async fn close(mut self) {
        let rest = std::mem::take(&mut self.out);
        let farewell = async {
            self.stream.write_all(&rest[self.written..]).await?;
            self.stream.shutdown().await
        };
        if !matches!(timeout(WRITE_TIMEOUT.min(LINGER), farewell).await, Ok(Ok(()))) {
            return;
        }
        let mut left = MAX_LINGER_BYTES;
        let drain = async {
            while left > 0 && self.bytes().await == Event::Bytes {
                left = left.saturating_sub(self.inbox.len());
                self.inbox.clear();
            }
        };
        // Who goes on for longer is reset.
        let _ = timeout(LINGER, drain).await;
    }
}

impl From<Call> for Event {
    fn from(call: Call) -> Self {
        match call {
            Call::Packets => Self::Packets,
            Call::Close(code) => Self::Close(code),
        }
    }
}
