//! Channels: movable names that point at a release.

use sqlx::FromRow;

use super::{Store, Writing};

/// A channel with the number of devices that follow it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ChannelRow {
    pub(crate) id: i64,
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) devices: i64,
}

macro_rules! select_channel {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, p.name AS package, c.name, r.version, r.digest,
                    (SELECT COUNT(*) FROM device d WHERE d.package_id = c.package_id AND d.channel = c.name) AS devices
             FROM channel c JOIN package p ON p.id = c.package_id JOIN release r ON r.id = c.release_id ",
            $rest
        )
    };
}

impl Store {
    /// Up to `limit` channels after the id `after`, oldest first.
    pub(crate) async fn channels(
        &self,
        project_id: i64,
        package: Option<&str>,
        after: i64,
        limit: i64,
    ) -> anyhow::Result<Vec<ChannelRow>> {
        let sql = select_channel!(
            "WHERE p.project_id = $1 AND ($2 IS NULL OR p.name = $2) AND c.id > $3 ORDER BY c.id LIMIT $4"
        );
        Ok(sqlx::query_as(sql).bind(project_id).bind(package).bind(after).bind(limit).fetch_all(&self.readers).await?)
    }

    /// The channel of this package and name.
    pub(crate) async fn channel(
        &self,
        project_id: i64,
        package: &str,
        name: &str,
    ) -> anyhow::Result<Option<ChannelRow>> {
        let sql = select_channel!("WHERE p.project_id = $1 AND p.name = $2 AND c.name = $3");
        Ok(sqlx::query_as(sql).bind(project_id).bind(package).bind(name).fetch_optional(&self.readers).await?)
    }
}

impl Writing {
    /// The release that a channel points at.
    pub(crate) async fn channel_release(&mut self, package_id: i64, name: &str) -> anyhow::Result<Option<i64>> {
        let id = sqlx::query_scalar("SELECT release_id FROM channel WHERE package_id = $1 AND name = $2");
        Ok(id.bind(package_id).bind(name).fetch_optional(&mut *self.transaction).await?)
    }

    /// The release that the channel of a device points at.
    pub(crate) async fn channel_release_of(&mut self, device_id: i64) -> anyhow::Result<Option<i64>> {
        let id = sqlx::query_scalar(
            "SELECT c.release_id FROM channel c JOIN device d ON d.package_id = c.package_id AND d.channel = c.name WHERE d.id = $1",
        );
        Ok(id.bind(device_id).fetch_optional(&mut *self.transaction).await?)
    }

    /// Points a channel at a release; made when it is new.
    pub(crate) async fn set_channel(&mut self, package_id: i64, name: &str, release_id: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO channel (package_id, name, release_id) VALUES ($1, $2, $3)
             ON CONFLICT (package_id, name) DO UPDATE SET release_id = excluded.release_id",
        )
        .bind(package_id)
        .bind(name)
        .bind(release_id)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
