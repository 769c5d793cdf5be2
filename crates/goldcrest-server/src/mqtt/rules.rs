//! What a stored rule must be, for the API that takes it.

pub(crate) use super::limits::MAX_RULES;
use super::{access, native, topic};

/// Why this cannot be a rule; `None` when it can.
pub(crate) fn problem(allow: &str, filter: &str) -> Option<String> {
    if access::Grant::parse(allow).is_none() {
        return Some(format!("allow is {allow:?}: it can be publish, subscribe or both"));
    }
    let spelled_out = filter.replace("{id}", "0").replace("{name}", "x");
    if !topic::is_filter(&spelled_out) || spelled_out.contains(['{', '}']) {
        return Some(format!(
            "{filter:?} is no topic filter: + and # stand for whole levels, {{id}} and {{name}} for the device"
        ));
    }
    if filter.starts_with('$') || native::is_native(filter) {
        return Some(format!("{filter:?}: topics below $ and goldcrest/ have rules of their own"));
    }
    None
}
