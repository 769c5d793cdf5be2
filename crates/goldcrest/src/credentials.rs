//! `credentials.toml` in the user's folder: servers and their tokens, for the owner's eyes only.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::client::Server;
use crate::failure::Failure;

const FILE: &str = "credentials.toml";

/// The stored servers.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The server that commands use when nothing else names one: the last login.
    pub default: Option<String>,
    /// By the server's URL.
    #[serde(default)]
    servers: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: String,
}

impl Credentials {
    /// Reads the file in the user's folder; nothing is stored when there is none. The second part is a warning
    /// when others can read the file.
    ///
    /// # Errors
    /// When the file cannot be read or is not what we wrote.
    pub fn load(config_home: &Path) -> Result<(Credentials, Option<String>)> {
        let path = config_home.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Credentials::default(), None)),
            Err(e) => return Err(Failure::file("read", &path, &e)),
        };
        let mode = fs::metadata(&path).map_err(|e| Failure::file("read", &path, &e))?.permissions().mode() & 0o777;
        let open = format!("{} can be read by others (mode {mode:04o}): chmod 600 {}", path.display(), path.display());
        let credentials = toml::from_str(&text).map_err(|e| {
            Failure::usage(format!("{}: {}", path.display(), e.message()))
                .hint(format!("delete {} and log in again", path.display()))
        })?;
        Ok((credentials, (mode & 0o077 != 0).then_some(open)))
    }

    /// The token for a server.
    pub fn token(&self, server: &Server) -> Option<&str> {
        self.servers.get(server.as_str()).map(|e| e.token.as_str())
    }

    /// Remembers the token and makes the server the default one.
    pub fn set(&mut self, server: &Server, token: String) {
        self.default = Some(server.to_string());
        self.servers.insert(server.to_string(), Entry { token });
    }

    /// Writes the file anew, mode 0600, in one step.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn save(&self, config_home: &Path) -> Result<()> {
        let path = config_home.join(FILE);
        let text =
            toml::to_string(self).map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(config_home)?;
            // A temporary file of this crate is made with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(config_home)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(|e| Failure::file("write", &path, &e))
    }
}
