//! Rollouts and the devices they are for.

use goldcrest_core::deployment::DeploymentState;
use goldcrest_core::rollout::DeviceView;
use sqlx::FromRow;

use super::{Store, Writing};

/// A rollout as people see it, with what its rules need.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RolloutRow {
    pub(crate) id: i64,
    pub(crate) package_id: i64,
    pub(crate) release_id: i64,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) channel: String,
    pub(crate) state: String,
    pub(crate) stage: i64,
    pub(crate) stages: String,
    pub(crate) max_failed: i64,
    pub(crate) accepted_failures: i64,
    /// The channel points at the release once this is completed.
    pub(crate) moves_channel: bool,
    pub(crate) reason: Option<String>,
    pub(crate) total: i64,
    pub(crate) confirmed: i64,
    pub(crate) failed: i64,
    pub(crate) created_ms: i64,
}

/// A rollout to be added.
#[derive(Debug, Clone)]
pub(crate) struct NewRollout {
    pub(crate) package_id: i64,
    pub(crate) release_id: i64,
    pub(crate) channel: String,
    pub(crate) stages: String,
    pub(crate) max_failed: i64,
    pub(crate) moves_channel: bool,
}

/// Why a deployment was cancelled that a resumed rollout may start again.
pub(crate) const HALTED: &str = "halted";

macro_rules! select_rollout {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.package_id, o.release_id, p.name AS package, r.version, o.channel, o.state, o.stage, o.stages,
                    o.max_failed, o.accepted_failures, o.moves_channel, o.reason, o.created_ms,
                    (SELECT COUNT(*) FROM rollout_device m WHERE m.rollout_id = o.id) AS total,
                    (SELECT COUNT(*) FROM deployment x WHERE x.rollout_id = o.id AND x.state = 'confirmed') AS confirmed,
                    (SELECT COUNT(*) FROM deployment x WHERE x.rollout_id = o.id
                        AND x.state IN ('failed', 'rolled-back')) AS failed
             FROM rollout o JOIN package p ON p.id = o.package_id JOIN release r ON r.id = o.release_id ",
            $rest
        )
    };
}

impl Store {
    /// Up to `limit` rollouts before the id `before`, newest first.
    pub(crate) async fn rollouts(&self, project_id: i64, before: i64, limit: i64) -> anyhow::Result<Vec<RolloutRow>> {
        let sql = select_rollout!("WHERE p.project_id = $1 AND o.id < $2 ORDER BY o.id DESC LIMIT $3");
        Ok(sqlx::query_as(sql).bind(project_id).bind(before).bind(limit).fetch_all(&self.readers).await?)
    }

    /// The rollout of this id.
    pub(crate) async fn rollout(&self, project_id: i64, id: i64) -> anyhow::Result<Option<RolloutRow>> {
        let row = sqlx::query_as(select_rollout!("WHERE p.project_id = $1 AND o.id = $2")).bind(project_id).bind(id);
        Ok(row.fetch_optional(&self.readers).await?)
    }

    /// The rollouts that are running, in all projects.
    pub(crate) async fn running_rollouts(&self) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar("SELECT id FROM rollout WHERE state = 'running' ORDER BY id");
        Ok(ids.fetch_all(&self.readers).await?)
    }
}

impl Writing {
    /// The rollout of this id in any project.
    pub(crate) async fn rollout(&mut self, id: i64) -> anyhow::Result<Option<RolloutRow>> {
        let row = sqlx::query_as(select_rollout!("WHERE o.id = $1")).bind(id);
        Ok(row.fetch_optional(&mut *self.transaction).await?)
    }

    /// The running rollout of a channel.
    pub(crate) async fn rollout_on(&mut self, package_id: i64, channel: &str) -> anyhow::Result<Option<i64>> {
        let id = sqlx::query_scalar(
            "SELECT id FROM rollout WHERE package_id = $1 AND channel = $2 AND state = 'running' LIMIT 1",
        );
        Ok(id.bind(package_id).bind(channel).fetch_optional(&mut *self.transaction).await?)
    }

    /// The running rollouts that a device belongs to.
    pub(crate) async fn rollouts_of_device(&mut self, device_id: i64) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar(
            "SELECT o.id FROM rollout o JOIN rollout_device m ON m.rollout_id = o.id
             WHERE m.device_id = $1 AND o.state = 'running' ORDER BY o.id",
        );
        Ok(ids.bind(device_id).fetch_all(&mut *self.transaction).await?)
    }

    /// Adds a running rollout with no stage open.
    pub(crate) async fn add_rollout(&mut self, rollout: &NewRollout, now_ms: i64) -> anyhow::Result<i64> {
        let id = sqlx::query_scalar(
            "INSERT INTO rollout (package_id, release_id, channel, state, stages, stage, max_failed, moves_channel, created_ms)
             VALUES ($1, $2, $3, 'running', $4, 0, $5, $6, $7) RETURNING id",
        );
        let id = id.bind(rollout.package_id).bind(rollout.release_id).bind(&rollout.channel).bind(&rollout.stages);
        let id = id.bind(rollout.max_failed).bind(rollout.moves_channel).bind(now_ms);
        Ok(id.fetch_one(&mut *self.transaction).await?)
    }

    /// Makes a device a member of a rollout.
    pub(crate) async fn add_rollout_device(&mut self, rollout_id: i64, device_id: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO rollout_device (rollout_id, device_id) VALUES ($1, $2)
             ON CONFLICT (rollout_id, device_id) DO NOTHING",
        )
        .bind(rollout_id)
        .bind(device_id)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Writes a rollout's state, its open stages and why.
    pub(crate) async fn set_rollout(
        &mut self,
        id: i64,
        state: &str,
        open_stages: i64,
        reason: Option<&str>,
    ) -> anyhow::Result<()> {
        sqlx::query("UPDATE rollout SET state = $2, stage = $3, reason = $4 WHERE id = $1")
            .bind(id)
            .bind(state)
            .bind(open_stages)
            .bind(reason)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Accepts the failures so far: only later ones count against `max_failed`.
    pub(crate) async fn accept_failures(&mut self, id: i64, failed: i64) -> anyhow::Result<()> {
        sqlx::query("UPDATE rollout SET accepted_failures = $2 WHERE id = $1")
            .bind(id)
            .bind(failed)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// The devices of a rollout with the state of their newest deployment in it. One that a halt called off counts as not started.
    pub(crate) async fn rollout_devices(&mut self, id: i64) -> anyhow::Result<Vec<DeviceView>> {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT d.name, (SELECT CASE WHEN x.state = 'cancelled' AND x.reason = $2 THEN NULL ELSE x.state END
                             FROM deployment x WHERE x.rollout_id = $1 AND x.device_id = d.id ORDER BY x.id DESC LIMIT 1)
             FROM rollout_device m JOIN device d ON d.id = m.device_id WHERE m.rollout_id = $1 ORDER BY d.name",
        )
        .bind(id)
        .bind(HALTED)
        .fetch_all(&mut *self.transaction)
        .await?;
        let views = rows.into_iter().map(|(name, state)| {
            let deployment = state.map(|state| state.parse::<DeploymentState>()).transpose()?;
            Ok(DeviceView { name: name.parse()?, deployment })
        });
        views.collect()
    }

    /// Whether a deployment of this rollout has not ended.
    pub(crate) async fn is_under_way(&mut self, id: i64) -> anyhow::Result<bool> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM deployment WHERE rollout_id = $1
             AND state IN ('queued', 'notified', 'downloading', 'verified', 'installing', 'trial') LIMIT 1",
        )
        .bind(id)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(found.is_some())
    }

    /// The devices whose deployment in this rollout has not begun.
    pub(crate) async fn queued_devices(&mut self, rollout_id: i64) -> anyhow::Result<Vec<i64>> {
        let ids = sqlx::query_scalar(
            "SELECT d.id FROM device d JOIN deployment x ON x.id = d.deployment_id
             WHERE x.rollout_id = $1 AND x.state = 'queued' ORDER BY d.id",
        );
        Ok(ids.bind(rollout_id).fetch_all(&mut *self.transaction).await?)
    }
}
