//! insigh.io things: where each is with its update, what it is to be told besides, how it gets its key.

use goldcrest_core::deployment::DeploymentState;
use sqlx::FromRow;

use super::check_in::MaybeState;
use super::{News, Store, Writing};

/// A thing's device and the update that it is on its way to.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ThingRow {
    pub(crate) running: Option<String>,
    pub(crate) desired_release_id: Option<i64>,
    pub(crate) desired_digest: Option<String>,
    pub(crate) deployment_id: Option<i64>,
    #[sqlx(try_from = "MaybeState")]
    pub(crate) deployment_state: Option<DeploymentState>,
    pub(crate) deployment_created_ms: Option<i64>,
    /// It took the announcement away.
    pub(crate) cleared: bool,
}

/// Something that a thing is to be told besides updates.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ActionRow {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) content: String,
    pub(crate) created_ms: i64,
    pub(crate) is_open: bool,
    pub(crate) request_is_open: bool,
}

/// A thing that may fetch its key.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct BootstrapRow {
    pub(crate) thing: String,
    pub(crate) settings: String,
    pub(crate) external_key_hash: String,
    pub(crate) thing_key: String,
    pub(crate) content: Option<String>,
    pub(crate) expires_ms: i64,
}

/// A key that is to be fetched.
#[derive(Debug, Clone)]
pub(crate) struct NewBootstrap<'a> {
    pub(crate) credential_id: i64,
    pub(crate) external_id: &'a str,
    pub(crate) external_key_hash: &'a str,
    pub(crate) thing_key: &'a str,
    pub(crate) content: Option<&'a str>,
    pub(crate) expires_ms: i64,
}

impl Store {
    /// Where a thing is with its update.
    pub(crate) async fn thing(&self, device_id: i64) -> anyhow::Result<Option<ThingRow>> {
        let row = sqlx::query_as(
            "SELECT d.running, d.desired_release_id, r.digest AS desired_digest, d.deployment_id,
                    x.state AS deployment_state, x.created_ms AS deployment_created_ms, COALESCE(u.cleared, 0) <> 0 AS cleared
             FROM device d LEFT JOIN release r ON r.id = d.desired_release_id
             LEFT JOIN deployment x ON x.id = d.deployment_id LEFT JOIN thing_update u ON u.deployment_id = x.id
             WHERE d.id = $1",
        );
        Ok(row.bind(device_id).fetch_optional(&self.readers).await?)
    }

    /// The release of a device's package whose digest begins so.
    pub(crate) async fn release_of_file(&self, device_id: i64, file_id: &str) -> anyhow::Result<Option<String>> {
        let row = sqlx::query_scalar(
            "SELECT r.digest FROM release r JOIN device d ON d.package_id = r.package_id
             WHERE d.id = $1 AND substr(r.digest, 1, $2) = $3",
        );
        let length = i64::try_from(file_id.len()).unwrap_or(0);
        Ok(row.bind(device_id).bind(length).bind(file_id).fetch_optional(&self.readers).await?)
    }

    /// What a thing is still to be told, oldest first.
    pub(crate) async fn thing_actions(&self, device_id: i64) -> anyhow::Result<Vec<ActionRow>> {
        let rows = sqlx::query_as(
            "SELECT id, kind, content, created_ms, is_open <> 0 AS is_open, request_is_open <> 0 AS request_is_open
             FROM thing_action WHERE device_id = $1 ORDER BY id",
        );
        Ok(rows.bind(device_id).fetch_all(&self.readers).await?)
    }

    /// The configuration that a thing last told, and when.
    pub(crate) async fn thing_config(&self, device_id: i64) -> anyhow::Result<Option<(String, i64)>> {
        let row = sqlx::query_as("SELECT content, at_ms FROM thing_config WHERE device_id = $1");
        Ok(row.bind(device_id).fetch_optional(&self.readers).await?)
    }

    /// The thing that shows this id to fetch its key.
    pub(crate) async fn bootstrap(&self, external_id: &str) -> anyhow::Result<Option<BootstrapRow>> {
        let row = sqlx::query_as(
            "SELECT c.name AS thing, c.settings, b.external_key_hash, b.thing_key, b.content, b.expires_ms
             FROM thing_bootstrap b JOIN credential c ON c.id = b.credential_id WHERE b.external_id = $1",
        );
        Ok(row.bind(external_id).fetch_optional(&self.readers).await?)
    }

    /// Whether a thing's key can still be fetched.
    pub(crate) async fn has_bootstrap(&self, credential_id: i64) -> anyhow::Result<bool> {
        let found = sqlx::query_scalar("SELECT 1 FROM thing_bootstrap WHERE credential_id = $1").bind(credential_id);
        Ok(found.fetch_optional(&self.readers).await?.map_or(0, |found: i64| found) == 1)
    }
}

impl Writing {
    /// Notes that the thing took an announcement away.
    pub(crate) async fn clear_thing_update(&mut self, deployment_id: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO thing_update (deployment_id, cleared) VALUES ($1, 1)
             ON CONFLICT (deployment_id) DO UPDATE SET cleared = 1",
        )
        .bind(deployment_id)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Counts a download that failed; how many there were.
    pub(crate) async fn count_attempt(&mut self, deployment_id: i64) -> anyhow::Result<i64> {
        let attempts = sqlx::query_scalar(
            "INSERT INTO thing_update (deployment_id, attempts) VALUES ($1, 1)
             ON CONFLICT (deployment_id) DO UPDATE SET attempts = attempts + 1 RETURNING attempts",
        );
        Ok(attempts.bind(deployment_id).fetch_one(&mut *self.transaction).await?)
    }

    /// Adds something to tell; its id.
    pub(crate) async fn add_action(
        &mut self,
        device_id: i64,
        kind: &str,
        content: &str,
        now_ms: i64,
    ) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO thing_action (device_id, kind, content, created_ms) VALUES ($1, $2, $3, $4) RETURNING id",
        );
        let id = id.bind(device_id).bind(kind).bind(content).bind(now_ms).fetch_one(&mut *self.transaction).await?;
        self.will_tell(News::Action { device_id, action_id: id });
        Ok(id)
    }

    /// How much a thing is still to be told.
    pub(crate) async fn count_actions(&mut self, device_id: i64) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM thing_action WHERE device_id = $1").bind(device_id);
        Ok(count.fetch_one(&mut *self.transaction).await?)
    }

    /// Removes something that was to be told; whether it was there.
    pub(crate) async fn remove_action(&mut self, device_id: i64, id: i64) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM thing_action WHERE device_id = $1 AND id = $2").bind(device_id).bind(id);
        Ok(done.execute(&mut *self.transaction).await?.rows_affected() > 0)
    }

    /// The thing took away the oldest message of this kind; a configuration is done when both of its messages are.
    pub(crate) async fn close_action(&mut self, device_id: i64, kind: &str, is_request: bool) -> anyhow::Result<()> {
        let close = if is_request {
            "UPDATE thing_action SET request_is_open = 0 WHERE id =
                (SELECT MIN(id) FROM thing_action WHERE device_id = $1 AND kind = $2 AND request_is_open = 1)"
        } else {
            "UPDATE thing_action SET is_open = 0 WHERE id =
                (SELECT MIN(id) FROM thing_action WHERE device_id = $1 AND kind = $2 AND is_open = 1)"
        };
        sqlx::query(close).bind(device_id).bind(kind).execute(&mut *self.transaction).await?;
        sqlx::query(
            "DELETE FROM thing_action WHERE device_id = $1 AND is_open = 0 AND (kind <> 'config' OR request_is_open = 0)",
        )
        .bind(device_id)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Keeps the configuration that a thing told.
    pub(crate) async fn set_thing_config(&mut self, device_id: i64, content: &str, now_ms: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO thing_config (device_id, content, at_ms) VALUES ($1, $2, $3)
             ON CONFLICT (device_id) DO UPDATE SET content = excluded.content, at_ms = excluded.at_ms",
        )
        .bind(device_id)
        .bind(content)
        .bind(now_ms)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Lets a thing fetch its key; an older offer to it is forgotten. Fails with [`super::is_taken`] when another thing has the id.
    pub(crate) async fn add_bootstrap(&mut self, offer: &NewBootstrap<'_>, now_ms: i64) -> anyhow::Result<()> {
        sqlx::query("DELETE FROM thing_bootstrap WHERE credential_id = $1 OR expires_ms <= $2")
            .bind(offer.credential_id)
            .bind(now_ms)
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query(
            "INSERT INTO thing_bootstrap (credential_id, external_id, external_key_hash, thing_key, content, expires_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(offer.credential_id)
        .bind(offer.external_id)
        .bind(offer.external_key_hash)
        .bind(offer.thing_key)
        .bind(offer.content)
        .bind(offer.expires_ms)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Forgets a key that was fetched.
    pub(crate) async fn end_bootstrap(&mut self, credential_id: i64) -> anyhow::Result<()> {
        let done = sqlx::query("DELETE FROM thing_bootstrap WHERE credential_id = $1").bind(credential_id);
        done.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Replaces what a credential must show; who came with the old one goes.
    pub(crate) async fn set_secret(
        &mut self,
        device_id: i64,
        credential_id: i64,
        secret_hash: &str,
    ) -> anyhow::Result<()> {
        let done = sqlx::query("UPDATE credential SET secret_hash = $2 WHERE id = $1").bind(credential_id);
        done.bind(secret_hash).execute(&mut *self.transaction).await?;
        self.will_tell(News::DeviceToken { device_id });
        Ok(())
    }
}
