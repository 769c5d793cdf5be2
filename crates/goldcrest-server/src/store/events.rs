//! What devices told, newest 200 each.

use sqlx::FromRow;

use super::{Store, Writing};

/// Events kept per device.
const EVENTS_PER_DEVICE: i64 = 200;

/// Something that a device told.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EventRow {
    pub(crate) id: i64,
    pub(crate) at_ms: i64,
    pub(crate) stage: String,
    pub(crate) version: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) trace: Option<String>,
}

/// An event to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewEvent<'a> {
    pub(crate) stage: &'a str,
    pub(crate) version: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) detail: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
}

const NEWEST: &str = "SELECT id, at_ms, stage, version, reason, detail, trace FROM event
    WHERE device_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";

impl Store {
    /// Up to `limit` events of a device before the id `before`, newest first.
    pub(crate) async fn events(&self, device_id: i64, before: i64, limit: i64) -> anyhow::Result<Vec<EventRow>> {
        let rows = sqlx::query_as(NEWEST).bind(device_id).bind(before).bind(limit);
        Ok(rows.fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Keeps an event, unless it repeats the newest one (a report that arrived twice; boots count), and forgets the oldest.
    pub(crate) async fn add_event(&mut self, device_id: i64, event: &NewEvent<'_>, now_ms: i64) -> anyhow::Result<()> {
        let newest: Option<EventRow> = sqlx::query_as(NEWEST)
            .bind(device_id)
            .bind(i64::MAX)
            .bind(1)
            .fetch_optional(&mut *self.transaction)
            .await?;
        if event.stage != "boot" && newest.is_some_and(|row| row.as_new() == *event) {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO event (device_id, at_ms, stage, version, reason, detail, trace)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(device_id)
        .bind(now_ms)
        .bind(event.stage)
        .bind(event.version)
        .bind(event.reason)
        .bind(event.detail)
        .bind(event.trace)
        .execute(&mut *self.transaction)
        .await?;
        sqlx::query(
            "DELETE FROM event WHERE device_id = $1 AND id <=
                (SELECT id FROM event WHERE device_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
        )
        .bind(device_id)
        .bind(EVENTS_PER_DEVICE)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}

impl EventRow {
    fn as_new(&self) -> NewEvent<'_> {
        NewEvent {
            stage: &self.stage,
            version: self.version.as_deref(),
            reason: self.reason.as_deref(),
            detail: self.detail.as_deref(),
            trace: self.trace.as_deref(),
        }
    }
}
