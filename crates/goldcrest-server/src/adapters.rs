//! Foreign device protocols: boards that run the clients of other systems are served unchanged (docs/adapters.md).
//!
//! [`answer`] takes every request that no route of our own has. What those clients survive is small, so all of it is held here: the
//! length is always known and nothing is chunked, each answer closes its connection, nothing redirects, errors are a few bytes of
//! text, and `//` in a path is `/`.

mod gogs;
pub(crate) mod insighio;
mod micropython_ota;
mod sensorclass;
pub(crate) mod thingsboard;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use serde_json::Value;

use crate::App;
use crate::adapter::Adapter;
use crate::content;
use crate::failure::{ApiFailure, Failure, ForeignFailure};
use crate::git::GitSettings;
use crate::listener::Peer;
use crate::request::percent_decoded;
use crate::store::FeedRow;
use crate::token;

/// Most segments of a path that is looked at.
const MAX_SEGMENTS: usize = 40;

/// A request as an adapter sees it.
#[derive(Debug)]
struct Call {
    method: Method,
    /// Decoded, without empty segments, `.` and `..`.
    segments: Vec<String>,
    query: String,
    headers: HeaderMap,
    /// Who asks, as far as the connection tells.
    peer: Option<IpAddr>,
}

/// Answers what no route of our own does.
pub(crate) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path();
    // What a git server has there is answered as git servers do, also when it is no address at all.
    let is_api = path.starts_with("/api/v1/") && !path.starts_with("/api/v1/repos/");
    // Modems do, to whom a handshake costs seconds; clients that read to the end of the connection don't.
    let asks_to_stay = request.version() == Version::HTTP_11
        && request
            .headers()
            .get(header::CONNECTION)
            .is_some_and(|wish| wish.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    let answered = match Call::of(&request) {
        Some(call) => dispatch(&app, &call, request.into_body()).await,
        None => Ok(None),
    };
    let mut response = match answered {
        Ok(Some(response)) => response,
        Ok(None) if is_api => return ApiFailure::from(no_such_address()).into_response(),
        Ok(None) => ForeignFailure::from(no_such_address()).into_response(),
        Err(failure) => ForeignFailure::from(failure).into_response(),
    };
    if !asks_to_stay {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What boards behind the feeds of a package could not take of a release: told to whoever publishes it, not found out on the board.
pub(crate) async fn warnings(
    app: &Arc<App>,
    project_id: i64,
    package: &str,
    release_id: i64,
) -> anyhow::Result<Vec<String>> {
    let feeds = app.store.feeds(project_id, Some(package)).await?;
    let shows_it = |feed: &FeedRow, adapter: Adapter| {
        feed.adapter == adapter.as_str() && !GitSettings::parse(&feed.settings).is_ok_and(|settings| settings.is_git())
    };
    let [to_ota, to_gogs] = [Adapter::MicropythonOta, Adapter::Gogs]
        .map(|adapter| feeds.iter().filter(|feed| shows_it(feed, adapter)).collect::<Vec<_>>());
    let devices = app.store.adapters_of_package(project_id, package).await?;
    if to_ota.is_empty() && to_gogs.is_empty() && devices.is_empty() {
        return Ok(Vec::new());
    }
    let files = content::files(app, release_id).await?;
    let mut found_devices = Vec::new();
    for adapter in devices {
        let (who, found) = match Adapter::parse(&adapter) {
            Ok(Adapter::Thingsboard) => ("ThingsBoard", thingsboard::problems(&files)),
            Ok(Adapter::Insighio) => ("insigh.io", insighio::problems(&files)),
            _ => continue,
        };
        found_devices.extend(found.into_iter().map(|problem| format!("boards of {who}: {problem}")));
    }
    let found_gogs = gogs::problems::problems(&files);
    let mut found_ota = Vec::new();
    if !to_ota.is_empty() {
        let shared = Arc::clone(app);
        let found = tokio::task::spawn_blocking(move || micropython_ota::problems(&shared, &files));
        found_ota = found.await.context("looking through a release died")??;
    }
    let told = |(feeds, found): (Vec<&FeedRow>, Vec<String>)| {
        let all = feeds.iter().flat_map(|feed| found.iter().map(|problem| format!("feed {}: {problem}", feed.path)));
        all.collect::<Vec<_>>()
    };
    Ok([(to_ota, found_ota), (to_gogs, found_gogs)].into_iter().flat_map(told).chain(found_devices).collect())
}

/// What a web server's folder needs to serve the boards of a feed as this server does.
///
/// # Errors
/// `Invalid` for an adapter whose boards want more than files.
pub(crate) async fn export(app: &Arc<App>, feed: &FeedRow) -> Result<Value, Failure> {
    if Adapter::parse(&feed.adapter)? != Adapter::Sensorclass {
        return Err(Failure::Invalid(format!("a feed of {} has no lists of modules", feed.adapter)));
    }
    sensorclass::export(app, feed).await
}

fn no_such_address() -> Failure {
    Failure::NotFound("no such address: docs/api.md lists them".into())
}

/// The adapter that knows the address; `None` when none does.
async fn dispatch(app: &Arc<App>, call: &Call, body: Body) -> Result<Option<Response>, Failure> {
    if thingsboard::http::knows(call) {
        return thingsboard::http::answer(app, call, body).await.map(Some);
    }
    if insighio::knows(call) {
        return Box::pin(insighio::answer(app, call, body)).await.map(Some);
    }
    let joined = call.segments.join("/");
    match call.segments.as_slice() {
        [hooks, git, feed] if hooks == "hooks" && git == "git" && call.method == Method::POST => {
            return gogs::hook::answer(app, call, feed, body).await.map(Some);
        }
        _ => {}
    }
    if let Some(below) = gogs::below_api(&joined) {
        for feed in feeds_above(app, below).await? {
            if Adapter::parse(&feed.adapter)? != Adapter::Gogs {
                continue;
            }
            let rest = below[feed.path.len()..].trim_start_matches('/');
            if let Some(response) = gogs::answer_api(app, &feed, call, rest).await? {
                return Ok(Some(response));
            }
        }
        // In the words of a git server, also below `/api/v1/`.
        return if below.is_empty() { Ok(None) } else { Err(no_such_address()) };
    }
    for feed in feeds_above(app, &joined).await? {
        let rest = joined[feed.path.len()..].trim_start_matches('/');
        let response = match Adapter::parse(&feed.adapter)? {
            Adapter::Gogs => gogs::answer_web(app, &feed, call, rest).await?,
            Adapter::MicropythonOta => micropython_ota::answer(app, &feed, call, rest).await?,
            Adapter::Sensorclass => sensorclass::answer(app, &feed, call, rest).await?,
            _ => None,
        };
        if response.is_some() {
            return Ok(response);
        }
    }
    Ok(None)
}

/// The feeds whose path is this one or begins it, the longest first.
async fn feeds_above(app: &App, path: &str) -> anyhow::Result<Vec<FeedRow>> {
    let mut paths = vec![""];
    paths.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    paths.push(path);
    app.store.feeds_at(&paths).await
}

impl Call {
    /// `None` for a path that can't be an address.
    fn of(request: &Request) -> Option<Self> {
        Some(Self {
            method: request.method().clone(),
            segments: segments(request.uri().path())?,
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            peer: request.extensions().get::<Peer>().map(|peer| peer.0),
        })
    }

    /// A value of the query, percent-decoded.
    ///
    /// # Errors
    /// `Invalid` when it is not there.
    fn value(&self, name: &str) -> Result<String, Failure> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name).and_then(|(_, value)| percent_decoded(value));
        found.ok_or_else(|| Failure::Invalid(format!("the query has no {name}")))
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// The decoded segments of a path. `None` when it climbs, is too deep, or is no UTF-8.
pub(crate) fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let segment = percent_decoded(segment)?;
        let climbs = segment == "." || segment == ".." || segment.contains(['/', '\\', '\0']);
        if segments.len() == MAX_SEGMENTS || climbs {
            return None;
        }
        segments.push(segment);
    }
    Some(segments)
}

/// Whether the caller showed what the feed asks for, as Basic credentials.
///
/// # Errors
/// `BasicWanted` when not.
fn check_basic(feed: &FeedRow, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(wanted) = &feed.secret_hash else { return Ok(()) };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let shown = shown.and_then(|text| BASE64.decode(text.trim().as_bytes()).ok());
    let is_right =
        shown.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| token::hash(&text) == *wanted);
    if is_right { Ok(()) } else { Err(Failure::BasicWanted) }
}

/// Bytes of a file, of known length.
fn bytes(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}
