//! Git: ids of blobs, and what was seen of the repositories behind feeds.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{FeedRow, Store, Writing};

/// Digests that one statement asks for.
const DIGESTS_AT_ONCE: usize = 500;

/// What was seen of the repository behind a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub(crate) struct GitFeedRow {
    pub(crate) feed_id: i64,
    pub(crate) looked_ms: i64,
    pub(crate) error: Option<String>,
    pub(crate) branch: Option<String>,
    pub(crate) sha: Option<String>,
    pub(crate) moved_ms: Option<i64>,
    pub(crate) trouble: String,
    pub(crate) is_pending: i64,
}

/// A commit of which no release was made yet.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PendingRow {
    pub(crate) feed_id: i64,
    pub(crate) path: String,
    pub(crate) package: String,
    pub(crate) branch: String,
    pub(crate) sha: String,
    pub(crate) moved_ms: i64,
    pub(crate) trouble: String,
}

impl Store {
    /// The git ids of those of these objects whose id is known: digest and id.
    pub(crate) async fn git_blobs(&self, digests: &[String]) -> anyhow::Result<Vec<(String, String)>> {
        let mut known = Vec::new();
        for some in digests.chunks(DIGESTS_AT_ONCE) {
            let mut query: QueryBuilder<Sqlite> =
                QueryBuilder::new("SELECT digest, sha FROM git_blob WHERE digest IN (");
            let mut listed = query.separated(", ");
            for digest in some {
                listed.push_bind(digest.clone());
            }
            query.push(")");
            known.extend(query.build_query_as::<(String, String)>().fetch_all(&self.readers).await?);
        }
        Ok(known)
    }

    /// The feeds of this adapter in all projects.
    pub(crate) async fn feeds_of(&self, adapter: &str) -> anyhow::Result<Vec<FeedRow>> {
        let rows = sqlx::query_as(
            "SELECT f.id, f.project_id, f.adapter, f.path, p.name AS package, f.channel, f.settings, f.secret_hash
             FROM feed f LEFT JOIN package p ON p.id = f.package_id WHERE f.adapter = $1 ORDER BY f.id",
        );
        Ok(rows.bind(adapter).fetch_all(&self.readers).await?)
    }

    /// What was seen of the repository behind a feed.
    pub(crate) async fn git_feed(&self, feed_id: i64) -> anyhow::Result<Option<GitFeedRow>> {
        let row = sqlx::query_as(
            "SELECT feed_id, looked_ms, error, branch, sha, moved_ms, trouble, is_pending FROM git_feed WHERE feed_id = $1",
        );
        Ok(row.bind(feed_id).fetch_optional(&self.readers).await?)
    }

    /// Commits of which no release was made yet, of one package if it is named.
    pub(crate) async fn pending(&self, project_id: i64, package: Option<&str>) -> anyhow::Result<Vec<PendingRow>> {
        let rows = sqlx::query_as(
            "SELECT g.feed_id, f.path, p.name AS package, g.branch, g.sha, g.moved_ms, g.trouble
             FROM git_feed g JOIN feed f ON f.id = g.feed_id JOIN package p ON p.id = f.package_id
             WHERE f.project_id = $1 AND ($2 IS NULL OR p.name = $2)
               AND g.is_pending = 1 AND g.branch IS NOT NULL AND g.sha IS NOT NULL AND g.moved_ms IS NOT NULL
             ORDER BY g.feed_id",
        );
        Ok(rows.bind(project_id).bind(package).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Remembers the git id of an object.
    pub(crate) async fn add_git_blob(&mut self, digest: &str, sha: &str) -> anyhow::Result<()> {
        sqlx::query("INSERT INTO git_blob (digest, sha) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
            .bind(digest)
            .bind(sha)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Remembers what was seen of a repository. Nothing happens when its feed is gone.
    pub(crate) async fn set_git_feed(&mut self, row: &GitFeedRow) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO git_feed (feed_id, looked_ms, error, branch, sha, moved_ms, trouble, is_pending)
             SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM feed WHERE id = $1
             ON CONFLICT (feed_id) DO UPDATE SET looked_ms = excluded.looked_ms, error = excluded.error,
                 branch = excluded.branch, sha = excluded.sha, moved_ms = excluded.moved_ms,
                 trouble = excluded.trouble, is_pending = excluded.is_pending",
        )
        .bind(row.feed_id)
        .bind(row.looked_ms)
        .bind(&row.error)
        .bind(&row.branch)
        .bind(&row.sha)
        .bind(row.moved_ms)
        .bind(&row.trouble)
        .bind(row.is_pending)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// A release was made of this commit, or none shall be: no longer pending. Whether it was.
    pub(crate) async fn settle_pending(&mut self, project_id: i64, feed_id: i64, sha: &str) -> anyhow::Result<bool> {
        let done = sqlx::query(
            "UPDATE git_feed SET is_pending = 0 WHERE feed_id = $1 AND sha = $2 AND is_pending = 1
             AND feed_id IN (SELECT id FROM feed WHERE project_id = $3)",
        );
        let done = done.bind(feed_id).bind(sha).bind(project_id).execute(&mut *self.transaction).await?;
        Ok(done.rows_affected() > 0)
    }
}
