//! The package of a release: a plain ustar, made while it is sent. Its length is known before a byte of it is.
//!
//! The client of insigh.io reads a name of at most 100 bytes (no prefix, no PAX) and a size in octal, and makes one folder per entry that
//! ends in `/`: so folders stand before what is in them. It unpacks over what is there and removes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use goldcrest_core::manifest::FileEntry;
use goldcrest_core::{Digest, Refusal, Refused, SignedManifest, archive};

use super::thing::Form;
use crate::App;
use crate::content::{foreign_path, plain};

const BLOCK: usize = 512;
/// Most bytes of a name.
const MAX_NAME: usize = 100;

/// What a package is made of.
#[derive(Debug)]
pub(super) struct Package {
    parts: Vec<Part>,
    /// Bytes of the whole.
    pub(super) size: u64,
}

#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    /// A file's plain bytes, up to the end of their last block.
    Plain(FileEntry),
    /// An object as it is stored, likewise.
    Stored(Digest),
}

/// The package of a release.
///
/// # Errors
/// In the result's result: why this release can't be one for this kind of client.
pub(super) async fn of(app: &Arc<App>, release_id: i64, form: Form) -> anyhow::Result<Result<Package, Refused>> {
    let manifest = app.store.manifest(release_id).await?;
    let signed = SignedManifest::parse(manifest.as_bytes()).context("a stored manifest is damaged")?;
    match form {
        Form::Files => Ok(plain_files(&signed.manifest.files)),
        Form::Release => {
            let app = Arc::clone(app);
            let package = tokio::task::spawn_blocking(move || signed_release(&app, &signed));
            Ok(Ok(package.await.context("looking at objects died")??))
        }
    }
}

/// What the client of insigh.io could not take of these files.
pub(crate) fn problems(files: &[FileEntry]) -> Vec<String> {
    plain_files(files).err().map(|refused| refused.detail).into_iter().collect()
}

fn plain_files(files: &[FileEntry]) -> Result<Package, Refused> {
    let mut package = Package { parts: Vec::new(), size: 0 };
    let mut folders = BTreeSet::new();
    for file in files {
        let path = foreign_path(file.path.as_str());
        if path.len() > MAX_NAME {
            let text = format!("{path} has {} bytes: a package of this kind takes {MAX_NAME}", path.len());
            return Err(Refusal::PathLong.because(text));
        }
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..=at]) {
                package.push_header(&path[..=at], 0);
            }
        }
        package.push_header(path, file.size);
        package.push(Part::Plain(file.clone()), blocks(file.size));
    }
    package.finish();
    Ok(package)
}

/// The archive that a release is uploaded as.
fn signed_release(app: &App, signed: &SignedManifest) -> anyhow::Result<Package> {
    let mut package = Package { parts: Vec::new(), size: 0 };
    let manifest = signed.to_bytes();
    package.push_header("manifest", manifest.len() as u64);
    let mut padded = manifest;
    padded.resize(padded.len().next_multiple_of(BLOCK), 0);
    let size = padded.len() as u64;
    package.push(Part::Bytes(padded.into()), size);
    package.push_header(archive::FOLDER, 0);
    let digests: BTreeSet<Digest> = signed.manifest.files.iter().map(|file| file.digest).collect();
    for digest in digests {
        let (_, size) = app.blobs.read(&digest)?.with_context(|| format!("the file of object {digest} is gone"))?;
        package.push_header(&format!("{}{digest}", archive::FOLDER), size);
        package.push(Part::Stored(digest), blocks(size));
    }
    package.finish();
    Ok(package)
}

impl Package {
    fn push(&mut self, part: Part, size: u64) {
        self.parts.push(part);
        self.size += size;
    }

    fn push_header(&mut self, name: &str, size: u64) {
        self.push(Part::Bytes(archive::header(name, size).to_vec().into()), BLOCK as u64);
    }

    fn finish(&mut self) {
        self.push(Part::Bytes(vec![0; 2 * BLOCK].into()), 2 * BLOCK as u64);
    }

    /// The bytes: a file at a time is in memory.
    pub(super) fn into_body(self, app: &Arc<App>) -> Body {
        let app = Arc::clone(app);
        let parts = stream::iter(self.parts);
        Body::from_stream(futures_util::StreamExt::then(parts, move |part| {
            let app = Arc::clone(&app);
            async move { bytes_of(&app, part).await }
        }))
    }
}

async fn bytes_of(app: &Arc<App>, part: Part) -> anyhow::Result<Bytes> {
    let mut bytes = match part {
        Part::Bytes(bytes) => return Ok(bytes),
        Part::Plain(file) => plain(app, &file).await?.to_vec(),
        Part::Stored(digest) => {
            let app = Arc::clone(app);
            let read = tokio::task::spawn_blocking(move || stored(&app, &digest));
            read.await.context("reading an object died")??
        }
    };
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    Ok(bytes.into())
}

fn stored(app: &App, digest: &Digest) -> anyhow::Result<Vec<u8>> {
    let opened = app.blobs.read(digest).with_context(|| format!("cannot open object {digest}"))?;
    let (mut file, _) = opened.with_context(|| format!("the file of object {digest} is gone"))?;
    let mut wire = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut wire).with_context(|| format!("cannot read object {digest}"))?;
    Ok(wire)
}

/// Bytes with what fills the last block.
fn blocks(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64)
}
