//! Who wants which topics: plain filters in a map, wildcards in a tree.

use std::collections::HashMap;
use std::sync::Arc;

use super::SessionId;
use crate::mqtt::topic::is_wild;

/// One session's wish, as it stands in the index.
#[derive(Debug, Clone, Copy)]
pub(in crate::mqtt) struct Subscription {
    pub(in crate::mqtt) qos: u8,
    pub(in crate::mqtt) no_local: bool,
    pub(in crate::mqtt) retain_as_published: bool,
    /// The filter was spelled with `me`.
    pub(in crate::mqtt) as_me: bool,
    /// 0: none.
    pub(in crate::mqtt) identifier: u32,
}

/// A filter of a session.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    filter: Arc<str>,
    /// Group of a shared subscription.
    group: Option<Box<str>>,
}

/// Who gets a message.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) session: SessionId,
    pub(super) wish: Subscription,
    pub(super) identifiers: Vec<u32>,
    is_shared: bool,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    plain: HashMap<Arc<str>, Subscribers>,
    wild: Node,
}

#[derive(Debug, Default)]
struct Node {
    levels: HashMap<Box<str>, Node>,
    here: Option<(Arc<str>, Box<Subscribers>)>,
}

#[derive(Debug, Default)]
struct Subscribers {
    each: Vec<(SessionId, Subscription)>,
    groups: Vec<Group>,
}

/// The members of a shared subscription: each message goes to one of them.
#[derive(Debug)]
struct Group {
    name: Box<str>,
    members: Vec<(SessionId, Subscription)>,
    turn: usize,
}

impl Filter {
    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) fn is(&self, filter: &str, group: Option<&str>) -> bool {
        *self.filter == *filter && self.group.as_deref() == group
    }
}

impl Index {
    /// Adds or replaces.
    pub(super) fn insert(&mut self, filter: &str, group: Option<&str>, id: SessionId, wish: Subscription) -> Filter {
        let (key, subscribers) = if is_wild(filter) {
            let node = self.wild.reach(filter);
            let (key, subscribers) = node.here.get_or_insert_with(|| (filter.into(), Box::default()));
            (Arc::clone(key), &mut **subscribers)
        } else {
            let key = self.plain.get_key_value(filter).map_or_else(|| filter.into(), |(key, _)| Arc::clone(key));
            (Arc::clone(&key), self.plain.entry(key).or_default())
        };
        let members = subscribers.members(group);
        if let Some(member) = members.iter_mut().find(|(member, _)| *member == id) {
            member.1 = wish;
        } else {
            members.reserve_exact(usize::from(members.is_empty()));
            members.push((id, wish));
        }
        Filter { filter: key, group: group.map(Into::into) }
    }

    pub(super) fn remove(&mut self, filter: &Filter, id: SessionId) {
        let group = filter.group.as_deref();
        if is_wild(&filter.filter) {
            self.wild.prune(&mut filter.filter.split('/'), &mut |subscribers| subscribers.leave(group, id));
        } else if let Some(subscribers) = self.plain.get_mut(&filter.filter)
            && subscribers.leave(group, id)
        {
            self.plain.remove(&filter.filter);
        }
    }

    /// Who gets a message of `from` on this topic: each session once for all its filters, and one member of each group. `is_there`
    /// says who has a connection: a group prefers those.
    pub(super) fn hits(
        &mut self,
        topic: &str,
        from: Option<SessionId>,
        is_there: &impl Fn(SessionId) -> bool,
    ) -> Vec<Hit> {
        let mut hits = Vec::new();
        if let Some(subscribers) = self.plain.get_mut(topic) {
            subscribers.collect(&mut hits, from, is_there);
        }
        let plain = hits.len();
        let levels: Vec<&str> = topic.split('/').collect();
        self.wild.visit(&levels, !topic.starts_with('$'), &mut |found| found.collect(&mut hits, from, is_there));
        if plain < hits.len() {
            merge(&mut hits);
        }
        hits
    }
}

/// Makes one of what goes to the same session: the highest `QoS`, all identifiers.
fn merge(hits: &mut Vec<Hit>) {
    hits.sort_by_key(|hit| (hit.session, hit.is_shared));
    hits.dedup_by(|next, kept| {
        if next.session != kept.session || next.is_shared || kept.is_shared {
            return false;
        }
        kept.wish.qos = kept.wish.qos.max(next.wish.qos);
        kept.wish.retain_as_published |= next.wish.retain_as_published;
        kept.wish.as_me |= next.wish.as_me;
        kept.identifiers.append(&mut next.identifiers);
        true
    });
}

impl Subscribers {
    fn members(&mut self, group: Option<&str>) -> &mut Vec<(SessionId, Subscription)> {
        let Some(name) = group else { return &mut self.each };
        let at = self.groups.iter().position(|group| *group.name == *name).unwrap_or_else(|| {
            self.groups.push(Group { name: name.into(), members: Vec::new(), turn: 0 });
            self.groups.len() - 1
        });
        &mut self.groups[at].members
    }

    /// Whether nobody is left.
    fn leave(&mut self, group: Option<&str>, id: SessionId) -> bool {
        self.members(group).retain(|(member, _)| *member != id);
        self.groups.retain(|group| !group.members.is_empty());
        self.each.is_empty() && self.groups.is_empty()
    }

    fn collect(&mut self, hits: &mut Vec<Hit>, from: Option<SessionId>, is_there: &impl Fn(SessionId) -> bool) {
        let wanted = self.each.iter().filter(|(session, wish)| !(wish.no_local && from == Some(*session)));
        hits.extend(wanted.map(|(session, wish)| Hit::new(*session, *wish, false)));
        for group in &mut self.groups {
            let count = group.members.len();
            let turns = (0..count).map(|step| (group.turn + step) % count);
            let chosen = turns.clone().find(|at| is_there(group.members[*at].0)).or_else(|| turns.clone().next());
            if let Some(at) = chosen {
                group.turn = at + 1;
                hits.push(Hit::new(group.members[at].0, group.members[at].1, true));
            }
        }
    }
}

impl Hit {
    fn new(session: SessionId, wish: Subscription, is_shared: bool) -> Self {
        let identifiers = if wish.identifier > 0 { vec![wish.identifier] } else { Vec::new() };
        Self { session, wish, identifiers, is_shared }
    }
}

impl Node {
    fn reach(&mut self, filter: &str) -> &mut Self {
        filter.split('/').fold(self, |node, level| node.levels.entry(level.into()).or_default())
    }

    /// Lets `leave` act at the end of the path and removes what is empty then. Whether this node is.
    fn prune<'a>(
        &mut self,
        levels: &mut impl Iterator<Item = &'a str>,
        leave: &mut impl FnMut(&mut Subscribers) -> bool,
    ) -> bool {
        if let Some(level) = levels.next() {
            if self.levels.get_mut(level).is_some_and(|node| node.prune(levels, leave)) {
                self.levels.remove(level);
            }
        } else if self.here.as_mut().is_some_and(|(_, subscribers)| leave(subscribers)) {
            self.here = None;
        }
        self.levels.is_empty() && self.here.is_none()
    }

    fn visit(&mut self, levels: &[&str], takes_wild: bool, found: &mut impl FnMut(&mut Subscribers)) {
        if takes_wild && let Some((_, all)) = self.levels.get_mut("#").and_then(|node| node.here.as_mut()) {
            found(all);
        }
        let Some((level, rest)) = levels.split_first() else {
            if let Some((_, here)) = &mut self.here {
                found(here);
            }
            return;
        };
        if takes_wild && let Some(node) = self.levels.get_mut("+") {
            node.visit(rest, true, found);
        }
        if let Some(node) = self.levels.get_mut(*level) {
            node.visit(rest, true, found);
        }
    }
}
