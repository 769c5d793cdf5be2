//! Names that people choose: packages, versions, channels, devices.

use crate::refusal::{Refusal, Refused};
use crate::text_type::text_newtype;

/// Most characters of any name.
pub const MAX_NAME: usize = 64;

text_newtype! {
    /// A package: 1-64 characters of `a-z 0-9 - _ .`, starting with a letter or digit.
    PackageName, check_package
}
text_newtype! {
    /// A channel of a package: the same rule as a package's name.
    ChannelName, check_channel
}
text_newtype! {
    /// A version: 1-64 characters of `A-Z a-z 0-9 . + - _`, not `.` or `..`. Opaque: compared only for equality.
    Version, check_version
}
text_newtype! {
    /// A device: 1-64 characters of `A-Z a-z 0-9 - _ .`, not `.` or `..`. Sorted by its bytes.
    DeviceName, check_device
}

fn check_package(text: &str) -> Result<(), Refused> {
    check_lower("package", text)
}

fn check_channel(text: &str) -> Result<(), Refused> {
    check_lower("channel", text)
}

fn check_version(text: &str) -> Result<(), Refused> {
    check("version", text, "A-Z a-z 0-9 . + - _", |c| c.is_ascii_alphanumeric() || b".+-_".contains(&c))
}

fn check_device(text: &str) -> Result<(), Refused> {
    check("device", text, "A-Z a-z 0-9 - _ .", |c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}

fn check_lower(what: &str, text: &str) -> Result<(), Refused> {
    check(what, text, "a-z 0-9 - _ .", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c))?;
    if text.starts_with(['-', '_', '.']) {
        return Err(Refusal::Format.because(format!("{what} name {text:?} must start with a letter or digit")));
    }
    Ok(())
}

fn check(what: &str, text: &str, allowed: &str, is_allowed: impl Fn(u8) -> bool) -> Result<(), Refused> {
    if text.is_empty() || text.len() > MAX_NAME {
        let detail = format!("{what} name has {} characters: 1 to {MAX_NAME} are allowed", text.len());
        return Err(Refusal::Format.because(detail));
    }
    // `.` and `..` vanish from URLs and file paths.
    if !text.bytes().all(is_allowed) || text == "." || text == ".." {
        return Err(Refusal::Format.because(format!("{what} name {text:?} may hold only {allowed}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
