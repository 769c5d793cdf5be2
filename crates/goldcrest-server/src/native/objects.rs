//! `GET /d/v1/objects/<digest>`: the wire form of an object, whole or in part, straight from its file, or a delta to it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use goldcrest_core::Digest;
use hyper::body::{Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};

use super::range::{Part, part_of};
use crate::App;
use crate::failure::{self, DeviceFailure, Failure, not_found, not_modified, partial_content, range_not_satisfiable};
use crate::request::device_of;
use crate::request_log::ForDevice;

/// Bytes read from the file at a time.
const PIECE: usize = 64 << 10;
/// An object never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

pub(crate) async fn get_object(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, DeviceFailure> {
    let device = device_of(&app, &headers).await?;
    app.heartbeats.beat(device.device_id, app.clock.now_ms());
    let digest: Digest = name.parse().map_err(|_| not_found("object", "of that name"))?;
    let object = app.store.object(device.project_id, &name).await?.ok_or_else(|| not_found("object", digest))?;
    let etag = format!("\"{digest}\"");
    // A part of a zlib stream is of no use to a board that cannot keep its inflater, so only plain forms have ranges.
    let is_plain = object.wire_size == object.size;
    let from = query.as_deref().and_then(base_of);
    let base = from.filter(|_| !(is_plain && headers.contains_key(header::RANGE)));
    let mut response = if is_known(&headers, &etag) {
        not_modified()
    } else if let Some(delta) = delta_from(&app, device.project_id, base, &name).await? {
        failure::delta(delta)
    } else {
        let size = u64::try_from(object.wire_size).unwrap_or(0);
        let part = if is_plain { part_of(&headers, &etag, size) } else { Part::Whole };
        send(&app, part, &digest, size).await?
    };
    // A board that names its base keeps files, no cache: headers would only cost it air.
    if from.is_none() {
        let found = response.headers_mut();
        found.insert(header::ETAG, HeaderValue::from_str(&etag).context("a digest is a header value")?);
        found.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
        found.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if is_plain {
            found.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
    }
    response.extensions_mut().insert(ForDevice(device.name));
    Ok(response)
}

/// What the board has instead of the object: `from=<digest>`, or `from=` for nothing.
fn base_of(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("from="))
}

async fn delta_from(app: &App, project_id: i64, base: Option<&str>, to: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(from) = base.and_then(|base| base.parse::<Digest>().ok()) else { return Ok(None) };
    app.store.object_delta(project_id, &from.to_string(), to).await
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    tags.is_some_and(|tags| {
        tags.split(',').any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == etag || tag == "*"))
    })
}

async fn send(app: &App, part: Part, digest: &Digest, size: u64) -> Result<Response, Failure> {
    let (first, length) = match part {
        Part::Whole => (0, size),
        Part::Bytes { first, last } => (first, last - first + 1),
        Part::Unsatisfiable => return Ok(range_not_satisfiable(size)),
    };
    let opened = app.blobs.read(digest).with_context(|| format!("cannot open object {digest}"))?;
    let (file, on_disk) = opened.with_context(|| format!("the file of object {digest} is gone"))?;
    if on_disk != size {
        return Err(anyhow::anyhow!("the file of object {digest} has {on_disk} bytes of {size}").into());
    }
    let mut file = File::from_std(file);
    if first > 0 {
        file.seek(io::SeekFrom::Start(first)).await.with_context(|| format!("cannot read object {digest}"))?;
    }
    let body = FilePart { file, left: length, piece: vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))] };
    let body = Body::new(body);
    let mut response = match part {
        Part::Bytes { first, last } => partial_content(&format!("bytes {first}-{last}/{size}"), body),
        Part::Whole | Part::Unsatisfiable => body.into_response(),
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

/// The next `left` bytes of a file as a body of known length.
struct FilePart {
    file: File,
    left: u64,
    piece: Vec<u8>,
}

impl hyper::body::Body for FilePart {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let want = this.piece.len().min(usize::try_from(this.left).unwrap_or(PIECE));
        let mut buffer = ReadBuf::new(&mut this.piece[..want]);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut buffer))?;
        let filled = buffer.filled();
        if filled.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.left -= filled.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(filled)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
