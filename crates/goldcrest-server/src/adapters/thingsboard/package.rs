//! A release as the one file that boards download: for boards without our agent a .tar.gz of its plain files, made so that their
//! installers take it; for those with it the signed release itself. Made once, the same bytes each time, and kept while there is room.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use flate2::{Compression, GzBuilder};
use goldcrest_core::manifest::FileEntry;
use goldcrest_core::{Refusal, Refused, SignedManifest, archive};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checksum::Algorithm;
use crate::App;
use crate::content::{foreign_path, read_plain};

/// Bytes of packages that are kept for the next board; one is always.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// The file in which boards look for title and version of what they run.
const METADATA: &str = "FW_METADATA.json";
/// Longest name that their tar readers understand: they know neither PAX nor GNU's long names.
const MAX_TAR_NAME: usize = 100;
/// What micropython-lib's tarfile gives in the one read that the installer does of each file.
const MAX_TAR_FILE: u64 = 65_536;
const BLOCK: usize = 512;

/// What a release looks like to a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// A .tar.gz of its files.
    #[default]
    Files,
    /// The release's own .tar, for boards with our agent.
    Release,
}

/// A release in the form in which boards download it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) bytes: Arc<[u8]>,
    sums: Mutex<HashMap<Algorithm, String>>,
}

impl Package {
    /// Its checksum, made once.
    pub(super) fn checksum(&self, algorithm: Algorithm) -> String {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.entry(algorithm).or_insert_with(|| algorithm.of(&self.bytes)).clone()
    }
}

/// Packages that are ready, the one that was wanted last at the end.
#[derive(Debug, Default)]
pub(super) struct Packages {
    kept: tokio::sync::Mutex<VecDeque<(Wanted, Arc<Package>)>>,
}

/// Which package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) release_id: i64,
    pub(super) form: Form,
    pub(super) title: String,
    pub(super) version: String,
}

impl Packages {
    /// The package, from those that are kept or made now. Two boards that want the same one wait for one making.
    pub(super) async fn get(&self, app: &Arc<App>, wanted: &Wanted) -> anyhow::Result<Arc<Package>> {
        let mut kept = self.kept.lock().await;
        let known = kept.iter().position(|(other, _)| other == wanted).and_then(|at| kept.remove(at));
        let entry = match known {
            Some(entry) => entry,
            None => (wanted.clone(), Arc::new(make(app, wanted).await?)),
        };
        let package = Arc::clone(&entry.1);
        kept.push_back(entry);
        while kept.len() > 1 && kept.iter().map(|(_, package)| package.bytes.len()).sum::<usize>() > MAX_KEPT_BYTES {
            kept.pop_front();
        }
        Ok(package)
    }
}

async fn make(app: &Arc<App>, wanted: &Wanted) -> anyhow::Result<Package> {
    let manifest = app.store.manifest(wanted.release_id).await?;
    let signed = SignedManifest::parse(manifest.as_bytes()).context("a stored manifest is damaged")?;
    let (shared, Wanted { form, title, version, .. }) = (Arc::clone(app), wanted.clone());
    if let (Form::Files, Some(refused)) = (form, refusal(&signed.manifest.files)) {
        return Err(refused.into());
    }
    let making = tokio::task::spawn_blocking(move || {
        let bytes = match form {
            Form::Files => files(&shared, &signed, &title, &version)?,
            Form::Release => release(&shared, &signed)?,
        };
        anyhow::Ok(Package { title, version, bytes: bytes.into(), sums: Mutex::default() })
    });
    making.await.context("making a package died")?
}

/// Why these files can be no package.
fn refusal(files: &[FileEntry]) -> Option<Refused> {
    let path = files.iter().map(|file| foreign_path(file.path.as_str())).find(|path| path.len() > MAX_TAR_NAME)?;
    let text = format!("{path} has {} bytes: boards of ThingsBoard read names of {MAX_TAR_NAME}", path.len());
    Some(Refusal::PathLong.because(text))
}

/// What boards with the known installer could not take of these files.
pub(crate) fn problems(files: &[FileEntry]) -> Vec<String> {
    let long = files.iter().filter(|file| file.size > MAX_TAR_FILE).map(|file| {
        let path = foreign_path(file.path.as_str());
        format!("{path}: its installer writes the first {MAX_TAR_FILE} bytes of {}", file.size)
    });
    refusal(files).map(|refused| refused.detail).into_iter().chain(long).collect()
}

/// A .tar.gz with folders before what is in them, as installers make them in this order. Title and version come last: an installation that
/// fails half way must not leave a board that says it runs the release.
fn files(app: &App, signed: &SignedManifest, title: &str, version: &str) -> anyhow::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut folders = BTreeSet::new();
    for file in &signed.manifest.files {
        let path = foreign_path(file.path.as_str());
        if path == METADATA {
            // The board compares it with what was announced: the release's own could only differ.
            continue;
        }
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..=at]) {
                gzip.write_all(&tar_header(&path[..=at], 0)?)?;
            }
        }
        tar_file(&mut gzip, path, &read_plain(app, &file.digest, file.size)?)?;
    }
    let metadata = json!({"title": title, "version": version}).to_string();
    tar_file(&mut gzip, METADATA, metadata.as_bytes())?;
    gzip.write_all(&[0; 2 * BLOCK])?;
    Ok(gzip.finish()?)
}

fn tar_file(out: &mut impl Write, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    out.write_all(&tar_header(name, bytes.len())?)?;
    out.write_all(bytes)?;
    out.write_all(&[0; BLOCK][..bytes.len().next_multiple_of(BLOCK) - bytes.len()])?;
    Ok(())
}

/// A ustar header without owner or time; a name that ends in `/` is a folder.
fn tar_header(name: &str, size: usize) -> anyhow::Result<[u8; BLOCK]> {
    if name.len() > MAX_TAR_NAME {
        bail!("{name:?} has more than {MAX_TAR_NAME} bytes");
    }
    let is_folder = name.ends_with('/');
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, if is_folder { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, if is_folder { b"5" } else { b"0" });
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// The same .tar that `GET …/archive` gives.
fn release(app: &App, signed: &SignedManifest) -> anyhow::Result<Vec<u8>> {
    let mut objects = BTreeMap::new();
    for file in &signed.manifest.files {
        let digest = file.digest;
        let opened = app.blobs.read(&digest)?;
        let (mut opened, _) = opened.with_context(|| format!("the file of object {digest} is gone"))?;
        let mut wire = Vec::new();
        opened.read_to_end(&mut wire).with_context(|| format!("cannot read object {digest}"))?;
        objects.insert(digest, wire);
    }
    Ok(archive::write(&signed.to_bytes(), &objects))
}
