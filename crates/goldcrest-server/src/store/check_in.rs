//! The one indexed read of a check-in, and the batched heartbeats.

use std::collections::HashMap;

use anyhow::Context;
use goldcrest_core::deployment::DeploymentState;
use sqlx::FromRow;

use super::Store;

/// Everything that an unchanged check-in needs.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct CheckInRow {
    pub(crate) device_id: i64,
    pub(crate) project_id: i64,
    pub(crate) name: String,
    pub(crate) running: Option<String>,
    pub(crate) run_state: Option<String>,
    pub(crate) desired_digest: Option<String>,
    pub(crate) keyring_version: i64,
    #[sqlx(try_from = "MaybeState")]
    pub(crate) deployment_state: Option<DeploymentState>,
}

/// A nullable state column.
#[derive(Debug, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct MaybeState(Option<String>);

impl TryFrom<MaybeState> for Option<DeploymentState> {
    type Error = goldcrest_core::Refused;

    fn try_from(column: MaybeState) -> Result<Self, Self::Error> {
        column.0.map(|text| text.parse()).transpose()
    }
}

impl Store {
    /// The device whose token has this hash.
    pub(crate) async fn check_in(&self, token_hash: &str) -> anyhow::Result<Option<CheckInRow>> {
        let row = sqlx::query_as(
            "SELECT d.id AS device_id, d.project_id, d.name, d.running, d.run_state, r.digest AS desired_digest, p.keyring_version, x.state AS deployment_state
             FROM device d JOIN project p ON p.id = d.project_id
             LEFT JOIN release r ON r.id = d.desired_release_id
             LEFT JOIN deployment x ON x.id = d.deployment_id
             WHERE d.token_hash = $1",
        );
        Ok(row.bind(token_hash).fetch_optional(&self.readers).await?)
    }

    /// Writes when devices were last seen (device id, milliseconds), in one transaction.
    pub(crate) async fn write_heartbeats(&self, seen: &HashMap<i64, i64>) -> anyhow::Result<()> {
        let mut writing = self.begin().await?;
        for (device_id, at_ms) in seen {
            sqlx::query("UPDATE device SET last_seen_ms = $2 WHERE id = $1")
                .bind(device_id)
                .bind(at_ms)
                .execute(&mut *writing.transaction)
                .await
                .context("cannot write a heartbeat")?;
        }
        writing.commit().await
    }
}
