//! One log line per request: what, who, how it went and how long it took. Never a query, never a header: tokens live there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

/// Longest address of a stranger that is logged.
const MAX_PATH: usize = 200;

static NEXT_REQUEST: AtomicU64 = AtomicU64::new(1);

/// The device that a response is for, so that its line can name it.
#[derive(Debug, Clone)]
pub(crate) struct ForDevice(pub(crate) String);

/// Wraps every route.
pub(crate) async fn log_request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = NEXT_REQUEST.fetch_add(1, Ordering::Relaxed);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = matched.unwrap_or_else(|| foreign_route(request.uri().path())).to_owned();
    let span = tracing::info_span!("request", request.id = id);
    async {
        let response = next.run(request).await;
        let device = response.extensions().get::<ForDevice>().map(|device| device.0.as_str());
        let status = response.status().as_u16();
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Boards ask all the time: their lines are for debugging.
        if route.starts_with("/d/") || route == "/healthz" {
            tracing::debug!(http.method = %method, http.route = route, http.status = status, device.name = device, duration_us, "answered");
        } else {
            tracing::info!(http.method = %method, http.route = route, http.status = status, duration_us, "answered");
        }
        response
    }
    .instrument(span)
    .await
}

/// The address of a file in a feed, for who wonders why a board gets a 404. Where boards show who they are, it is not told: `/api/v1/<token>/…`.
fn foreign_route(path: &str) -> &str {
    let holds_secret = path.starts_with("/api/v1/") && !path.starts_with("/api/v1/repos/");
    if holds_secret || path.len() > MAX_PATH { "-" } else { path }
}
