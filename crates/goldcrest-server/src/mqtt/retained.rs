//! Retained messages in the database: read with a project's first client, written a moment after they change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::hub::Change;
use super::message::{Message, payload_of};
use crate::App;
use crate::store::RetainedRow;

/// How long a change may wait for others.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// What a project's clients left.
pub(super) async fn load(app: &App, project_id: i64, counters: &Counters) -> anyhow::Result<Vec<Message>> {
    let (now, now_ms) = (Instant::now(), app.clock.now_ms());
    let message = |row: RetainedRow| {
        let expires = match row.expires_ms {
            Some(expires_ms) if expires_ms <= now_ms => return None,
            Some(expires_ms) => Some(now + Duration::from_millis((expires_ms - now_ms).unsigned_abs())),
            None => None,
        };
        let held = counters.hold(row.topic.len() + row.payload.len() + row.properties.len());
        Some(Message {
            topic: row.topic.into(),
            payload: payload_of(row.payload),
            qos: u8::try_from(row.qos).unwrap_or(0),
            retain: true,
            properties: row.properties.into(),
            expires,
            from: None,
            _held: Some(held),
        })
    };
    Ok(app.store.retained(project_id).await?.into_iter().filter_map(message).collect())
}

/// Writes what changes until `stop`.
pub(super) async fn write(app: &Arc<App>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FLUSH_INTERVAL) => flush(app).await,
        }
    }
}

/// Writes what changed.
pub(super) async fn flush(app: &App) {
    for (project_id, hub) in app.mqtt.hubs() {
        let changes = hub.lock().take_retained_changes();
        if changes.is_empty() {
            continue;
        }
        if let Err(error) = store(app, project_id, &changes).await {
            tracing::warn!(
                error = format!("{error:#}"),
                topics = changes.len(),
                "retained messages not written, will retry"
            );
            hub.lock().put_back_retained(changes);
        }
    }
}

async fn store(app: &App, project_id: i64, changes: &[Change]) -> anyhow::Result<()> {
    let (now, now_ms) = (Instant::now(), app.clock.now_ms());
    let mut writing = app.store.begin().await?;
    for (topic, message) in changes {
        let Some(message) = message else {
            writing.clear_retained(project_id, topic).await?;
            continue;
        };
        let left = message.expires.map(|expires| expires.saturating_duration_since(now));
        let row = RetainedRow {
            topic: message.topic.to_string(),
            payload: message.payload.as_slice().to_vec(),
            qos: i64::from(message.qos),
            properties: message.properties.to_vec(),
            expires_ms: left.map(|left| now_ms + i64::try_from(left.as_millis()).unwrap_or(i64::MAX / 2)),
        };
        writing.set_retained(project_id, &row).await?;
    }
    writing.commit().await
}
