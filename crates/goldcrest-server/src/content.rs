//! The files of a release as plain bytes, for boards that take files and not releases. What comes out was verified when it was uploaded.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use goldcrest_core::manifest::FileEntry;
use goldcrest_core::{Digest, SignedManifest, object};

use crate::App;

/// The release's `boot.py` under the name that our agent gives it.
const BOOT_USER: &str = "boot_user.py";

/// The files of a release.
pub(crate) async fn files(app: &App, release_id: i64) -> anyhow::Result<Vec<FileEntry>> {
    let manifest = app.store.manifest(release_id).await?;
    let signed = SignedManifest::parse(manifest.as_bytes()).context("a stored manifest is damaged")?;
    Ok(signed.manifest.files)
}

/// The path that a board without our agent knows a file by: `boot_user.py` is its `boot.py`.
pub(crate) fn foreign_path(path: &str) -> &str {
    if path == BOOT_USER { "boot.py" } else { path }
}

/// The plain bytes of a file of a release.
pub(crate) async fn plain(app: &Arc<App>, file: &FileEntry) -> anyhow::Result<Bytes> {
    let (app, digest, size) = (Arc::clone(app), file.digest, file.size);
    let read = tokio::task::spawn_blocking(move || read_plain(&app, &digest, size));
    read.await.context("reading an object died")?
}

/// The plain bytes of an object of this size; call it where blocking is allowed.
pub(crate) fn read_plain(app: &App, digest: &Digest, size: u64) -> anyhow::Result<Bytes> {
    let opened = app.blobs.read(digest).with_context(|| format!("cannot open object {digest}"))?;
    let (mut file, wire_size) = opened.with_context(|| format!("the file of object {digest} is gone"))?;
    let mut wire = Vec::with_capacity(usize::try_from(wire_size).unwrap_or(0));
    std::io::Read::read_to_end(&mut file, &mut wire).with_context(|| format!("cannot read object {digest}"))?;
    let plain = object::from_wire(&wire, size, digest).with_context(|| format!("object {digest} is damaged"))?;
    Ok(plain.into())
}
