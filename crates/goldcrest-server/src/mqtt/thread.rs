//! The thread on which all clients are served.
//!
//! On one thread, what clients send is handled in the order in which it arrives: who subscribes and then has another client publish hears
//! it, as with the brokers that clients were written against. On several threads one message in six overtook the subscription before it.

use anyhow::Context;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Ends its thread, and what runs on it, when it is dropped.
#[derive(Debug)]
pub(crate) struct Thread {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Thread {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the mqtt runtime")?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || drop(runtime.block_on(ended));
        std::thread::Builder::new().name("mqtt".into()).spawn(run).context("cannot start the mqtt thread")?;
        Ok(Self { handle, _end: end })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}
