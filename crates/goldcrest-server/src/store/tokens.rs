//! Tokens of people and scripts. Device tokens are in the device's row.

use sqlx::FromRow;

use super::{News, Store, Writing};

/// A token without its secret.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TokenRow {
    pub(crate) project_id: i64,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) created_ms: i64,
    pub(crate) expires_ms: Option<i64>,
}

macro_rules! select_token {
    ($rest:literal) => {
        concat!(
            "SELECT t.project_id, p.name AS project, t.name, t.created_ms, t.expires_ms
             FROM token t JOIN project p ON p.id = t.project_id ",
            $rest
        )
    };
}

impl Store {
    /// The token with this hash.
    pub(crate) async fn token(&self, hash: &str) -> anyhow::Result<Option<TokenRow>> {
        let row = sqlx::query_as(select_token!("WHERE t.hash = $1")).bind(hash);
        Ok(row.fetch_optional(&self.readers).await?)
    }

    /// Up to `limit` tokens of a project after the name `after`.
    pub(crate) async fn tokens(&self, project_id: i64, after: &str, limit: i64) -> anyhow::Result<Vec<TokenRow>> {
        let sql = select_token!("WHERE t.project_id = $1 AND t.name > $2 ORDER BY t.name LIMIT $3");
        Ok(sqlx::query_as(sql).bind(project_id).bind(after).bind(limit).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// Whether the project has a token of this name.
    pub(crate) async fn has_token(&mut self, project_id: i64, name: &str) -> anyhow::Result<bool> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM token WHERE project_id = $1 AND name = $2")
            .bind(project_id)
            .bind(name)
            .fetch_one(&mut *self.transaction)
            .await?;
        Ok(count > 0)
    }

    /// Adds a token; fails with [`super::is_taken`] when the name is.
    pub(crate) async fn add_token(
        &mut self,
        project_id: i64,
        name: &str,
        hash: &str,
        now_ms: i64,
        expires_ms: Option<i64>,
    ) -> anyhow::Result<()> {
        sqlx::query("INSERT INTO token (project_id, name, hash, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)")
            .bind(project_id)
            .bind(name)
            .bind(hash)
            .bind(now_ms)
            .bind(expires_ms)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Removes a token; whether there was one.
    pub(crate) async fn remove_token(&mut self, project_id: i64, name: &str) -> anyhow::Result<bool> {
        let done = sqlx::query("DELETE FROM token WHERE project_id = $1 AND name = $2")
            .bind(project_id)
            .bind(name)
            .execute(&mut *self.transaction)
            .await?;
        self.will_tell(News::Token { project_id, name: name.to_owned() });
        Ok(done.rows_affected() > 0)
    }
}
