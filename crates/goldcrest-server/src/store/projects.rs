//! Projects and their keyrings.

use super::{News, Store, Writing};

impl Store {
    /// The project's keyring as it was uploaded.
    pub(crate) async fn keyring(&self, project_id: i64) -> anyhow::Result<Option<String>> {
        let text = sqlx::query_scalar("SELECT keyring FROM project WHERE id = $1").bind(project_id);
        Ok(text.fetch_one(&self.readers).await?)
    }
}

impl Writing {
    /// The id of the project of this name, made when it is new.
    pub(crate) async fn ensure_project(&mut self, name: &str, now_ms: i64) -> anyhow::Result<i64> {
        sqlx::query("INSERT INTO project (name, created_ms) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(now_ms)
            .execute(&mut *self.transaction)
            .await?;
        let id = sqlx::query_scalar("SELECT id FROM project WHERE name = $1").bind(name);
        Ok(id.fetch_one(&mut *self.transaction).await?)
    }

    /// The keyring in force, read within the transaction.
    pub(crate) async fn keyring(&mut self, project_id: i64) -> anyhow::Result<Option<String>> {
        let text = sqlx::query_scalar("SELECT keyring FROM project WHERE id = $1").bind(project_id);
        Ok(text.fetch_one(&mut *self.transaction).await?)
    }

    /// Puts a keyring that was checked in force.
    pub(crate) async fn set_keyring(&mut self, project_id: i64, text: &str, version: i64) -> anyhow::Result<()> {
        sqlx::query("UPDATE project SET keyring = $2, keyring_version = $3 WHERE id = $1")
            .bind(project_id)
            .bind(text)
            .bind(version)
            .execute(&mut *self.transaction)
            .await?;
        self.will_tell(News::Keyring { project_id });
        Ok(())
    }
}
