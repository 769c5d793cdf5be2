//! Tells connected clients what changed in the database: desired releases, tokens that are gone, rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::access::Who;
use super::{insighio, native, reason};
use crate::App;
use crate::adapters::thingsboard::mqtt::desired_changed;
use crate::store::News;

/// Most pieces of news that are handled together.
const BATCH: usize = 1_000;

/// Passes news on until `stop`.
pub(super) async fn run(app: Arc<App>, mut news: UnboundedReceiver<(News, Instant)>, stop: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        let count = tokio::select! {
            () = stop.cancelled() => return,
            count = news.recv_many(&mut batch, BATCH) => count,
        };
        if count == 0 {
            return;
        }
        if let Some(attached) = &app.mqtt.attached {
            attached.note(batch.iter().filter_map(|(piece, _)| device_of(piece)));
        }
        // With when it was decided: who came after that was told when they subscribed, or asks by itself.
        let mut devices = BTreeMap::new();
        for (piece, at) in batch.drain(..) {
            match piece {
                News::Desired { device_id } => {
                    devices.insert(device_id, at);
                }
                News::Action { device_id, action_id } => tell_action(&app, device_id, action_id).await,
                News::Keyring { project_id } => devices.extend(online(&app, project_id).into_iter().map(|id| (id, at))),
                News::DeviceToken { device_id } => expel_device(&app, device_id),
                News::Token { project_id, name } => expel_member(&app, project_id, &name),
                News::Rules { project_id } => reload_rules(&app, project_id).await,
            }
        }
        tell_desired(&app, &devices).await;
        desired_changed(&app, &devices).await;
    }
}

/// The device about which an attached broker may have to be told something else.
fn device_of(piece: &News) -> Option<i64> {
    match piece {
        News::Desired { device_id } | News::Action { device_id, .. } | News::DeviceToken { device_id } => {
            Some(*device_id)
        }
        News::Keyring { .. } | News::Token { .. } | News::Rules { .. } => None,
    }
}

/// Publishes what these devices shall run to whoever listens.
async fn tell_desired(app: &Arc<App>, devices: &BTreeMap<i64, Instant>) {
    if devices.is_empty() || app.mqtt.hubs().is_empty() {
        return;
    }
    let ids: Vec<i64> = devices.keys().copied().collect();
    for (project_id, hub) in app.mqtt.hubs() {
        let _turn = hub.states_turn.lock().await;
        let rows = match app.store.desired_of(&ids).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "devices not told over MQTT; they will find out when they check in"
                );
                return;
            }
        };
        let mut things = Vec::new();
        {
            let mut state = hub.lock();
            for row in rows.iter().filter(|row| row.project_id == project_id) {
                state.deliver(&native::desired(row));
                if devices.get(&row.device_id).is_some_and(|at| state.is_online_for(row.device_id, at.elapsed())) {
                    things.extend(state.thing(row.device_id));
                }
            }
        }
        if let Err(error) = insighio::tell_updates(app, &hub, &things).await {
            tracing::error!(
                error = format!("{error:#}"),
                "things not told over MQTT; they will find out when they subscribe"
            );
        }
    }
}

/// Tells a thing that is there of a command or configuration.
async fn tell_action(app: &App, device_id: i64, action_id: i64) {
    for (_, hub) in app.mqtt.hubs() {
        let _turn = hub.states_turn.lock().await;
        if let Err(error) = insighio::tell_action(app, &hub, device_id, action_id).await {
            tracing::error!(
                error = format!("{error:#}"),
                "a thing not told over MQTT; it will find out when it subscribes"
            );
        }
    }
}

fn online(app: &App, project_id: i64) -> Vec<i64> {
    let hubs = app.mqtt.hubs().into_iter().filter(|(id, _)| *id == project_id);
    hubs.flat_map(|(_, hub)| hub.lock().online_devices()).collect()
}

fn expel_device(app: &App, device_id: i64) {
    for (_, hub) in app.mqtt.hubs() {
        hub.lock()
            .expel(reason::NOT_AUTHORIZED, |session| matches!(session.who, Who::Device { id, .. } if id == device_id));
    }
}

fn expel_member(app: &App, project_id: i64, name: &str) {
    for (_, hub) in app.mqtt.hubs().into_iter().filter(|(id, _)| *id == project_id) {
        hub.lock().expel(
            reason::NOT_AUTHORIZED,
            |session| matches!(&session.who, Who::Member { token, .. } if **token == *name),
        );
    }
}

async fn reload_rules(app: &App, project_id: i64) {
    for (_, hub) in app.mqtt.hubs().into_iter().filter(|(id, _)| *id == project_id) {
        match super::load_rules(app, project_id).await {
            Ok(rules) => hub.lock().set_rules(rules),
            Err(error) => tracing::error!(error = format!("{error:#}"), "rules of access over MQTT not read again"),
        }
    }
}
