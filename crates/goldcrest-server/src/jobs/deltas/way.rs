//! One way: what a board that runs one release fetches to get to another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use anyhow::Context;
use goldcrest_core::delta::{self, MAX_DELTA_OBJECT};
use goldcrest_core::manifest::FileEntry;
use goldcrest_core::{Digest, SignedManifest, object};

use crate::blobs::Blobs;
use crate::store::{DeltaRelease, NewDelta, NewObjectDelta};

/// Plain bytes of bases and targets that deltas are made of on one way: it bounds the time. The rest travels whole.
const MAX_WAY_BYTES: u64 = 8 << 20;

/// Makes the deltas of the manifest and of every changed file that keeps its path, as far as they pay. `None` when it was stopped.
///
/// # Errors
/// When a stored manifest is damaged or an object's file is gone or damaged.
pub(super) fn make(
    blobs: &Blobs,
    from: &DeltaRelease,
    to: &DeltaRelease,
    is_stopped: impl Fn() -> bool,
) -> anyhow::Result<Option<NewDelta>> {
    let base = SignedManifest::parse(from.manifest.as_bytes()).context("a stored manifest is damaged")?;
    let target = SignedManifest::parse(to.manifest.as_bytes()).context("a stored manifest is damaged")?;
    let manifest = delta::create(base.signed_part(), to.manifest.as_bytes());
    let old: BTreeMap<_, _> = base.manifest.files.iter().map(|file| (&file.path, file)).collect();
    let mut objects = Vec::new();
    let (mut size, mut whole_size) = (manifest.len() as u64, to.manifest.len() as u64);
    let mut left = MAX_WAY_BYTES;
    let (mut seen, mut counted) = (BTreeSet::new(), BTreeSet::new());
    for file in &target.manifest.files {
        let known = old.get(&file.path).copied();
        if known.is_some_and(|known| known.digest == file.digest) {
            continue;
        }
        if is_stopped() {
            return Ok(None);
        }
        let wire = read(blobs, &file.digest)?;
        let mut fetched = wire.len() as u64;
        let room =
            known.filter(|known| known.size.max(file.size) <= MAX_DELTA_OBJECT && known.size + file.size <= left);
        if let Some(known) = room.filter(|known| seen.insert((known.digest, file.digest))) {
            left -= known.size + file.size;
            if let Some(body) = object_delta(blobs, known, file, &wire)? {
                fetched = body.len() as u64;
                objects.push(NewObjectDelta { from: known.digest.to_string(), to: file.digest.to_string(), body });
            }
        }
        // The same content at a second path is fetched once.
        if counted.insert(file.digest) {
            size += fetched;
            whole_size += wire.len() as u64;
        }
    }
    Ok(Some(NewDelta {
        from_release_id: from.id,
        to_release_id: to.id,
        project_id: to.project_id,
        manifest,
        objects,
        size: i64::try_from(size)?,
        whole_size: i64::try_from(whole_size)?,
    }))
}

/// The delta between two files, if it pays. What it makes is checked before anyone gets it.
fn object_delta(blobs: &Blobs, known: &FileEntry, file: &FileEntry, wire: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let base = object::from_wire(&read(blobs, &known.digest)?, known.size, &known.digest)?;
    let target = object::from_wire(wire, file.size, &file.digest)?;
    let body = delta::create(&base, &target);
    if !delta::pays(body.len() as u64, wire.len() as u64) {
        return Ok(None);
    }
    delta::apply_to_object(&base, &body, file.size, &file.digest)
        .with_context(|| format!("the delta from {} is wrong", known.digest))?;
    Ok(Some(body))
}

fn read(blobs: &Blobs, digest: &Digest) -> anyhow::Result<Vec<u8>> {
    let (mut file, size) = blobs.read(digest)?.with_context(|| format!("the file of object {digest} is gone"))?;
    let mut wire = Vec::with_capacity(usize::try_from(size)?);
    file.read_to_end(&mut wire).with_context(|| format!("cannot read object {digest}"))?;
    Ok(wire)
}
