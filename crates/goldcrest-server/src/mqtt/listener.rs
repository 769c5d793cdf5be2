//! Accepts connections for MQTT, within the limits on what strangers can hold open.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::MqttSettings;
use super::connection;
use super::counters::Refusal;
use super::limits::CONNECT_TIMEOUT;
use crate::{App, tls};

/// Pause after a failed accept: without it, a process out of file descriptors would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After this long without a byte the system asks whether the other side is there,
const PROBE_AFTER: Duration = Duration::from_mins(1);
/// again after this long,
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// and this often before it gives up.
const PROBES: u32 = 4;

/// Bound and not yet served.
#[derive(Default)]
pub(crate) struct Listeners {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, TlsAcceptor)>,
    /// Why there is no plain one although it was wanted.
    pub(crate) plain_is_taken: Option<SocketAddr>,
}

/// A listener, with what makes TLS of its connections.
pub(super) struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("plain", &self.plain).finish_non_exhaustive()
    }
}

impl Listeners {
    /// Takes the addresses of the settings.
    pub(crate) async fn bind(settings: &MqttSettings) -> anyhow::Result<Self> {
        let mut listeners = Self::default();
        if let Some(address) = settings.listen {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.plain = Some(listener),
                Err(error) if settings.may_be_taken && error.kind() == ErrorKind::AddrInUse => {
                    listeners.plain_is_taken = Some(address);
                }
                Err(error) => return Err(error).with_context(|| format!("cannot listen on {address} for MQTT")),
            }
        }
        if let Some(settings) = &settings.tls {
            let acceptor = tls::acceptor(settings)?;
            let listener = TcpListener::bind(settings.listen).await;
            let listener =
                listener.with_context(|| format!("cannot listen on {} for MQTT over TLS", settings.listen))?;
            listeners.tls = Some((listener, acceptor));
        }
        Ok(listeners)
    }

    /// The address of plain TCP.
    pub(crate) fn plain_addr(&self) -> Option<SocketAddr> {
        self.plain.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The address of TLS.
    pub(crate) fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    pub(super) fn into_each(self) -> impl Iterator<Item = Listener> {
        let plain = self.plain.map(|tcp| Listener { tcp, tls: None });
        let tls = self.tls.map(|(tcp, acceptor)| Listener { tcp, tls: Some(acceptor) });
        plain.into_iter().chain(tls)
    }
}

/// Accepts until `stop`.
pub(super) async fn accept(listener: Listener, app: Arc<App>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                prepare(&stream);
                let Some(slots) = admit(&app) else {
                    app.mqtt.counters.refused(Refusal::Limit);
                    continue;
                };
                match &listener.tls {
                    None => app.mqtt.spawn(connection::serve(stream, Arc::clone(&app), slots)),
                    Some(acceptor) => {
                        app.mqtt.tasks.spawn(shake_hands(stream, acceptor.clone(), Arc::clone(&app), slots));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "mqtt connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sets what a connection needs of the system; it serves without, only worse.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // Who asked for no keep-alive and is gone without a word is noticed all the same.
    let _ = sockopt::set_socket_keepalive(stream, true);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_keepidle(stream, PROBE_AFTER)
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, PROBE_EVERY))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, PROBES));
}

/// A connection's places, given back when it ends.
pub(super) struct Slots {
    /// Among all connections.
    pub(super) open: OwnedSemaphorePermit,
    /// Among those that have not said who they are.
    pub(super) pending: OwnedSemaphorePermit,
}

/// Places for a connection, if there is room: a full house closes the door at once, so that those inside go on undisturbed.
pub(super) fn admit(app: &App) -> Option<Slots> {
    let open = Arc::clone(&app.mqtt.connections).try_acquire_owned().ok()?;
    let pending = Arc::clone(&app.mqtt.pending).try_acquire_owned().ok()?;
    Some(Slots { open, pending })
}

async fn shake_hands(stream: TcpStream, acceptor: TlsAcceptor, app: Arc<App>, slots: Slots) {
    match tokio::time::timeout(CONNECT_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => app.mqtt.spawn(connection::serve(stream, Arc::clone(&app), slots)),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "no TLS with an mqtt client");
            app.mqtt.counters.refused(Refusal::Tls);
        }
        Err(_) => app.mqtt.counters.refused(Refusal::Timeout),
    }
}
