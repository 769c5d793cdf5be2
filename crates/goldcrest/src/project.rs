//! `goldcrest.toml`: what a project is called, what is packed, what stays on the board, and for which boards.

use std::fs;
use std::path::{Path, PathBuf};

use goldcrest_core::name::{PackageName, Version};
use goldcrest_core::path::Pattern;
use serde::Deserialize;

use crate::Result;
use crate::failure::Failure;

pub mod git;

/// The name of the project file.
pub const FILE: &str = "goldcrest.toml";
/// Most bytes of it.
const MAX_FILE: u64 = 256 << 10;

/// A project: the folder of its goldcrest.toml, and what stands there, checked.
#[derive(Debug)]
pub struct Project {
    /// The folder.
    pub dir: PathBuf,
    /// The file as it was read.
    pub file: ProjectFile,
    /// `[app] name`.
    pub name: PackageName,
    /// `[keep] paths`.
    pub keep: Vec<Pattern>,
    /// `[target] max_bytes`, in bytes.
    pub max_bytes: Option<u64>,
    /// What git says of the commit that the project was taken from; none: what it says of the folder.
    pub commit: Option<git::WorkTree>,
    /// Folders of that commit whose files are in another repository.
    pub submodules: Vec<String>,
}

/// The sections of goldcrest.toml. An unknown key is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectFile {
    /// What is made here.
    pub app: App,
    /// What is packed, and how.
    #[serde(default)]
    pub pack: Pack,
    /// What belongs to the board.
    #[serde(default)]
    pub keep: Keep,
    /// For which boards.
    #[serde(default)]
    pub target: Target,
    /// Where it is published.
    #[serde(default)]
    pub server: ServerSection,
    /// With which key.
    #[serde(default)]
    pub sign: Sign,
}

/// `[app]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The package's name.
    pub name: String,
    /// A version, or `git`: what `git describe` says.
    #[serde(default = "git_version")]
    pub version: String,
}

fn git_version() -> String {
    "git".to_owned()
}

/// `[pack]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pack {
    /// Folder that becomes the root of the board, below the project's.
    pub root: String,
    /// Globs of what is packed.
    pub include: Vec<String>,
    /// Globs of what is not.
    pub exclude: Vec<String>,
    /// Whether the agent is a part of the release: the one that this program carries.
    pub agent: bool,
    /// What becomes of a .py file.
    pub python: Python,
    /// Globs of files that are packed byte for byte.
    pub raw: Vec<String>,
    /// Window of the objects, as a power of two.
    pub window: u8,
    /// Paths that may look like secrets.
    pub allow_secrets: Vec<String>,
}

impl Default for Pack {
    fn default() -> Pack {
        Pack {
            root: ".".to_owned(),
            include: vec!["**".to_owned()],
            exclude: Vec::new(),
            agent: false,
            python: Python::Mpy,
            raw: Vec::new(),
            window: goldcrest_core::object::DEFAULT_WINDOW_BITS,
            allow_secrets: Vec::new(),
        }
    }
}

/// What becomes of a .py file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Python {
    /// Compiled to bytecode.
    Mpy,
    /// Source without comments and blank space; every statement keeps its line.
    Min,
    /// As it is.
    Raw,
}

/// `[keep]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Patterns of device-owned paths.
    pub paths: Vec<String>,
}

/// `[target]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Boards or platforms that may install the release; empty: any.
    pub boards: Vec<String>,
    /// The oldest `MicroPython` of the fleet, as `>=1.20`.
    pub micropython: Option<String>,
    /// Most plain bytes of a release: `700K`, `1M`, `300000`.
    pub max_bytes: Option<String>,
}

/// `[server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Its address.
    pub url: Option<String>,
    /// The channel that `deploy` uses.
    pub channel: Option<String>,
}

/// `[sign]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sign {
    /// A name given to `keygen`, or the path of a PEM file.
    pub key: Option<String>,
    /// The same for the keyring.
    pub keyring: Option<String>,
}

impl Project {
    /// The project of `start`: the nearest folder upwards that has a goldcrest.toml, if any.
    ///
    /// # Errors
    /// As [`Project::load`].
    pub fn find(start: &Path) -> Result<Option<Project>> {
        let found = start.ancestors().find(|dir| dir.join(FILE).is_file());
        found.map(Project::load).transpose()
    }

    /// Reads the project of this very folder.
    ///
    /// # Errors
    /// When there is no goldcrest.toml, it cannot be read, or it says something wrong: with file and line.
    pub fn load(dir: &Path) -> Result<Project> {
        let path = dir.join(FILE);
        let about = fs::metadata(&path).map_err(|e| Failure::file("read", &path, &e).hint("goldcrest init"))?;
        if about.len() > MAX_FILE {
            return Err(Failure::usage(format!("{} is larger than {MAX_FILE} bytes", path.display())));
        }
        let text = fs::read_to_string(&path).map_err(|e| Failure::file("read", &path, &e))?;
        let file: ProjectFile = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            Failure::usage(format!("{}:{line}: {}", path.display(), e.message().replace('\n', "; ")))
        })?;
        let wrong =
            |key: &str, why: &dyn std::fmt::Display| Failure::usage(format!("{}: {key}: {why}", path.display()));
        let name = file.app.name.parse().map_err(|e: goldcrest_core::Refused| wrong("[app] name", &e.detail))?;
        if file.app.version != "git" {
            file.app.version.parse::<Version>().map_err(|e| wrong("[app] version", &e.detail))?;
        }
        let keep =
            file.keep.paths.iter().map(|p| p.parse()).collect::<std::result::Result<_, goldcrest_core::Refused>>();
        let keep = keep.map_err(|e| wrong("[keep] paths", &e.detail))?;
        let max_bytes = file
            .target
            .max_bytes
            .as_deref()
            .map(byte_count)
            .transpose()
            .map_err(|e| wrong("[target] max_bytes", &e))?;
        if !(9..=12).contains(&file.pack.window) {
            return Err(wrong("[pack] window", &format!("{} is not between 9 and 12", file.pack.window)));
        }
        if let Some(text) = &file.target.micropython {
            let parsed = oldest_micropython(text)
                .ok_or_else(|| wrong("[target] micropython", &format!("{text:?} is not of the form \">=1.20\"")))?;
            if parsed < (1, 20) {
                return Err(wrong("[target] micropython", &format!("{text:?}: the agent needs 1.20 or newer")));
            }
        }
        Ok(Project { dir: dir.to_owned(), file, name, keep, max_bytes, commit: None, submodules: Vec::new() })
    }

    /// The oldest `MicroPython` that the release must run on, if the file says so.
    pub fn oldest_micropython(&self) -> Option<(u32, u32)> {
        oldest_micropython(self.file.target.micropython.as_deref()?)
    }

    /// The channel of the project's devices.
    pub fn channel(&self) -> &str {
        self.file.server.channel.as_deref().unwrap_or("stable")
    }
}

fn byte_count(text: &str) -> std::result::Result<u64, String> {
    let (digits, unit) = match text.trim_end_matches(['B', 'b']).trim() {
        t if t.ends_with(['K', 'k']) => (&t[..t.len() - 1], 1 << 10),
        t if t.ends_with(['M', 'm']) => (&t[..t.len() - 1], 1 << 20),
        t => (t, 1),
    };
    let number: Option<u64> = digits.trim().parse().ok();
    number.and_then(|n| n.checked_mul(unit)).ok_or_else(|| format!("{text:?} is not a size such as \"700K\" or \"1M\""))
}

fn oldest_micropython(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.strip_prefix(">=")?.trim().split_once('.')?;
    Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;
