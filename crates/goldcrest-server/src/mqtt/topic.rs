//! Topic names and filters: what is valid, what matches, what covers what.

use super::limits::{MAX_LEVELS, MAX_TOPIC};

/// Whether this is a topic that can be published to.
pub(crate) fn is_topic(text: &str) -> bool {
    is_sound(text) && !text.contains(['+', '#'])
}

/// Whether this is a filter: wildcards fill whole levels, `#` only the last one.
pub(crate) fn is_filter(text: &str) -> bool {
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        if (level.contains('#') && !(level == "#" && is_last)) || (level.contains('+') && level != "+") {
            return false;
        }
    }
    is_sound(text)
}

fn is_sound(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TOPIC && !text.contains('\0') && text.split('/').count() <= MAX_LEVELS
}

/// Whether a filter has wildcards.
pub(super) fn is_wild(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a filter matches a topic: whether it covers it, for a topic is a filter without wildcards.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    covers(filter, topic)
}

/// Whether `wide` matches every topic that `narrow` matches. Wildcards at the start never match a topic that begins with `$`.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = narrow.split('/');
    for wanted in wide.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some("#") => return false,
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Group and filter of what follows `$share/` in a shared subscription; `None` when it is malformed.
pub(super) fn shared(rest: &str) -> Option<(&str, &str)> {
    let parts = rest.split_once('/');
    parts.filter(|(group, filter)| !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty())
}

#[cfg(test)]
mod tests;
