//! What can go wrong while a request is handled, and the only place that decides HTTP status codes; the good ones are at the end.
//!
//! - [`Failure`] is what modules below the handlers return when the *caller* can tell one from another. Stores, blobs and jobs
//!   return `anyhow::Error`, which becomes `Failure::Internal`, or `Failure::DiskFull` when a full disk is found among its causes.
//! - [`ApiFailure`] is what a handler of `manage/` returns: JSON, as docs/api.md says.
//! - [`DeviceFailure`] is what a handler of `native/` returns: one short line of text, as docs/protocol.md says.
//! - [`ForeignFailure`] is what boards of other systems get: a few bytes of text, never JSON that such a client might take for content.
//!
//! All are made by `?`. What is the server's own fault is logged here, once.

use std::io;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use goldcrest_core::Refused;
use serde::Serialize;

use crate::store::is_database_full;

/// Linux and macOS: no space left on device.
const ENOSPC: i32 = 28;
/// Linux: quota exceeded. To the caller it is the same.
const EDQUOT: i32 = 122;
/// Seconds after which a board may try again when the server is at its limits.
const RETRY_AFTER_S: &str = "30";

/// Why a request was not answered as the caller wished. Texts are lower-case fragments without secrets.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No token, or one that nobody knows.
    Unauthenticated,
    /// A feed wants user and password.
    BasicWanted,
    /// The token was good once.
    TokenExpired,
    /// A good token of the wrong kind.
    Forbidden(&'static str),
    /// What is not there.
    NotFound(String),
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// What stands against it, and what to do.
    Conflict(String, &'static str),
    /// More bytes than allowed.
    TooLarge(String),
    /// The body did not arrive in time.
    TooSlow,
    /// A published name of docs/release-format.md, "Refusals".
    Refused(Refused),
    /// Somebody else did not answer in time.
    TimedOut(String),
    /// A field that cannot be used.
    Invalid(String),
    /// The server's disk has no room.
    DiskFull,
    /// The database does not answer.
    Unavailable,
    /// The server's own fault.
    Internal(anyhow::Error),
}

/// Something of this kind and name is not there.
pub(crate) fn not_found(what: &str, name: impl std::fmt::Display) -> Failure {
    Failure::NotFound(format!("{what} {name} does not exist"))
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated | Self::BasicWanted | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refused(_) | Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated | Self::BasicWanted => "unauthenticated",
            Self::TokenExpired => "token-expired",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict(..) => "conflict",
            Self::TooLarge(_) => "too-large",
            Self::TooSlow => "too-slow",
            Self::TimedOut(_) => "timed-out",
            Self::Refused(refused) => refused.refusal.as_str(),
            Self::Invalid(_) => "invalid",
            Self::DiskFull => "disk-full",
            Self::Unavailable => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unauthenticated => "no token, or one that this server does not know".into(),
            Self::BasicWanted => "this feed wants a user and a password".into(),
            Self::TokenExpired => "the token has expired".into(),
            Self::Forbidden(why) => (*why).into(),
            Self::MethodNotAllowed => "this address does not take that method".into(),
            Self::TooSlow => "the body did not arrive in time".into(),
            Self::NotFound(text)
            | Self::Conflict(text, _)
            | Self::TooLarge(text)
            | Self::TimedOut(text)
            | Self::Invalid(text) => text.clone(),
            Self::Refused(refused) => refused.detail.clone(),
            Self::DiskFull => "the server's disk is full; nothing was changed".into(),
            Self::Unavailable => "the database does not answer".into(),
            Self::Internal(_) => "the server failed; its log says why".into(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated => Some("send `Authorization: Bearer <token>`; the first one is in DATA/admin.token"),
            Self::TokenExpired => Some("make a new token with POST /api/v1/tokens"),
            Self::Conflict(_, hint) => Some(hint),
            Self::DiskFull => Some("free some space in the server's data folder, then try again"),
            _ => None,
        }
    }

    /// The server's own faults are logged where they become an answer, so once.
    fn log(&self) {
        match self {
            Self::Internal(error) => tracing::error!(error = format!("{error:#}"), "request failed"),
            Self::DiskFull => tracing::error!("disk full"),
            _ => {}
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        match error.downcast::<Refused>() {
            Ok(refused) => Self::Refused(refused),
            Err(error) if is_disk_full(&error) => Self::DiskFull,
            Err(error) => Self::Internal(error),
        }
    }
}

fn is_disk_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::StorageFull || matches!(io.raw_os_error(), Some(ENOSPC | EDQUOT));
        }
        is_database_full(cause)
    })
}

/// A failure as the management API tells it.
#[derive(Debug)]
pub(crate) struct ApiFailure(Failure);

impl<E: Into<Failure>> From<E> for ApiFailure {
    fn from(failure: E) -> Self {
        Self(failure.into())
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl IntoResponse for ApiFailure {
    fn into_response(self) -> Response {
        self.0.log();
        let body = ErrorBody { error: self.0.code(), message: self.0.message(), hint: self.0.hint() };
        (self.0.status(), axum::Json(body)).into_response()
    }
}

/// A failure as a board is told: one line.
#[derive(Debug)]
pub(crate) struct DeviceFailure(Failure);

impl<E: Into<Failure>> From<E> for DeviceFailure {
    fn from(failure: E) -> Self {
        Self(failure.into())
    }
}

impl IntoResponse for DeviceFailure {
    fn into_response(self) -> Response {
        self.0.log();
        let status = self.0.status();
        let text = format!("{}: {}\n", self.0.code(), self.0.message().replace('\n', " "));
        let mut response = (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response();
        if status.is_server_error() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// A failure as a board of another system is told: so short that any client can hold it.
#[derive(Debug)]
pub(crate) struct ForeignFailure(Failure);

impl<E: Into<Failure>> From<E> for ForeignFailure {
    fn from(failure: E) -> Self {
        Self(failure.into())
    }
}

impl IntoResponse for ForeignFailure {
    fn into_response(self) -> Response {
        self.0.log();
        let text = format!("{}\n", self.0.code());
        // Clients older than RFC 4918 know no 422.
        let is_invalid = matches!(self.0, Failure::Invalid(_));
        let status = if is_invalid { StatusCode::BAD_REQUEST } else { self.0.status() };
        let mut response = (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response();
        if matches!(self.0, Failure::BasicWanted) {
            let realm = HeaderValue::from_static("Basic realm=\"goldcrest\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// 201: this was made.
pub(crate) fn created(body: impl Serialize) -> Response {
    (StatusCode::CREATED, axum::Json(body)).into_response()
}

/// 202: it will be done.
pub(crate) fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// 204: done, and nothing to say.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 408 without a body: what a request waited for did not happen, and it may ask again.
pub(crate) fn nothing_new() -> Response {
    StatusCode::REQUEST_TIMEOUT.into_response()
}

/// 304: the caller has it, or wants nothing else.
pub(crate) fn not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

/// 101: from here on it is WebSocket, with this proof and sub-protocol.
pub(crate) fn switching_protocols(accept: &str, protocol: &str) -> Response {
    let headers = [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, protocol),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// 206: a part, with its `Content-Range`.
pub(crate) fn partial_content(range: &str, body: Body) -> Response {
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], body).into_response()
}

/// 226 (RFC 3229, "IM Used"): the way from what the caller has to what it asked for.
pub(crate) fn delta(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::IM_USED;
    response
}

/// 416: the range is past the end of `size` bytes.
pub(crate) fn range_not_satisfiable(size: u64) -> Response {
    let range = format!("bytes */{size}");
    (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response()
}
