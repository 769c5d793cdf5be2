//! What sensorclass boards were told and what they fetched since, and boards that nobody enrolled.

use sqlx::FromRow;

use super::releases::ReleaseRow;
use super::{CredentialRow, Store, Writing};

/// What a board was told to have. The maps are JSON, module to version.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct MacFileRow {
    pub(crate) credential_id: i64,
    pub(crate) digest: Option<String>,
    pub(crate) told: String,
    pub(crate) has: String,
    /// JSON array of file names.
    pub(crate) missing: String,
    pub(crate) fetched: i64,
    /// Asks since it fetched something, or since it was told this.
    pub(crate) idle_asks: i64,
    pub(crate) peer: String,
    /// Whether it showed that it reads the later form of a list, or the first.
    pub(crate) is_later: Option<bool>,
    pub(crate) asked_ms: i64,
    /// How often it fetched again what it seemed to have.
    pub(crate) relapses: i64,
}

/// A board that an adapter heard and that no device is known by.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PendingBoardRow {
    pub(crate) id: i64,
    pub(crate) adapter: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

impl Store {
    /// What this board was told last.
    pub(crate) async fn mac_file(&self, credential_id: i64) -> anyhow::Result<Option<MacFileRow>> {
        let row = sqlx::query_as("SELECT * FROM macfile WHERE credential_id = $1").bind(credential_id);
        Ok(row.fetch_optional(&self.readers).await?)
    }

    /// The boards of a project that asked for their list from this address, who asked last first: the device of each, by what it is
    /// known, and what it was told.
    pub(crate) async fn mac_files_at(
        &self,
        project_id: i64,
        peer: &str,
        limit: i64,
    ) -> anyhow::Result<Vec<(CredentialRow, MacFileRow)>> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT c.name FROM macfile m JOIN credential c ON c.id = m.credential_id JOIN device d ON d.id = c.device_id
             WHERE m.peer = $1 AND d.project_id = $2 AND c.adapter = 'sensorclass'
             ORDER BY m.asked_ms DESC, m.credential_id LIMIT $3",
        )
        .bind(peer)
        .bind(project_id)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            if let Some(known) = self.credential("sensorclass", &name).await?
                && let Some(row) = self.mac_file(known.id).await?
            {
                found.push((known, row));
            }
        }
        Ok(found)
    }

    /// The release that a device shall run.
    pub(crate) async fn desired_release(&self, device_id: i64) -> anyhow::Result<Option<ReleaseRow>> {
        let row = sqlx::query_as(
            "SELECT r.id, r.package_id, p.name AS package, r.version, r.digest, r.counter, r.floor, r.boards, r.mpy,
                    r.created_ms, r.uploaded_ms, r.size, r.wire_size, r.file_count, r.key_ids
             FROM device d JOIN release r ON r.id = d.desired_release_id JOIN package p ON p.id = r.package_id
             WHERE d.id = $1",
        );
        Ok(row.bind(device_id).fetch_optional(&self.readers).await?)
    }

    /// What a device said last that it runs.
    pub(crate) async fn running_digest(&self, device_id: i64) -> anyhow::Result<Option<String>> {
        let row = sqlx::query_scalar("SELECT running FROM device WHERE id = $1").bind(device_id);
        Ok(row.fetch_optional(&self.readers).await?.flatten())
    }

    /// Digest and size of the only object of a project whose digest begins so.
    pub(crate) async fn object_beginning(
        &self,
        project_id: i64,
        start: &str,
    ) -> anyhow::Result<Option<super::ObjectRow>> {
        let rows = sqlx::query_as(
            "SELECT digest, size, wire_size FROM object WHERE project_id = $1 AND digest >= $2 AND digest < $3 LIMIT 2",
        );
        let end = format!("{start}g");
        let mut rows: Vec<super::ObjectRow> =
            rows.bind(project_id).bind(start).bind(end).fetch_all(&self.readers).await?;
        Ok(if rows.len() == 1 { rows.pop() } else { None })
    }

    /// Up to `limit` boards after the id `after` that no device is known by.
    pub(crate) async fn pending_boards(
        &self,
        project_id: i64,
        after: i64,
        limit: i64,
    ) -> anyhow::Result<Vec<PendingBoardRow>> {
        let rows = sqlx::query_as(
            "SELECT q.id, q.adapter, q.name, q.path, q.first_ms, q.last_ms FROM pending_device q
             WHERE q.project_id = $1 AND q.id > $2
             AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.adapter = q.adapter AND c.name = q.name)
             ORDER BY q.id LIMIT $3",
        );
        Ok(rows.bind(project_id).bind(after).bind(limit).fetch_all(&self.readers).await?)
    }

    /// When this board was noted last.
    pub(crate) async fn pending_board_since(
        &self,
        project_id: i64,
        adapter: &str,
        name: &str,
    ) -> anyhow::Result<Option<i64>> {
        let at = sqlx::query_scalar(
            "SELECT last_ms FROM pending_device WHERE project_id = $1 AND adapter = $2 AND name = $3",
        );
        Ok(at.bind(project_id).bind(adapter).bind(name).fetch_optional(&self.readers).await?)
    }
}

impl Writing {
    /// Notes what a board was told.
    pub(crate) async fn set_mac_file(&mut self, row: &MacFileRow) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO macfile (credential_id, digest, told, has, missing, fetched, idle_asks, peer, is_later, asked_ms, relapses)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (credential_id) DO UPDATE SET
             digest = excluded.digest, told = excluded.told, has = excluded.has, missing = excluded.missing,
             fetched = excluded.fetched, idle_asks = excluded.idle_asks, peer = excluded.peer,
             is_later = excluded.is_later, asked_ms = excluded.asked_ms, relapses = excluded.relapses",
        )
        .bind(row.credential_id)
        .bind(&row.digest)
        .bind(&row.told)
        .bind(&row.has)
        .bind(&row.missing)
        .bind(row.fetched)
        .bind(row.idle_asks)
        .bind(&row.peer)
        .bind(row.is_later)
        .bind(row.asked_ms)
        .bind(row.relapses)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Notes a board that no device is known by; of more than `most`, those heard longest ago go.
    pub(crate) async fn note_pending_board(
        &mut self,
        project_id: i64,
        adapter: &str,
        name: &str,
        path: &str,
        now_ms: i64,
        most: i64,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO pending_device (project_id, adapter, name, path, first_ms, last_ms) VALUES ($1, $2, $3, $4, $5, $5)
             ON CONFLICT (project_id, adapter, name) DO UPDATE SET path = excluded.path, last_ms = excluded.last_ms",
        )
        .bind(project_id)
        .bind(adapter)
        .bind(name)
        .bind(path)
        .bind(now_ms)
        .execute(&mut *self.transaction)
        .await?;
        sqlx::query(
            "DELETE FROM pending_device WHERE project_id = $1 AND id NOT IN
             (SELECT id FROM pending_device WHERE project_id = $1 ORDER BY last_ms DESC, id DESC LIMIT $2)",
        )
        .bind(project_id)
        .bind(most)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
