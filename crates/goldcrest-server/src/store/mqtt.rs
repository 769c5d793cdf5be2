//! What the MQTT endpoint reads: rules of access, and what its clients are told of devices.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{News, Store, Writing};

/// A rule of access.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct MqttRuleRow {
    pub(crate) id: i64,
    /// `publish`, `subscribe` or `both`.
    pub(crate) allow: String,
    pub(crate) filter: String,
}

/// What a device shall run.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DesiredRow {
    pub(crate) device_id: i64,
    pub(crate) project_id: i64,
    pub(crate) digest: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) keyring_version: i64,
}

/// A message that a client asked to be retained.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RetainedRow {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: i64,
    /// MQTT 5 properties that are passed on, encoded.
    pub(crate) properties: Vec<u8>,
    pub(crate) expires_ms: Option<i64>,
}

/// Devices read by one statement.
const BATCH: usize = 200;

macro_rules! select_desired {
    ($rest:literal) => {
        concat!(
            "SELECT d.id AS device_id, d.project_id, r.digest, r.version, p.keyring_version
             FROM device d JOIN project p ON p.id = d.project_id LEFT JOIN release r ON r.id = d.desired_release_id ",
            $rest
        )
    };
}

impl Store {
    /// The rules of a project.
    pub(crate) async fn mqtt_rules(&self, project_id: i64) -> anyhow::Result<Vec<MqttRuleRow>> {
        let rows = sqlx::query_as("SELECT id, allow, filter FROM mqtt_rule WHERE project_id = $1 ORDER BY id");
        Ok(rows.bind(project_id).fetch_all(&self.readers).await?)
    }

    /// What is retained in a project.
    pub(crate) async fn retained(&self, project_id: i64) -> anyhow::Result<Vec<RetainedRow>> {
        let rows = sqlx::query_as(
            "SELECT topic, payload, qos, properties, expires_ms FROM mqtt_retained WHERE project_id = $1",
        );
        Ok(rows.bind(project_id).fetch_all(&self.readers).await?)
    }

    /// What these devices shall run; who is gone is left out.
    pub(crate) async fn desired_of(&self, device_ids: &[i64]) -> anyhow::Result<Vec<DesiredRow>> {
        let mut rows = Vec::with_capacity(device_ids.len());
        for batch in device_ids.chunks(BATCH) {
            let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(select_desired!("WHERE d.id IN ("));
            let mut ids = query.separated(", ");
            for id in batch {
                ids.push_bind(*id);
            }
            query.push(")");
            rows.extend(query.build_query_as::<DesiredRow>().fetch_all(&self.readers).await?);
        }
        Ok(rows)
    }

    /// Up to `limit` ids of devices of every project, above `after`, in their order.
    pub(crate) async fn device_ids(&self, after: i64, limit: usize) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar("SELECT id FROM device WHERE id > $1 ORDER BY id LIMIT $2").bind(after);
        Ok(ids.bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(&self.readers).await?)
    }

    /// What the devices of a project shall run, at most `limit`.
    pub(crate) async fn desired_in(&self, project_id: i64, limit: usize) -> anyhow::Result<Vec<DesiredRow>> {
        let rows = sqlx::query_as(select_desired!("WHERE d.project_id = $1 ORDER BY d.id LIMIT $2"));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(rows.bind(project_id).bind(limit).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Keeps a message in place of the one that its topic had.
    pub(crate) async fn set_retained(&mut self, project_id: i64, row: &RetainedRow) -> anyhow::Result<()> {
        let done = sqlx::query(
            "INSERT INTO mqtt_retained (project_id, topic, payload, qos, properties, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id, topic) DO UPDATE SET payload = excluded.payload,
             qos = excluded.qos, properties = excluded.properties, expires_ms = excluded.expires_ms",
        );
        let done = done.bind(project_id).bind(&row.topic).bind(&row.payload).bind(row.qos).bind(&row.properties);
        done.bind(row.expires_ms).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Keeps no message of this topic any more.
    pub(crate) async fn clear_retained(&mut self, project_id: i64, topic: &str) -> anyhow::Result<()> {
        let done = sqlx::query("DELETE FROM mqtt_retained WHERE project_id = $1 AND topic = $2");
        done.bind(project_id).bind(topic).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Rules that the project has.
    pub(crate) async fn count_mqtt_rules(&mut self, project_id: i64) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM mqtt_rule WHERE project_id = $1").bind(project_id);
        Ok(count.fetch_one(&mut *self.transaction).await?)
    }

    /// Adds a rule and returns its id; fails with [`super::is_taken`] when it is there.
    pub(crate) async fn add_mqtt_rule(
        &mut self,
        project_id: i64,
        allow: &str,
        filter: &str,
        now_ms: i64,
    ) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO mqtt_rule (project_id, allow, filter, created_ms) VALUES ($1, $2, $3, $4) RETURNING id",
        );
        let id = id.bind(project_id).bind(allow).bind(filter).bind(now_ms).fetch_one(&mut *self.transaction).await?;
        self.will_tell(News::Rules { project_id });
        Ok(id)
    }

    /// Removes a rule; whether there was one.
    pub(crate) async fn remove_mqtt_rule(&mut self, project_id: i64, id: i64) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM mqtt_rule WHERE project_id = $1 AND id = $2").bind(project_id).bind(id);
        let is_gone = done.execute(&mut *self.transaction).await?.rows_affected() > 0;
        self.will_tell(News::Rules { project_id });
        Ok(is_gone)
    }
}
