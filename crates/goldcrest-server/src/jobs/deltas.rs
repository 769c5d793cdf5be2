//! Makes deltas to a release from those that boards run, before the boards are told of it.
//!
//! One way at a time, in the order they are asked for, on a thread of its own. A way that is there is not made again, so every order
//! may come twice. Whoever asks for an object before its delta is made gets the whole object.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use goldcrest_core::delta;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::store::DeltaRelease;

mod way;

/// Releases that deltas are made from when one is published or a channel moves: those that most boards run.
const MAX_BASES: i64 = 8;
/// Ways that a package keeps; older ones go.
const MAX_WAYS: i64 = 64;
/// Releases that are looked at when the server starts.
const MAX_TARGETS: i64 = 256;
/// Orders that wait. More are dropped: whole objects are always there.
const MAX_ORDERS: usize = 256;
/// How long a channel or rollout waits for deltas before its boards are told.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(10);

/// The orders of the job.
#[derive(Debug)]
pub(crate) struct Deltas {
    orders: mpsc::Sender<Order>,
    received: Mutex<Option<mpsc::Receiver<Order>>>,
    /// Single ways that are ordered: many boards ask for the same one.
    wished: Mutex<BTreeSet<(i64, i64)>>,
}

#[derive(Debug)]
enum Order {
    /// All ways to a release from those that boards run.
    To { release_id: i64, done: Option<oneshot::Sender<()>> },
    /// The way of one board.
    Single { from: i64, to: i64 },
}

impl Default for Deltas {
    fn default() -> Self {
        let (orders, received) = mpsc::channel(MAX_ORDERS);
        Self { orders, received: Mutex::new(Some(received)), wished: Mutex::default() }
    }
}

impl Deltas {
    /// Orders deltas to a release and does not wait for them.
    pub(crate) fn order(&self, release_id: i64) {
        self.send(Order::To { release_id, done: None });
    }

    /// Orders deltas to a release and waits until they are there, or for a while.
    pub(crate) async fn prepare(&self, release_id: i64) {
        let (done, ready) = oneshot::channel();
        // The sender is dropped when the order is, so a full queue or a server that stops keeps nobody waiting.
        self.send(Order::To { release_id, done: Some(done) });
        if tokio::time::timeout(PREPARE_TIMEOUT, ready).await.is_err() {
            tracing::warn!(release.id = release_id, "deltas are not ready yet: boards may fetch whole objects");
        }
    }

    /// Orders one way, for a board that was offered a release without one.
    fn wish(&self, from: i64, to: i64) {
        let is_new = self.wished.lock().unwrap_or_else(PoisonError::into_inner).insert((from, to));
        if is_new && !self.send(Order::Single { from, to }) {
            self.forget(from, to);
        }
    }

    fn forget(&self, from: i64, to: i64) {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner).remove(&(from, to));
    }

    fn send(&self, order: Order) -> bool {
        let sent = self.orders.try_send(order).is_ok();
        if !sent {
            tracing::warn!(limit = MAX_ORDERS, "too many orders of deltas, one is dropped");
        }
        sent
    }
}

/// A manifest for a board that takes deltas: from the manifest that it runs, else from nothing.
pub(crate) async fn manifest_for(app: &App, run: &str, release_id: i64, manifest: String) -> anyhow::Result<Vec<u8>> {
    if let Some(delta) = app.store.manifest_delta(run, release_id).await? {
        return Ok(delta);
    }
    if let Some(from) = app.store.sibling(release_id, run).await?.filter(|from| *from != release_id) {
        app.deltas.wish(from, release_id);
    }
    let packed = tokio::task::spawn_blocking(move || delta::create(b"", manifest.as_bytes()));
    packed.await.context("packing a manifest died")
}

/// Carries out orders until `stop`; first looks for what an earlier process left undone.
pub(crate) async fn run(app: &Arc<App>, stop: CancellationToken) {
    let received = app.deltas.received.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut received) = received else { return };
    let mut undone = app.store.delta_targets(MAX_TARGETS).await.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "deltas that are missing were not looked for");
        Vec::new()
    });
    loop {
        let order = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            order = received.recv() => order,
            release_id = async { undone.pop() }, if !undone.is_empty() => {
                release_id.map(|release_id| Order::To { release_id, done: None })
            }
        };
        let Some(order) = order else { return };
        if let Err(error) = carry_out(app, &order, &stop).await {
            tracing::error!(error = format!("{error:#}"), "deltas not made: boards fetch whole objects");
        }
        match order {
            // Nobody may be waiting any more.
            Order::To { done: Some(done), .. } => drop(done.send(())),
            Order::To { done: None, .. } => {}
            Order::Single { from, to } => app.deltas.forget(from, to),
        }
    }
}

async fn carry_out(app: &Arc<App>, order: &Order, stop: &CancellationToken) -> anyhow::Result<()> {
    let (to, bases) = match *order {
        Order::To { release_id, .. } => (release_id, None),
        Order::Single { from, to } => (to, Some(vec![from])),
    };
    let Some(to) = app.store.delta_release(to).await? else { return Ok(()) };
    let bases = match bases {
        Some(bases) => bases,
        None => app.store.most_run(&to, MAX_BASES).await?,
    };
    for from in bases {
        if stop.is_cancelled() {
            return Ok(());
        }
        if app.store.has_delta(from, to.id).await? {
            continue;
        }
        let Some(from) = app.store.delta_release(from).await? else { continue };
        make(app, from, to.clone(), stop.clone()).await?;
    }
    Ok(())
}

async fn make(app: &Arc<App>, from: DeltaRelease, to: DeltaRelease, stop: CancellationToken) -> anyhow::Result<()> {
    let package_id = to.package_id;
    let names = format!("{} {} -> {}", to.package, from.version, to.version);
    let shared = Arc::clone(app);
    let made = tokio::task::spawn_blocking(move || way::make(&shared.blobs, &from, &to, || stop.is_cancelled()));
    let made = made.await.context("making deltas died")?.with_context(|| format!("deltas of {names}"))?;
    let Some(delta) = made else { return Ok(()) };
    let mut writing = app.store.begin().await?;
    writing.add_delta(&delta, app.clock.now_ms()).await?;
    writing.prune_deltas(package_id, MAX_WAYS).await?;
    writing.commit().await?;
    let (objects, size, whole_size) = (delta.objects.len(), delta.size, delta.whole_size);
    tracing::info!(way = names, objects, size, whole_size, "deltas made");
    Ok(())
}
