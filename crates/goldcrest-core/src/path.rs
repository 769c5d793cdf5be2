//! Paths on a device's filesystem, and patterns of device-owned paths.

use crate::refusal::{Refusal, Refused};
use crate::text_type::text_newtype;

/// Most bytes of a path.
pub const MAX_PATH: usize = 120;
/// Most bytes of one segment of a path.
pub const MAX_SEGMENT: usize = 63;

/// Files that provisioning owns: whole paths, compared without case.
const RESERVED: [&str; 3] = ["boot.py", "boot.mpy", "goldcrest.json"];
/// The agent's folder, as a first segment, compared without case.
const RESERVED_FOLDER: &str = ".ota";

text_newtype! {
    /// A path that a release may hold: relative, `/`-separated, inside the root, not reserved.
    ///
    /// # Errors
    /// [`Refusal::PathLong`] when the path or a segment is too long, [`Refusal::Path`] for everything else.
    DevicePath, check_path
}
text_newtype! {
    /// Device-owned paths: a path in which `*` stands for any run of characters within one segment; one that ends in `/**`
    /// covers everything under the folder before it.
    Pattern, check_pattern
}

impl DevicePath {
    /// The folders above the path, outermost first: `a` and `a/b` for `a/b/c`.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl Pattern {
    /// Whether the pattern covers the path.
    pub fn matches(&self, path: &DevicePath) -> bool {
        let mut names = path.as_str().split('/');
        let mut globs = self.0.split('/').peekable();
        while let Some(glob) = globs.next() {
            let Some(name) = names.next() else { return false };
            if glob == "**" && globs.peek().is_none() {
                return true;
            }
            if !segment_matches(glob.as_bytes(), name.as_bytes()) {
                return false;
            }
        }
        names.next().is_none()
    }
}

/// Greedy match with one point to go back to: linear in memory, at most `glob.len() * name.len()` steps.
fn segment_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at_glob, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at_name < name.len() {
        if glob.get(at_glob) == Some(&b'*') {
            retry = Some((at_glob + 1, at_name));
            at_glob += 1;
        } else if glob.get(at_glob) == Some(&name[at_name]) {
            at_glob += 1;
            at_name += 1;
        } else if let Some((glob_after_star, name_from)) = retry {
            at_glob = glob_after_star;
            at_name = name_from + 1;
            retry = Some((glob_after_star, at_name));
        } else {
            return false;
        }
    }
    glob[at_glob..].iter().all(|&c| c == b'*')
}

fn check_path(text: &str) -> Result<(), Refused> {
    check_segments(text, false)?;
    let first = text.split('/').next().unwrap_or_default();
    if first.eq_ignore_ascii_case(RESERVED_FOLDER) || RESERVED.iter().any(|path| path.eq_ignore_ascii_case(text)) {
        return Err(Refusal::Path
            .because(format!("{text:?} is reserved for the agent; pack the project's boot.py as boot_user.py")));
    }
    Ok(())
}

fn check_pattern(text: &str) -> Result<(), Refused> {
    check_segments(text, true)
}

fn check_segments(text: &str, is_pattern: bool) -> Result<(), Refused> {
    if text.len() > MAX_PATH {
        return Err(Refusal::PathLong.because(format!("{text:?} has {} bytes: {MAX_PATH} are allowed", text.len())));
    }
    let forbidden = |c: char| c.is_control() || r#"\:?"<>|"#.contains(c) || (c == '*' && !is_pattern);
    for segment in text.split('/') {
        if segment.len() > MAX_SEGMENT {
            let detail = format!("{segment:?} of {text:?} has {} bytes: {MAX_SEGMENT} are allowed", segment.len());
            return Err(Refusal::PathLong.because(detail));
        }
        if segment.is_empty() || segment == "." || segment == ".." {
            return Err(Refusal::Path.because(format!("{text:?} is not a plain relative path")));
        }
        if segment.contains(forbidden) {
            return Err(Refusal::Path.because(format!("{text:?} has a character that some boards cannot store")));
        }
        if segment.ends_with([' ', '.']) {
            return Err(Refusal::Path.because(format!("{segment:?} of {text:?} ends in a space or a dot")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
