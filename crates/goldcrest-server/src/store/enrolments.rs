//! Keys with which boards enrol themselves, and the devices that came of them.

use sqlx::FromRow;

use super::{Store, Writing};

/// An enrolment without its key.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EnrolmentRow {
    pub(crate) id: i64,
    pub(crate) project_id: i64,
    pub(crate) name: String,
    pub(crate) package_id: i64,
    pub(crate) package: String,
    pub(crate) channel: String,
    pub(crate) devices_left: i64,
    pub(crate) expires_ms: i64,
    pub(crate) enrolled: i64,
}

/// An enrolment to be made, or to replace the one of its name.
#[derive(Debug, Clone)]
pub(crate) struct NewEnrolment {
    pub(crate) project_id: i64,
    pub(crate) name: String,
    pub(crate) key_hash: String,
    pub(crate) package_id: i64,
    pub(crate) channel: String,
    pub(crate) devices: i64,
    pub(crate) expires_ms: i64,
}

/// A device that a board says it is.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EnrolledRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) facts: String,
}

macro_rules! select_enrolment {
    ($rest:literal) => {
        concat!(
            "SELECT e.id, e.project_id, e.name, e.package_id, p.name AS package, e.channel, e.devices_left, e.expires_ms,
                    (SELECT COUNT(*) FROM enrolled x WHERE x.enrolment_id = e.id) AS enrolled
             FROM enrolment e JOIN package p ON p.id = e.package_id ",
            $rest
        )
    };
}

impl Store {
    /// The enrolments of a project, by name.
    pub(crate) async fn enrolments(&self, project_id: i64) -> anyhow::Result<Vec<EnrolmentRow>> {
        let rows = sqlx::query_as(select_enrolment!("WHERE e.project_id = $1 ORDER BY e.name")).bind(project_id);
        Ok(rows.fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Makes an enrolment; one of the same name gets the new key, and what came of it stays.
    pub(crate) async fn set_enrolment(&mut self, new: &NewEnrolment) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO enrolment (project_id, name, key_hash, package_id, channel, devices_left, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, name) DO UPDATE SET
             key_hash = excluded.key_hash, package_id = excluded.package_id, channel = excluded.channel,
             devices_left = excluded.devices_left, expires_ms = excluded.expires_ms",
        )
        .bind(new.project_id)
        .bind(&new.name)
        .bind(&new.key_hash)
        .bind(new.package_id)
        .bind(&new.channel)
        .bind(new.devices)
        .bind(new.expires_ms)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Removes an enrolment; whether there was one. Its devices stay.
    pub(crate) async fn remove_enrolment(&mut self, project_id: i64, name: &str) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM enrolment WHERE project_id = $1 AND name = $2").bind(project_id).bind(name);
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }

    /// Enrolments that a project has.
    pub(crate) async fn count_enrolments(&mut self, project_id: i64) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM enrolment WHERE project_id = $1").bind(project_id);
        Ok(count.fetch_one(&mut *self.transaction).await?)
    }

    /// The enrolment with this key.
    pub(crate) async fn enrolment(&mut self, key_hash: &str) -> anyhow::Result<Option<EnrolmentRow>> {
        let row = sqlx::query_as(select_enrolment!("WHERE e.key_hash = $1")).bind(key_hash);
        Ok(row.fetch_optional(&mut *self.transaction).await?)
    }

    /// The device that this board is: made by an enrolment under its hardware id, or known to an adapter by its MAC address.
    pub(crate) async fn enrolled(
        &mut self,
        project_id: i64,
        hardware_id: &str,
        mac: Option<&str>,
    ) -> anyhow::Result<Option<EnrolledRow>> {
        let row = sqlx::query_as(
            "SELECT d.id, d.name, p.name AS package, d.facts FROM device d JOIN package p ON p.id = d.package_id
             WHERE d.project_id = $1 AND (
                 (d.hardware_id = $2 AND EXISTS (SELECT 1 FROM enrolled x WHERE x.device_id = d.id))
                 OR EXISTS (SELECT 1 FROM credential c WHERE c.device_id = d.id AND c.adapter = 'sensorclass' AND c.name = $3)
             ) ORDER BY d.id LIMIT 1",
        );
        Ok(row.bind(project_id).bind(hardware_id).bind(mac).fetch_optional(&mut *self.transaction).await?)
    }

    /// The only MAC address that ends so among those by which boards of sensorclass are known.
    pub(crate) async fn only_mac_ending(&mut self, project_id: i64, end: &str) -> anyhow::Result<Option<String>> {
        let found: Vec<String> = sqlx::query_scalar(
            "SELECT c.name FROM credential c JOIN device d ON d.id = c.device_id
             WHERE d.project_id = $1 AND c.adapter = 'sensorclass' AND c.name LIKE '______' || $2 LIMIT 2",
        )
        .bind(project_id)
        .bind(end)
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(<[String; 1]>::try_from(found).ok().map(|[name]| name))
    }

    /// Lets a device run another package from now on: what it ran is of no use there.
    pub(crate) async fn move_device(&mut self, device_id: i64, package_id: i64, channel: &str) -> anyhow::Result<()> {
        sqlx::query(
            "UPDATE device SET package_id = $2, channel = $3, running = NULL, run_state = NULL, settled = NULL, floor = 0,
                    desired_release_id = NULL, failed_release_id = NULL, deployment_id = NULL, state = 'new' WHERE id = $1",
        )
        .bind(device_id)
        .bind(package_id)
        .bind(channel)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Notes that a device came of an enrolment, which may make one less from now on.
    pub(crate) async fn add_enrolled(&mut self, enrolment_id: i64, device_id: i64) -> anyhow::Result<()> {
        sqlx::query("INSERT INTO enrolled (device_id, enrolment_id) VALUES ($1, $2)")
            .bind(device_id)
            .bind(enrolment_id)
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query("UPDATE enrolment SET devices_left = devices_left - 1 WHERE id = $1")
            .bind(enrolment_id)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
