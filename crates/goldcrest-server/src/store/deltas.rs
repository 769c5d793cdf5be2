//! Deltas between releases and between their objects.

use sqlx::FromRow;

use super::{Store, Writing};

/// What the job needs to know of a release.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeltaRelease {
    pub(crate) id: i64,
    pub(crate) package_id: i64,
    pub(crate) project_id: i64,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) manifest: String,
}

/// A way from one release to another, to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewDelta {
    pub(crate) from_release_id: i64,
    pub(crate) to_release_id: i64,
    pub(crate) project_id: i64,
    pub(crate) manifest: Vec<u8>,
    pub(crate) objects: Vec<NewObjectDelta>,
    pub(crate) size: i64,
    pub(crate) whole_size: i64,
}

/// A delta between two objects, by their digests.
#[derive(Debug, Clone)]
pub(crate) struct NewObjectDelta {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) body: Vec<u8>,
}

/// A way to a release as people see it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeltaRow {
    pub(crate) version: String,
    pub(crate) size: i64,
    pub(crate) whole_size: i64,
}

impl Store {
    /// The release of this id, if it is still there.
    pub(crate) async fn delta_release(&self, id: i64) -> anyhow::Result<Option<DeltaRelease>> {
        let row = sqlx::query_as(
            "SELECT r.id, r.package_id, p.project_id, p.name AS package, r.version, r.manifest
             FROM release r JOIN package p ON p.id = r.package_id WHERE r.id = $1",
        );
        Ok(row.bind(id).fetch_optional(&self.readers).await?)
    }

    /// Releases that boards may be sent to soon: those of channels and running rollouts, and the newest of each package.
    pub(crate) async fn delta_targets(&self, limit: i64) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar(
            "SELECT release_id FROM channel UNION SELECT release_id FROM rollout WHERE state = 'running'
             UNION SELECT MAX(id) FROM release GROUP BY package_id ORDER BY 1 DESC LIMIT $1",
        );
        Ok(ids.bind(limit).fetch_all(&self.readers).await?)
    }

    /// Other releases that boards of the package run, those that most of them run first.
    pub(crate) async fn most_run(&self, release: &DeltaRelease, limit: i64) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar(
            "SELECT r.id FROM device d JOIN release r ON r.package_id = d.package_id AND r.digest = d.running
             WHERE d.package_id = $1 AND r.id <> $2 GROUP BY r.id ORDER BY COUNT(*) DESC, r.id DESC LIMIT $3",
        );
        Ok(ids.bind(release.package_id).bind(release.id).bind(limit).fetch_all(&self.readers).await?)
    }

    /// Whether this way was made.
    pub(crate) async fn has_delta(&self, from_release_id: i64, to_release_id: i64) -> anyhow::Result<bool> {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM delta WHERE from_release_id = $1 AND to_release_id = $2")
                .bind(from_release_id)
                .bind(to_release_id)
                .fetch_one(&self.readers)
                .await?;
        Ok(count > 0)
    }

    /// The delta between two objects, if a way of the project has one.
    pub(crate) async fn object_delta(&self, project_id: i64, from: &str, to: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let body = sqlx::query_scalar(
            "SELECT body FROM object_delta WHERE project_id = $1 AND from_digest = $2 AND to_digest = $3 LIMIT 1",
        );
        Ok(body.bind(project_id).bind(from).bind(to).fetch_optional(&self.readers).await?)
    }

    /// The manifest's delta on the way from the release of this digest.
    pub(crate) async fn manifest_delta(&self, from: &str, to_release_id: i64) -> anyhow::Result<Option<Vec<u8>>> {
        let body = sqlx::query_scalar(
            "SELECT x.manifest FROM delta x JOIN release f ON f.id = x.from_release_id
             WHERE x.to_release_id = $1 AND f.digest = $2",
        );
        Ok(body.bind(to_release_id).bind(from).fetch_optional(&self.readers).await?)
    }

    /// The release of this digest in the package of another one.
    pub(crate) async fn sibling(&self, release_id: i64, digest: &str) -> anyhow::Result<Option<i64>> {
        let id = sqlx::query_scalar(
            "SELECT s.id FROM release r JOIN release s ON s.package_id = r.package_id WHERE r.id = $1 AND s.digest = $2",
        );
        Ok(id.bind(release_id).bind(digest).fetch_optional(&self.readers).await?)
    }

    /// The ways to a release, newest first.
    pub(crate) async fn deltas_to(&self, release_id: i64, limit: i64) -> anyhow::Result<Vec<DeltaRow>> {
        let rows = sqlx::query_as(
            "SELECT f.version, x.size, x.whole_size FROM delta x JOIN release f ON f.id = x.from_release_id
             WHERE x.to_release_id = $1 ORDER BY x.id DESC LIMIT $2",
        );
        Ok(rows.bind(release_id).bind(limit).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Adds a way with its objects. One that is there already stays as it is.
    pub(crate) async fn add_delta(&mut self, delta: &NewDelta, now_ms: i64) -> anyhow::Result<()> {
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO delta (from_release_id, to_release_id, manifest, size, whole_size, made_ms)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (from_release_id, to_release_id) DO NOTHING RETURNING id",
        )
        .bind(delta.from_release_id)
        .bind(delta.to_release_id)
        .bind(&delta.manifest)
        .bind(delta.size)
        .bind(delta.whole_size)
        .bind(now_ms)
        .fetch_optional(&mut *self.transaction)
        .await?;
        let Some(id) = id else { return Ok(()) };
        for object in &delta.objects {
            sqlx::query(
                "INSERT INTO object_delta (delta_id, project_id, from_digest, to_digest, body) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(id)
            .bind(delta.project_id)
            .bind(&object.from)
            .bind(&object.to)
            .bind(&object.body)
            .execute(&mut *self.transaction)
            .await?;
        }
        Ok(())
    }

    /// Removes all but the newest ways of a package.
    pub(crate) async fn prune_deltas(&mut self, package_id: i64, keep: i64) -> anyhow::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM delta WHERE id <= (SELECT x.id FROM delta x JOIN release r ON r.id = x.to_release_id
             WHERE r.package_id = $1 ORDER BY x.id DESC LIMIT 1 OFFSET $2)
             AND to_release_id IN (SELECT id FROM release WHERE package_id = $1)",
        );
        Ok(done.bind(package_id).bind(keep).execute(&mut *self.transaction).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests;
