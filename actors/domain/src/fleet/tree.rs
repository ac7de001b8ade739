//! The tree of groups.

mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::{Group, GroupId};
use super::record::{FleetChange, RecordChange, RecordKind};
use crate::json::{Json, Object};
use crate::text::order_key;

pub use change::{GroupPrecondition, PlannedGroup};

/// Groups by their ids, each under its parent. There is no circle in it.
#[derive(Clone, Debug, Default)]
pub struct GroupTree {
    groups: BTreeMap<GroupId, Arc<Group>>,
    /// By parent, in the order of their ids, `floor-2` before `floor-10`; those at the top have none.
    children: BTreeMap<Option<GroupId>, BTreeSet<(String, GroupId)>>,
}

/// The reason why a group cannot be changed, or cannot have its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeRefusal {
    #[error("there is no group `{0}`")]
    Unknown(GroupId),
    #[error("there is a group `{0}` already")]
    Taken(GroupId),
    #[error("a new group must have a name")]
    NoName,
    #[error("there is no group `{0}`")]
    NoParent(GroupId),
    /// The groups on it, the one that is moved first and last.
    #[error("group `{}` would be under itself: {}", .0[0], way(.0))]
    Circle(Vec<GroupId>),
}

/// In an event that changes a group: the parent that it had before, where that became another. So the event can be
/// taken back.
const PARENT_WAS: &str = "parent_was";

impl GroupTree {
    /// A tree of these groups. A group whose place is impossible, because the store was tampered with, comes to the
    /// top.
    #[must_use]
    pub fn new(groups: impl IntoIterator<Item = Group>) -> Self {
        let mut waiting: BTreeMap<GroupId, Group> =
            groups.into_iter().map(|group| (group.id.clone(), group)).collect();
        let mut tree = Self::default();
        while let Some((id, _)) = waiting.first_key_value() {
            // Up to the first that is placed, or that comes again; and from there down.
            let mut way = vec![id.clone()];
            while let Some(parent) = way.last().and_then(|id| waiting.get(id)?.parent_group.clone())
                && waiting.contains_key(&parent)
                && !way.contains(&parent)
            {
                way.push(parent);
            }
            for id in way.into_iter().rev() {
                let Some(mut group) = waiting.remove(&id) else { continue };
                if tree.check(&group).is_err() {
                    group.parent_group = None;
                }
                tree.put(Arc::new(group));
            }
        }
        tree
    }

    /// The part of the tree with these groups. Those right under groups that are left out are at its top.
    #[must_use]
    pub fn part(&self, has: impl Fn(&GroupId) -> bool) -> Self {
        let groups = self.groups.values().filter(|group| has(&group.id));
        Self::new(groups.map(|group| Group::clone(group)))
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True when there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The group with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Group>> {
        self.groups.get(id)
    }

    /// Is there a group with this id?
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.groups.contains_key(id)
    }

    /// All groups in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// The groups right under this one, or at the top, in the order of their ids.
    #[must_use]
    pub fn children(&self, parent: Option<&GroupId>) -> impl DoubleEndedIterator<Item = &GroupId> {
        self.children.get(&parent.cloned()).into_iter().flatten().map(|(_, id)| id)
    }

    /// The group and all under it, each before those under it. An unknown one is alone.
    #[must_use]
    pub fn subtree(&self, id: &str) -> Vec<GroupId> {
        match self.groups.get_key_value(id) {
            Some((id, _)) => self.walk([id]).into_iter().map(|(id, _)| id.clone()).collect(),
            None => GroupId::as_stored(id).into_iter().collect(),
        }
    }

    /// These groups and all under them, each before those under it, with the depth of each below the first.
    #[must_use]
    pub fn walk<'a>(
        &'a self,
        from: impl IntoIterator<Item = &'a GroupId, IntoIter: DoubleEndedIterator>,
    ) -> Vec<(&'a GroupId, usize)> {
        let mut open: Vec<(&GroupId, usize)> = from.into_iter().rev().map(|id| (id, 0)).collect();
        let mut seen = Vec::new();
        while let Some((id, depth)) = open.pop() {
            seen.push((id, depth));
            open.extend(self.children(Some(id)).rev().map(|child| (child, depth + 1)));
        }
        seen
    }

    /// The group and all above it, itself first. An unknown one is alone.
    pub fn upward<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(id), |id| self.groups.get(*id)?.parent_group.as_ref().map(GroupId::as_str))
    }

    /// The way down to the group: the one at the top first, itself last. Empty where there is no such group.
    #[must_use]
    pub fn path(&self, id: &str) -> Vec<GroupId> {
        let groups = self.upward(id).map_while(|id| self.get(id));
        let mut path: Vec<GroupId> = groups.map(|group| group.id.clone()).collect();
        path.reverse();
        path
    }

    /// Is it this group, or anywhere under it?
    #[must_use]
    pub fn is_within(&self, id: &str, group: &str) -> bool {
        self.upward(id).any(|above| above == group)
    }

    /// Checks the place of a group.
    ///
    /// # Errors
    /// There is no such parent, or the group would be under itself.
    pub fn check(&self, group: &Group) -> Result<(), TreeRefusal> {
        let Some(parent) = &group.parent_group else { return Ok(()) };
        if *parent != group.id && !self.contains(parent.as_str()) {
            return Err(TreeRefusal::NoParent(parent.clone()));
        }
        if !self.is_within(parent.as_str(), group.id.as_str()) {
            return Ok(());
        }
        // From the group down to what it is to stand under, and back.
        let above = self.upward(parent.as_str()).take_while(|id| *id != group.id.as_str());
        let mut circle: Vec<GroupId> = above.filter_map(GroupId::as_stored).collect();
        circle.push(group.id.clone());
        circle.reverse();
        circle.push(group.id.clone());
        Err(TreeRefusal::Circle(circle))
    }

    /// Puts a group at its place. It must have been checked.
    pub fn put(&mut self, group: Arc<Group>) {
        let (id, parent) = (group.id.clone(), group.parent_group.clone());
        if let Some(before) = self.groups.insert(id.clone(), group)
            && before.parent_group != parent
        {
            self.leave(&before.parent_group, &id);
        }
        self.children.entry(parent).or_default().insert(in_order(&id));
    }

    /// Takes a group out. Those under it come to the top.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Group>> {
        let group = self.groups.remove(id)?;
        self.leave(&group.parent_group, &group.id);
        for (_, child) in self.children.remove(&Some(group.id.clone())).into_iter().flatten() {
            if let Some(under) = self.groups.get(&child).cloned() {
                self.put(Arc::new(Group { parent_group: None, ..Group::clone(&under) }));
            }
        }
        Some(group)
    }

    /// Does an event change the tree, and not only a group's other fields?
    #[must_use]
    pub fn moves(&self, change: &FleetChange) -> bool {
        let before = self.get(&change.id).map(|before| before.parent_group.as_ref().map(GroupId::as_str));
        let after = change.body.get("parent_group").and_then(Json::as_str);
        change.what == RecordKind::Group
            && match change.change {
                RecordChange::Removed => before.is_some(),
                _ => before != Some(after),
            }
    }

    /// Applies an event.
    pub fn redo(&mut self, change: &FleetChange) {
        let Some(group) = of_group(change) else { return };
        match change.change {
            RecordChange::Removed => drop(self.remove(group.id.as_str())),
            _ => self.put_or_top(group),
        }
    }

    /// Reverts an event.
    pub fn undo(&mut self, change: &FleetChange) {
        let Some(group) = of_group(change) else { return };
        match change.change {
            RecordChange::Made => drop(self.remove(group.id.as_str())),
            RecordChange::Removed => self.put_or_top(group),
            RecordChange::Changed | RecordChange::Progressed => {
                if let Some(was) = change.body.get(PARENT_WAS) {
                    let parent_group = was.as_str().and_then(GroupId::as_stored);
                    self.put_or_top(Group { parent_group, ..group });
                }
            }
        }
    }

    /// Where the past is gone in part, events may have an impossible place.
    fn put_or_top(&mut self, mut group: Group) {
        if self.check(&group).is_err() {
            group.parent_group = None;
        }
        self.put(Arc::new(group));
    }

    fn leave(&mut self, parent: &Option<GroupId>, id: &GroupId) {
        if let Some(children) = self.children.get_mut(parent) {
            children.remove(&in_order(id));
            if children.is_empty() {
                self.children.remove(parent);
            }
        }
    }
}

/// A group's id behind that by which it is sorted.
fn in_order(id: &GroupId) -> (String, GroupId) {
    (order_key(id.as_str(), usize::MAX), id.clone())
}

/// The body of an event for a change from one group to another.
#[must_use]
pub fn body_of_change(before: &Group, after: &Group) -> Object {
    let mut body = after.to_object();
    if before.parent_group != after.parent_group {
        let was = before.parent_group.as_ref().map_or(Json::Null, |parent| parent.as_str().into());
        body.insert(PARENT_WAS, was);
    }
    body
}

fn of_group(change: &FleetChange) -> Option<Group> {
    if change.what == RecordKind::Group { Group::from_object(&change.body) } else { None }
}

fn way(circle: &[GroupId]) -> String {
    circle.iter().map(GroupId::as_str).collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests;
