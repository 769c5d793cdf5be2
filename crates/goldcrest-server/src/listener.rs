//! The accept loop: HTTP/1.1 as small and old clients need it, with a limit on everything a stranger can hold open.
//!
//! Title-case header names (some boards compare bytes), half-close tolerated (some boards shut down their sending side after the
//! request), bytes after the request tolerated (some send an empty line too many), heads of at most 8 KiB within 10 s, and connections
//! that neither send nor take a byte for a minute are dropped.

mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::socket::Socket;
use crate::tls::{self, TlsSettings};

/// Most open connections; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Most bytes of a request head.
const MAX_HEAD: usize = 8 << 10;
/// Longest time for a request head, also the longest idle time of a connection that is kept alive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without any progress for one to two of these is dropped.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may take when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept: without it, a process out of file descriptors would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address that a connection comes from; with a proxy in front it is the proxy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A bound address, with what makes TLS of its connections.
pub(crate) struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = tcp.local_addr().context("cannot read the address")?;
        Ok(Self { tcp, address, tls: None })
    }

    pub(crate) async fn bind_tls(settings: Option<&TlsSettings>) -> anyhow::Result<Option<Self>> {
        let Some(settings) = settings else { return Ok(None) };
        let acceptor = tls::acceptor(settings)?;
        Ok(Some(Self { tls: Some(acceptor), ..Self::bind(settings.listen).await? }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves `router` until `shutdown`, then lets open requests end for at most 10 s.
pub(crate) async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener.tcp, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, shutdown, tls) = (router.clone(), shutdown.clone(), listener.tls.clone());
                let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
                connections.spawn(async move {
                    match tls {
                        None => serve_connection(stream, peer, router, shutdown).await,
                        Some(acceptor) => match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => serve_connection(stream, peer, router, shutdown).await,
                            Ok(Err(error)) => tracing::debug!(error = %error, "no TLS with a client"),
                            Err(_) => tracing::debug!("no TLS with a client in time"),
                        },
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!("requests still open after {} s were cut", DRAIN_TIMEOUT.as_secs());
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn serve_connection<S>(stream: S, peer: Option<Peer>, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let progress = Arc::new(AtomicU64::new(0));
    let io = TokioIo::new(Socket::new(stream, Arc::clone(&progress), shutdown.clone()));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.title_case_headers(true)
        .half_close(true)
        // The router dates responses, except those to our agent.
        .auto_date_header(false)
        .max_header_size(MAX_HEAD)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    // An upgraded connection (WebSocket) ends here and lives on with whom it was given to.
    let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
    let (mut seen, mut is_stopping) = (0, false);
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection ended early");
                }
                return;
            }
            () = shutdown.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(STALL_TIMEOUT) => {
                let now = progress.load(Ordering::Relaxed);
                if now == seen {
                    tracing::debug!("stalled connection dropped");
                    return;
                }
                seen = now;
            }
        }
    }
}
