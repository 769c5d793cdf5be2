//! The server as a client of a broker that a fleet already has (docs/mqtt.md, "A broker of your own").
//!
//! What boards shall run is published there, retained, one topic per board; their reports come by shared subscriptions, so that of several
//! servers one gets each. The broker says who may use which topic: what comes on a board's topic is believed to be the board's.

mod incoming;
mod session;
mod states;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

use self::session::Start;
use crate::App;
use crate::request::percent_decoded;

/// How long the broker may take to be reached, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the second attempt, doubled for each further one,
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A broker and who we are there.
#[derive(Clone)]
pub struct AttachSettings {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name and password.
    pub user: Option<(String, String)>,
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
    /// PEM file of the certificates that the broker's own is signed by.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for AttachSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachSettings").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl AttachSettings {
    /// Reads `mqtt://user:password@host:port`, or `mqtts://`. User, password and port may be left out; `%40` stands for `@`.
    ///
    /// # Errors
    /// What is wrong with it, without a secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let form = "a broker is mqtt://user:password@host:port";
        let (scheme, rest) = url.split_once("://").ok_or(form)?;
        let is_tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(format!("{form}, or mqtts:// for TLS, not {scheme}://")),
        };
        let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
        let place = place.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("{form}: {port:?} is no port"))?),
            None => (place, if is_tls { 8883 } else { 1883 }),
        };
        let user = who.map(|who| {
            let (user, password) = who.split_once(':').unwrap_or((who, ""));
            Some((percent_decoded(user)?, percent_decoded(password)?))
        });
        let user = user.map(|user| user.ok_or_else(|| format!("{form}: % stands before two hexadecimal digits")));
        if host.is_empty() || host.contains('/') {
            return Err(form.into());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, user: user.transpose()?, is_tls, ca: None })
    }
}

/// The attachment of this server.
pub(super) struct Attached {
    settings: AttachSettings,
    tls: Option<TlsConnector>,
    client_id: String,
    /// Devices about which the broker's retained messages may say something old.
    changed: Mutex<BTreeSet<i64>>,
    has_changed: Notify,
    is_up: AtomicBool,
    connects: AtomicU64,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Attached {
    pub(super) fn new(settings: &AttachSettings) -> anyhow::Result<Self> {
        let mut random = [0; 8];
        SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gave no random bytes"))?;
        let tls = match (settings.is_tls, &settings.ca) {
            (false, _) => None,
            (true, Some(ca)) => Some(connector(ca)?),
            (true, None) => bail!("a broker over TLS needs the certificates that its own is signed by: --attach-ca"),
        };
        Ok(Self {
            settings: settings.clone(),
            tls,
            client_id: format!("goldcrest-{}", HEXLOWER.encode(&random)),
            changed: Mutex::default(),
            has_changed: Notify::new(),
            is_up: AtomicBool::new(false),
            connects: AtomicU64::new(0),
        })
    }

    /// Notes that the broker has to be told about these devices.
    pub(super) fn note(&self, device_ids: impl IntoIterator<Item = i64>) {
        // Without a connection there is nothing to note: the next one begins with every device.
        if self.is_up.load(Ordering::Acquire) {
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(device_ids);
            self.has_changed.notify_one();
        }
    }

    /// The attachment's part of `/metrics`.
    pub(super) fn metrics(&self) -> String {
        let (is_up, connects) = (self.is_up.load(Ordering::Acquire), self.connects.load(Ordering::Relaxed));
        format!(
            "# HELP goldcrest_mqtt_attached Whether the server is connected to the broker that it is attached to.\n\
             # TYPE goldcrest_mqtt_attached gauge\ngoldcrest_mqtt_attached {}\n\
             # HELP goldcrest_mqtt_attach_connects_total Connections to it so far.\n\
             # TYPE goldcrest_mqtt_attach_connects_total counter\ngoldcrest_mqtt_attach_connects_total {connects}\n",
            u8::from(is_up)
        )
    }

    fn take_changed(&self) -> Vec<i64> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

fn connector(ca: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let read = || -> Result<Vec<_>, _> { CertificateDer::pem_file_iter(ca)?.collect() };
    let certificates: Vec<_> = read().with_context(|| format!("no certificate in {}: it must be PEM", ca.display()))?;
    for certificate in certificates {
        roots.add(certificate).with_context(|| format!("a certificate in {} can't be used", ca.display()))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3 are not there")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Stays attached until `stop`.
pub(super) async fn run(app: Arc<App>, attached: Arc<Attached>, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    let mut start = Start::Clean;
    while !stop.is_cancelled() {
        let ended = attend(&app, &attached, start, &stop).await;
        if attached.is_up.swap(false, Ordering::AcqRel) {
            (pause, start) = (FIRST_PAUSE, Start::Resume);
        }
        let Err(error) = ended else { return };
        let broker = &attached.settings;
        tracing::warn!(
            broker.host = broker.host,
            broker.port = broker.port,
            error = format!("{error:#}"),
            retry_ms = u64::try_from(pause.as_millis()).unwrap_or(0),
            "not attached to the broker"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(spread(pause)) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between half and all of a pause, so that servers do not come back at the same moment.
fn spread(pause: Duration) -> Duration {
    let mut random = [0];
    // Without it they come together.
    let _ = SystemRandom::new().fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

async fn attend(app: &Arc<App>, attached: &Attached, start: Start, stop: &CancellationToken) -> anyhow::Result<()> {
    let broker = &attached.settings;
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((broker.host.as_str(), broker.port)));
    let tcp = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = opened => opened.context("the broker does not answer in time")?.context("cannot reach the broker")?,
    };
    tcp.set_nodelay(true).context("cannot set up the connection")?;
    let Some(tls) = &attached.tls else { return session::converse(app, attached, tcp, start, stop).await };
    let name = ServerName::try_from(broker.host.clone()).context("the broker's name is none for TLS")?;
    let handshake = tokio::time::timeout(CONNECT_TIMEOUT, tls.connect(name, tcp)).await;
    let stream = handshake.context("no TLS with the broker in time")?.context("no TLS with the broker")?;
    session::converse(app, attached, stream, start, stop).await
}

#[cfg(test)]
mod tests;
