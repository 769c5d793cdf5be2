//! The layout of our own agent (docs/adapters.md, "Static export"): objects, deltas, manifests, the keyring, then the channels.

use std::collections::{BTreeMap, BTreeSet};

use goldcrest_core::delta::{self, MAX_DELTA_OBJECT};
use goldcrest_core::manifest::FileEntry;
use goldcrest_core::{Digest, object};

use super::{Exported, Folder, Source};
use crate::Result;
use crate::failure::Failure;

/// Plain bytes of bases and targets that deltas are made of between two releases: it bounds the time.
const MAX_WAY_BYTES: u64 = 8 << 20;

/// Writes everything, what points at others last.
pub(crate) fn write(source: &Source<'_>, folder: &mut Folder) -> Result<()> {
    for release in source.releases.values().flatten() {
        for file in &release.signed.manifest.files {
            let path = object_path(&file.digest);
            if !folder.has(&path)? {
                let (wire, _) = source.object(&file.digest, file.size)?;
                folder.put(&path, &wire)?;
            }
        }
    }
    for (package, _, version) in &source.channels {
        let releases = &source.releases[package];
        let Some(to) = releases.iter().find(|release| release.version == *version) else { continue };
        for from in releases.iter().filter(|from| from.version != to.version) {
            way(from, to, folder)?;
        }
    }
    for release in source.releases.values().flatten() {
        folder.put(&format!("manifests/{}", release.signed.digest), &release.manifest)?;
    }
    folder.put("keyring", &source.keyring.to_bytes())?;
    for (package, channel, version) in &source.channels {
        let Some(to) = source.releases[package].iter().find(|release| release.version == *version) else { continue };
        let text = format!("{}\n{version}\n{}\n", to.signed.digest, source.keyring.version());
        folder.put(&format!("channels/{package}/{channel}"), text.as_bytes())?;
    }
    Ok(())
}

fn object_path(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("objects/{}/{name}", &name[..2])
}

/// The deltas from one release to another. That of the manifest comes last: it says that the others are there.
fn way(from: &Exported, to: &Exported, folder: &mut Folder) -> Result<()> {
    let done = format!("deltas/{}/{}", to.signed.digest, from.signed.digest);
    let is_done = folder.has(&done)?;
    let old: BTreeMap<_, &FileEntry> = from.signed.manifest.files.iter().map(|file| (&file.path, file)).collect();
    let (mut left, mut seen) = (MAX_WAY_BYTES, BTreeSet::new());
    for file in &to.signed.manifest.files {
        let Some(known) = old.get(&file.path).filter(|known| known.digest != file.digest) else { continue };
        let fits = known.size.max(file.size) <= MAX_DELTA_OBJECT && known.size + file.size <= left;
        if !fits || !seen.insert((known.digest, file.digest)) {
            continue;
        }
        left -= known.size + file.size;
        let path = format!("deltas/{}/{}", file.digest, known.digest);
        if is_done {
            // One that does not pay is not there, and was not before.
            folder.keep_if_there(&path)?;
        } else if let Some(body) = object_delta(known, file, folder)? {
            folder.put(&path, &body)?;
        }
    }
    if !is_done {
        folder.put(&done, &delta::create(from.signed.signed_part(), &to.manifest))?;
    }
    Ok(())
}

/// The delta between two objects, if it pays. What it makes is checked before anyone gets it.
fn object_delta(known: &FileEntry, file: &FileEntry, folder: &Folder) -> Result<Option<Vec<u8>>> {
    let refused = |e: goldcrest_core::Refused| Failure::refused(e.refusal, format!("an object of the export: {e}"));
    let wire = folder.read(&object_path(&file.digest))?;
    let base =
        object::from_wire(&folder.read(&object_path(&known.digest))?, known.size, &known.digest).map_err(refused)?;
    let target = object::from_wire(&wire, file.size, &file.digest).map_err(refused)?;
    let body = delta::create(&base, &target);
    if !delta::pays(body.len() as u64, wire.len() as u64) {
        return Ok(None);
    }
    delta::apply_to_object(&base, &body, file.size, &file.digest).map_err(refused)?;
    Ok(Some(body))
}
