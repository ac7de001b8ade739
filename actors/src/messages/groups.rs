//! Messages to the groups.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use twinhub_access::Reach;
use twinhub_domain::fleet::{
    Group, GroupId, GroupPrecondition, GroupRequest, GroupTree, SubtreeStatistics, TreeRefusal,
};
use twinhub_domain::{Cause, EntityTags};

/// Makes or changes a group. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PutGroup {
    /// None: a new one, which gets an id of its own.
    pub id: Option<GroupId>,
    /// Its `id` is not looked at.
    pub requested: GroupRequest,
    /// Groups beyond it are unknown.
    pub reach: Reach,
    pub expect: GroupPrecondition,
    /// Only if its tag is one of these.
    pub if_tag: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<PutGroupReply, GroupRefusal>>,
}

/// The reply to a change of a group.
#[derive(Clone, Debug)]
pub struct PutGroupReply {
    pub view: GroupView,
    /// There was none of this id before.
    pub made: bool,
    /// It was there before, under another group than now.
    pub moved: bool,
    /// The group that it stands under since the change; none: at the top.
    pub parent: Option<GroupId>,
}

/// Removes a group that is empty. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteGroup {
    pub id: Box<str>,
    /// Groups beyond it are unknown.
    pub reach: Reach,
    /// Where it is not empty: its devices and groups move to the group above, or to none.
    pub force: bool,
    /// Only if its tag is one of these.
    pub if_tag: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<DeleteGroupReply, GroupRefusal>>,
}

/// The reply to the removal of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteGroupReply {
    pub group: Group,
    /// Devices that were moved out of it.
    pub devices: u64,
    /// Groups that were.
    pub groups: u64,
}

/// Asks for the present state of a group, true to the commits before the request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadGroup {
    pub id: Box<str>,
    /// Groups beyond it are unknown.
    pub reach: Reach,
    pub reply: oneshot::Sender<Option<GroupView>>,
}

/// Asks for the present state of groups, true to the commits before the request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadGroups {
    pub query: GroupQuery,
    /// Groups beyond it are unknown; those right under them are at the top.
    pub reach: Reach,
    /// An error where there is no such parent.
    pub reply: oneshot::Sender<Result<GroupPage, GroupRefusal>>,
}

/// Asks for the tree, true to the commits before the request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadTree {
    /// Groups beyond it are left out; those right under them are at the top.
    pub reach: Reach,
    pub reply: oneshot::Sender<Arc<GroupTree>>,
}

/// A query for groups. They come in the order of the tree: each before those under it, by their ids.
#[derive(Clone, Debug, Default)]
pub struct GroupQuery {
    /// Only groups directly under this one; none in it: groups at the top.
    pub parent: Option<Option<Box<str>>>,
    /// Part of the id, name or description, whatever the case.
    pub q: Option<String>,
    /// Includes all groups under them, uncounted.
    pub nested: bool,
    pub offset: usize,
    pub limit: usize,
}

/// A page of groups.
#[derive(Clone, Debug, Default)]
pub struct GroupPage {
    pub groups: Vec<GroupView>,
    /// The number on all pages.
    pub total: u64,
}

/// The present state of a group.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub group: Arc<Group>,
    /// The ids from the top down to its own. Empty where the group is nested in its parent's view.
    pub path: Vec<GroupId>,
    /// The depth below the first of the requested groups.
    pub depth: usize,
    pub standing: SubtreeStatistics,
}

/// The reason why a group was not made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    #[error("there is no group `{0}`")]
    Unknown(Box<str>),
    /// The requested change is not possible.
    #[error(transparent)]
    Misplaced(#[from] TreeRefusal),
    #[error("the group is at version {current}, not {expected}")]
    Version { current: Box<str>, expected: EntityTags },
    #[error("group `{id}` is not empty (devices: {devices}, groups: {groups})")]
    NotEmpty { id: GroupId, devices: u64, groups: u64 },
    /// It would come to stand where the caller does not reach, or it stands at the edge of that.
    #[error("{0}")]
    Beyond(&'static str),
    /// An owner has as many groups as one may have.
    #[error("you have {0} groups, which is as many as you may have")]
    TooMany(usize),
    #[error("group `{0}` is being removed")]
    Leaving(GroupId),
    #[error("a device could not be moved out of group `{id}`: {why}")]
    Stuck { id: GroupId, why: String },
}
