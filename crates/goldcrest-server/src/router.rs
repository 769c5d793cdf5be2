//! The one table of routes, grouped by caller.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use axum::{Router, middleware};

use crate::failure::{ApiFailure, DeviceFailure, Failure};
use crate::manage::{
    channels, credentials, deployments, devices, enrolments, events, exports, feeds, health, keyring, metrics,
    mqtt_rules, packages, pending, pending_boards, profiles, releases, rollouts, telemetry, things, tokens, uploads,
};
use crate::request_log::log_request;
use crate::{App, adapters, mqtt, native};

/// Every route of the server.
pub(crate) fn router(app: Arc<App>) -> Router {
    finish(boards().merge(people()), app)
}

/// The routes that boards call, ours and those of other systems, and none that manages: for the address that boards reach.
pub(crate) fn boards_router(app: Arc<App>) -> Router {
    finish(boards(), app)
}

fn boards() -> Router<Arc<App>> {
    Router::new()
        .route("/d/v1/enroll", post(native::enroll::enroll))
        .route("/d/v1/checkin", get(native::check_in::check_in))
        .route("/d/v1/keyring", get(native::keyring::get_keyring))
        .route("/d/v1/objects/{digest}", get(native::objects::get_object))
        .route("/d/v1/report", post(native::report::take_report))
        .method_not_allowed_fallback(no_such_method_for_boards)
}

fn people() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/whoami", get(tokens::whoami))
        .route("/api/v1/keyring", get(keyring::get_keyring).put(keyring::put_keyring))
        .route("/api/v1/packages", get(packages::list_packages))
        .route("/api/v1/releases", get(releases::list_releases).post(uploads::upload_release))
        .route("/api/v1/releases/{package}/{version}", get(releases::get_release))
        .route("/api/v1/releases/{package}/{version}/archive", get(releases::get_archive))
        .route("/api/v1/channels", get(channels::list_channels))
        .route("/api/v1/channels/{package}/{name}", put(channels::put_channel))
        .route("/api/v1/devices", get(devices::list_devices).post(devices::create_device))
        .route(
            "/api/v1/devices/{name}",
            get(devices::get_device).patch(devices::change_device).delete(devices::delete_device),
        )
        .route("/api/v1/devices/{name}/token", post(devices::replace_token))
        .route("/api/v1/devices/{name}/events", get(events::list_events))
        .route(
            "/api/v1/devices/{name}/credentials",
            get(credentials::list_credentials).post(credentials::create_credential),
        )
        .route(
            "/api/v1/devices/{name}/credentials/{number}",
            patch(credentials::change_credential).delete(credentials::delete_credential),
        )
        .route("/api/v1/devices/{name}/telemetry", get(telemetry::get_telemetry))
        .route("/api/v1/devices/{name}/attributes", get(telemetry::get_attributes).put(telemetry::put_attributes))
        .route("/api/v1/devices/{name}/attributes/{key}", delete(telemetry::delete_attribute))
        .route("/api/v1/devices/{name}/rpc", post(telemetry::call_device))
        .route("/api/v1/devices/{name}/claim", post(profiles::claim_device).delete(profiles::delete_claim))
        .route("/api/v1/profiles", get(profiles::list_profiles).post(profiles::create_profile))
        .route("/api/v1/profiles/{name}", delete(profiles::delete_profile))
        .route("/api/v1/devices/{name}/actions", get(things::list_actions).post(things::create_action))
        .route("/api/v1/devices/{name}/actions/{id}", delete(things::delete_action))
        .route("/api/v1/devices/{name}/bootstrap", post(things::create_bootstrap))
        .route("/api/v1/feeds", get(feeds::list_feeds).post(feeds::create_feed))
        .route("/api/v1/feeds/{id}", delete(feeds::delete_feed))
        .route("/api/v1/pending-releases", get(pending::list_pending))
        .route("/api/v1/pending-releases/{feed}/{commit}", delete(pending::delete_pending))
        .route("/api/v1/feeds/{id}/modules", get(exports::get_modules))
        .route("/api/v1/objects/{digest}", get(exports::get_object))
        .route("/api/v1/releases/{package}/{version}/manifest", get(exports::get_manifest))
        .route("/api/v1/pending", get(pending_boards::list_pending_boards))
        .route("/api/v1/enrolments", get(enrolments::list_enrolments).post(enrolments::create_enrolment))
        .route("/api/v1/enrolments/{name}", delete(enrolments::delete_enrolment))
        .route("/api/v1/rollouts", get(rollouts::list_rollouts).post(rollouts::create_rollout))
        .route("/api/v1/rollouts/{id}", get(rollouts::get_rollout))
        .route("/api/v1/rollouts/{id}/halt", post(rollouts::halt_rollout))
        .route("/api/v1/rollouts/{id}/resume", post(rollouts::resume_rollout))
        .route("/api/v1/deployments", get(deployments::list_deployments))
        .route("/api/v1/mqtt/rules", get(mqtt_rules::list_rules).post(mqtt_rules::create_rule))
        .route("/api/v1/mqtt/rules/{id}", delete(mqtt_rules::delete_rule))
        .route("/api/v1/tokens", get(tokens::list_tokens).post(tokens::create_token))
        .route("/api/v1/tokens/{name}", delete(tokens::delete_token))
        .route("/metrics", get(metrics::metrics))
        .method_not_allowed_fallback(no_such_method)
}

fn finish(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .route("/healthz", get(health::healthz))
        .route("/mqtt", get(mqtt::websocket::open))
        .fallback(adapters::answer)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), date))
        .layer(middleware::from_fn(log_request))
        .with_state(app)
}

/// The `Date` that RFC 9110 (section 6.6.1) asks for, except to our agent: it sets no clock by it, and many an answer is shorter.
async fn date(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_agent = request.headers().contains_key(native::AGENT);
    let mut response = next.run(request).await;
    if !is_agent {
        let since_1970 = Duration::from_millis(u64::try_from(app.clock.now_ms()).unwrap_or(0));
        let text = httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
        response.headers_mut().extend(HeaderValue::try_from(text).ok().map(|date| (header::DATE, date)));
    }
    response
}

async fn no_such_method() -> ApiFailure {
    Failure::MethodNotAllowed.into()
}

async fn no_such_method_for_boards() -> DeviceFailure {
    Failure::MethodNotAllowed.into()
}
