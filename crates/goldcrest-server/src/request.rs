//! What a request brings: who asks, path, query and body, each with its limit and its own words when it is wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::App;
use crate::failure::{ApiFailure, Failure};
use crate::store::CheckInRow;
use crate::token::{self, TokenKind};

/// Most bytes of a JSON body.
const MAX_JSON: usize = 256 << 10;
/// Longest time between two pieces of a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A person or script with a good admin token.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) project_id: i64,
    pub(crate) project: String,
    pub(crate) token: String,
    pub(crate) expires_ms: Option<i64>,
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiFailure> {
        let (kind, hash) = token::of_request(&parts.headers)?;
        if kind == TokenKind::Device {
            let device = app.store.check_in(&hash).await?;
            let failure =
                device.map_or(Failure::Unauthenticated, |_| Failure::Forbidden("a device token does not manage"));
            return Err(failure.into());
        }
        let row = app.store.token(&hash).await?.ok_or(Failure::Unauthenticated)?;
        if row.expires_ms.is_some_and(|expires_ms| expires_ms <= app.clock.now_ms()) {
            return Err(Failure::TokenExpired.into());
        }
        Ok(Self { project_id: row.project_id, project: row.project, token: row.name, expires_ms: row.expires_ms })
    }
}

/// The device whose token the request carries, with what an unchanged check-in needs.
pub(crate) async fn device_of(app: &App, headers: &HeaderMap) -> Result<CheckInRow, Failure> {
    match token::of_request(headers)? {
        (TokenKind::Device, hash) => app.store.check_in(&hash).await?.ok_or(Failure::Unauthenticated),
        (TokenKind::Admin | TokenKind::Enrolment, _) => Err(Failure::Unauthenticated),
    }
}

/// The variable parts of the path.
#[derive(Debug)]
pub(crate) struct Captures<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Captures<T> {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiFailure> {
        let path = Path::from_request_parts(parts, app).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Failure::NotFound("no such address".into()).into())
    }
}

/// The query. A field that the route does not know is an error when its type says so.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for QueryOf<T> {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiFailure> {
        let query = Query::from_request_parts(parts, app).await;
        query.map(|Query(value)| Self(value)).map_err(|error| {
            let text = error.body_text();
            Failure::Invalid(format!("query: {}", text.trim_start_matches("Failed to deserialize query string: ")))
                .into()
        })
    }
}

/// A JSON body of at most 256 KiB.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = ApiFailure;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, ApiFailure> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, MAX_JSON).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| Failure::Invalid(format!("body: {error}")))?;
        Ok(Self(value))
    }
}

/// Reads a body of at most `max` bytes.
///
/// # Errors
/// `TooLarge` as soon as that is known, `TooSlow` after 30 s without a byte.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    let mut pieces = Pieces::new(headers, body, max)?;
    while let Some(piece) = pieces.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// A body piece by piece, with a limit of bytes and of time.
#[derive(Debug)]
pub(crate) struct Pieces {
    body: Body,
    left: usize,
    max: usize,
}

impl Pieces {
    /// # Errors
    /// `TooLarge` when the announced length is above `max`.
    pub(crate) fn new(headers: &HeaderMap, body: Body, max: usize) -> Result<Self, Failure> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > max as u64) {
            return Err(too_large(max));
        }
        Ok(Self { body, left: max, max })
    }

    /// The next piece, `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = tokio::time::timeout(BODY_TIMEOUT, self.body.frame()).await.map_err(|_| Failure::TooSlow)?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Failure::Invalid("the body ended before its announced length".into()))?;
            let Ok(piece) = frame.into_data() else { continue };
            self.left = self.left.checked_sub(piece.len()).ok_or_else(|| too_large(self.max))?;
            return Ok(Some(piece));
        }
    }
}

/// Percent-decoded text; `None` when a `%` stands before no two hexadecimal digits, or it is no UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn too_large(max: usize) -> Failure {
    Failure::TooLarge(format!("the body has more than {max} bytes"))
}
