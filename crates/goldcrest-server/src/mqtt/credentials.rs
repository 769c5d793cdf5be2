//! Who a client is: its token decides, in the password or in the user name; what it calls itself does not.

use std::sync::Arc;

use super::access::{Speaks, Who};
use super::hub::Key;
use super::wire::Connect;
use crate::App;
use crate::adapter::Adapter;
use crate::adapters::insighio;
use crate::adapters::thingsboard::mqtt::PROVISION_USER;
use crate::token::{self, TokenKind};

/// Longest token that is looked at.
const MAX_TOKEN: usize = 256;
/// Where those are that belong to no project yet.
const NO_PROJECT: i64 = 0;

/// A client whose credential is good.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) project_id: i64,
    pub(super) who: Who,
}

/// Looks the client's token up. `None`: nobody we know, and nobody is let in without a token.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn identify(app: &App, connect: &Connect) -> anyhow::Result<Option<Identified>> {
    let password = connect.password.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let offered = [password, connect.user_name.as_deref()];
    for token in offered.into_iter().flatten().filter(|text| text.len() <= MAX_TOKEN) {
        if let Some(identified) = look_up(app, token).await? {
            return Ok(Some(identified));
        }
    }
    if let (Some(id), Some(key)) = (connect.user_name.as_deref(), password)
        && let Some(thing) = insighio::identify(app, id, key).await?
    {
        let (id, name) = (thing.device_id, thing.device.as_str().into());
        let who = Who::Device { id, name, speaks: Speaks::Insighio(Arc::new(thing.clone())) };
        return Ok(Some(Identified { project_id: thing.project_id, who }));
    }
    if let Some(identified) = board_of_thingsboard(app, connect).await? {
        return Ok(Some(identified));
    }
    // Who offers a credential is held to it.
    let has_token = offered.into_iter().flatten().any(|text| TokenKind::of(text).is_some());
    let anonymous = app.mqtt.anonymous.as_ref().filter(|_| !has_token);
    Ok(anonymous.map(|anonymous| Identified {
        project_id: anonymous.project_id,
        who: Who::Anonymous { denied: Arc::clone(&anonymous.denied) },
    }))
}

/// A board whose access token is the user name; its password is anything. Or one that wants to become a device: it says so in place of a
/// token, by its user name or, without one, by what it calls itself; where there are no profiles, nobody can.
async fn board_of_thingsboard(app: &App, connect: &Connect) -> anyhow::Result<Option<Identified>> {
    let is_newcomer = connect.user_name.as_deref().unwrap_or(&connect.client_id) == PROVISION_USER;
    if is_newcomer && app.store.has_profiles().await? {
        return Ok(Some(Identified { project_id: NO_PROJECT, who: Who::Newcomer }));
    }
    let stored = connect.user_name.as_deref().and_then(|token| Adapter::Thingsboard.stored_id(token).ok());
    let Some(stored) = stored else { return Ok(None) };
    let row = app.store.credential(Adapter::Thingsboard.as_str(), &stored).await?;
    Ok(row.map(|row| Identified {
        project_id: row.project_id,
        who: Who::Device { id: row.device_id, name: row.device.into(), speaks: Speaks::Thingsboard },
    }))
}

async fn look_up(app: &App, token: &str) -> anyhow::Result<Option<Identified>> {
    match TokenKind::of(token) {
        Some(TokenKind::Device) => {
            let device = app.store.check_in(&token::hash(token)).await?;
            Ok(device.map(|device| Identified {
                project_id: device.project_id,
                who: Who::Device { id: device.device_id, name: device.name.into(), speaks: Speaks::Native },
            }))
        }
        Some(TokenKind::Admin) => {
            let now_ms = app.clock.now_ms();
            let row = app.store.token(&token::hash(token)).await?;
            let row = row.filter(|row| row.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms));
            Ok(row.map(|row| Identified {
                project_id: row.project_id,
                who: Who::Member { token: row.name.into(), expires_ms: row.expires_ms },
            }))
        }
        Some(TokenKind::Enrolment) | None => Ok(None),
    }
}

impl Identified {
    /// Which session is this client's.
    ///
    /// `nonce` tells newcomers apart.
    pub(super) fn key(&self, client_id: &str, nonce: u64) -> Key {
        match &self.who {
            Who::Device { id, .. } => Key::Device(*id),
            Who::Member { token, .. } => Key::Member(token.clone(), client_id.into()),
            Who::Anonymous { .. } => Key::Anonymous(client_id.into()),
            // All of them call themselves the same.
            Who::Newcomer => Key::Newcomer(nonce),
        }
    }
}
