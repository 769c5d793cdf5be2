//! Reads the signed part of a manifest, line by line, in the order that the page gives.

use super::{FileEntry, MAX_FILES, Manifest};
use crate::line::parse_number;
use crate::refusal::{Refusal, Refused};

/// Every header key in its place. A key between `created` and `files` that is not here is of a newer packer and skipped.
const KEYS: [&str; 12] = [
    "goldcrest",
    "package",
    "version",
    "counter",
    "floor",
    "agent",
    "boards",
    "mpy",
    "created",
    "expires",
    "keep",
    "files",
];

/// Reads the lines. What one line alone does not show is left to `rules::validate`.
pub(super) fn read(body: &str) -> Result<Manifest, Refused> {
    let mut lines = Lines { numbered: body.split_terminator('\n').zip(1..), current: None };
    lines.advance();
    if lines.required("goldcrest", |value| Ok(value == "1"))? {
        let manifest = read_header(&mut lines)?;
        return read_paths(lines, manifest);
    }
    Err(Refusal::Format.because("line 1: another format than goldcrest 1: update the reader"))
}

fn read_header(lines: &mut Lines<'_>) -> Result<(Manifest, usize), Refused> {
    let mut manifest = Manifest {
        package: lines.required("package", str::parse)?,
        version: lines.required("version", str::parse)?,
        counter: lines.required("counter", parse_number)?,
        floor: lines.required("floor", parse_number)?,
        agent: lines.required("agent", parse_agent)?,
        boards: lines
            .optional("boards", |value| Ok(value.split(' ').map(str::to_owned).collect()))?
            .unwrap_or_default(),
        mpy: lines.optional("mpy", str::parse)?,
        created: lines.required("created", parse_number)?,
        expires: None,
        keep: Vec::new(),
        files: Vec::new(),
        deletions: Vec::new(),
    };
    lines.skip_unknown();
    manifest.expires = lines.optional("expires", parse_number)?;
    loop {
        lines.skip_unknown();
        match lines.optional("keep", str::parse)? {
            Some(pattern) => manifest.keep.push(pattern),
            None => break,
        }
    }
    let count = lines.required("files", parse_number)?;
    match usize::try_from(count) {
        Ok(count) if count <= MAX_FILES => Ok((manifest, count)),
        _ => Err(Refusal::Format.because(format!("{count} files: {MAX_FILES} are allowed"))),
    }
}

fn read_paths(mut lines: Lines<'_>, (mut manifest, count): (Manifest, usize)) -> Result<Manifest, Refused> {
    while let Some((line, number)) = lines.current {
        let at_line = |refused: Refused| refused.refusal.because(format!("line {number}: {}", refused.detail));
        if manifest.files.len() < count {
            let file = parse_file(line).map_err(at_line)?;
            manifest.files.push(file);
        } else {
            let path = line.strip_prefix("- ").ok_or_else(|| {
                at_line(Refusal::Format.because(format!("expected a deletion line after {count} file lines")))
            })?;
            let path = path.parse().map_err(at_line)?;
            manifest.deletions.push(path);
        }
        lines.advance();
    }
    if manifest.files.len() < count {
        return Err(Refusal::Format.because(format!("{} file lines, but files says {count}", manifest.files.len())));
    }
    Ok(manifest)
}

/// `<digest> <size> <flags> <path>`; the path may hold spaces.
fn parse_file(line: &str) -> Result<FileEntry, Refused> {
    let mut words = line.splitn(4, ' ');
    let (Some(digest), Some(size), Some(flags), Some(path)) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Format.because("not a file line: <digest> <size> <flags> <path>"));
    };
    let digest = digest.parse()?;
    let size = parse_number(size)?;
    if flags != "-" {
        return Err(Refusal::Format.because(format!("flags {flags:?} are not defined: only - is")));
    }
    Ok(FileEntry { digest, size, path: path.parse()? })
}

fn parse_agent(value: &str) -> Result<u32, Refused> {
    let number = parse_number(value)?;
    number.try_into().map_err(|_| Refusal::Format.because(format!("agent protocol {number} is too large")))
}

/// The lines of the body, with the number of the current one.
struct Lines<'a> {
    numbered: std::iter::Zip<std::str::SplitTerminator<'a, char>, std::ops::RangeFrom<usize>>,
    current: Option<(&'a str, usize)>,
}

impl<'a> Lines<'a> {
    fn advance(&mut self) {
        self.current = self.numbered.next();
    }

    /// The value of the current line if it has this key; then goes on to the next line.
    fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> Result<T, Refused>,
    ) -> Result<Option<T>, Refused> {
        let Some((line, number)) = self.current else { return Ok(None) };
        let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')) else { return Ok(None) };
        let value =
            read(value).map_err(|refused| refused.refusal.because(format!("line {number}: {}", refused.detail)))?;
        self.advance();
        Ok(Some(value))
    }

    fn required<T>(&mut self, key: &str, read: impl FnOnce(&'a str) -> Result<T, Refused>) -> Result<T, Refused> {
        let place = self.current.map_or("the end".to_owned(), |(_, number)| format!("line {number}"));
        self.optional(key, read)?.ok_or_else(|| Refusal::Format.because(format!("{place}: expected a {key} line")))
    }

    /// Goes past header lines of a newer packer: `key value` with a key that this version does not know.
    fn skip_unknown(&mut self) {
        while let Some((line, _)) = self.current {
            let Some((key, value)) = line.split_once(' ') else { return };
            let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
                && key.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
            if !is_key || value.is_empty() || KEYS.contains(&key) {
                return;
            }
            self.advance();
        }
    }
}
