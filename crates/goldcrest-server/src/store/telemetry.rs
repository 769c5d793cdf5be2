//! What devices measure and what is noted about them: telemetry and attributes of every protocol that has them, both bounded.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::FromRow;

use super::{Store, Writing};

/// Values kept of each key, the newest by their time.
pub(crate) const MAX_VALUES: i64 = 100;
/// Keys of a device's telemetry.
pub(crate) const MAX_KEYS: usize = 100;
/// Attributes of a device in each scope.
pub(crate) const MAX_ATTRIBUTES: usize = 100;

/// A measured value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) device_id: i64,
    pub(crate) key: String,
    pub(crate) at_ms: i64,
    /// JSON.
    pub(crate) value: String,
}

/// A kept value.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SampleRow {
    pub(crate) key: String,
    pub(crate) at_ms: i64,
    pub(crate) value: String,
}

/// An attribute of a device.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct AttributeRow {
    pub(crate) scope: String,
    pub(crate) key: String,
    /// JSON.
    pub(crate) value: String,
    pub(crate) at_ms: i64,
}

/// Who says what an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The device.
    Client,
    /// The server.
    Shared,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Shared => "shared",
        }
    }
}

impl Store {
    /// Keeps these values and forgets the oldest ones of their keys. Values of keys beyond [`MAX_KEYS`], or of devices that are gone, are
    /// left out. How many were kept.
    pub(crate) async fn write_samples(&self, samples: &[Sample]) -> anyhow::Result<usize> {
        let mut writing = self.begin().await?;
        let mut keys: BTreeMap<i64, Option<BTreeSet<String>>> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        let mut kept = 0;
        for sample in samples {
            if let std::collections::btree_map::Entry::Vacant(entry) = keys.entry(sample.device_id) {
                entry.insert(writing.telemetry_keys(sample.device_id).await?);
            }
            let Some(Some(known)) = keys.get_mut(&sample.device_id) else { continue };
            if !known.contains(&sample.key) {
                if known.len() >= MAX_KEYS {
                    continue;
                }
                known.insert(sample.key.clone());
            }
            writing.write_sample(sample).await?;
            touched.insert((sample.device_id, &sample.key));
            kept += 1;
        }
        for (device_id, key) in touched {
            writing.forget_old_samples(device_id, key).await?;
        }
        writing.commit().await?;
        Ok(kept)
    }

    /// Up to `limit` values of a device, the newest of each key first; of one key if it is named.
    pub(crate) async fn samples(
        &self,
        device_id: i64,
        key: Option<&str>,
        limit: i64,
    ) -> anyhow::Result<Vec<SampleRow>> {
        let rows = sqlx::query_as(
            "SELECT key, at_ms, value FROM
                (SELECT key, at_ms, value, ROW_NUMBER() OVER (PARTITION BY key ORDER BY at_ms DESC) AS place
                 FROM telemetry WHERE device_id = $1 AND ($2 IS NULL OR key = $2)) newest
             WHERE place <= $3 ORDER BY key, at_ms DESC",
        );
        Ok(rows.bind(device_id).bind(key).bind(limit).fetch_all(&self.readers).await?)
    }

    /// Every attribute of a device.
    pub(crate) async fn attributes(&self, device_id: i64) -> anyhow::Result<Vec<AttributeRow>> {
        let rows =
            sqlx::query_as("SELECT scope, key, value, at_ms FROM attribute WHERE device_id = $1 ORDER BY scope, key");
        Ok(rows.bind(device_id).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// The keys that a device has; `None` when there is no such device.
    async fn telemetry_keys(&mut self, device_id: i64) -> anyhow::Result<Option<BTreeSet<String>>> {
        let device: Option<i64> = sqlx::query_scalar("SELECT id FROM device WHERE id = $1")
            .bind(device_id)
            .fetch_optional(&mut *self.transaction)
            .await?;
        if device.is_none() {
            return Ok(None);
        }
        let keys: Vec<String> = sqlx::query_scalar("SELECT DISTINCT key FROM telemetry WHERE device_id = $1")
            .bind(device_id)
            .fetch_all(&mut *self.transaction)
            .await?;
        Ok(Some(keys.into_iter().collect()))
    }

    async fn write_sample(&mut self, sample: &Sample) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO telemetry (device_id, key, at_ms, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (device_id, key, at_ms) DO UPDATE SET value = excluded.value",
        )
        .bind(sample.device_id)
        .bind(&sample.key)
        .bind(sample.at_ms)
        .bind(&sample.value)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    async fn forget_old_samples(&mut self, device_id: i64, key: &str) -> anyhow::Result<()> {
        sqlx::query(
            "DELETE FROM telemetry WHERE device_id = $1 AND key = $2 AND at_ms <=
                (SELECT at_ms FROM telemetry WHERE device_id = $1 AND key = $2 ORDER BY at_ms DESC LIMIT 1 OFFSET $3)",
        )
        .bind(device_id)
        .bind(key)
        .bind(MAX_VALUES)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Sets attributes (key and JSON). Whether there was room for all: else nothing was changed that matters, as the caller drops the
    /// transaction.
    pub(crate) async fn set_attributes(
        &mut self,
        device_id: i64,
        scope: Scope,
        values: &[(String, String)],
        now_ms: i64,
    ) -> anyhow::Result<bool> {
        for (key, value) in values {
            sqlx::query(
                "INSERT INTO attribute (device_id, scope, key, value, at_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (device_id, scope, key) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms",
            )
            .bind(device_id)
            .bind(scope.as_str())
            .bind(key)
            .bind(value)
            .bind(now_ms)
            .execute(&mut *self.transaction)
            .await?;
        }
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM attribute WHERE device_id = $1 AND scope = $2")
            .bind(device_id)
            .bind(scope.as_str())
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok(usize::try_from(count).is_ok_and(|count| count <= MAX_ATTRIBUTES))
    }

    /// Removes an attribute; whether there was one.
    pub(crate) async fn remove_attribute(&mut self, device_id: i64, scope: Scope, key: &str) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM attribute WHERE device_id = $1 AND scope = $2 AND key = $3");
        let done = done.bind(device_id).bind(scope.as_str()).bind(key).execute(&mut *self.transaction).await?;
        Ok(done.rows_affected() > 0)
    }
}
