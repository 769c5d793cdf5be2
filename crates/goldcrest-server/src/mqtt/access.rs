//! Who may use which topics: a board its own and what its project grants, people everything of their project.

use std::sync::Arc;

use super::native;
use super::topic::{covers, matches};

/// Whom a credential speaks for.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Device {
        id: i64,
        name: Box<str>,
    },
    /// A person or a tool with a token of the project.
    Member {
        token: Box<str>,
        expires_ms: Option<i64>,
    },
    /// Anybody, where the operator allows it; filters that are not for them.
    Anonymous {
        denied: Arc<[String]>,
    },
}

/// What a project grants its devices beyond their own topics.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) grant: Grant,
    /// May hold `{id}` and `{name}` of the device.
    pub(crate) filter: String,
}

/// What a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    Publish,
    Subscribe,
    Both,
}

impl Grant {
    /// Its name in the API and the database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "publish" => Some(Self::Publish),
            "subscribe" => Some(Self::Subscribe),
            "both" => Some(Self::Both),
            _ => None,
        }
    }
}

impl Rule {
    fn is_for(&self, wanted: Grant) -> bool {
        self.grant == wanted || self.grant == Grant::Both
    }

    fn filter_of(&self, id: i64, name: &str) -> String {
        self.filter.replace("{id}", &id.to_string()).replace("{name}", name)
    }
}

impl Who {
    /// Whether this client may subscribe to every topic that the filter matches. `filter` has neither `$share` nor `me`.
    pub(super) fn may_subscribe(&self, rules: &[Rule], filter: &str) -> bool {
        if filter.starts_with('$') {
            return false;
        }
        match self {
            Self::Device { id, name } => {
                let granted = rules.iter().filter(|rule| rule.is_for(Grant::Subscribe));
                covers(&native::own_filter(*id), filter)
                    || granted.into_iter().any(|rule| covers(&rule.filter_of(*id, name), filter))
            }
            Self::Member { .. } => true,
            Self::Anonymous { denied } => {
                !native::is_native(filter) && !denied.iter().any(|denied| covers(denied, filter))
            }
        }
    }

    /// Whether this client may publish there. Topics of the native protocol have their own rules besides.
    pub(super) fn may_publish(&self, rules: &[Rule], topic: &str) -> bool {
        if topic.starts_with('$') {
            return false;
        }
        match self {
            Self::Device { id, name } => {
                let mut granted = rules.iter().filter(|rule| rule.is_for(Grant::Publish));
                native::may_publish(*id, topic)
                    || (!native::is_native(topic) && granted.any(|rule| matches(&rule.filter_of(*id, name), topic)))
            }
            Self::Member { .. } => !native::is_native(topic) || native::is_app(topic),
            Self::Anonymous { .. } => !native::is_native(topic),
        }
    }

    /// Whether a message on this topic may reach the client: a wide grant does not open other boards' own topics.
    pub(super) fn may_receive(&self, topic: &str) -> bool {
        if !native::is_native(topic) {
            return true;
        }
        match self {
            Self::Device { id, .. } => native::is_own(*id, topic),
            Self::Member { .. } => true,
            Self::Anonymous { .. } => false,
        }
    }
}
