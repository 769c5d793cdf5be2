//! `GET /mqtt` on the HTTP address: MQTT over WebSocket, for browsers and for networks that let only HTTP through.

mod frames;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use data_encoding::BASE64;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use self::frames::WebSocket;
use super::connection;
use super::counters::Refusal;
use super::listener::admit;
use crate::App;
use crate::failure::{ApiFailure, Failure, switching_protocols};

/// RFC 6455, 1.3: proves that the server speaks WebSocket.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub(crate) async fn open(State(app): State<Arc<App>>, mut request: Request) -> Result<Response, ApiFailure> {
    let accept = accept_key(request.headers())?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| Failure::Invalid("this connection cannot be upgraded".into()))?;
    let Some(slots) = admit(&app) else {
        app.mqtt.counters.refused(Refusal::Limit);
        return Err(Failure::Unavailable.into());
    };
    let served = Arc::clone(&app);
    app.mqtt.spawn(async move {
        // Ends with an error when the client left before its answer.
        if let Ok(upgraded) = upgrade.await {
            connection::serve(WebSocket::new(TokioIo::new(upgraded)), served, slots).await;
        }
    });
    Ok(switching_protocols(&accept, "mqtt"))
}

/// The proof for a request that asks for MQTT over WebSocket.
fn accept_key(headers: &HeaderMap) -> Result<String, Failure> {
    let has = |name: header::HeaderName, wanted: &str| {
        let mut words =
            headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let asks = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
        && has(header::SEC_WEBSOCKET_PROTOCOL, "mqtt");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|value| value.to_str().ok()).filter(|_| asks);
    let key = key.ok_or_else(|| {
        Failure::Invalid("this address speaks MQTT over WebSocket: version 13, sub-protocol mqtt".into())
    })?;
    Ok(BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes()).as_ref()))
}
