//! `POST /api/v1/releases`: a release comes in. Nothing is believed that was not checked, nothing is acknowledged that power can take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use goldcrest_core::archive::{self, MAX_ARCHIVE, check_archive};
use goldcrest_core::keyring::Keyring;
use goldcrest_core::{Digest, SignedManifest};
use serde::Serialize;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::releases::ReleaseAnswer;
use crate::blobs::{Blobs, Workspace};
use crate::failure::{ApiFailure, Failure, created};
use crate::request::{Admin, Pieces};
use crate::store::{NewRelease, ObjectRow, ReleaseRow, Writing};
use crate::{App, adapters};

pub(crate) async fn upload_release(
    State(app): State<Arc<App>>,
    admin: Admin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiFailure> {
    let workspace = app.blobs.workspace()?;
    receive(&headers, body, &workspace).await?;
    let keyring = app.store.keyring(admin.project_id).await?;
    let keyring = keyring.ok_or_else(no_keyring)?;
    // The archive is in memory from here on.
    let _slot = app.uploads.acquire().await.context("the server stops")?;
    let (bytes, workspace) = blocking(move || Ok((std::fs::read(workspace.path("archive"))?, workspace))).await?;
    let held = held_objects(&app, &admin, &bytes).await?;
    let shared = Arc::clone(&app);
    let checked = blocking(move || check_and_store(&shared.blobs, &workspace, &bytes, keyring, &held)).await?;
    let (row, is_new) = record(&app, &admin, &checked).await?;
    if !is_new {
        return Ok(Json(ReleaseAnswer::of(row)).into_response());
    }
    app.deltas.order(row.id);
    tracing::info!(package = row.package, version = row.version, token.name = admin.token, "release uploaded");
    let warnings = adapters::warnings(&app, admin.project_id, &row.package, row.id).await?;
    Ok(created(Uploaded { release: ReleaseAnswer::of(row), warnings }))
}

/// A release that is new.
#[derive(Debug, Serialize)]
struct Uploaded {
    #[serde(flatten)]
    release: ReleaseAnswer,
    /// What boards of other systems could not take of it.
    warnings: Vec<String>,
}

fn no_keyring() -> Failure {
    Failure::Conflict(
        "the project has no keyring to check the release against".into(),
        "upload one: PUT /api/v1/keyring",
    )
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a job died")?
}

/// Streams the body to a file: a slow upload holds no memory.
async fn receive(headers: &HeaderMap, body: Body, workspace: &Workspace) -> Result<(), Failure> {
    let mut pieces = Pieces::new(headers, body, MAX_ARCHIVE)?;
    let mut file = File::create(workspace.path("archive")).await.context("cannot store the upload")?;
    while let Some(piece) = pieces.next().await? {
        file.write_all(&piece).await.context("cannot store the upload")?;
    }
    file.flush().await.context("cannot store the upload")?;
    Ok(())
}

/// Plain sizes of the objects that the manifest names and this project has. Another project's objects do not count: whoever knows a
/// digest must not get the bytes by it.
async fn held_objects(app: &App, admin: &Admin, bytes: &[u8]) -> Result<BTreeMap<Digest, u64>, Failure> {
    let archive = archive::read(bytes)?;
    let signed = SignedManifest::parse(archive.manifest)?;
    let named: BTreeSet<Digest> = signed.manifest.files.iter().map(|file| file.digest).collect();
    let mut held = BTreeMap::new();
    for digest in named.into_iter().filter(|digest| !archive.objects.contains_key(digest)) {
        if let Some(object) = app.store.object(admin.project_id, &digest.to_string()).await? {
            held.insert(digest, u64::try_from(object.size).unwrap_or(0));
        }
    }
    Ok(held)
}

/// A release whose objects are on the disk.
struct Checked {
    signed: SignedManifest,
    /// The keyring that it was checked against.
    keyring: String,
    objects: Vec<ObjectRow>,
}

fn check_and_store(
    blobs: &Blobs,
    workspace: &Workspace,
    bytes: &[u8],
    keyring: String,
    held: &BTreeMap<Digest, u64>,
) -> anyhow::Result<Checked> {
    let parsed = Keyring::parse(keyring.as_bytes())
        .map_err(|refused| anyhow::anyhow!("the stored keyring is damaged: {refused}"))?;
    let verified = check_archive(bytes, &parsed, |digest| held.get(digest).copied())?;
    let on_disk = blobs.write_all(workspace, verified.objects.iter().map(|(digest, object)| (*digest, object.wire)))?;
    let mut objects = Vec::with_capacity(on_disk.len());
    for (digest, wire_size) in on_disk {
        let size = verified.objects.get(&digest).map_or(0, |object| object.plain_size);
        let (size, wire_size) = (i64::try_from(size)?, i64::try_from(wire_size)?);
        objects.push(ObjectRow { digest: digest.to_string(), size, wire_size });
    }
    Ok(Checked { signed: verified.signed, keyring, objects })
}

/// Writes the rows of a release in one transaction; whether it is new.
async fn record(app: &App, admin: &Admin, checked: &Checked) -> Result<(ReleaseRow, bool), Failure> {
    let manifest = &checked.signed.manifest;
    let mut writing = app.store.begin().await?;
    if writing.keyring(admin.project_id).await?.as_ref() != Some(&checked.keyring) {
        // The key may be revoked by now.
        let text = "the keyring was replaced during the upload".to_owned();
        return Err(Failure::Conflict(text, "upload the release again"));
    }
    let found = writing.release(admin.project_id, manifest.package.as_str(), manifest.version.as_str()).await?;
    if let Some(row) = found {
        if row.digest == checked.signed.digest.to_string() {
            return Ok((row, false));
        }
        let text = format!("{} {} is there with other content (release {})", row.package, row.version, row.digest);
        return Err(Failure::Conflict(text, "a version never changes: pack this one under a new version"));
    }
    let package_id = writing.ensure_package(admin.project_id, manifest.package.as_str()).await?;
    let counter = small(manifest.counter)?;
    if let Some(highest) = writing.highest_counter(package_id).await?.filter(|highest| *highest >= counter) {
        let text = format!("counter {counter} is not above {highest}, the highest of {}", manifest.package);
        return Err(Failure::Conflict(text, "pack again: the counter is the time of packing by default"));
    }
    for object in &checked.objects {
        writing.add_object(admin.project_id, object).await?;
    }
    let wire_size = wire_size(&mut writing, admin, &checked.signed).await?;
    let release_id = writing.add_release(&new_release(app, checked, package_id, wire_size)?).await?;
    let row = writing.release_by_id(release_id).await?;
    writing.commit().await?;
    Ok((row, true))
}

/// What a board without any file would fetch: every object once.
async fn wire_size(writing: &mut Writing, admin: &Admin, signed: &SignedManifest) -> anyhow::Result<i64> {
    let named: BTreeSet<Digest> = signed.manifest.files.iter().map(|file| file.digest).collect();
    let mut total = 0;
    for digest in named {
        let object = writing.object(admin.project_id, &digest.to_string()).await?;
        total += object.with_context(|| format!("object {digest} has no row"))?.wire_size;
    }
    Ok(total)
}

fn new_release(app: &App, checked: &Checked, package_id: i64, wire_size: i64) -> anyhow::Result<NewRelease> {
    let manifest = &checked.signed.manifest;
    let key_ids: Vec<String> = checked.signed.signatures.iter().map(|signature| signature.key_id.to_string()).collect();
    Ok(NewRelease {
        package_id,
        version: manifest.version.to_string(),
        digest: checked.signed.digest.to_string(),
        counter: small(manifest.counter)?,
        floor: small(manifest.floor)?,
        boards: serde_json::to_string(&manifest.boards)?,
        mpy: manifest.mpy.as_ref().map(ToString::to_string),
        created_ms: small(manifest.created)?.saturating_mul(1000),
        uploaded_ms: app.clock.now_ms(),
        size: small(manifest.files.iter().map(|file| file.size).sum())?,
        wire_size,
        file_count: i64::try_from(manifest.files.len())?,
        key_ids: serde_json::to_string(&key_ids)?,
        manifest: String::from_utf8(checked.signed.to_bytes())?,
    })
}

/// Numbers of a manifest are below 2^53.
fn small(number: u64) -> anyhow::Result<i64> {
    i64::try_from(number).context("a number of the manifest is too large")
}
