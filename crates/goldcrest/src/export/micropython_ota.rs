//! The layout of micropython-ota: `<package>/<version>_<file>` and `<package>/<version>/<file>`, then `<package>/version`.

use std::collections::BTreeSet;

use super::{Exported, Folder, Source};
use crate::Result;

/// Folders of our own layout, which a package must not be called.
const OURS: [&str; 4] = ["channels", "deltas", "manifests", "objects"];

/// Writes every release, then the version that `channel` points at.
pub(crate) fn write(source: &Source<'_>, channel: &str, folder: &mut Folder) -> Result<()> {
    for (package, releases) in &source.releases {
        let points_at = source.channels.iter().find(|(p, c, _)| p == package && c == channel);
        let Some((_, _, version)) = points_at else {
            folder.notes.push(format!("{package}: micropython-ota: there is no channel {channel}"));
            continue;
        };
        if OURS.contains(&package.as_str()) {
            folder.notes.push(format!("{package}: micropython-ota: a folder of our own has that name"));
            continue;
        }
        for release in releases {
            let is_named = release.version == *version;
            one(source, release, is_named, folder)?;
        }
        folder.put(&format!("{package}/version"), format!("{version}\n").as_bytes())?;
    }
    Ok(())
}

fn one(source: &Source<'_>, release: &Exported, is_named: bool, folder: &mut Folder) -> Result<()> {
    let (package, version) = (&release.package, &release.version);
    let (mut listed, mut folders) = (String::new(), BTreeSet::new());
    for file in &release.signed.manifest.files {
        let path = if file.path.as_str() == "boot_user.py" { "boot.py" } else { file.path.as_str() };
        for (at, _) in path.match_indices('/') {
            if folders.insert(path[..=at].to_owned()) {
                listed += &format!("{}\n", &path[..=at]);
            }
        }
        listed += &format!("{path}\n");
        let names = [format!("{package}/{version}_{path}"), format!("{package}/{version}/{path}")];
        // A release never changes: what is there was written whole.
        let is_there = folder.has(&names[0])? & folder.has(&names[1])?;
        let mut plain = None;
        if !is_there {
            let bytes = source.plain(file)?;
            for name in &names {
                folder.put(name, &bytes)?;
            }
            plain = Some(bytes);
        }
        if is_named {
            let why = if path.contains('/') {
                Some("makes no folders")
            } else {
                let bytes = plain.map_or_else(|| folder.read(&names[0]), Ok)?;
                std::str::from_utf8(&bytes).err().map(|_| "takes text only")
            };
            folder.notes.extend(why.map(|why| format!("{package} {version}: {path}: micropython-ota 2.1.0 {why}")));
        }
    }
    if !release.signed.manifest.files.iter().any(|file| file.path.as_str() == "manifest") {
        for name in [format!("{package}/{version}_manifest"), format!("{package}/{version}/manifest")] {
            folder.put(&name, listed.as_bytes())?;
        }
    }
    Ok(())
}
