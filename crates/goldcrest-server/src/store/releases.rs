//! Packages, releases and which objects a project may hand out.

use sqlx::FromRow;

use super::{Store, Writing};

/// A package with its number of releases and its newest version.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PackageRow {
    pub(crate) name: String,
    pub(crate) releases: i64,
    pub(crate) latest: Option<String>,
}

/// A release without its manifest.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ReleaseRow {
    pub(crate) id: i64,
    pub(crate) package_id: i64,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) counter: i64,
    pub(crate) floor: i64,
    pub(crate) boards: String,
    pub(crate) mpy: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) uploaded_ms: i64,
    pub(crate) size: i64,
    pub(crate) wire_size: i64,
    pub(crate) file_count: i64,
    pub(crate) key_ids: String,
}

/// An object of a project.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ObjectRow {
    pub(crate) digest: String,
    pub(crate) size: i64,
    pub(crate) wire_size: i64,
}

/// A release to be added: everything was verified.
#[derive(Debug, Clone)]
pub(crate) struct NewRelease {
    pub(crate) package_id: i64,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) counter: i64,
    pub(crate) floor: i64,
    pub(crate) boards: String,
    pub(crate) mpy: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) uploaded_ms: i64,
    pub(crate) size: i64,
    pub(crate) wire_size: i64,
    pub(crate) file_count: i64,
    pub(crate) key_ids: String,
    pub(crate) manifest: String,
}

macro_rules! select_release {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.package_id, p.name AS package, r.version, r.digest, r.counter, r.floor, r.boards, r.mpy,
                    r.created_ms, r.uploaded_ms, r.size, r.wire_size, r.file_count, r.key_ids
             FROM release r JOIN package p ON p.id = r.package_id ",
            $rest
        )
    };
}

impl Store {
    /// Up to `limit` packages after the name `after`.
    pub(crate) async fn packages(&self, project_id: i64, after: &str, limit: i64) -> anyhow::Result<Vec<PackageRow>> {
        let rows = sqlx::query_as(
            "SELECT p.name, (SELECT COUNT(*) FROM release r WHERE r.package_id = p.id) AS releases,
                    (SELECT r.version FROM release r WHERE r.package_id = p.id ORDER BY r.counter DESC LIMIT 1) AS latest
             FROM package p WHERE p.project_id = $1 AND p.name > $2 ORDER BY p.name LIMIT $3",
        );
        Ok(rows.bind(project_id).bind(after).bind(limit).fetch_all(&self.readers).await?)
    }

    /// Up to `limit` releases, newest first, older than the release with id `before`.
    pub(crate) async fn releases(
        &self,
        project_id: i64,
        package: Option<&str>,
        before: i64,
        limit: i64,
    ) -> anyhow::Result<Vec<ReleaseRow>> {
        let sql = select_release!(
            "WHERE p.project_id = $1 AND ($2 IS NULL OR p.name = $2) AND r.id < $3 ORDER BY r.id DESC LIMIT $4"
        );
        Ok(sqlx::query_as(sql).bind(project_id).bind(package).bind(before).bind(limit).fetch_all(&self.readers).await?)
    }

    /// The release of this package and version.
    pub(crate) async fn release(
        &self,
        project_id: i64,
        package: &str,
        version: &str,
    ) -> anyhow::Result<Option<ReleaseRow>> {
        let sql = select_release!("WHERE p.project_id = $1 AND p.name = $2 AND r.version = $3");
        Ok(sqlx::query_as(sql).bind(project_id).bind(package).bind(version).fetch_optional(&self.readers).await?)
    }

    /// The manifest of a release with its signature lines.
    pub(crate) async fn manifest(&self, release_id: i64) -> anyhow::Result<String> {
        let text = sqlx::query_scalar("SELECT manifest FROM release WHERE id = $1").bind(release_id);
        Ok(text.fetch_one(&self.readers).await?)
    }

    /// The object of this digest, if the project has it.
    pub(crate) async fn object(&self, project_id: i64, digest: &str) -> anyhow::Result<Option<ObjectRow>> {
        let row = sqlx::query_as("SELECT digest, size, wire_size FROM object WHERE project_id = $1 AND digest = $2");
        Ok(row.bind(project_id).bind(digest).fetch_optional(&self.readers).await?)
    }
}

impl Writing {
    /// The id of the package of this name, made when it is new.
    pub(crate) async fn ensure_package(&mut self, project_id: i64, name: &str) -> anyhow::Result<i64> {
        sqlx::query("INSERT INTO package (project_id, name) VALUES ($1, $2) ON CONFLICT (project_id, name) DO NOTHING")
            .bind(project_id)
            .bind(name)
            .execute(&mut *self.transaction)
            .await?;
        let id = sqlx::query_scalar("SELECT id FROM package WHERE project_id = $1 AND name = $2");
        Ok(id.bind(project_id).bind(name).fetch_one(&mut *self.transaction).await?)
    }

    /// The release of this package and version.
    pub(crate) async fn release(
        &mut self,
        project_id: i64,
        package: &str,
        version: &str,
    ) -> anyhow::Result<Option<ReleaseRow>> {
        let sql = select_release!("WHERE p.project_id = $1 AND p.name = $2 AND r.version = $3");
        let row = sqlx::query_as(sql).bind(project_id).bind(package).bind(version);
        Ok(row.fetch_optional(&mut *self.transaction).await?)
    }

    /// The release of a package by its digest.
    pub(crate) async fn release_by_digest(
        &mut self,
        package_id: i64,
        digest: &str,
    ) -> anyhow::Result<Option<ReleaseRow>> {
        let sql = select_release!("WHERE r.package_id = $1 AND r.digest = $2");
        let row = sqlx::query_as(sql).bind(package_id).bind(digest);
        Ok(row.fetch_optional(&mut *self.transaction).await?)
    }

    /// The release of this id.
    pub(crate) async fn release_by_id(&mut self, id: i64) -> anyhow::Result<ReleaseRow> {
        let row = sqlx::query_as(select_release!("WHERE r.id = $1")).bind(id);
        Ok(row.fetch_one(&mut *self.transaction).await?)
    }

    /// The manifest of a release with its signature lines.
    pub(crate) async fn manifest(&mut self, release_id: i64) -> anyhow::Result<String> {
        let text = sqlx::query_scalar("SELECT manifest FROM release WHERE id = $1").bind(release_id);
        Ok(text.fetch_one(&mut *self.transaction).await?)
    }

    /// The highest counter of a package's releases.
    pub(crate) async fn highest_counter(&mut self, package_id: i64) -> anyhow::Result<Option<i64>> {
        let highest = sqlx::query_scalar("SELECT MAX(counter) FROM release WHERE package_id = $1").bind(package_id);
        Ok(highest.fetch_one(&mut *self.transaction).await?)
    }

    /// Adds a release.
    pub(crate) async fn add_release(&mut self, release: &NewRelease) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO release (package_id, version, digest, counter, floor, boards, mpy, created_ms, uploaded_ms,
                                  size, wire_size, file_count, key_ids, manifest)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id",
        )
        .bind(release.package_id)
        .bind(&release.version)
        .bind(&release.digest)
        .bind(release.counter)
        .bind(release.floor)
        .bind(&release.boards)
        .bind(&release.mpy)
        .bind(release.created_ms)
        .bind(release.uploaded_ms)
        .bind(release.size)
        .bind(release.wire_size)
        .bind(release.file_count)
        .bind(&release.key_ids)
        .bind(&release.manifest)
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(id)
    }

    /// The object of this digest, if the project has it.
    pub(crate) async fn object(&mut self, project_id: i64, digest: &str) -> anyhow::Result<Option<ObjectRow>> {
        let row = sqlx::query_as("SELECT digest, size, wire_size FROM object WHERE project_id = $1 AND digest = $2");
        Ok(row.bind(project_id).bind(digest).fetch_optional(&mut *self.transaction).await?)
    }

    /// Lets a project's devices fetch an object whose file is there.
    pub(crate) async fn add_object(&mut self, project_id: i64, object: &ObjectRow) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO object (project_id, digest, size, wire_size) VALUES ($1, $2, $3, $4)
             ON CONFLICT (project_id, digest) DO NOTHING",
        )
        .bind(project_id)
        .bind(&object.digest)
        .bind(object.size)
        .bind(object.wire_size)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
