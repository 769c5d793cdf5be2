//! A socket that shows whether it moves, and closes so that the client can read its answer to the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Longest time for which the other side's bytes are read and thrown away after our last one.
const LINGER: Duration = Duration::from_secs(5);
/// Most of these bytes: those of the largest upload that can be refused.
const MAX_DRAIN: usize = 80 << 20;

/// A socket that counts its successful reads and writes in `progress`.
///
/// It closes when the client has closed: bytes that come after the answer (the rest of a refused body, the second empty line of the
/// HTTP client that sensorclass and others copied) would make the system reset a closed connection, and throw away what it had not sent yet.
pub(super) struct Socket<S> {
    stream: S,
    progress: Arc<AtomicU64>,
    /// The server stops: nobody is waited for.
    stop: CancellationToken,
    /// Set once our side is shut down: until when, and how much more, the other side's bytes are thrown away.
    closing: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, progress: Arc<AtomicU64>, stop: CancellationToken) -> Self {
        Self { stream, progress, stop, closing: None }
    }

    fn note<T>(&self, result: Poll<T>) -> Poll<T> {
        if result.is_ready() {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing = Some((Box::pin(tokio::time::sleep(LINGER)), MAX_DRAIN));
        }
        let Some((deadline, left)) = this.closing.as_mut().filter(|_| !this.stop.is_cancelled()) else {
            return Poll::Ready(Ok(()));
        };
        let mut scratch = [0; 8 << 10];
        while *left > 0 && deadline.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            // What goes wrong here concerns bytes that nobody wants.
            if ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
                break;
            }
            *left = left.saturating_sub(buf.filled().len());
            this.progress.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}
