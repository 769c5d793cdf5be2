//! Claiming: a board offers itself, for a while, to the person who knows the secret that it shows.

use anyhow::Context;
use serde::Deserialize;

use super::Device;
use crate::App;
use crate::failure::Failure;
use crate::token;

/// How long an offer stands when the board does not say: a day, as with ThingsBoard.
const DEFAULT_MS: i64 = 24 * 3_600_000;
/// Longest time of an offer: 30 days.
const MAX_MS: i64 = 30 * DEFAULT_MS;
/// Most bytes of a secret.
const MAX_SECRET: usize = 256;

/// What a board says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    secret_key: Option<String>,
    duration_ms: Option<i64>,
}

/// Takes in a board's offer; an empty message is one without a secret.
///
/// # Errors
/// `Invalid` when it is none.
pub(super) async fn offer(app: &App, device: Device, payload: &[u8]) -> Result<(), Failure> {
    let offer: Offer = match payload {
        b"" => Offer::default(),
        _ => serde_json::from_slice(payload).map_err(|error| Failure::Invalid(format!("not a claim: {error}")))?,
    };
    let secret = offer.secret_key.filter(|secret| !secret.is_empty());
    if secret.as_ref().is_some_and(|secret| secret.len() > MAX_SECRET) {
        return Err(Failure::Invalid(format!("secretKey has more than {MAX_SECRET} bytes")));
    }
    let lasts_ms = offer.duration_ms.unwrap_or(DEFAULT_MS).clamp(0, MAX_MS);
    let mut writing = app.store.begin().await?;
    let until_ms = app.clock.now_ms() + lasts_ms;
    let is_free = writing.offer_claim(device.id, secret.as_deref().map(token::hash).as_deref(), until_ms).await?;
    writing.commit().await?;
    tracing::info!(device.id = device.id, is_free, until_ms, "a device may be claimed");
    Ok(())
}

/// Somebody takes a device.
///
/// # Errors
/// `Forbidden` when it is not offered, or not with this secret; `Conflict` when it was taken.
pub(crate) async fn claim(app: &App, device_id: i64, secret: &str, by: &str) -> Result<(), Failure> {
    const REFUSED: Failure = Failure::Forbidden("the device is not to be claimed now, or not with this secret");
    let offered = app.store.claim(device_id).await?.ok_or(REFUSED)?;
    if offered.claimed_by.is_some() {
        return Err(Failure::Conflict("the device is claimed".into(), "whoever has it gives it back first"));
    }
    let is_right = offered.secret_hash.is_none_or(|hash| hash == token::hash(secret));
    if !is_right || offered.until_ms <= app.clock.now_ms() {
        return Err(REFUSED);
    }
    let mut writing = app.store.begin().await?;
    let is_taken = writing.set_claimed(device_id, by, app.clock.now_ms()).await.context("cannot note a claim")?;
    writing.commit().await?;
    if is_taken { Ok(()) } else { Err(REFUSED) }
}
