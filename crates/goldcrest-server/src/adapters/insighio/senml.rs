//! `SenML` in JSON (RFC 8428), as things send it: records whose name, unit, value and time have a base in an earlier one.

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Most records of a message.
const MAX_RECORDS: usize = 512;
/// Times below this many seconds count from now (RFC 8428, 4.5.3).
const RELATIVE_BELOW: f64 = 268_435_456.0;

/// One record, with its bases put in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// A number, text or boolean; null when there is none.
    pub(crate) value: Value,
    pub(crate) unit: Option<String>,
    /// Milliseconds since 1970; none: now.
    pub(crate) at_ms: Option<i64>,
    /// A misspelled record of the platform's documentation, `{"m": …, "vs": "why"}`: it should be named `m`.
    pub(crate) is_message: bool,
}

/// Reads a message.
///
/// # Errors
/// `Invalid` when it is none.
pub(crate) fn parse(payload: &[u8], now_ms: i64) -> Result<Vec<Record>, Failure> {
    let records: Vec<Map<String, Value>> =
        serde_json::from_slice(payload).map_err(|error| Failure::Invalid(format!("not SenML: {error}")))?;
    if records.len() > MAX_RECORDS {
        let text = format!("{} records in a message: {MAX_RECORDS} are allowed", records.len());
        return Err(Failure::TooLarge(text));
    }
    let (mut base_name, mut base_unit, mut base_time, mut base_value) = (String::new(), None, 0.0, None);
    let mut parsed = Vec::with_capacity(records.len());
    for record in &records {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let number = |key: &str| record.get(key).and_then(Value::as_f64);
        if let Some(name) = text("bn") {
            name.clone_into(&mut base_name);
        }
        base_unit = text("bu").map(str::to_owned).or(base_unit);
        base_time = number("bt").unwrap_or(base_time);
        base_value = number("bv").or(base_value);
        let value = ["v", "vs", "vb", "vd"].into_iter().find_map(|key| record.get(key)).cloned().unwrap_or_default();
        let value = match (base_value, value.as_f64()) {
            (Some(base), Some(own)) => Value::from(base + own),
            _ if value.is_object() || value.is_array() => Value::Null,
            _ => value,
        };
        parsed.push(Record {
            name: base_name.clone() + text("n").unwrap_or_default(),
            value,
            unit: text("u").map(str::to_owned).or_else(|| base_unit.clone()),
            at_ms: time(base_time + number("t").unwrap_or(0.0), now_ms),
            is_message: record.contains_key("m") && !record.contains_key("n"),
        });
    }
    Ok(parsed)
}

/// Seconds of a record to milliseconds since 1970.
fn time(seconds: f64, now_ms: i64) -> Option<i64> {
    if seconds == 0.0 || !seconds.is_finite() || seconds.abs() > 1e11 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "its range was just checked")]
    let ms = (seconds * 1000.0) as i64;
    Some(if seconds < RELATIVE_BELOW { now_ms + ms } else { ms })
}

#[cfg(test)]
mod tests;
