//! What the endpoint counts, and how `/metrics` shows it (Prometheus text; names end in what they count).

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use super::hub::Size;
use super::limits::MAX_HELD_BYTES;

/// Why a message did not reach a client, or was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drop {
    QueueFull,
    TooLarge,
    Expired,
    Forbidden,
    RetainedFull,
    BadReport,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Limit,
    Timeout,
    Protocol,
    Credentials,
    ClientId,
    Forbidden,
    Tls,
    Server,
}

/// Why a connection that was let in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Goodbye,
    Lost,
    KeepAlive,
    SlowReader,
    TakenOver,
    Protocol,
    TooLarge,
    Expelled,
    Stopping,
}

const DROPS: [&str; 6] = ["queue-full", "too-large", "expired", "forbidden", "retained-full", "bad-report"];
const REFUSALS: [&str; 8] = ["limit", "timeout", "protocol", "credentials", "client-id", "forbidden", "tls", "server"];
const ENDS: [&str; 9] =
    ["goodbye", "lost", "keep-alive", "slow-reader", "taken-over", "protocol", "too-large", "expelled", "stopping"];

/// Bytes that something holds while it lives.
#[derive(Debug)]
pub(super) struct Held {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl std::ops::Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    held: Arc<AtomicUsize>,
    connections: AtomicI64,
    accepted: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; DROPS.len()],
    refused: [AtomicU64; REFUSALS.len()],
    ended: [AtomicU64; ENDS.len()],
}

impl Counters {
    /// A client was let in.
    pub(super) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was let in is gone.
    pub(super) fn closed(&self, why: End) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Refusal) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, why: Drop, messages: u64) {
        self.dropped[why as usize].fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts bytes for as long as the value lives.
    pub(super) fn hold(&self, bytes: usize) -> Held {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Held { all: Arc::clone(&self.held), bytes }
    }

    /// Whether clients' messages may take more memory.
    pub(super) fn has_room(&self) -> bool {
        self.held.load(Ordering::Relaxed) < MAX_HELD_BYTES
    }

    /// The text of `/metrics`.
    pub(super) fn text(&self, size: Size) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, i64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP goldcrest_mqtt_{name} {help}\n# TYPE goldcrest_mqtt_{name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "goldcrest_mqtt_{name}{labels} {value}");
            }
        };
        let one = |value: i64| vec![(String::new(), value)];
        let count = |value: usize| one(i64::try_from(value).unwrap_or(i64::MAX));
        let total = |counter: &AtomicU64| i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let each = |names: &[&str], counters: &[AtomicU64]| -> Vec<(String, i64)> {
            let pairs = names.iter().zip(counters);
            pairs.map(|(name, counter)| (format!("{{reason=\"{name}\"}}"), total(counter))).collect()
        };
        family("connections", "gauge", "Clients connected now.", &one(self.connections.load(Ordering::Relaxed)));
        family("sessions", "gauge", "Sessions kept, of clients connected or away.", &count(size.sessions));
        family("queued_messages", "gauge", "Messages that wait for a client.", &count(size.queued));
        family(
            "held_bytes",
            "gauge",
            "Bytes of messages, wherever they wait.",
            &count(self.held.load(Ordering::Relaxed)),
        );
        family("retained_messages", "gauge", "Messages retained.", &count(size.retained));
        family("accepted_total", "counter", "Clients let in.", &one(total(&self.accepted)));
        family("refused_total", "counter", "Connections not let in.", &each(&REFUSALS, &self.refused));
        family("ended_total", "counter", "Ends of connections that were let in.", &each(&ENDS, &self.ended));
        family("received_total", "counter", "Messages from clients.", &one(total(&self.received)));
        family("sent_total", "counter", "Messages to clients.", &one(total(&self.sent)));
        family("dropped_total", "counter", "Messages dropped.", &each(&DROPS, &self.dropped));
        text
    }
}
