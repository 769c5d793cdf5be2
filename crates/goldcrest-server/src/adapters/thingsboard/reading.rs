//! Telemetry as boards write it: `{"key": value}`, `{"ts": 1, "values": {…}}`, or an array of these.

use serde_json::{Map, Value};

/// Most readings of one message.
const MAX_READINGS: usize = 1_000;
/// Characters of `\u1234`.
const LONGEST_ESCAPE: usize = 6;

/// Values of one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// Milliseconds since 1970; none: now.
    pub(super) at_ms: Option<i64>,
    pub(super) values: Map<String, Value>,
}

/// Reads a message.
///
/// A broken one is not lost when it tells of a failed update. The MQTT clients of those boards count characters where bytes are to be
/// counted, so a message with an accent in its error text arrives without its end.
///
/// # Errors
/// What is wrong with it.
pub(super) fn readings(payload: &[u8]) -> Result<Vec<Reading>, String> {
    match serde_json::from_slice(payload) {
        Ok(Value::Array(items)) if items.len() <= MAX_READINGS => items.into_iter().map(reading).collect(),
        Ok(Value::Array(items)) => Err(format!("{} readings: {MAX_READINGS} are allowed", items.len())),
        Ok(value) => Ok(vec![reading(value)?]),
        Err(error) => match salvage(&String::from_utf8_lossy(payload)) {
            Some(values) => Ok(vec![Reading { at_ms: None, values }]),
            None => Err(format!("not JSON: {error}")),
        },
    }
}

fn reading(value: Value) -> Result<Reading, String> {
    let Value::Object(mut object) = value else { return Err("not an object".into()) };
    if object.len() <= 3 && object.contains_key("ts") && object.get("values").is_some_and(Value::is_object) {
        let at_ms = object.get("ts").and_then(Value::as_i64).ok_or("ts is not a number of milliseconds")?;
        if let Some(Value::Object(values)) = object.remove("values") {
            return Ok(Reading { at_ms: Some(at_ms), values });
        }
    }
    Ok(Reading { at_ms: None, values: object })
}

/// What can be read of a message without its end, if it tells of a failure.
fn salvage(text: &str) -> Option<Map<String, Value>> {
    let mut rest = text.trim_start().strip_prefix('{')?;
    let mut found = Map::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let Some(Text { content: key, rest: after, is_whole: true }) = string(rest) else { break };
        let Some(value) = after.trim_start().strip_prefix(':').map(str::trim_start) else { break };
        if let Some(value) = string(value) {
            let is_cut = !value.is_whole;
            found.insert(key, finish(value.content, is_cut));
            rest = value.rest;
        } else {
            let end = value.find([',', '}']).unwrap_or(value.len());
            if let Ok(value) = serde_json::from_str(&value[..end]) {
                found.insert(key, value);
            }
            rest = &value[end..];
        }
    }
    for prefix in ["fw", "sw"] {
        let (state, error) = (format!("{prefix}_state"), format!("{prefix}_error"));
        // A client that has an error to tell has failed, even when the state was in the part that is lost.
        let has_error = found.get(&error).and_then(Value::as_str).is_some_and(|error| !error.is_empty());
        if has_error || found.get(&state).and_then(Value::as_str) == Some("FAILED") {
            found.insert(state, "FAILED".into());
            return Some(found);
        }
    }
    None
}

/// A text that may have lost its end: `FAIL` was `FAILED`.
fn finish(text: String, is_cut: bool) -> Value {
    if is_cut && text.len() > 2 && "FAILED".starts_with(&text) { "FAILED".into() } else { text.into() }
}

/// A string at the start of a text.
struct Text<'a> {
    content: String,
    rest: &'a str,
    is_whole: bool,
}

fn string(text: &str) -> Option<Text<'_>> {
    let inner = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inner.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    let (raw, rest) = end.map_or((inner, ""), |end| (&inner[..end], &inner[end + 1..]));
    // An escape may have been cut in the middle, a character too.
    let mut raw = raw.trim_end_matches(char::REPLACEMENT_CHARACTER);
    for _ in 0..LONGEST_ESCAPE {
        if let Ok(content) = serde_json::from_str(&format!("\"{raw}\"")) {
            return Some(Text { content, rest, is_whole: end.is_some() });
        }
        raw = &raw[..raw.char_indices().next_back()?.0];
    }
    None
}

#[cfg(test)]
mod tests;
