//! How a session wakes the connection that serves it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;

/// A live connection as its session sees it.
#[derive(Debug)]
pub(in crate::mqtt) struct Link {
    /// When it was made.
    pub(in crate::mqtt) since: Instant,
    waker: AtomicWaker,
    has_news: AtomicBool,
    /// Reason code with which it shall close; 0: it shall not.
    kicked: AtomicU8,
}

/// What a connection is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum Call {
    /// Packets wait in the session.
    Packets,
    /// Close with this reason.
    Close(u8),
}

impl Default for Link {
    fn default() -> Self {
        let (waker, has_news) = (AtomicWaker::new(), AtomicBool::new(false));
        Self { since: Instant::now(), waker, has_news, kicked: AtomicU8::new(0) }
    }
}

impl Link {
    pub(in crate::mqtt) fn wake(&self) {
        if !self.has_news.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Asks the connection to close. The first reason stays.
    pub(in crate::mqtt) fn kick(&self, code: u8) {
        let _ = self.kicked.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    pub(in crate::mqtt) fn poll_call(&self, cx: &mut Context<'_>) -> Poll<Call> {
        self.waker.register(cx.waker());
        match self.kicked.load(Ordering::Acquire) {
            0 if self.has_news.swap(false, Ordering::AcqRel) => Poll::Ready(Call::Packets),
            0 => Poll::Pending,
            code => Poll::Ready(Call::Close(code)),
        }
    }
}
