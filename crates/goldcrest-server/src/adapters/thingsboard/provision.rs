//! Provisioning: a board that knows key and secret of a profile becomes a device of its own, and is told its access token.

use std::sync::Arc;

use goldcrest_core::name::DeviceName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{NAME, Settings};
use crate::App;
use crate::failure::Failure;
use crate::rollout::Touched;
use crate::rollout::advance::settle;
use crate::rollout::start::start;
use crate::store::{NewDevice, ProfileRow, Writing, is_taken};
use crate::token::{self, TokenKind};

/// Most bytes of a request.
pub(crate) const MAX_REQUEST: usize = 4 << 10;

/// What a board says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    device_name: Option<String>,
    provision_device_key: String,
    provision_device_secret: String,
    credentials_type: Option<String>,
    token: Option<String>,
}

/// Makes a device, and answers what the board is to know. Whatever stands against it, the board is only told that it failed: the log
/// says why.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn answer(app: &Arc<App>, payload: &[u8]) -> anyhow::Result<Value> {
    let made = match serde_json::from_slice::<Request>(payload) {
        Ok(request) if payload.len() <= MAX_REQUEST => make(app, request).await,
        Ok(_) => Err(Failure::TooLarge(format!("a request of more than {MAX_REQUEST} bytes"))),
        Err(error) => Err(Failure::Invalid(format!("not a request: {error}"))),
    };
    Ok(match made {
        Ok(token) => json!({"status": "SUCCESS", "credentialsType": "ACCESS_TOKEN", "credentialsValue": token}),
        Err(Failure::Internal(error)) => return Err(error),
        Err(Failure::NotFound(_)) => json!({"status": "NOT_FOUND", "errorMsg": "Provision data was not found!"}),
        Err(failure) => {
            tracing::info!(why = ?failure, "a board was not made a device");
            json!({"status": "FAILURE", "errorMsg": "Failed to provision device!"})
        }
    })
}

async fn make(app: &Arc<App>, request: Request) -> Result<String, Failure> {
    if request.credentials_type.as_deref().is_some_and(|kind| kind != "ACCESS_TOKEN") {
        return Err(Failure::Invalid("only access tokens are given out".into()));
    }
    let mut writing = app.store.begin().await?;
    let profile = writing.profile(&request.provision_device_key).await?;
    let is_right = |profile: &ProfileRow| profile.secret_hash == token::hash(&request.provision_device_secret);
    let profile = profile.filter(is_right).ok_or_else(|| Failure::NotFound("no such profile".into()))?;
    if profile.made >= profile.max_devices {
        return Err(Failure::Conflict("the profile has made all devices that it may".into(), "raise max_devices"));
    }
    let token = match request.token.filter(|token| !token.is_empty()) {
        Some(token) => token,
        None => token::random()?,
    };
    let name = match request.device_name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => format!("{}-{}", profile.name, token::random()?),
    };
    // MAC addresses are common names; ours have no colons.
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = name.replace(|c| !is_fine(c), "-");
    let name: DeviceName = name.parse().map_err(|refused: goldcrest_core::Refused| Failure::Invalid(refused.detail))?;
    add(app, &mut writing, &profile, &name, &token).await?;
    writing.commit().await?;
    tracing::info!(device.name = %name, profile.name = profile.name, "a board became a device");
    Ok(token)
}

async fn add(
    app: &App,
    writing: &mut Writing,
    profile: &ProfileRow,
    name: &DeviceName,
    token: &str,
) -> Result<(), Failure> {
    let now_ms = app.clock.now_ms();
    let device = NewDevice {
        project_id: profile.project_id,
        package_id: profile.package_id,
        name: name.to_string(),
        channel: profile.channel.clone(),
        hardware_id: None,
        labels: "{}".into(),
        // A token that nobody knows: the device has its own credential.
        token_hash: token::hash(&token::make(TokenKind::Device)?),
    };
    let refused = |what: &'static str| {
        move |error: anyhow::Error| {
            if is_taken(&error) {
                Failure::Conflict(format!("{what} is taken"), "choose another")
            } else {
                error.into()
            }
        }
    };
    let id = writing.add_device(&device, now_ms).await.map_err(refused("the name"))?;
    let stored = NAME.stored_id(token)?;
    writing.add_credential(id, NAME.as_str(), &stored, None, &profile.settings).await.map_err(refused("the token"))?;
    writing.count_made(profile.id).await?;
    if let Some(release_id) = writing.channel_release(profile.package_id, &profile.channel).await? {
        let mut touched = Touched::new();
        let mut device = writing.tracked(id).await?;
        let release = writing.release_by_id(release_id).await?;
        start(writing, &mut device, &release, None, &mut touched, now_ms).await?;
        settle(writing, touched, now_ms).await?;
    }
    Ok(())
}

/// Checks the settings that a profile gives to its devices.
///
/// # Errors
/// `Invalid` as [`Settings::parse`].
pub(crate) fn check_settings(json: &str) -> Result<(), Failure> {
    Settings::parse(json).map(drop)
}
