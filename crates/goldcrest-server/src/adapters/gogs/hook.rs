//! `POST /hooks/git/{feed}`: the origin of a mirror says that somebody pushed, in the way of Gogs, Gitea, GitHub or GitLab.
//!
//! What the call says besides is not read: it only makes the mirror look at once. The proof is over the raw body.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use data_encoding::HEXLOWER_PERMISSIVE;
use ring::hmac;

use super::super::Call;
use crate::App;
use crate::failure::{Failure, accepted};
use crate::git::GitSettings;
use crate::request::Pieces;

/// Most bytes of a call: what GitHub sends at most. They are hashed as they come and not kept.
const MAX_BODY: usize = 25 << 20;
/// Headers that hold an HMAC-SHA256 of the body in hexadecimal digits, GitHub's with `sha256=` before them.
const SIGNED: [&str; 4] = ["x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-gogs-signature"];
/// The header in which GitLab sends the secret itself.
const PLAIN: &str = "x-gitlab-token";

/// # Errors
/// `Unauthenticated` for a wrong proof, and in the same way for a feed that is not there or has no secret.
pub(in crate::adapters) async fn answer(
    app: &Arc<App>,
    call: &Call,
    id: &str,
    body: Body,
) -> Result<Response, Failure> {
    let feed = match id.parse::<i64>() {
        Ok(id) => app.store.feeds_of("gogs").await?.into_iter().find(|feed| feed.id == id),
        Err(_) => None,
    };
    let settings = feed.as_ref().and_then(|feed| GitSettings::parse(&feed.settings).ok()).unwrap_or_default();
    let secret = settings.webhook_secret.as_deref().unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut sum = hmac::Context::with_key(&key);
    let mut pieces = Pieces::new(&call.headers, body, MAX_BODY)?;
    while let Some(piece) = pieces.next().await? {
        sum.update(&piece);
    }
    let sum = sum.sign();
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let shown = SIGNED.iter().find_map(|name| header(name));
    let is_right = match (shown, header(PLAIN)) {
        (Some(shown), _) => {
            let digits = shown.strip_prefix("sha256=").unwrap_or(shown);
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).is_ok_and(|shown| is_same(&key, &shown, sum.as_ref()))
        }
        (None, Some(token)) => is_same(&key, token.as_bytes(), secret.as_bytes()),
        (None, None) => false,
    };
    match feed {
        Some(feed) if is_right && !secret.is_empty() => {
            tracing::info!(feed.id = feed.id, "the origin of a repository called");
            app.mirrors.look(feed.id);
            Ok(accepted())
        }
        _ => {
            tracing::warn!(feed.id = id, "a webhook without a good proof was refused");
            Err(Failure::Unauthenticated)
        }
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(key: &hmac::Key, a: &[u8], b: &[u8]) -> bool {
    hmac::verify(key, a, hmac::sign(key, b).as_ref()).is_ok()
}
