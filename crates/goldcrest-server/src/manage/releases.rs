//! Releases: what was uploaded, and back out as an archive.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use goldcrest_core::{Digest, SignedManifest, archive};
use serde::Serialize;
use serde_json::{Value, json};

use super::page;
use crate::App;
use crate::blobs::Blobs;
use crate::failure::{ApiFailure, Failure, not_found};
use crate::request::{Admin, Captures, QueryOf};
use crate::store::ReleaseRow;

/// Deltas shown with a release, newest first.
const SHOWN_DELTAS: i64 = 100;

/// A release as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ReleaseAnswer {
    package: String,
    version: String,
    digest: String,
    counter: i64,
    floor: i64,
    boards: Value,
    mpy: Option<String>,
    created_ms: i64,
    uploaded_ms: i64,
    size: i64,
    wire_size: i64,
    file_count: i64,
    key_ids: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileAnswer>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deltas: Option<Vec<DeltaAnswer>>,
}

/// What a board that runs the version `from` fetches for this release, and what it would fetch without deltas.
#[derive(Debug, Serialize)]
struct DeltaAnswer {
    from: String,
    size: i64,
    whole_size: i64,
}

#[derive(Debug, Serialize)]
struct FileAnswer {
    path: String,
    size: u64,
    digest: Digest,
}

impl ReleaseAnswer {
    pub(crate) fn of(row: ReleaseRow) -> Self {
        let list = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!([]));
        Self {
            boards: list(&row.boards),
            key_ids: list(&row.key_ids),
            package: row.package,
            version: row.version,
            digest: row.digest,
            counter: row.counter,
            floor: row.floor,
            mpy: row.mpy,
            created_ms: row.created_ms,
            uploaded_ms: row.uploaded_ms,
            size: row.size,
            wire_size: row.wire_size,
            file_count: row.file_count,
            files: None,
            deltas: None,
        }
    }
}

pub(crate) async fn list_releases(
    State(app): State<Arc<App>>,
    admin: Admin,
    QueryOf(query): QueryOf<page::OfPackage>,
) -> Result<Json<Value>, ApiFailure> {
    let limit = page::limit(query.limit)?;
    let before = query.after.unwrap_or(i64::MAX);
    let rows = app.store.releases(admin.project_id, query.package.as_deref(), before, limit).await?;
    let next = page::next(&rows, limit, |row| row.id);
    let releases: Vec<ReleaseAnswer> = rows.into_iter().map(ReleaseAnswer::of).collect();
    Ok(Json(json!({"releases": releases, "next": next})))
}

pub(crate) async fn get_release(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((package, version)): Captures<(String, String)>,
) -> Result<Json<ReleaseAnswer>, ApiFailure> {
    let (row, signed) = load(&app, &admin, &package, &version).await?;
    let files = signed.manifest.files.iter();
    let files = files.map(|file| FileAnswer { path: file.path.to_string(), size: file.size, digest: file.digest });
    let files = Some(files.collect());
    let deltas = app.store.deltas_to(row.id, SHOWN_DELTAS).await?.into_iter();
    let deltas = deltas.map(|row| DeltaAnswer { from: row.version, size: row.size, whole_size: row.whole_size });
    let deltas = Some(deltas.collect());
    Ok(Json(ReleaseAnswer { files, deltas, ..ReleaseAnswer::of(row) }))
}

/// The same bytes that were uploaded, if the objects came with it; else the whole archive.
pub(crate) async fn get_archive(
    State(app): State<Arc<App>>,
    admin: Admin,
    Captures((package, version)): Captures<(String, String)>,
) -> Result<impl IntoResponse, ApiFailure> {
    let (_, signed) = load(&app, &admin, &package, &version).await?;
    let _slot = app.uploads.acquire().await.context("the server stops")?;
    let shared = Arc::clone(&app);
    let tar =
        tokio::task::spawn_blocking(move || assemble(&shared.blobs, &signed)).await.context("assembling died")??;
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], tar))
}

fn assemble(blobs: &Blobs, signed: &SignedManifest) -> anyhow::Result<Vec<u8>> {
    let mut objects = BTreeMap::new();
    for file in &signed.manifest.files {
        let digest = file.digest;
        let (mut opened, _) = blobs.read(&digest)?.with_context(|| format!("the file of object {digest} is gone"))?;
        let mut wire = Vec::new();
        opened.read_to_end(&mut wire).with_context(|| format!("cannot read object {digest}"))?;
        objects.insert(digest, wire);
    }
    Ok(archive::write(&signed.to_bytes(), &objects))
}

async fn load(app: &App, admin: &Admin, package: &str, version: &str) -> Result<(ReleaseRow, SignedManifest), Failure> {
    let row = app.store.release(admin.project_id, package, version).await?;
    let row = row.ok_or_else(|| not_found("release", format!("{package} {version}")))?;
    let manifest = app.store.manifest(row.id).await?;
    let signed = SignedManifest::parse(manifest.as_bytes());
    let signed = signed.map_err(|refused| anyhow::anyhow!("the stored manifest of {package} {version}: {refused}"))?;
    Ok((row, signed))
}
