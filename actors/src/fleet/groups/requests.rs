//! People's requests to the groups: made, changed and looked at.

use std::collections::HashSet;
use std::sync::Arc;

use actix::{Context, Handler};

use super::Groups;
use crate::counters::get;
use crate::mailbox::send_reply;
use crate::messages::groups::{
    GroupPage, GroupQuery, GroupRefusal, GroupView, PutGroup, PutGroupReply, ReadGroup, ReadGroups, ReadTree,
};
use twinhub_access::Reach;
use twinhub_domain::EntityTags;
use twinhub_domain::fleet::{Group, GroupId, GroupPrecondition, GroupRequest, GroupTree, PlannedGroup};
use twinhub_domain::text::searched;

/// The groups that an owner has at most. Their devices are as few as their quota says, 50 unless an admin sets it.
pub(super) const MOST_OWNED: usize = 200;
/// The reason why a group is not its owner's alone to move or remove.
pub(super) const NOT_ALONE: &str =
    "it stands under a group that is not yours, or groups that are not yours stand under it";

impl Groups {
    fn plan(
        &self,
        id: Option<GroupId>,
        mut requested: GroupRequest,
        expect: GroupPrecondition,
        if_tag: Option<EntityTags>,
        reach: &Reach,
    ) -> Result<PlannedGroup, GroupRefusal> {
        let id = id.unwrap_or_else(|| self.next_id());
        self.check_reach(&id, &mut requested, expect, reach)?;
        self.check_tag(id.as_str(), if_tag, reach)?;
        let planned = self.planned.plan(id, requested, expect, self.deps.clock.now())?;
        let group = &planned.group;
        let concerned = [Some(&group.id), group.parent_group.as_ref()];
        let leaving = concerned.into_iter().flatten().find(|id| self.leaving.contains(*id));
        if let Some(leaving) = leaving {
            return Err(GroupRefusal::Leaving(leaving.clone()));
        }
        Ok(planned)
    }

    /// Checks that the group is within reach and stays there. One at the edge of it stays where it stands: the caller
    /// does not see under which group that is, and it is at the top for them.
    fn check_reach(
        &self,
        id: &GroupId,
        wish: &mut GroupRequest,
        expect: GroupPrecondition,
        reach: &Reach,
    ) -> Result<(), GroupRefusal> {
        if reach.is_everywhere() {
            return Ok(());
        }
        let parent = wish.parent_group.clone();
        if expect == GroupPrecondition::New {
            let is_within = match parent.flatten() {
                Some(parent) => self.has_group(parent.as_str(), reach),
                None => reach.is_owners(),
            };
            if !is_within {
                let why = "a new group must be under one of your scope: name it by `parent_group`";
                return Err(GroupRefusal::Beyond(why));
            }
            // A caller with the scope `own` reaches the groups that are theirs.
            wish.owner = reach.owner().map(Into::into);
            return match wish.owner.as_deref() {
                Some(owner) if self.owned_by(owner) >= MOST_OWNED => Err(GroupRefusal::TooMany(MOST_OWNED)),
                _ => Ok(()),
            };
        }
        if !self.has_group(id.as_str(), reach) {
            return Err(GroupRefusal::Unknown(id.as_str().into()));
        }
        match parent {
            None => Ok(()),
            Some(None) if self.is_at_edge(id.as_str(), reach) => {
                wish.parent_group = None;
                Ok(())
            }
            Some(_) if reach.is_owners() && !self.stands_as_its_owner_put_it(id.as_str(), reach) => {
                Err(GroupRefusal::Beyond(NOT_ALONE))
            }
            Some(None) if reach.is_owners() => Ok(()),
            Some(Some(parent)) if reach.is_owners() && self.has_group(parent.as_str(), reach) => Ok(()),
            Some(Some(parent))
                if self.has_group(parent.as_str(), reach) && !self.is_at_edge(id.as_str(), reach) =>
            {
                Ok(())
            }
            Some(_) => Err(GroupRefusal::Beyond("the group would leave your scope, or is the first in it")),
        }
    }

    /// The number of groups of this owner, with those on their way to the store.
    fn owned_by(&self, owner: &str) -> usize {
        self.planned.iter().filter(|group| *group.owner == *owner).count()
    }

    /// Does the group of an owner stand at the top or under one of theirs, with none of others' below? If not, its place is
    /// not for its owner alone to say: what goes with it would leave the reach of others.
    pub(super) fn stands_as_its_owner_put_it(&self, id: &str, reach: &Reach) -> bool {
        let Some(group) = self.planned.get(id) else { return true };
        let is_theirs = |id: &GroupId| self.has_group(id.as_str(), reach);
        let mut below = vec![&group.id];
        while let Some(group) = below.pop() {
            if !is_theirs(group) {
                return false;
            }
            below.extend(self.planned.children(Some(group)));
        }
        group.parent_group.as_ref().is_none_or(is_theirs)
    }

    /// Does the group stand under none that is within reach?
    pub(super) fn is_at_edge(&self, id: &str, reach: &Reach) -> bool {
        let parent = self.planned.get(id).and_then(|group| group.parent_group.as_ref());
        parent.is_none_or(|parent| !self.has_group(parent.as_str(), reach))
    }

    /// Is the group within reach, with all that is on its way to the store?
    fn has_group(&self, id: &str, reach: &Reach) -> bool {
        match self.planned.get(id) {
            Some(group) => reach.has_group(group),
            None => reach.contains_group(id),
        }
    }

    /// Is the group, with all that is on its way to the store, one of those that the change is for? Of none that is
    /// there, others report.
    pub(super) fn check_tag(
        &self,
        id: &str,
        if_tag: Option<EntityTags>,
        reach: &Reach,
    ) -> Result<(), GroupRefusal> {
        let (Some(expected), Some(group)) = (if_tag, self.planned.get(id)) else { return Ok(()) };
        // As the caller sees it: at the edge of their reach it is at the top.
        let current = match !reach.is_everywhere() && self.is_at_edge(id, reach) {
            true => Group { parent_group: None, ..Group::clone(group) }.tag(),
            false => group.tag(),
        };
        if expected.contain(&current) { Ok(()) } else { Err(GroupRefusal::Version { current, expected }) }
    }

    fn page(&self, query: &GroupQuery, reach: &Reach) -> Result<GroupPage, GroupRefusal> {
        let tree = self.tree_within(reach);
        let (walked, page, total) = match &query.parent {
            None if !query.nested => {
                let walked = tree.walk(tree.children(None));
                let found: Vec<&GroupId> = walked
                    .iter()
                    .map(|(id, _)| *id)
                    .filter(|id| has(&tree, id, query.q.as_deref()))
                    .collect();
                let total = found.len();
                let page: Vec<&GroupId> = found.into_iter().skip(query.offset).take(query.limit).collect();
                (walked, page, total)
            }
            parent => {
                let parent = match parent.as_ref().and_then(Option::as_deref) {
                    None => None,
                    Some(id) => Some(&tree.get(id).ok_or_else(|| GroupRefusal::Unknown(id.into()))?.id),
                };
                let found: Vec<&GroupId> =
                    tree.children(parent).filter(|id| has(&tree, id, query.q.as_deref())).collect();
                let total = found.len();
                let page: Vec<&GroupId> = found.into_iter().skip(query.offset).take(query.limit).collect();
                let walked = tree.walk(page.iter().copied());
                let page = if query.nested { walked.iter().map(|(id, _)| *id).collect() } else { page };
                (walked, page, total)
            }
        };
        let wanted: HashSet<&GroupId> = page.into_iter().collect();
        let mut standings = self.following.census.standings(&walked, |id| wanted.contains(id));
        let views = walked.iter().filter_map(|(id, depth)| {
            let standing = standings.remove(*id)?;
            let group = Arc::clone(tree.get(id.as_str())?);
            // A chain of nested groups would be listed as often as it is long.
            let path = if query.nested && *depth > 0 { Vec::new() } else { tree.path(id.as_str()) };
            Some(GroupView { group, path, depth: *depth, standing })
        });
        Ok(GroupPage { groups: views.collect(), total: total as u64 })
    }
}

fn has(tree: &GroupTree, id: &GroupId, part: Option<&str>) -> bool {
    let Some(part) = part.map(searched) else { return true };
    let Some(group) = tree.get(id.as_str()) else { return false };
    [id.as_str(), &group.name, &group.description].iter().any(|text| searched(text).contains(&part))
}

impl Handler<PutGroup> for Groups {
    type Result = ();

    fn handle(&mut self, put: PutGroup, ctx: &mut Context<Self>) {
        let PutGroup { id, requested, reach, expect, if_tag, cause, reply } = put;
        let PlannedGroup { group, is_new, changes } = match self.plan(id, requested, expect, if_tag, &reach) {
            Ok(planned) => planned,
            Err(refusal) => return send_reply(reply, Err(refusal)),
        };
        let (id, parent) = (group.id.clone(), group.parent_group.clone());
        let before = self.planned.get(id.as_str());
        let moved = before.is_some_and(|before| before.parent_group != parent);
        let then = Box::new(move |this: &mut Self, ctx: &mut Context<Self>| {
            let replied = move |view| PutGroupReply { view, made: is_new, moved, parent };
            this.answer(id, replied, reach, reply, ctx);
        });
        if changes { self.commit(group, cause, ctx, then) } else { self.commit_nothing(ctx, then) }
    }
}

impl Handler<ReadGroup> for Groups {
    type Result = ();

    fn handle(&mut self, ReadGroup { id, reach, reply }: ReadGroup, ctx: &mut Context<Self>) {
        self.when_true(ctx, move |this, _| {
            let id = GroupId::as_stored(&id);
            let id = id.filter(|id| reach.is_everywhere() || this.has_group(id.as_str(), &reach));
            let view = id.and_then(|id| this.view(&id, &reach));
            send_reply(reply, view);
        });
    }
}

impl Handler<ReadTree> for Groups {
    type Result = ();

    fn handle(&mut self, ReadTree { reach, reply }: ReadTree, ctx: &mut Context<Self>) {
        let answer = move |this: &mut Self, _: &mut Context<Self>| {
            send_reply(reply, this.tree_within(&reach));
        };
        if self.following.seen().is_some() {
            self.when_true(ctx, answer);
        } else if get(&self.deps.counters.store_failing) == 1 {
            answer(self, ctx); // no caller knows of a change that is not committed
        } else {
            // The devices are still being counted, and nobody asks for them: the tree changes by what we commit alone.
            self.commit_nothing(ctx, Box::new(answer));
        }
    }
}

impl Handler<ReadGroups> for Groups {
    type Result = ();

    fn handle(&mut self, ReadGroups { query, reach, reply }: ReadGroups, ctx: &mut Context<Self>) {
        self.when_true(ctx, move |this, _| {
            send_reply(reply, this.page(&query, &reach));
        });
    }
}
