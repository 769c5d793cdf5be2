//! Releases made of files that are no project of ours, and read back: for what moves a fleet over from another system.

use std::collections::BTreeMap;
use std::path::Path;

use goldcrest_core::keyring::Keyring;
use goldcrest_core::manifest::{AGENT_PROTOCOL, FileEntry, MAX_FILE_SIZE, Manifest, SignedManifest};
use goldcrest_core::mpy::{MpyAbi, MpyHeader};
use goldcrest_core::path::DevicePath;
use goldcrest_core::signature::SigningKey;
use goldcrest_core::{Digest, Refused, archive, object};
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Client, encode};
use crate::clock;
use crate::failure::{Exit, Failure};

/// A tree of files: path on the board, and bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A release as a tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) version: String,
    pub(crate) files: Files,
}

/// What publishing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The server took it.
    New,
    /// It has exactly these files under this version.
    Before,
}

/// Signs with the owner's key and sends.
pub(crate) struct Publisher<'a> {
    pub(crate) client: &'a Client,
    pub(crate) key: &'a SigningKey,
    pub(crate) keyring: &'a Keyring,
}

impl Publisher<'_> {
    /// Publishes a tree, with the root's boot.py as `boot_user.py`. The same thing twice is once.
    ///
    /// # Errors
    /// When the version is published with other files, and what the server or the format refuses.
    pub(crate) fn publish(&self, package: &str, version: &str, files: &Files) -> Result<Published> {
        let entries = entries(files)?;
        let path = format!("/api/v1/releases/{}/{}", encode(package), encode(version));
        if let Some(known) = self.client.find(&path)? {
            return same_files(package, version, &known, &entries).map(|()| Published::Before);
        }
        let manifest = Manifest {
            package: package.parse().map_err(|e: Refused| Failure::usage(e.detail))?,
            version: version.parse().map_err(|e: Refused| Failure::usage(e.detail))?,
            counter: self.next_counter(package)?,
            floor: 0,
            agent: AGENT_PROTOCOL,
            boards: Vec::new(),
            mpy: abi(files)?,
            created: clock::now_s(),
            expires: None,
            keep: Vec::new(),
            files: entries,
            deletions: Vec::new(),
        };
        let refused = |e: Refused| Failure::refused(e.refusal, format!("{package} {version} cannot be a release: {e}"));
        let signed =
            SignedManifest::sign(&manifest.into_canonical().map_err(refused)?, &[self.key]).map_err(refused)?;
        signed.verify(self.keyring).map_err(refused)?;
        let objects =
            files.values().map(|plain| (Digest::of(plain), object::to_wire(plain, object::DEFAULT_WINDOW_BITS)));
        let tar = archive::write(&signed.to_bytes(), &objects.collect());
        self.client.upload("POST", "/api/v1/releases", "application/x-tar", tar.len(), tar.as_slice())?;
        Ok(Published::New)
    }

    fn next_counter(&self, package: &str) -> Result<u64> {
        let releases = self.client.get(&format!("/api/v1/releases?package={}&limit=1000", encode(package)))?;
        let counters = releases["releases"].as_array().into_iter().flatten().filter_map(|r| r["counter"].as_u64());
        Ok(counters.max().map_or(0, |highest| highest + 1).max(clock::now_s()))
    }
}

/// The release that a channel points at; none when there is no such channel.
///
/// # Errors
/// What the server refuses.
pub(crate) fn of_channel(client: &Client, package: &str, channel: &str) -> Result<Option<Tree>> {
    let channels = client.get(&format!("/api/v1/channels?package={}&limit=1000", encode(package)))?;
    let named = channels["channels"].as_array().into_iter().flatten().find(|c| c["name"] == channel);
    let Some(version) = named.and_then(|c| c["version"].as_str()) else { return Ok(None) };
    download(client, package, version).map(Some)
}

/// The files of a release, verified by their digests; `boot_user.py` keeps that name.
///
/// # Errors
/// What the server refuses, and [`Exit::Verification`] for bytes that are not what the manifest names.
pub(crate) fn download(client: &Client, package: &str, version: &str) -> Result<Tree> {
    let tar = client.download(&format!("/api/v1/releases/{}/{}/archive", encode(package), encode(version)))?;
    let refused = |e: Refused| Failure::new(Exit::Verification, format!("{package} {version} from the server: {e}"));
    let read = archive::read(&tar).map_err(refused)?;
    let signed = SignedManifest::parse(read.manifest).map_err(refused)?;
    let mut files = Files::new();
    for file in &signed.manifest.files {
        let wire = read.objects.get(&file.digest).copied().unwrap_or_default();
        let plain = object::from_wire(wire, file.size, &file.digest).map_err(refused)?;
        files.insert(file.path.to_string(), plain);
    }
    Ok(Tree { version: version.to_owned(), files })
}

/// The path under which our agent keeps a file: only the root's boot.py moves.
pub(crate) fn board_path(path: &str) -> &str {
    if path == "boot.py" { "boot_user.py" } else { path }
}

fn entries(files: &Files) -> Result<Vec<FileEntry>> {
    let mut entries = Vec::new();
    for (path, plain) in files {
        let parsed: DevicePath = board_path(path)
            .parse()
            .map_err(|e: Refused| Failure::refused(e.refusal, format!("{path}: {}", e.detail)))?;
        if plain.len() as u64 > MAX_FILE_SIZE {
            return Err(Failure::refused("format", format!("{path} has more than {MAX_FILE_SIZE} bytes")));
        }
        entries.push(FileEntry { digest: Digest::of(plain), size: plain.len() as u64, path: parsed });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn same_files(package: &str, version: &str, known: &Value, entries: &[FileEntry]) -> Result<()> {
    let ours: Vec<Value> =
        entries.iter().map(|e| json!({"path": e.path, "size": e.size, "digest": e.digest})).collect();
    if known["files"] == json!(ours) {
        return Ok(());
    }
    let why = format!("{package} {version} is published already, with other files: a version never changes");
    Err(Failure::failed(why).named("conflict").hint("give the files another version"))
}

/// What the .mpy files need of a board.
fn abi(files: &Files) -> Result<Option<MpyAbi>> {
    let mut found: Option<MpyAbi> = None;
    for (path, plain) in files.iter().filter(|(path, _)| Path::new(path).extension().is_some_and(|e| e == "mpy")) {
        let header = MpyHeader::parse(plain).map_err(|e| Failure::refused(e.refusal, format!("{path}: {e}")))?;
        match &found {
            Some(abi) if abi.native.is_some() && header.abi.native.is_some() && *abi != header.abi => {
                let why = format!("{path} is made for {}, another file for {abi}: no board loads both", header.abi);
                return Err(Failure::refused("mpy", why));
            }
            Some(abi) if abi.native.is_some() => {}
            _ => found = Some(header.abi),
        }
    }
    Ok(found)
}
