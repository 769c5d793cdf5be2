//! Shows the API's JSON as text: one field, or a list as a table.

use serde_json::Value;

use crate::output::table;

/// A field as text: `-` for null and for nothing in a list.
pub(super) fn field(of: &Value, key: &str) -> String {
    let text = match &of[key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A list of the API as a table, or what to say when it is empty.
pub(super) fn list(items: &Value, header: &[&str], row: impl Fn(&Value) -> Vec<String>, empty: &str) -> String {
    let rows: Vec<Vec<String>> = items.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() { format!("{empty}\n") } else { table(header, &rows) }
}
