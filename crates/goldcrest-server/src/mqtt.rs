//! The MQTT endpoint (docs/mqtt.md): MQTT 3.1.1 and 5 over TCP, TLS and WebSocket, for the clients of each project among themselves and
//! for the native protocol.
//!
//! A connection reads frames ([`wire`]), the credential says who it is ([`credentials`]), [`access`] what it may do, [`dispatch`] where
//! a message goes, and [`hub`] keeps what a project's clients share. What clients are told of devices comes from the database.

mod access;
mod attach;
mod connection;
mod counters;
mod credentials;
mod dispatch;
mod hub;
mod insighio;
mod limits;
mod listener;
mod message;
mod native;
mod news;
mod reason;
mod retained;
pub(crate) mod rules;
mod thingsboard;
mod thread;
mod topic;
pub(crate) mod websocket;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::attach::AttachSettings;
use self::attach::Attached;
use self::counters::Counters;
use self::hub::{Hub, Size};
pub(crate) use self::limits::MAX_INFLIGHT;
pub(crate) use self::listener::Listeners;
use self::message::Message;
pub(crate) use self::thread::Thread;
use crate::App;
use crate::store::Store;
use crate::tls::TlsSettings;

/// Where MQTT is spoken, and with whom. By default over WebSocket only, on the HTTP address.
#[derive(Debug, Clone, Default)]
pub struct MqttSettings {
    /// Plain TCP.
    pub listen: Option<SocketAddr>,
    /// When the plain address is taken: go on without it, and say so.
    pub may_be_taken: bool,
    /// TLS.
    pub tls: Option<TlsSettings>,
    /// Who comes without a token.
    pub anonymous: Option<AnonymousSettings>,
    /// A broker to attach to.
    pub attach: Option<AttachSettings>,
}

/// Lets clients without a token into one project, to the topics that are not Goldcrest's own.
#[derive(Debug, Clone)]
pub struct AnonymousSettings {
    /// The project's name; made when it is not there.
    pub project: String,
    /// Filters that they may not subscribe to.
    pub denied: Vec<String>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Broker {
    hubs: Mutex<HashMap<i64, Arc<Hub>>>,
    counters: Arc<Counters>,
    anonymous: Option<Anonymous>,
    attached: Option<Arc<Attached>>,
    connections: Arc<Semaphore>,
    pending: Arc<Semaphore>,
    tasks: TaskTracker,
    thread: Handle,
}

#[derive(Debug)]
struct Anonymous {
    project_id: i64,
    denied: Arc<[String]>,
}

impl Broker {
    /// An endpoint without clients.
    pub(crate) async fn new(
        settings: &MqttSettings,
        store: &Store,
        thread: &Thread,
        now_ms: i64,
    ) -> anyhow::Result<Self> {
        let anonymous = match &settings.anonymous {
            Some(anonymous) => {
                let mut writing = store.begin().await?;
                let project_id = writing.ensure_project(&anonymous.project, now_ms).await?;
                writing.commit().await?;
                Some(Anonymous { project_id, denied: anonymous.denied.clone().into() })
            }
            None => None,
        };
        Ok(Self {
            hubs: Mutex::default(),
            counters: Arc::default(),
            anonymous,
            attached: settings.attach.as_ref().map(Attached::new).transpose()?.map(Arc::new),
            connections: Arc::new(Semaphore::new(limits::MAX_CONNECTIONS)),
            pending: Arc::new(Semaphore::new(limits::MAX_PENDING)),
            tasks: TaskTracker::new(),
            thread: thread.handle(),
        })
    }

    /// Runs what serves a client on the endpoint's own [`Thread`].
    fn spawn(&self, serving: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(serving, &self.thread);
    }

    /// Every project that has had a client, with its id.
    fn hubs(&self) -> Vec<(i64, Arc<Hub>)> {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.iter().map(|(id, hub)| (*id, Arc::clone(hub))).collect()
    }

    /// The clients of a project that has had any.
    fn known_hub(&self, project_id: i64) -> Option<Arc<Hub>> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).get(&project_id).cloned()
    }

    /// The clients of a project.
    async fn hub(&self, app: &App, project_id: i64) -> anyhow::Result<Arc<Hub>> {
        if let Some(hub) = self.known_hub(project_id) {
            return Ok(hub);
        }
        let rules = load_rules(app, project_id).await?;
        // Read before the lock: what somebody else put in meanwhile is a hub that another client made, and that one stays.
        let retained = retained::load(app, project_id, &self.counters).await?;
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Hub::new(rules, retained, Arc::clone(&self.counters)));
        Ok(Arc::clone(hubs.entry(project_id).or_insert_with(made)))
    }

    /// Shows the clients of a project what came another way.
    pub(crate) fn tell(&self, project_id: i64, topic: &str, payload: Vec<u8>) {
        let known = self.hubs.lock().unwrap_or_else(PoisonError::into_inner).get(&project_id).cloned();
        if let Some(hub) = known.filter(|_| topic::is_topic(topic)) {
            hub.lock().deliver(&Message::of_server(topic.to_owned(), payload, false));
        }
    }

    /// The endpoint's part of `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        let size = self.hubs().iter().fold(Size::default(), |sum, (_, hub)| sum + hub.lock().size());
        self.counters.text(size) + &self.attached.as_ref().map(|attached| attached.metrics()).unwrap_or_default()
    }
}

/// The rules of a project as the database has them.
async fn load_rules(app: &App, project_id: i64) -> anyhow::Result<Vec<access::Rule>> {
    let rows = app.store.mqtt_rules(project_id).await?;
    let rule = |row: crate::store::MqttRuleRow| {
        let grant = access::Grant::parse(&row.allow).context("a stored rule of access is damaged")?;
        Ok(access::Rule { grant, filter: row.filter })
    };
    rows.into_iter().map(rule).collect()
}

/// Serves until `stop`, then tells everybody and lets them go.
pub(crate) async fn run(app: Arc<App>, listeners: Listeners, thread: Thread, stop: CancellationToken) {
    let jobs = TaskTracker::new();
    if let Some(news) = app.store.take_news() {
        jobs.spawn(news::run(Arc::clone(&app), news, stop.clone()));
    }
    if let Some(attached) = app.mqtt.attached.clone() {
        jobs.spawn(attach::run(Arc::clone(&app), attached, stop.clone()));
    }
    for listener in listeners.into_each() {
        // Handshakes cost time that those who are in would wait.
        let accepts_on = if listener.is_tls() { Handle::current() } else { thread.handle() };
        jobs.spawn_on(listener::accept(listener, Arc::clone(&app), stop.clone()), &accepts_on);
    }
    let (writing, written) = (stop.clone(), Arc::clone(&app));
    jobs.spawn(async move { retained::write(&written, writing).await });
    let (sweeping, swept) = (stop.clone(), Arc::clone(&app));
    jobs.spawn(async move {
        while !sweeping.is_cancelled() {
            tokio::select! {
                () = sweeping.cancelled() => {}
                () = tokio::time::sleep(limits::SWEEP_INTERVAL) => {}
            }
            for (_, hub) in swept.mqtt.hubs() {
                hub.sweep(Instant::now());
            }
        }
    });
    jobs.close();
    stop.cancelled().await;
    jobs.wait().await;
    for (_, hub) in app.mqtt.hubs() {
        hub.lock().kick_all(reason::SHUTTING_DOWN);
    }
    app.mqtt.tasks.close();
    if tokio::time::timeout(limits::STOP_TIMEOUT, app.mqtt.tasks.wait()).await.is_err() {
        tracing::warn!("mqtt connections still open after {} s were cut", limits::STOP_TIMEOUT.as_secs());
    }
    drop(thread);
    retained::flush(&app).await;
}

/// Reads bytes as those of a connection: for `fuzz/`.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let version = if choice & 1 == 0 { wire::Version::V3 } else { wire::Version::V5 };
    while let Ok(Some((first, begin, end))) = wire::frame(rest, limits::MAX_PACKET) {
        let body = &rest[begin..end];
        if first >> 4 == 1 {
            wire::parse_connect(first, body).ok();
        } else {
            wire::parse(version, first, body).ok();
        }
        rest = &rest[end..];
    }
    let mut words = std::str::from_utf8(rest).unwrap_or_default().split(' ');
    if let (Some(wide), Some(narrow), Some(name)) = (words.next(), words.next(), words.next())
        && topic::is_filter(wide)
        && topic::is_filter(narrow)
        && topic::is_topic(name)
    {
        let is_kept = !topic::covers(wide, narrow) || !topic::matches(narrow, name) || topic::matches(wide, name);
        assert!(is_kept, "{wide:?} covers {narrow:?}, but does not match {name:?}");
    }
}
