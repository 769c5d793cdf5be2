//! Refuses files that look like secrets: a release goes to every board, and to everyone who can read its server.

use goldcrest_core::path::Pattern;

use crate::Result;
use crate::failure::Failure;

/// Names that end in one of these words hold something to log in with.
const SECRET_WORDS: [&str; 11] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "access_key", "psk", "ssid", "pwd"];
/// Values that stand for one that is filled in later.
const PLACEHOLDERS: [&str; 8] = ["changeme", "change-me", "password", "secret", "token", "none", "null", "ssid"];
/// Starts of well-known keys, and how many letters and digits follow.
const KNOWN_KEYS: [(&str, usize); 6] =
    [("AKIA", 16), ("ASIA", 16), ("ghp_", 36), ("glpat-", 20), ("gca_", 20), ("gcd_", 20)];
/// A file larger than this is data: only private keys are looked for.
const MAX_SCANNED: usize = 1 << 20;

/// Refuses a file whose name or content looks like a secret, unless one of the patterns `allowed` names it.
pub(super) fn check(path: &str, content: &[u8], allowed: &[String]) -> Result<()> {
    let is_allowed = allowed
        .iter()
        .any(|a| a == path || a.parse::<Pattern>().is_ok_and(|p| path.parse().is_ok_and(|path| p.matches(&path))));
    if is_allowed {
        return Ok(());
    }
    let refuse = |place: String, what: &str| {
        Err(Failure::new(crate::failure::Exit::Failed, format!("{place}: {what}; a release goes to every board"))
            .named("secret")
            .hint(format!(
                "keep it on the board ([keep] paths in goldcrest.toml), or --allow-secret {path} if it is none"
            )))
    };
    if let Some(pattern) = secret_name(path) {
        return refuse(path.to_owned(), &format!("files named {pattern} hold secrets"));
    }
    if contains(content, b"PRIVATE KEY-----") {
        return refuse(path.to_owned(), "it holds a private key");
    }
    let Ok(text) = std::str::from_utf8(content) else { return Ok(()) };
    if text.len() > MAX_SCANNED {
        return Ok(());
    }
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{path}:{}", number + 1);
        if let Some(start) = known_key(line) {
            return refuse(place(), &format!("it holds what looks like an access key ({start}…)"));
        }
        if let Some(name) = assigned_secret(line) {
            return refuse(place(), &format!("{name:?} has a value"));
        }
    }
    Ok(())
}

fn secret_name(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let starts = [("wifi", "wifi*"), ("secrets", "secrets*"), ("credentials", "credentials*"), ("id_rsa", "id_rsa*")];
    let ends = [(".key", "*.key"), (".pem", "*.pem"), (".p12", "*.p12"), (".env", "*.env")];
    let start = starts.into_iter().find(|(s, _)| name.starts_with(s));
    start.or_else(|| ends.into_iter().find(|(e, _)| name.ends_with(e))).map(|(_, pattern)| pattern)
}

fn known_key(line: &str) -> Option<&'static str> {
    KNOWN_KEYS.into_iter().find_map(|(start, length)| {
        line.match_indices(start).find_map(|(at, _)| {
            let rest = line[at + start.len()..]
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-')
                .count();
            let own_word = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            (own_word && rest >= length).then_some(start)
        })
    })
}

/// The name in `name = "value"`, `"name": "value"` or `name="value"` when the name is one of a secret and the value is a literal.
fn assigned_secret(line: &str) -> Option<&str> {
    for (at, _) in line.match_indices(['=', ':']) {
        let (before, after) = (&line[..at], &line[at + 1..]);
        if before.ends_with(['=', '!', '<', '>', ':']) || after.starts_with('=') {
            continue;
        }
        let name = before.trim_end().trim_end_matches(['"', '\'']);
        let name = name.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).next().unwrap_or(name);
        if is_secret_word(name) && literal(after).is_some_and(is_value) {
            return Some(name);
        }
    }
    None
}

fn is_secret_word(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    SECRET_WORDS.iter().any(|word| name.ends_with(word))
}

/// The text literal at the start of an expression: `"…"`, `'…'`, `b"…"`.
fn literal(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let text = text.strip_prefix(['b', 'r', 'B', 'R']).unwrap_or(text);
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].split(quote).next()
}

/// Whether a literal is a real value and not a place to fill in.
fn is_value(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let filled_in = value.starts_with(['<', '{', '$', '%'])
        || lower.starts_with("your")
        || value.chars().all(|c| "x*.-_ ".contains(c.to_ascii_lowercase()));
    value.len() >= 2 && !filled_in && !PLACEHOLDERS.contains(&lower.as_str())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests;
