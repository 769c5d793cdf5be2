//! Who may use which topics: a board its own and what its project grants, people everything of their project.

use std::sync::Arc;

use super::topic::{covers, matches};
use super::{native, thingsboard};
use crate::adapters::insighio::Thing;
use crate::adapters::thingsboard::mqtt::{PROVISION_REQUEST, PROVISION_RESPONSE};

/// Whom a credential speaks for.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Device {
        id: i64,
        name: Box<str>,
        speaks: Speaks,
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
    /// A board of ThingsBoard that wants to become a device.
    Newcomer,
}

/// Whose topics a device uses.
#[derive(Debug, Clone)]
pub(super) enum Speaks {
    /// Ours.
    Native,
    Thingsboard,
    Insighio(Arc<Thing>),
}

impl Speaks {
    fn may_subscribe(&self, device_id: i64, filter: &str) -> bool {
        match self {
            Self::Native => covers(&native::own_filter(device_id), filter),
            Self::Thingsboard => covers(&thingsboard::own_filter(device_id), filter),
            Self::Insighio(thing) => thing.filters().any(|own| covers(&own, filter)),
        }
    }

    fn may_publish(&self, device_id: i64, topic: &str) -> bool {
        match self {
            Self::Native => native::may_publish(device_id, topic),
            Self::Thingsboard => thingsboard::is_of(device_id, topic),
            Self::Insighio(thing) => thing.place(topic).is_some(),
        }
    }
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
    /// Whether a session of MQTT 3.1.1 outlives its connection. With ThingsBoard none does: boards that come back expect silence.
    pub(super) fn has_sessions(&self) -> bool {
        !matches!(self, Self::Newcomer | Self::Device { speaks: Speaks::Thingsboard, .. })
    }

    /// Whether this client may subscribe to every topic that the filter matches. `filter` has neither `$share` nor `me`.
    pub(super) fn may_subscribe(&self, rules: &[Rule], filter: &str) -> bool {
        if filter.starts_with('$') {
            return false;
        }
        match self {
            Self::Device { id, name, speaks } => {
                let granted = rules.iter().filter(|rule| rule.is_for(Grant::Subscribe));
                speaks.may_subscribe(*id, filter)
                    || granted.into_iter().any(|rule| covers(&rule.filter_of(*id, name), filter))
            }
            Self::Member { .. } => true,
            Self::Anonymous { denied } => {
                !native::is_native(filter) && !denied.iter().any(|denied| covers(denied, filter))
            }
            Self::Newcomer => filter == PROVISION_RESPONSE,
        }
    }

    /// Whether this client may publish there. Topics of the native protocol have their own rules besides.
    pub(super) fn may_publish(&self, rules: &[Rule], topic: &str) -> bool {
        if topic.starts_with('$') {
            return false;
        }
        match self {
            Self::Device { id, name, speaks } => {
                let mut granted = rules.iter().filter(|rule| rule.is_for(Grant::Publish));
                speaks.may_publish(*id, topic)
                    || (!native::is_native(topic) && granted.any(|rule| matches(&rule.filter_of(*id, name), topic)))
            }
            Self::Member { .. } => !native::is_native(topic) || native::is_app(topic),
            Self::Anonymous { .. } => !native::is_native(topic),
            Self::Newcomer => topic == PROVISION_REQUEST,
        }
    }

    /// Whether a message on this topic may reach the client: a wide grant does not open other boards' own topics.
    pub(super) fn may_receive(&self, topic: &str) -> bool {
        if !native::is_native(topic) {
            return true;
        }
        match self {
            Self::Device { id, speaks: Speaks::Thingsboard, .. } => thingsboard::is_of(*id, topic),
            Self::Device { id, .. } => native::is_own(*id, topic),
            Self::Member { .. } => true,
            Self::Anonymous { .. } | Self::Newcomer => false,
        }
    }
}
