//! Deployments: one device on its way to one release.

use goldcrest_core::deployment::DeploymentState;
use sqlx::FromRow;

use super::{Store, Writing};

/// A deployment as people see it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeploymentRow {
    pub(crate) id: i64,
    pub(crate) device: String,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) rollout: Option<i64>,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

/// Which deployments are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeploymentFilter {
    pub(crate) device: Option<String>,
    pub(crate) rollout: Option<i64>,
    pub(crate) state: Option<String>,
}

/// A device's unfinished deployment.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ActiveDeployment {
    pub(crate) id: i64,
    pub(crate) release_id: i64,
    pub(crate) rollout_id: Option<i64>,
    #[sqlx(try_from = "String")]
    pub(crate) state: DeploymentState,
    /// Digest of the release.
    pub(crate) digest: String,
    /// Floor of the release.
    pub(crate) floor: i64,
}

/// Why a deployment ended, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) reason: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) trace: Option<String>,
}

impl Outcome {
    pub(crate) fn because(reason: &str, detail: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), detail: Some(detail.into()), trace: None }
    }
}

impl Store {
    /// Up to `limit` deployments before the id `before`, newest first.
    pub(crate) async fn deployments(
        &self,
        project_id: i64,
        filter: &DeploymentFilter,
        before: i64,
        limit: i64,
    ) -> anyhow::Result<Vec<DeploymentRow>> {
        let rows = sqlx::query_as(
            "SELECT x.id, d.name AS device, p.name AS package, r.version, x.rollout_id AS rollout, x.state, x.reason,
                    x.detail, x.trace, x.created_ms, x.updated_ms
             FROM deployment x JOIN device d ON d.id = x.device_id JOIN release r ON r.id = x.release_id
             JOIN package p ON p.id = r.package_id
             WHERE d.project_id = $1 AND x.id < $2 AND ($3 IS NULL OR d.name = $3)
             AND ($4 IS NULL OR x.rollout_id = $4) AND ($5 IS NULL OR x.state = $5) ORDER BY x.id DESC LIMIT $6",
        );
        let rows = rows.bind(project_id).bind(before).bind(&filter.device).bind(filter.rollout);
        Ok(rows.bind(&filter.state).bind(limit).fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// A deployment by its id.
    pub(crate) async fn active_deployment(&mut self, id: i64) -> anyhow::Result<ActiveDeployment> {
        let row = sqlx::query_as(
            "SELECT x.id, x.release_id, x.rollout_id, x.state, r.digest, r.floor
             FROM deployment x JOIN release r ON r.id = x.release_id WHERE x.id = $1",
        );
        Ok(row.bind(id).fetch_one(&mut *self.transaction).await?)
    }

    /// Adds a deployment.
    pub(crate) async fn add_deployment(
        &mut self,
        device_id: i64,
        release_id: i64,
        rollout_id: Option<i64>,
        state: DeploymentState,
        now_ms: i64,
    ) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO deployment (device_id, release_id, rollout_id, state, created_ms, updated_ms)
             VALUES ($1, $2, $3, $4, $5, $5) RETURNING id",
        );
        let id = id.bind(device_id).bind(release_id).bind(rollout_id).bind(state.as_str()).bind(now_ms);
        Ok(id.fetch_one(&mut *self.transaction).await?)
    }

    /// Moves a deployment on. What `outcome` does not say stays.
    pub(crate) async fn set_deployment(
        &mut self,
        id: i64,
        state: DeploymentState,
        outcome: &Outcome,
        now_ms: i64,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "UPDATE deployment SET state = $2, reason = COALESCE($3, reason), detail = COALESCE($4, detail),
                    trace = COALESCE($5, trace), updated_ms = $6 WHERE id = $1",
        )
        .bind(id)
        .bind(state.as_str())
        .bind(&outcome.reason)
        .bind(&outcome.detail)
        .bind(&outcome.trace)
        .bind(now_ms)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Forgets the failures that a deployment got over.
    pub(crate) async fn clear_outcome(&mut self, id: i64) -> anyhow::Result<()> {
        sqlx::query("UPDATE deployment SET reason = NULL, detail = NULL, trace = NULL WHERE id = $1")
            .bind(id)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Gives a deployment that ended without a traceback (it was concluded from a check-in) what a late report says about it.
    pub(crate) async fn explain_ended(
        &mut self,
        device_id: i64,
        release_id: i64,
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "UPDATE deployment SET reason = COALESCE($3, reason), detail = COALESCE($4, detail), trace = $5
             WHERE trace IS NULL AND state IN ('failed', 'rolled-back') AND id =
                (SELECT MAX(id) FROM deployment WHERE device_id = $1 AND release_id = $2)",
        )
        .bind(device_id)
        .bind(release_id)
        .bind(&outcome.reason)
        .bind(&outcome.detail)
        .bind(&outcome.trace)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
