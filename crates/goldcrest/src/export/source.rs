//! What the server has: releases with their manifests, verified before anything of them is written.

use std::collections::{BTreeMap, BTreeSet};

use goldcrest_core::keyring::Keyring;
use goldcrest_core::manifest::{FileEntry, SignedManifest};
use goldcrest_core::object;
use serde_json::Value;

use crate::Result;
use crate::client::{Client, encode};
use crate::failure::{Exit, Failure};

/// A release to be exported.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) signed: SignedManifest,
}

/// Everything that is read once.
pub(crate) struct Source<'a> {
    pub(crate) client: &'a Client,
    pub(crate) keyring: Keyring,
    /// Package, channel, version.
    pub(crate) channels: Vec<(String, String, String)>,
    /// By package, the newest last.
    pub(crate) releases: BTreeMap<String, Vec<Exported>>,
}

impl<'a> Source<'a> {
    /// The packages (all, when none is named) with what their channels point at and their newest `keep` releases.
    pub(crate) fn read(client: &'a Client, packages: &[String], keep: usize) -> Result<Source<'a>> {
        let keyring = client.find_bytes("/api/v1/keyring")?.ok_or_else(|| {
            Failure::not_found("the server has no keyring, so nothing is published there yet").hint("goldcrest publish")
        })?;
        let keyring =
            Keyring::parse(&keyring).map_err(|e| Failure::refused(e.refusal, format!("the server's keyring: {e}")))?;
        let is_named = |package: &str| packages.is_empty() || packages.iter().any(|p| p == package);
        let channels: Vec<(String, String, String)> = pages(client, "/api/v1/channels?limit=1000", "channels")?
            .iter()
            .map(|c| [&c["package"], &c["name"], &c["version"]].map(|v| v.as_str().unwrap_or_default().to_owned()))
            .map(|[package, name, version]| (package, name, version))
            .filter(|(package, ..)| is_named(package))
            .collect();
        let listed: BTreeSet<String> = channels.iter().map(|(package, ..)| package.clone()).collect();
        if let Some(missing) = packages.iter().find(|package| !listed.contains(*package)) {
            return Err(Failure::not_found(format!("no channel of {missing} points at a release"))
                .hint("goldcrest channel list"));
        }
        let mut source = Source { client, keyring, channels, releases: BTreeMap::new() };
        for package in listed {
            let releases = source.releases_of(&package, keep)?;
            source.releases.insert(package, releases);
        }
        Ok(source)
    }

    fn releases_of(&self, package: &str, keep: usize) -> Result<Vec<Exported>> {
        let all = pages(self.client, &format!("/api/v1/releases?limit=1000&package={}", encode(package)), "releases")?;
        let is_shown = |version: &str| self.channels.iter().any(|(p, _, v)| p == package && v == version);
        let mut releases = Vec::new();
        // The server lists the newest first.
        for (number, release) in all.iter().enumerate() {
            let version = release["version"].as_str().unwrap_or_default();
            if number < keep || is_shown(version) {
                releases.push(self.release(package, version)?);
            }
        }
        releases.reverse();
        Ok(releases)
    }

    fn release(&self, package: &str, version: &str) -> Result<Exported> {
        let path = format!("/api/v1/releases/{}/{}/manifest", encode(package), encode(version));
        let manifest = self.client.download(&path)?;
        let refused = |e: goldcrest_core::Refused| {
            Failure::refused(e.refusal, format!("{package} {version} on the server: {e}"))
                .hint("boards would refuse it too; nothing that points at it was written")
        };
        let signed = SignedManifest::parse(&manifest).map_err(refused)?;
        signed.verify(&self.keyring).map_err(refused)?;
        Ok(Exported { package: package.to_owned(), version: version.to_owned(), manifest, signed })
    }

    /// An object in wire form, and its plain bytes.
    pub(crate) fn object(&self, digest: &goldcrest_core::Digest, size: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let wire = self.client.download(&format!("/api/v1/objects/{digest}"))?;
        let plain = object::from_wire(&wire, size, digest)
            .map_err(|e| Failure::new(Exit::Verification, format!("object {digest} from the server: {e}")))?;
        Ok((wire, plain))
    }

    /// The plain bytes of a file.
    pub(crate) fn plain(&self, file: &FileEntry) -> Result<Vec<u8>> {
        self.object(&file.digest, file.size).map(|(_, plain)| plain)
    }
}

/// All pages of a list.
fn pages(client: &Client, path: &str, key: &str) -> Result<Vec<Value>> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let mut page = client.get(&format!("{path}{after}"))?;
        items.extend(page[key].as_array_mut().map(std::mem::take).unwrap_or_default());
        match &page["next"] {
            Value::Null => return Ok(items),
            next => after = format!("&after={}", encode(next.as_str().unwrap_or(&next.to_string()))),
        }
    }
}
