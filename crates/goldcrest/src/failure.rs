//! What went wrong, told to a person (what, where, why, next command) and to a script (exit code, name).

use std::fmt;
use std::path::Path;

/// The exit codes of the program; documented in `goldcrest --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command failed.
    Failed = 1,
    /// The command line or the project file is wrong.
    Usage = 2,
    /// The named thing does not exist.
    NotFound = 3,
    /// Not logged in, token expired, or not allowed.
    NotAllowed = 4,
    /// The server or the device cannot be reached.
    Unreachable = 5,
    /// A hash, a signature or a rule of the release format does not hold.
    Verification = 6,
    /// A rollout was halted.
    Halted = 7,
}

impl Exit {
    /// The number handed to the shell.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command ended without doing what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub exit: Exit,
    /// Short name for scripts: a refusal of docs/release-format.md, an error of docs/api.md, or one of ours.
    pub name: String,
    /// What and where, as a lower-case fragment.
    pub message: String,
    /// The next thing to do, usually a command.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of kind `exit`; its name for scripts follows from the kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        let name = match exit {
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::NotFound => "not-found",
            Exit::NotAllowed => "forbidden",
            Exit::Unreachable => "unreachable",
            Exit::Verification => "verification",
            Exit::Halted => "halted",
        };
        Failure { exit, name: name.to_owned(), message: message.into(), hint: None }
    }

    /// The command failed.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, message)
    }

    /// The command line or the project file is wrong.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// The named thing does not exist.
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(Exit::NotFound, message)
    }

    /// A rule of the release format does not hold; `name` is the refusal's.
    pub fn refused(name: impl fmt::Display, message: impl Into<String>) -> Failure {
        Failure::new(Exit::Verification, message).named(name)
    }

    /// A failure with its causes in one line.
    pub fn chain(error: &anyhow::Error) -> Failure {
        let parts: Vec<String> = error.chain().map(|part| reason(&part.to_string())).collect();
        Failure::failed(parts.join(": "))
    }

    /// Reading or writing `path` did not work.
    pub fn file(action: &str, path: &Path, why: &std::io::Error) -> Failure {
        let exit = if why.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("cannot {action} {}: {}", path.display(), reason(&why.to_string())))
    }

    /// The same failure under another name.
    #[must_use]
    pub fn named(mut self, name: impl fmt::Display) -> Failure {
        self.name = name.to_string();
        self
    }

    /// The same failure with a next step, unless it has one already.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}

impl std::error::Error for Failure {}

/// An error's text as a lower-case fragment without Rust's `(os error 2)`.
fn reason(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut letters = text.chars();
    // `MICROPYTHON` is a name, not the beginning of a sentence.
    if text.chars().nth(1).is_some_and(char::is_uppercase) {
        return text.to_owned();
    }
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
