//! Devices: what people see of them, and what decisions need.

use goldcrest_core::name::DeviceName;
use sqlx::FromRow;

use super::{News, Store, Writing};

/// A device as people see it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeviceRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) channel: String,
    pub(crate) labels: String,
    pub(crate) hardware_id: Option<String>,
    pub(crate) state: String,
    pub(crate) running: Option<String>,
    pub(crate) desired: Option<String>,
    pub(crate) failed: Option<String>,
    pub(crate) last_seen_ms: Option<i64>,
    pub(crate) facts: String,
}

/// A device as the rules see it. Written back by [`Writing::save_tracked`].
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TrackedDevice {
    pub(crate) id: i64,
    pub(crate) package_id: i64,
    pub(crate) package: String,
    pub(crate) name: String,
    /// What it said it runs: a digest, `-`, or nothing yet.
    pub(crate) running: Option<String>,
    /// `ok` or `trial`, with `running`.
    pub(crate) run_state: Option<String>,
    /// What it last ran with `ok`.
    pub(crate) settled: Option<String>,
    pub(crate) floor: i64,
    pub(crate) desired_release_id: Option<i64>,
    /// `desired_release_id` as it was read.
    desired_before: Option<i64>,
    pub(crate) failed_release_id: Option<i64>,
    pub(crate) deployment_id: Option<i64>,
    pub(crate) facts: String,
}

/// A device to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewDevice {
    pub(crate) project_id: i64,
    pub(crate) package_id: i64,
    pub(crate) name: String,
    pub(crate) channel: String,
    pub(crate) hardware_id: Option<String>,
    pub(crate) labels: String,
    pub(crate) token_hash: String,
}

/// Which devices are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceFilter {
    pub(crate) package: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) state: Option<String>,
    /// As it stands in the JSON of `labels`: `"key":"value"`.
    pub(crate) label: Option<String>,
}

macro_rules! select_device {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.name, p.name AS package, d.channel, d.labels, d.hardware_id, d.state,
                    r.version AS running, w.version AS desired, f.version AS failed, d.last_seen_ms, d.facts
             FROM device d JOIN package p ON p.id = d.package_id
             LEFT JOIN release r ON r.package_id = d.package_id AND r.digest = d.running
             LEFT JOIN release w ON w.id = d.desired_release_id
             LEFT JOIN release f ON f.id = d.failed_release_id ",
            $rest
        )
    };
}

macro_rules! select_tracked {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.package_id, p.name AS package, d.name, d.running, d.run_state, d.settled,
                    d.floor, d.desired_release_id, d.desired_release_id AS desired_before, d.failed_release_id,
                    d.deployment_id, d.facts
             FROM device d JOIN package p ON p.id = d.package_id ",
            $rest
        )
    };
}

impl Store {
    /// The device of this name.
    pub(crate) async fn device(&self, project_id: i64, name: &str) -> anyhow::Result<Option<DeviceRow>> {
        let row = sqlx::query_as(select_device!("WHERE d.project_id = $1 AND d.name = $2")).bind(project_id).bind(name);
        Ok(row.fetch_optional(&self.readers).await?)
    }

    /// Up to `limit` devices after the name `after`, in the order of their names.
    pub(crate) async fn devices(
        &self,
        project_id: i64,
        filter: &DeviceFilter,
        after: &str,
        limit: i64,
    ) -> anyhow::Result<Vec<DeviceRow>> {
        // REPLACE finds a part exactly; LIKE ignores case in some databases.
        let sql = select_device!(
            "WHERE d.project_id = $1 AND d.name > $2 AND ($3 IS NULL OR p.name = $3) AND ($4 IS NULL OR d.channel = $4)
             AND ($5 IS NULL OR d.state = $5) AND ($6 IS NULL OR REPLACE(d.labels, $6, '') <> d.labels) ORDER BY d.name LIMIT $7"
        );
        let rows: Vec<DeviceRow> = sqlx::query_as(sql)
            .bind(project_id)
            .bind(after)
            .bind(&filter.package)
            .bind(&filter.channel)
            .bind(&filter.state)
            .bind(&filter.label)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        Ok(rows)
    }
}

impl Writing {
    /// The device of this name, for decisions.
    pub(crate) async fn tracked_by_name(
        &mut self,
        project_id: i64,
        name: &str,
    ) -> anyhow::Result<Option<TrackedDevice>> {
        let row = sqlx::query_as(select_tracked!("WHERE d.project_id = $1 AND d.name = $2"));
        Ok(row.bind(project_id).bind(name).fetch_optional(&mut *self.transaction).await?)
    }

    /// The device of this id, for decisions.
    pub(crate) async fn tracked(&mut self, device_id: i64) -> anyhow::Result<TrackedDevice> {
        let row = sqlx::query_as(select_tracked!("WHERE d.id = $1")).bind(device_id);
        Ok(row.fetch_one(&mut *self.transaction).await?)
    }

    /// The devices that follow a channel, in the order of their names.
    pub(crate) async fn followers(&mut self, package_id: i64, channel: &str) -> anyhow::Result<Vec<TrackedDevice>> {
        let rows = sqlx::query_as(select_tracked!("WHERE d.package_id = $1 AND d.channel = $2 ORDER BY d.name"));
        Ok(rows.bind(package_id).bind(channel).fetch_all(&mut *self.transaction).await?)
    }

    /// The device of this name among those of a rollout.
    pub(crate) async fn member(&mut self, rollout_id: i64, name: &DeviceName) -> anyhow::Result<Option<TrackedDevice>> {
        let row = sqlx::query_as(select_tracked!(
            "JOIN rollout_device m ON m.device_id = d.id WHERE m.rollout_id = $1 AND d.name = $2"
        ));
        Ok(row.bind(rollout_id).bind(name.as_str()).fetch_optional(&mut *self.transaction).await?)
    }

    /// Adds a device; fails with [`super::is_taken`] when the name is.
    pub(crate) async fn add_device(&mut self, device: &NewDevice, now_ms: i64) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO device (project_id, package_id, name, channel, hardware_id, labels, token_hash, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        );
        let id = id.bind(device.project_id).bind(device.package_id).bind(&device.name).bind(&device.channel);
        let id = id.bind(&device.hardware_id).bind(&device.labels).bind(&device.token_hash).bind(now_ms);
        Ok(id.fetch_one(&mut *self.transaction).await?)
    }

    /// Writes back what the rules decided.
    pub(crate) async fn save_tracked(&mut self, device: &TrackedDevice, state: &str) -> anyhow::Result<()> {
        if device.desired_before != device.desired_release_id {
            self.will_tell(News::Desired { device_id: device.id });
        }
        sqlx::query(
            "UPDATE device SET running = $2, run_state = $3, settled = $4, floor = $5, desired_release_id = $6,
                    failed_release_id = $7, deployment_id = $8, facts = $9, state = $10 WHERE id = $1",
        )
        .bind(device.id)
        .bind(&device.running)
        .bind(&device.run_state)
        .bind(&device.settled)
        .bind(device.floor)
        .bind(device.desired_release_id)
        .bind(device.failed_release_id)
        .bind(device.deployment_id)
        .bind(&device.facts)
        .bind(state)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Changes what people may change; fails with [`super::is_taken`] when the new name is.
    pub(crate) async fn change_device(
        &mut self,
        device_id: i64,
        name: Option<&DeviceName>,
        channel: Option<&str>,
        labels: Option<&str>,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "UPDATE device SET name = COALESCE($2, name), channel = COALESCE($3, channel),
                    labels = COALESCE($4, labels) WHERE id = $1",
        )
        .bind(device_id)
        .bind(name.map(DeviceName::as_str))
        .bind(channel)
        .bind(labels)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Replaces a device's token; whether there is such a device.
    pub(crate) async fn set_device_token(
        &mut self,
        project_id: i64,
        name: &str,
        token_hash: &str,
    ) -> anyhow::Result<bool> {
        let id =
            sqlx::query_scalar("UPDATE device SET token_hash = $3 WHERE project_id = $1 AND name = $2 RETURNING id");
        let id: Option<i64> =
            id.bind(project_id).bind(name).bind(token_hash).fetch_optional(&mut *self.transaction).await?;
        if let Some(device_id) = id {
            self.will_tell(News::DeviceToken { device_id });
        }
        Ok(id.is_some())
    }

    /// Removes a device with its deployments and events.
    pub(crate) async fn remove_device(&mut self, device_id: i64) -> anyhow::Result<()> {
        sqlx::query("DELETE FROM device WHERE id = $1").bind(device_id).execute(&mut *self.transaction).await?;
        self.will_tell(News::DeviceToken { device_id });
        Ok(())
    }
}
