//! Feeds (packages opened to boards of other systems) and the credentials by which adapters know devices.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{News, Store, Writing};

/// A feed.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct FeedRow {
    pub(crate) id: i64,
    pub(crate) project_id: i64,
    pub(crate) adapter: String,
    pub(crate) path: String,
    pub(crate) package: Option<String>,
    pub(crate) channel: String,
    pub(crate) settings: String,
    pub(crate) secret_hash: Option<String>,
}

/// A feed to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewFeed {
    pub(crate) project_id: i64,
    pub(crate) adapter: &'static str,
    pub(crate) path: String,
    pub(crate) package_id: Option<i64>,
    pub(crate) channel: String,
    pub(crate) settings: String,
    pub(crate) secret_hash: Option<String>,
}

/// By what a device is known to an adapter.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct CredentialRow {
    pub(crate) id: i64,
    pub(crate) device_id: i64,
    pub(crate) project_id: i64,
    pub(crate) device: String,
    pub(crate) adapter: String,
    pub(crate) name: String,
    pub(crate) secret_hash: Option<String>,
    pub(crate) settings: String,
}

macro_rules! select_feed {
    ($rest:literal) => {
        concat!(
            "SELECT f.id, f.project_id, f.adapter, f.path, p.name AS package, f.channel, f.settings, f.secret_hash
             FROM feed f LEFT JOIN package p ON p.id = f.package_id ",
            $rest
        )
    };
}

macro_rules! select_credential {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.device_id, d.project_id, d.name AS device, c.adapter, c.name, c.secret_hash, c.settings
             FROM credential c JOIN device d ON d.id = c.device_id ",
            $rest
        )
    };
}

impl Store {
    /// The feeds at any of these paths, the longest path first. Git servers look repositories up in any case: these come after others.
    pub(crate) async fn feeds_at(&self, paths: &[&str]) -> anyhow::Result<Vec<FeedRow>> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(select_feed!("WHERE LOWER(f.path) IN ("));
        let mut listed = query.separated(", ");
        for path in paths {
            listed.push_bind(path.to_ascii_lowercase());
        }
        query.push(") ORDER BY LENGTH(f.path) DESC, f.id");
        let mut found = query.build_query_as::<FeedRow>().fetch_all(&self.readers).await?;
        let is_exact = |feed: &FeedRow| paths.contains(&feed.path.as_str());
        found.retain(|feed| is_exact(feed) || feed.adapter == "gogs");
        found.sort_by_key(|feed| (std::cmp::Reverse(feed.path.len()), !is_exact(feed)));
        Ok(found)
    }

    /// The feeds of a project, of one package if it is named, in the order they were made.
    pub(crate) async fn feeds(&self, project_id: i64, package: Option<&str>) -> anyhow::Result<Vec<FeedRow>> {
        let sql = select_feed!("WHERE f.project_id = $1 AND ($2 IS NULL OR p.name = $2) ORDER BY f.id");
        Ok(sqlx::query_as(sql).bind(project_id).bind(package).fetch_all(&self.readers).await?)
    }

    /// The device that shows this to an adapter.
    pub(crate) async fn credential(&self, adapter: &str, name: &str) -> anyhow::Result<Option<CredentialRow>> {
        let sql = select_credential!("WHERE c.adapter = $1 AND c.name = $2");
        Ok(sqlx::query_as(sql).bind(adapter).bind(name).fetch_optional(&self.readers).await?)
    }

    /// By what the devices of a project are known to an adapter, at most `limit`.
    pub(crate) async fn credentials_in(
        &self,
        project_id: i64,
        adapter: &str,
        limit: i64,
    ) -> anyhow::Result<Vec<CredentialRow>> {
        let sql = select_credential!("WHERE d.project_id = $1 AND c.adapter = $2 ORDER BY c.name LIMIT $3");
        Ok(sqlx::query_as(sql).bind(project_id).bind(adapter).bind(limit).fetch_all(&self.readers).await?)
    }

    /// The insigh.io things among at most a few hundred devices.
    pub(crate) async fn things_of(&self, device_ids: &[i64]) -> anyhow::Result<Vec<CredentialRow>> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new(select_credential!("WHERE c.adapter = 'insighio' AND c.device_id IN ("));
        let mut ids = query.separated(", ");
        for id in device_ids {
            ids.push_bind(*id);
        }
        query.push(") ORDER BY c.id");
        Ok(query.build_query_as::<CredentialRow>().fetch_all(&self.readers).await?)
    }

    /// The adapters by which devices with a package are known that get its plain files.
    pub(crate) async fn adapters_of_package(&self, project_id: i64, package: &str) -> anyhow::Result<Vec<String>> {
        let found = sqlx::query_scalar(
            "SELECT DISTINCT c.adapter FROM credential c JOIN device d ON d.id = c.device_id JOIN package p ON p.id = d.package_id
             WHERE p.project_id = $1 AND p.name = $2 AND c.settings NOT LIKE '%\"package\":\"release\"%' ORDER BY c.adapter",
        );
        Ok(found.bind(project_id).bind(package).fetch_all(&self.readers).await?)
    }

    /// By what a device is known.
    pub(crate) async fn credentials_of(&self, project_id: i64, device: &str) -> anyhow::Result<Vec<CredentialRow>> {
        let sql = select_credential!("WHERE d.project_id = $1 AND d.name = $2 ORDER BY c.id");
        Ok(sqlx::query_as(sql).bind(project_id).bind(device).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Adds a feed and returns its id; fails with [`super::is_taken`] when the adapter has one at this path.
    pub(crate) async fn add_feed(&mut self, feed: &NewFeed, now_ms: i64) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO feed (project_id, adapter, path, package_id, channel, settings, secret_hash, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        );
        let id = id.bind(feed.project_id).bind(feed.adapter).bind(&feed.path).bind(feed.package_id);
        let id = id.bind(&feed.channel).bind(&feed.settings).bind(&feed.secret_hash).bind(now_ms);
        Ok(id.fetch_one(&mut *self.transaction).await?)
    }

    /// Removes a feed; whether there was one.
    pub(crate) async fn remove_feed(&mut self, project_id: i64, id: i64) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM feed WHERE project_id = $1 AND id = $2").bind(project_id).bind(id);
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }

    /// Feeds that a project has.
    pub(crate) async fn count_feeds(&mut self, project_id: i64) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM feed WHERE project_id = $1").bind(project_id);
        Ok(count.fetch_one(&mut *self.transaction).await?)
    }

    /// Lets a device be known by this; fails with [`super::is_taken`] when another is.
    pub(crate) async fn add_credential(
        &mut self,
        device_id: i64,
        adapter: &str,
        name: &str,
        secret_hash: Option<&str>,
        settings: &str,
    ) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO credential (device_id, adapter, name, secret_hash, settings) VALUES ($1, $2, $3, $4, $5) RETURNING id",
        );
        let id = id.bind(device_id).bind(adapter).bind(name).bind(secret_hash).bind(settings);
        let id = id.fetch_one(&mut *self.transaction).await?;
        // There is one more place where it is told what it shall run.
        self.will_tell(News::Desired { device_id });
        Ok(id)
    }

    /// Replaces the settings of a credential, as JSON.
    pub(crate) async fn set_credential_settings(&mut self, id: i64, settings: &str) -> anyhow::Result<()> {
        let done = sqlx::query("UPDATE credential SET settings = $2 WHERE id = $1").bind(id).bind(settings);
        done.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Removes a credential of a device; whether there was one.
    pub(crate) async fn remove_credential(&mut self, device_id: i64, id: i64) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM credential WHERE device_id = $1 AND id = $2").bind(device_id).bind(id);
        // Whoever came with it goes.
        self.will_tell(News::DeviceToken { device_id });
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }
}
