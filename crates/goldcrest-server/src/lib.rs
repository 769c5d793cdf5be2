//! The Goldcrest server: device API, management API, store and rollouts in one process over one data folder.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use goldcrest_server::{Server, Settings};
//! use tokio_util::sync::CancellationToken;
//!
//! let server = Server::bind(Settings::new("goldcrest-data".into(), "127.0.0.1:8700".parse()?)).await?;
//! let shutdown = CancellationToken::new();
//! server.run(shutdown).await
//! # }
//! ```

mod adapter;
mod adapters;
mod blobs;
pub mod clock;
mod content;
mod data_folder;
mod failure;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod git;
mod heartbeat;
mod jobs;
mod listener;
mod manage;
mod modules;
mod mqtt;
mod native;
mod open_files;
mod request;
mod request_log;
mod rollout;
mod router;
mod store;
mod telemetry;
mod tls;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::adapters::thingsboard::DEFAULT_PER_MINUTE as DEFAULT_THINGSBOARD_PER_MINUTE;
use crate::adapters::thingsboard::{self, Boards};
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::data_folder::DataLock;
use crate::git::Repositories;
use crate::heartbeat::Heartbeats;
use crate::jobs::deltas::Deltas;
use crate::jobs::mirrors::Mirrors;
use crate::listener::Listener;
pub use crate::mqtt::{AnonymousSettings, AttachSettings, MqttSettings};
use crate::mqtt::{Broker, Listeners, Thread};
use crate::store::Store;
use crate::telemetry::Telemetry;
pub use crate::tls::TlsSettings;

/// Seconds between two check-ins of a board, unless the settings say otherwise.
pub const DEFAULT_POLL_S: u32 = 60;
/// Uploads that are checked at the same time: each holds its archive (at most 80 MiB) in memory.
const CONCURRENT_UPLOADS: usize = 2;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the database and the objects; made when it is missing. Only one server may use it.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to listen besides for boards only: no route there manages anything.
    pub boards_listen: Option<SocketAddr>,
    /// The same as `listen`, over TLS.
    pub https: Option<TlsSettings>,
    /// The same as `boards_listen`, over TLS.
    pub boards_https: Option<TlsSettings>,
    /// Seconds between two check-ins of a board (`Goldcrest-Poll`).
    pub poll_s: u32,
    /// Bytes at which the database stops to grow; none: the disk's size.
    pub max_database_bytes: Option<u64>,
    /// Folders of git repositories that feeds may be made of; none: only what is mirrored from elsewhere.
    pub git_roots: Vec<PathBuf>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where MQTT is spoken.
    pub mqtt: MqttSettings,
    /// Connected boards of ThingsBoard that are told of a release within a minute.
    pub thingsboard_per_minute: usize,
}

impl Settings {
    /// A server with defaults over this folder at this address.
    pub fn new(data: PathBuf, listen: SocketAddr) -> Self {
        let (poll_s, mqtt) = (DEFAULT_POLL_S, MqttSettings::default());
        let thingsboard_per_minute = DEFAULT_THINGSBOARD_PER_MINUTE;
        Self {
            data,
            listen,
            boards_listen: None,
            https: None,
            boards_https: None,
            poll_s,
            max_database_bytes: None,
            git_roots: Vec::new(),
            clock: Clock::system(),
            mqtt,
            thingsboard_per_minute,
        }
    }
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    people: Listener,
    https: Option<Listener>,
    boards: Option<Listener>,
    boards_https: Option<Listener>,
    mqtt: Listeners,
    mqtt_thread: Thread,
    new_admin_token: Option<String>,
    /// Held until the server is gone.
    _lock: DataLock,
}

impl Server {
    /// Opens the data folder (made with an admin token when it is new) and the port.
    ///
    /// # Errors
    /// When another server has the folder, the folder or database cannot be used, or the address is taken.
    pub async fn bind(settings: Settings) -> anyhow::Result<Self> {
        open_files::raise();
        let lock = data_folder::open(&settings.data)?;
        let blobs = Blobs::open(&settings.data)?;
        let store = Store::open(&settings.data.join("goldcrest.db"), settings.max_database_bytes).await?;
        let new_admin_token = data_folder::ensure_admin(&settings.data, &store, settings.clock.now_ms()).await?;
        let people = Listener::bind(settings.listen).await?;
        let boards = match settings.boards_listen {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let https = Listener::bind_tls(settings.https.as_ref()).await?;
        let boards_https = Listener::bind_tls(settings.boards_https.as_ref()).await?;
        let mqtt = Listeners::bind(&settings.mqtt).await?;
        let mqtt_thread = Thread::start()?;
        let broker = Broker::new(&settings.mqtt, &store, &mqtt_thread, settings.clock.now_ms()).await?;
        let app = Arc::new(App {
            store,
            blobs,
            clock: settings.clock,
            heartbeats: Heartbeats::default(),
            deltas: Deltas::default(),
            repositories: Repositories::new(&settings.data, settings.git_roots),
            mirrors: Mirrors::default(),
            poll_s: settings.poll_s,
            uploads: Semaphore::new(CONCURRENT_UPLOADS),
            mqtt: broker,
            telemetry: Telemetry::default(),
            boards: Boards::new(settings.thingsboard_per_minute),
        });
        Ok(Self { app, people, https, boards, boards_https, mqtt, mqtt_thread, new_admin_token, _lock: lock })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.people.address()
    }

    /// The address of HTTPS, if there is one.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(Listener::address)
    }

    /// The address for boards only, if there is one.
    pub fn boards_addr(&self) -> Option<SocketAddr> {
        self.boards.as_ref().map(Listener::address)
    }

    /// The address of HTTPS for boards only, if there is one.
    pub fn boards_https_addr(&self) -> Option<SocketAddr> {
        self.boards_https.as_ref().map(Listener::address)
    }

    /// The address of MQTT over plain TCP, if there is one.
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.mqtt.plain_addr()
    }

    /// The address of MQTT over TLS, if there is one.
    pub fn mqtt_tls_addr(&self) -> Option<SocketAddr> {
        self.mqtt.tls_addr()
    }

    /// The address of MQTT over plain TCP that another program has, when the server goes on without it.
    pub fn mqtt_taken(&self) -> Option<SocketAddr> {
        self.mqtt.plain_is_taken
    }

    /// The admin token when this start made it: to be shown once. It is also in `DATA/admin.token`.
    pub fn new_admin_token(&self) -> Option<&str> {
        self.new_admin_token.as_deref()
    }

    /// Serves until `shutdown`, lets open requests end (at most 10 s), then writes what is left and closes the database.
    ///
    /// # Errors
    /// None at present; a failed job is logged and tried again.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        if let Some(address) = self.mqtt_taken() {
            tracing::warn!(mqtt.listen = %address, "another program has this address: mqtt is served over WebSocket only");
        }
        let stop_jobs = CancellationToken::new();
        let jobs = TaskTracker::new();
        let (app, stop) = (Arc::clone(&self.app), stop_jobs.clone());
        jobs.spawn(async move { app.heartbeats.run(&app.store, stop).await });
        let (app, stop) = (Arc::clone(&self.app), stop_jobs.clone());
        jobs.spawn(async move { app.telemetry.run(&app.store, stop).await });
        jobs.spawn(thingsboard::run(Arc::clone(&self.app), stop_jobs.clone()));
        let (app, stop) = (Arc::clone(&self.app), stop_jobs.clone());
        jobs.spawn(async move { rollout::heal(&app, stop).await });
        let (app, stop) = (Arc::clone(&self.app), stop_jobs.clone());
        jobs.spawn(async move { jobs::deltas::run(&app, stop).await });
        let (app, stop) = (Arc::clone(&self.app), stop_jobs.clone());
        jobs.spawn(async move { jobs::mirrors::run(&app, stop).await });
        let clients = tokio::spawn(mqtt::run(Arc::clone(&self.app), self.mqtt, self.mqtt_thread, shutdown.clone()));
        jobs.close();
        let of_people = [(Some(self.people), "serving"), (self.https, "serving over TLS")];
        let of_boards = [(self.boards, "serving boards"), (self.boards_https, "serving boards over TLS")];
        let mut served = Vec::new();
        for (listeners, router) in [
            (of_people, router::router(Arc::clone(&self.app))),
            (of_boards, router::boards_router(Arc::clone(&self.app))),
        ] {
            for (listener, what) in listeners.into_iter().filter_map(|(listener, what)| Some((listener?, what))) {
                tracing::info!(listen = %listener.address(), "{what}");
                served.push(listener::serve(listener, router.clone(), shutdown.clone()));
            }
        }
        futures_util::future::join_all(served).await;
        if let Err(error) = clients.await {
            tracing::error!(error = %error, "the mqtt endpoint ended early");
        }
        // Requests are done: the last heartbeats are in memory now.
        stop_jobs.cancel();
        jobs.wait().await;
        self.app.store.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// [`Server::bind`] and [`Server::run`] in one.
///
/// # Errors
/// As [`Server::bind`].
pub async fn serve(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    Server::bind(settings).await?.run(shutdown).await
}

/// What every request can reach.
#[derive(Debug)]
struct App {
    store: Store,
    blobs: Blobs,
    clock: Clock,
    heartbeats: Heartbeats,
    deltas: Deltas,
    repositories: Repositories,
    mirrors: Mirrors,
    poll_s: u32,
    uploads: Semaphore,
    mqtt: Broker,
    telemetry: Telemetry,
    boards: Boards,
}
