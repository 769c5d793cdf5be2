//! Version, counter and time of a release: from the command line, the project file, git or the clock.

use goldcrest_core::name::Version;

use super::Content;
use crate::Result;
use crate::clock;
use crate::failure::Failure;
use crate::project::{Project, git};

/// What tells one release of a package from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Unique per package.
    pub version: Version,
    /// Rises with every release.
    pub counter: u64,
    /// A board that confirms the release refuses every counter below from then on.
    pub floor: u64,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub expires: Option<u64>,
}

/// What the command line says about it.
#[derive(Clone, Debug, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "shown in --help as it is")]
pub struct IdentityOptions {
    /// Version of the release, in place of [app] version; "git" for what git describe says
    #[arg(long, value_name = "VERSION", id = "release_version")]
    pub version: Option<String>,
    /// Time of the release, in seconds since 1970 [default: SOURCE_DATE_EPOCH, a clean commit's time, or now]
    #[arg(long, value_name = "SECONDS")]
    pub created: Option<u64>,
    /// Release counter [default: the time of the release, but above the server's highest]
    #[arg(long, value_name = "NUMBER")]
    pub counter: Option<u64>,
    /// Boards that confirm this release refuse, for good, every release with a counter below this
    #[arg(long, value_name = "COUNTER", default_value_t = 0, hide_default_value = true)]
    pub floor: u64,
    /// Boards refuse the release this many days after its creation
    #[arg(long, value_name = "DAYS")]
    pub expires_in: Option<u64>,
    /// Take a git version although files are not committed
    #[arg(long)]
    pub allow_dirty: bool,
}

const SECONDS_PER_DAY: u64 = 86_400;

impl Identity {
    /// Decides them for this content.
    ///
    /// # Errors
    /// For a version that is none, uncommitted files with a git version, and a `SOURCE_DATE_EPOCH` that is no number.
    pub fn decide(project: &Project, content: &Content, options: &IdentityOptions) -> Result<Identity> {
        let (text, from) = match &options.version {
            Some(text) => (text.as_str(), "--version"),
            None => (project.file.app.version.as_str(), "[app] version"),
        };
        let tree = project.commit.clone().or_else(|| git::work_tree(&project.dir));
        let version = if text == "git" {
            git_version(tree.as_ref(), content, options.allow_dirty)?
        } else {
            super::version(text, from)?
        };
        let created = match (options.created, source_date_epoch()?, tree.filter(|t| !t.dirty)) {
            (Some(created), _, _) | (None, Some(created), _) => created,
            (None, None, Some(tree)) => tree.committed,
            (None, None, None) => clock::now_s(),
        };
        let expires = options.expires_in.map(|days| created.saturating_add(days.saturating_mul(SECONDS_PER_DAY)));
        let counter = options.counter.unwrap_or(created);
        if options.floor > counter {
            return Err(Failure::usage(format!(
                "--floor {} is above the release's own counter {counter}",
                options.floor
            )));
        }
        Ok(Identity { version, counter, floor: options.floor, created, expires })
    }
}

fn git_version(tree: Option<&git::WorkTree>, content: &Content, allow_dirty: bool) -> Result<Version> {
    let tree = tree.ok_or_else(|| {
        Failure::usage("the version is \"git\", but the project is in no git repository with a commit")
            .hint("commit once, or name the version: --version 1.0.0")
    })?;
    if !tree.dirty {
        return super::version(&tree.describe, "git describe");
    }
    if !allow_dirty {
        return Err(Failure::failed(format!(
            "the version is \"git\" ({}), but not every file is committed",
            tree.describe
        ))
        .named("dirty")
        .hint("commit (git status shows what), or --allow-dirty"));
    }
    // The content's own name keeps two different states apart.
    super::version(&format!("{}-dirty.{}", tree.describe, content.fingerprint()), "git describe")
}

fn source_date_epoch() -> Result<Option<u64>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|v| !v.is_empty()) else { return Ok(None) };
    let seconds = text.to_str().and_then(|t| t.parse().ok());
    seconds.map(Some).ok_or_else(|| {
        Failure::usage(format!("SOURCE_DATE_EPOCH is {:?}, not a number of seconds", text.to_string_lossy()))
    })
}
