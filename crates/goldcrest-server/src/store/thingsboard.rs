//! What the ThingsBoard adapter reads of a device, profiles with which boards make devices of themselves, and claims.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Store, Writing};

/// A device as the adapter sees it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct BoardRow {
    pub(crate) project_id: i64,
    pub(crate) package: String,
    /// What it said it runs: a digest, `-`, or nothing yet.
    pub(crate) running: Option<String>,
    /// The release that it shall run.
    pub(crate) release_id: Option<i64>,
    pub(crate) version: Option<String>,
    pub(crate) digest: Option<String>,
    /// State and release of the deployment under way.
    pub(crate) deployment_state: Option<String>,
    pub(crate) deployment_digest: Option<String>,
    /// Of its credential; none: it has none any more.
    pub(crate) settings: Option<String>,
}

/// With what boards make devices of themselves.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ProfileRow {
    pub(crate) id: i64,
    pub(crate) project_id: i64,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) secret_hash: String,
    pub(crate) package_id: i64,
    pub(crate) package: String,
    pub(crate) channel: String,
    pub(crate) settings: String,
    pub(crate) max_devices: i64,
    pub(crate) made: i64,
}

/// A profile to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewProfile {
    pub(crate) project_id: i64,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) secret_hash: String,
    pub(crate) package_id: i64,
    pub(crate) channel: String,
    pub(crate) settings: String,
    pub(crate) max_devices: i64,
}

/// A device that can be, or was, claimed.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ClaimRow {
    pub(crate) secret_hash: Option<String>,
    pub(crate) until_ms: i64,
    pub(crate) claimed_by: Option<String>,
}

macro_rules! select_profile {
    ($rest:literal) => {
        concat!(
            "SELECT f.id, f.project_id, f.name, f.key, f.secret_hash, f.package_id, p.name AS package, f.channel, f.settings,
                    f.max_devices, f.made FROM profile f JOIN package p ON p.id = f.package_id ",
            $rest
        )
    };
}

impl Store {
    /// A device as the adapter sees it.
    pub(crate) async fn board(&self, device_id: i64) -> anyhow::Result<Option<BoardRow>> {
        let row = sqlx::query_as(
            "SELECT d.project_id, p.name AS package, d.running, w.id AS release_id, w.version, w.digest,
                    x.state AS deployment_state, xr.digest AS deployment_digest,
                    (SELECT c.settings FROM credential c WHERE c.device_id = d.id AND c.adapter = 'thingsboard'
                     ORDER BY c.id LIMIT 1) AS settings
             FROM device d JOIN package p ON p.id = d.package_id
             LEFT JOIN release w ON w.id = d.desired_release_id
             LEFT JOIN deployment x ON x.id = d.deployment_id
             LEFT JOIN release xr ON xr.id = x.release_id
             WHERE d.id = $1",
        );
        Ok(row.bind(device_id).fetch_optional(&self.readers).await?)
    }

    /// Those of these devices that are known to the adapter.
    pub(crate) async fn boards_of(&self, adapter: &str, device_ids: &[i64]) -> anyhow::Result<Vec<i64>> {
        let mut found = Vec::new();
        for batch in device_ids.chunks(200) {
            let mut query: QueryBuilder<Sqlite> =
                QueryBuilder::new("SELECT DISTINCT device_id FROM credential WHERE adapter = ");
            query.push_bind(adapter.to_owned()).push(" AND device_id IN (");
            let mut ids = query.separated(", ");
            for id in batch {
                ids.push_bind(*id);
            }
            query.push(")");
            found.extend(query.build_query_scalar::<i64>().fetch_all(&self.readers).await?);
        }
        Ok(found)
    }

    /// Devices of an adapter of which nothing was heard since `before_ms` about the release that they shall run.
    pub(crate) async fn boards_not_told(&self, adapter: &str, before_ms: i64, limit: i64) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar(
            "SELECT DISTINCT d.id FROM deployment x JOIN device d ON d.deployment_id = x.id
             JOIN credential c ON c.device_id = d.id
             WHERE c.adapter = $1 AND x.state IN ('queued', 'notified', 'downloading', 'verified', 'installing') AND x.updated_ms < $2 ORDER BY d.id LIMIT $3",
        );
        Ok(ids.bind(adapter).bind(before_ms).bind(limit).fetch_all(&self.readers).await?)
    }

    /// The profiles of a project.
    pub(crate) async fn profiles(&self, project_id: i64) -> anyhow::Result<Vec<ProfileRow>> {
        let rows = sqlx::query_as(select_profile!("WHERE f.project_id = $1 ORDER BY f.name")).bind(project_id);
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Whether there is any profile: else nobody makes a device of itself.
    pub(crate) async fn has_profiles(&self) -> anyhow::Result<bool> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT id FROM profile LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(found.is_some())
    }

    /// Whether a device can be, or was, claimed.
    pub(crate) async fn claim(&self, device_id: i64) -> anyhow::Result<Option<ClaimRow>> {
        let row = sqlx::query_as("SELECT secret_hash, until_ms, claimed_by FROM claim WHERE device_id = $1");
        Ok(row.bind(device_id).fetch_optional(&self.readers).await?)
    }
}

impl Writing {
    /// The profile of this key.
    pub(crate) async fn profile(&mut self, key: &str) -> anyhow::Result<Option<ProfileRow>> {
        let row = sqlx::query_as(select_profile!("WHERE f.key = $1")).bind(key);
        Ok(row.fetch_optional(&mut *self.transaction).await?)
    }

    /// Adds a profile; fails with [`super::is_taken`] when the name is.
    pub(crate) async fn add_profile(&mut self, profile: &NewProfile, now_ms: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO profile (project_id, name, key, secret_hash, package_id, channel, settings, max_devices, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(profile.project_id)
        .bind(&profile.name)
        .bind(&profile.key)
        .bind(&profile.secret_hash)
        .bind(profile.package_id)
        .bind(&profile.channel)
        .bind(&profile.settings)
        .bind(profile.max_devices)
        .bind(now_ms)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Profiles that a project has.
    pub(crate) async fn count_profiles(&mut self, project_id: i64) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM profile WHERE project_id = $1").bind(project_id);
        Ok(count.fetch_one(&mut *self.transaction).await?)
    }

    /// Counts a device that a profile made.
    pub(crate) async fn count_made(&mut self, profile_id: i64) -> anyhow::Result<()> {
        sqlx::query("UPDATE profile SET made = made + 1 WHERE id = $1")
            .bind(profile_id)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Removes a profile; whether there was one. The devices that it made stay.
    pub(crate) async fn remove_profile(&mut self, project_id: i64, name: &str) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM profile WHERE project_id = $1 AND name = $2").bind(project_id).bind(name);
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }

    /// Lets a device be claimed until then. Nothing happens when it was claimed already; whether it may be.
    pub(crate) async fn offer_claim(
        &mut self,
        device_id: i64,
        secret_hash: Option<&str>,
        until_ms: i64,
    ) -> anyhow::Result<bool> {
        let done = sqlx::query(
            "INSERT INTO claim (device_id, secret_hash, until_ms) VALUES ($1, $2, $3)
             ON CONFLICT (device_id) DO UPDATE SET secret_hash = excluded.secret_hash, until_ms = excluded.until_ms
             WHERE claim.claimed_by IS NULL",
        );
        let done = done.bind(device_id).bind(secret_hash).bind(until_ms).execute(&mut *self.transaction).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes who claimed a device; whether it could be.
    pub(crate) async fn set_claimed(&mut self, device_id: i64, by: &str, now_ms: i64) -> anyhow::Result<bool> {
        let done = sqlx::query(
            "UPDATE claim SET claimed_by = $2, claimed_ms = $3, secret_hash = NULL WHERE device_id = $1 AND claimed_by IS NULL",
        );
        let done = done.bind(device_id).bind(by).bind(now_ms).execute(&mut *self.transaction).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets that a device was claimed, or could be; whether there was anything.
    pub(crate) async fn remove_claim(&mut self, device_id: i64) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM claim WHERE device_id = $1").bind(device_id);
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }
}
