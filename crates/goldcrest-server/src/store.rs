//! The only place with SQL: one concrete `Store`, statements that `SQLite` and `PostgreSQL` both understand.
//!
//! Reads go through [`Store`], changes through a [`Writing`] (one transaction; `SQLite` has one writer, so they queue here and never
//! fail with "busy"). Methods stand in the file of their noun.

mod channels;
mod check_in;
mod deltas;
mod deployments;
mod devices;
mod enrolments;
mod events;
mod feeds;
mod git;
mod macfiles;
mod mqtt;
mod news;
mod projects;
mod releases;
mod rollouts;
mod telemetry;
mod things;
mod thingsboard;
mod tokens;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::mpsc::UnboundedSender;

pub(crate) use channels::ChannelRow;
pub(crate) use check_in::CheckInRow;
pub(crate) use deltas::{DeltaRelease, NewDelta, NewObjectDelta};
pub(crate) use deployments::{ActiveDeployment, DeploymentFilter, DeploymentRow, Outcome};
pub(crate) use devices::{DeviceFilter, DeviceRow, NewDevice, TrackedDevice};
pub(crate) use enrolments::{EnrolmentRow, NewEnrolment};
pub(crate) use events::NewEvent;
pub(crate) use feeds::{CredentialRow, FeedRow, NewFeed};
pub(crate) use git::{GitFeedRow, PendingRow};
pub(crate) use macfiles::MacFileRow;
pub(crate) use mqtt::{DesiredRow, MqttRuleRow, RetainedRow};
pub(crate) use news::News;
pub(crate) use releases::{NewRelease, ObjectRow, ReleaseRow};
pub(crate) use rollouts::{HALTED, NewRollout, RolloutRow};
pub(crate) use telemetry::{Sample, Scope};
pub(crate) use things::{ActionRow, NewBootstrap, ThingRow};
pub(crate) use thingsboard::{BoardRow, NewProfile, ProfileRow};

/// Reading connections: `SQLite` readers do not wait for the writer in WAL mode.
const READERS: u32 = 4;
/// How long a connection waits for a lock that another process (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    news: news::Channel,
}

impl Store {
    /// Opens or makes the database file and brings its schema up to date. `max_bytes` is where the file stops to grow.
    pub(crate) async fn open(path: &Path, max_bytes: Option<u64>) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL, a killed process loses nothing that was committed: the pages are in the system's cache. Power loss can
            // take the last moments of the log (never its consistency), and FULL, one fsync per commit, prevents that. Only
            // uploads and what people do must survive it, but a commit cannot choose, and few commits are made: heartbeats are batched.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writer_options = match max_bytes {
            Some(max_bytes) => options.clone().pragma("max_page_count", (max_bytes / 4096).max(1).to_string()),
            None => options.clone(),
        };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(writer_options)
            .await
            .with_context(|| format!("cannot open the database {}", path.display()))?;
        sqlx::migrate!().run(&writer).await.context("cannot bring the database schema up to date")?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true))
            .await
            .with_context(|| format!("cannot open the database {} for reading", path.display()))?;
        Ok(Self { writer, readers, news: news::Channel::new() })
    }

    /// Begins a transaction. Dropped without [`Writing::commit`], it changes nothing.
    pub(crate) async fn begin(&self) -> anyhow::Result<Writing> {
        let transaction = self.writer.begin().await.context("cannot begin a transaction")?;
        Ok(Writing { transaction, news: Vec::new(), teller: self.news.teller.clone() })
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> anyhow::Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await.context("the database does not answer")?;
        Ok(())
    }

    /// Writes the log back into the database file and closes it.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction: everything in it happens, or nothing does.
#[derive(Debug)]
pub(crate) struct Writing {
    transaction: Transaction<'static, Sqlite>,
    /// Told once it is committed.
    news: Vec<News>,
    teller: UnboundedSender<news::Dated>,
}

impl Writing {
    /// Makes it so, and tells those who are connected.
    pub(crate) async fn commit(self) -> anyhow::Result<()> {
        self.transaction.commit().await.context("cannot commit")?;
        let now = Instant::now();
        for news in self.news {
            // Nobody listens: nobody is connected.
            let _ = self.teller.send((news, now));
        }
        Ok(())
    }
}

/// `SQLite`'s result code for a full disk or a database that reached its page limit.
const SQLITE_FULL: &str = "13";

/// Whether this is a database without room to grow.
pub(crate) fn is_database_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let database = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    database.is_some_and(|database| database.code().as_deref() == Some(SQLITE_FULL))
}

/// Whether an insert failed because the name is taken.
pub(crate) fn is_taken(error: &anyhow::Error) -> bool {
    let database = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    database.is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
