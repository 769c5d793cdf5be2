//! The user's key folder: root and release keys as PEM files that only the owner can read, and the keyring that names them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use goldcrest_core::keyring::Keyring;
use goldcrest_core::signature::SigningKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;

use crate::Result;
use crate::failure::Failure;
use crate::project::Project;

/// The environment variable that holds a release key, or the path of one: for CI.
pub const KEY_VARIABLE: &str = "GOLDCREST_SIGNING_KEY";
/// The name of the keys when nothing else is said.
pub const DEFAULT_NAME: &str = "default";

/// `$XDG_CONFIG_HOME/goldcrest/keys`.
#[derive(Clone, Debug)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The folder at this path; it is made when the first key is written.
    pub fn new(dir: PathBuf) -> KeyFolder {
        KeyFolder(dir)
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The key that signs keyrings: to be kept offline once the keyring is made.
    pub fn root(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.root.pem"))
    }

    /// The key that signs releases.
    pub fn release(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.release.pem"))
    }

    /// The keyring in force.
    pub fn keyring(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.keyring"))
    }

    /// Where the release key of a project is: `[sign] key` (a name or a path), else the default name.
    pub fn release_of(&self, project: Option<&Project>) -> PathBuf {
        resolve(project, |p| p.file.sign.key.as_deref(), |name| self.release(name))
    }

    /// Where the keyring of a project is: `[sign] keyring`, else beside the key of `[sign] key`, else the default name.
    pub fn keyring_of(&self, project: Option<&Project>) -> PathBuf {
        let sign =
            |p: &'_ Project| p.file.sign.keyring.clone().or_else(|| p.file.sign.key.clone().filter(|k| !is_path(k)));
        let setting = project.and_then(sign);
        resolve(project, |_| setting.as_deref(), |name| self.keyring(name))
    }

    /// The release key to sign with: the environment's, else the project's.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or others can read it.
    pub fn signing_key(&self, project: Option<&Project>) -> Result<SigningKey> {
        match std::env::var(KEY_VARIABLE) {
            Ok(text) if text.contains("-----BEGIN") => SigningKey::from_pem(&text)
                .map_err(|e| Failure::failed(format!("{KEY_VARIABLE} holds no usable key: {e}")).named("key")),
            Ok(path) if !path.is_empty() => load(Path::new(&path)),
            _ => load(&self.release_of(project)),
        }
    }

    /// The keyring on this machine.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn load_keyring(&self, project: Option<&Project>) -> Result<Keyring> {
        load_keyring(&self.keyring_of(project))
    }
}

fn resolve<'a>(
    project: Option<&'a Project>,
    setting: impl Fn(&'a Project) -> Option<&'a str>,
    named: impl Fn(&str) -> PathBuf,
) -> PathBuf {
    match project.and_then(|p| Some((p, setting(p)?))) {
        Some((project, path)) if is_path(path) => project.dir.join(path),
        Some((_, name)) => named(name),
        None => named(DEFAULT_NAME),
    }
}

/// A setting with a slash or an extension of ours is a path, everything else a name given to `keygen`.
fn is_path(setting: &str) -> bool {
    setting.contains('/') || [".pem", ".keyring"].iter().any(|end| setting.ends_with(end))
}

/// Reads a private key, which nobody but its owner may be able to read.
///
/// # Errors
/// When the file is missing, open to others, or no usable key.
pub fn load(path: &Path) -> Result<SigningKey> {
    let about = fs::metadata(path)
        .map_err(|e| Failure::file("read the key", path, &e).named("key").hint("goldcrest keygen"))?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Failure::failed(format!("the key {} can be read by others (mode {mode:04o})", path.display()))
            .named("key")
            .hint(format!(
                "chmod 600 {}, and goldcrest keygen --rotate if somebody may have copied it",
                path.display()
            )));
    }
    let pem = fs::read_to_string(path).map_err(|e| Failure::file("read the key", path, &e).named("key"))?;
    SigningKey::from_pem(&pem).map_err(|e| {
        Failure::failed(format!("the key {} is not usable: {e}", path.display()))
            .named("key")
            .hint("bring it back from a backup, or goldcrest keygen --rotate")
    })
}

/// Reads a keyring and checks that its own roots signed it.
///
/// # Errors
/// When the file is missing or the keyring is refused.
pub fn load_keyring(path: &Path) -> Result<Keyring> {
    let bytes = fs::read(path).map_err(|e| Failure::file("read the keyring", path, &e).hint("goldcrest keygen"))?;
    let keyring = Keyring::parse(&bytes).and_then(|k| k.verify_self().map(|()| k));
    keyring.map_err(|e| Failure::refused(e.refusal, format!("the keyring {} is refused: {e}", path.display())))
}

/// Makes an RSA key and returns it as PKCS#8 PEM.
///
/// # Errors
/// When the machine has no randomness to give, or the key that was made cannot be read back.
pub fn generate(bits: usize) -> Result<(String, SigningKey)> {
    let failed = |e: &dyn std::fmt::Display| Failure::failed(format!("cannot make a key: {e}"));
    let key = rsa::RsaPrivateKey::new(&mut OsRng, bits).map_err(|e| failed(&e))?;
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| failed(&e))?;
    let read_back = SigningKey::from_pem(&pem).map_err(|e| failed(&e))?;
    Ok((pem.to_string(), read_back))
}

/// Writes a private key to a new file, mode 0600, in a folder of mode 0700.
///
/// # Errors
/// When the file exists: a key is never overwritten.
pub fn write_new(path: &Path, pem: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(|e| Failure::file("protect", dir, &e))?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return Failure::failed(format!("{} is there already: a key is never overwritten", path.display()))
                .hint("goldcrest keygen --rotate for a new release key, or --name for another set of keys");
        }
        Failure::file("write", path, &e)
    })?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| Failure::file("write", path, &e))
}

/// Puts a keyring in place of the one before, in one step.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_keyring(path: &Path, keyring: &Keyring) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&keyring.to_bytes())?;
        file.as_file().sync_all()?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| Failure::file("write", path, &e))
}
