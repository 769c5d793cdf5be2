//! Moves devices, deployments and rollouts on: the pure rules of goldcrest-core applied inside a transaction.
//!
//! [`check_in`] and [`report`] take in what a device says, [`track`] applies it to its deployment, [`start`] decides that a device shall run a release, [`advance`] lets rollouts take their
//! next step. Everything here may run twice: a rollout is decided from its rows, so [`heal`] repeats what a killed server left undone.

pub(crate) mod advance;
pub(crate) mod check_in;
pub(crate) mod report;
pub(crate) mod start;
pub(crate) mod track;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;

/// How often running rollouts are decided again although nothing was heard: it reads every device of each.
const HEAL_INTERVAL: Duration = Duration::from_mins(1);

/// Rollouts that a change touched: they are decided again before the transaction ends.
pub(crate) type Touched = BTreeSet<i64>;

/// Decides every running rollout again, now and every minute, until `stop`.
pub(crate) async fn heal(app: &App, stop: CancellationToken) {
    loop {
        if let Err(error) = heal_once(app).await {
            tracing::error!(error = format!("{error:#}"), "rollouts not decided, will retry");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HEAL_INTERVAL) => {}
        }
    }
}

async fn heal_once(app: &App) -> anyhow::Result<()> {
    for rollout_id in app.store.running_rollouts().await? {
        let mut writing = app.store.begin().await?;
        advance::settle(&mut writing, Touched::from([rollout_id]), app.clock.now_ms()).await?;
        writing.commit().await?;
    }
    Ok(())
}
