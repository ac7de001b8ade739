//! Subscriptions to a group and all under it: the devices in it, kept true by the events that pass.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use twinhub_access::Reach;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::ListDevices;
use twinhub_actors::messages::groups::ReadTree;
use twinhub_domain::event::{ChangeKind, EventBody, TwinChange};
use twinhub_domain::fleet::{FleetChange, GroupId, GroupTree, RecordChange, RecordKind};
use twinhub_domain::{DeviceId, Recorded, Twin};
use twinhub_store::{DeviceQuery, DeviceSort, StoreError};

use super::filter::EventFilter;
use crate::http::problem::ApiError;

/// Members read at once.
const PAGE: u64 = 1_000;

/// A group and all under it.
#[derive(Clone, Debug)]
pub(super) struct Subtree {
    id: Box<str>,
    tree: Arc<GroupTree>,
    /// By device, the group that it is in.
    members: HashMap<DeviceId, Box<str>>,
    /// It is as of this event, or later; earlier events change nothing of it.
    as_of: u64,
    /// Groups that came under it, and whose devices are not known yet.
    unread: Vec<Box<str>>,
}

impl Subtree {
    /// A group in this tree, without members yet.
    pub fn new(id: &str, tree: Arc<GroupTree>, as_of: u64) -> Self {
        let unread = tree.subtree(id).iter().map(|id| id.as_str().into()).collect();
        Self { id: id.into(), tree, members: HashMap::new(), as_of, unread }
    }

    /// The ids of the group and all under it.
    pub fn groups(&self) -> Vec<String> {
        self.tree.subtree(&self.id).iter().map(ToString::to_string).collect()
    }

    /// The groups whose devices must be known before the next event is looked at.
    pub fn unread(&self) -> &[Box<str>] {
        &self.unread
    }

    /// The devices of those groups, as they stand now.
    pub fn set_members(&mut self, twins: impl IntoIterator<Item = (DeviceId, Box<str>)>) {
        self.members.extend(twins);
        self.unread.clear();
    }

    /// Is this twin in it?
    pub fn has(&self, twin: &Twin) -> bool {
        self.is_within(twin.profile.text("group_id"))
    }

    /// Is this event one of its devices, or of its groups? The event by which one leaves it is.
    pub fn passes(&mut self, recorded: &Recorded) -> bool {
        let event = &recorded.event;
        let is_news = recorded.seq > self.as_of;
        match &event.body {
            EventBody::Fleet(change) if change.what == RecordKind::Group => {
                let was = self.is_within(&change.id);
                if is_news {
                    self.regroup(change);
                }
                was || self.is_within(&change.id)
            }
            EventBody::Twin(change) if is_news => self.moves(&event.device, change),
            _ => self.members.contains_key(&event.device),
        }
    }

    fn moves(&mut self, device: &DeviceId, TwinChange { change, patch }: &TwinChange) -> bool {
        let was = self.members.contains_key(device);
        let group = match patch.text("group_id") {
            _ if *change == ChangeKind::Deleted => "",
            Some(group) => group,
            None => return was,
        };
        let is = self.is_within(group);
        if is {
            self.members.insert(device.clone(), group.into());
        } else if was {
            self.members.remove(device);
        }
        was || is
    }

    /// The tree changes: devices of groups that go from here go with them, those of groups that come are to be read.
    fn regroup(&mut self, change: &FleetChange) {
        let moves = self.tree.moves(change);
        let groups = |this: &Self| this.tree.subtree(&this.id).into_iter().collect::<HashSet<GroupId>>();
        let before = if moves { groups(self) } else { HashSet::new() };
        Arc::make_mut(&mut self.tree).redo(change);
        if !moves {
            return;
        }
        let after = groups(self);
        self.members.retain(|_, group| after.contains(&**group));
        // A group that was just made is empty.
        if change.change != RecordChange::Made {
            self.unread.extend(after.difference(&before).map(|id| Box::from(id.as_str())));
        }
    }

    fn is_within(&self, group: &str) -> bool {
        !group.is_empty() && self.tree.is_within(group, &self.id)
    }
}

/// The filter for devices of this group and all under it alone, true to the event `as_of` or later.
///
/// # Errors
/// There is no such group, or the store does not answer.
pub async fn in_group(
    hub: &Grant,
    filter: EventFilter,
    group: &str,
    as_of: u64,
) -> Result<EventFilter, ApiError> {
    let (reply, tree) = tokio::sync::oneshot::channel();
    hub.send(ReadTree { reach: Reach::default(), reply })?;
    let tree = match tokio::time::timeout(hub.settings().patience, tree).await {
        Ok(tree) => tree.map_err(|_| HubError::ShuttingDown)?,
        Err(_) => return Err(HubError::Unavailable("the groups are not read yet").into()),
    };
    if !tree.contains(group) {
        return Err(ApiError::no_group(group));
    }
    let mut subtree = Subtree::new(group, tree, as_of);
    let members = members_of(hub, subtree.unread()).await??;
    subtree.set_members(members);
    Ok(filter.within(subtree))
}

/// The devices of these groups, without those under them, each with its group, as of the last commit.
///
/// # Errors
/// The store failed; or the hub is shutting down.
pub(super) async fn members_of(
    hub: &Grant,
    groups: &[Box<str>],
) -> Result<Result<Vec<(DeviceId, Box<str>)>, StoreError>, HubError> {
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    let mut members = Vec::new();
    let mut offset = 0;
    loop {
        let query = DeviceQuery {
            groups: groups.clone(),
            sort: DeviceSort::Number,
            offset,
            limit: PAGE,
            ..DeviceQuery::default()
        };
        let page = match hub.ask(ListDevices(query)).await? {
            Ok(page) => page.twins,
            Err(error) => return Ok(Err(error)),
        };
        let all = (page.len() as u64) < PAGE;
        offset += page.len() as u64;
        members.extend(page.into_iter().map(|twin| {
            let group = twin.profile.text("group_id").into();
            (twin.id, group)
        }));
        if all {
            return Ok(Ok(members));
        }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::fleet::Group;
    use twinhub_domain::twin::Patch;
    use twinhub_domain::{Cause, DeviceNumber, Event, Json, Status, Timestamp};

    use super::*;

    fn group(id: &str, parent: &str) -> Group {
        let new = Group::new(GroupId::parse(id).unwrap(), id, Timestamp::from_millis(0));
        Group { parent_group: GroupId::parse(parent).ok(), ..new }
    }

    /// `plant` with `hall` under it, and `yard` beside it; `a` stands in `hall`. As of event 10.
    fn plant() -> EventFilter {
        let tree = GroupTree::new([group("plant", ""), group("hall", "plant"), group("yard", "")]);
        let mut subtree = Subtree::new("plant", Arc::new(tree), 10);
        assert_eq!(subtree.unread().join(" "), "plant hall");
        subtree.set_members([(DeviceId::parse("a").unwrap(), "hall".into())]);
        EventFilter::default().within(subtree)
    }

    fn event(seq: u64, device: &str, body: EventBody) -> Recorded {
        let at = Timestamp::from_millis(0);
        let device = DeviceId::parse(device).unwrap_or_else(|_| DeviceId::none());
        let number = DeviceNumber(1);
        Recorded::new(
            seq,
            Event { device, number, at: at.into(), received_at: at, body, cause: Cause::hub() },
        )
    }

    fn arrived(seq: u64, device: &str) -> Recorded {
        event(seq, device, EventBody::Presence { status: Status::Online, reason: "heard".into() })
    }

    fn moved(seq: u64, device: &str, group: Json) -> Recorded {
        let patch = Patch::read([("group_id", group)].into_iter().collect());
        event(seq, device, EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch }))
    }

    fn regrouped(seq: u64, change: RecordChange, group: &Group) -> Recorded {
        let id = group.id.as_str().into();
        let change = FleetChange { what: RecordKind::Group, id, change, body: group.to_object() };
        event(seq, "", EventBody::Fleet(Box::new(change)))
    }

    #[test]
    fn follows_devices_that_move() {
        let mut filter = plant();
        assert!(filter.passes(&arrived(11, "a")));
        assert!(!filter.passes(&arrived(12, "b")));
        assert!(filter.passes(&moved(13, "b", "plant".into())), "heard joining");
        assert!(filter.passes(&arrived(14, "b")));
        assert!(filter.passes(&moved(15, "b", "hall".into())), "it moves within");
        assert!(filter.passes(&moved(16, "a", Json::Null)), "heard leaving");
        assert!(!filter.passes(&arrived(17, "a")));
        assert!(!filter.passes(&moved(18, "c", "yard".into())));
        assert!(!filter.passes(&moved(5, "c", "hall".into())), "the past is not the present");
        let deleted = TwinChange::empty(ChangeKind::Deleted);
        assert!(filter.passes(&event(19, "b", EventBody::Twin(deleted))));
        assert!(!filter.passes(&arrived(20, "b")));
    }

    #[test]
    fn follows_groups_that_move() {
        let mut filter = plant();
        assert!(filter.passes(&regrouped(11, RecordChange::Made, &group("room", "hall"))));
        assert!(filter.unread().is_empty());
        assert!(filter.passes(&moved(12, "b", "room".into())));
        assert!(
            filter.passes(&regrouped(13, RecordChange::Changed, &group("hall", "yard"))),
            "heard leaving"
        );
        assert!(!filter.passes(&arrived(14, "a")) && !filter.passes(&arrived(15, "b")), "they went with it");
        assert!(!filter.passes(&moved(16, "c", "room".into())));
        assert!(!filter.passes(&regrouped(17, RecordChange::Changed, &group("room", "yard"))));
        assert!(
            filter.passes(&regrouped(18, RecordChange::Changed, &group("yard", "plant"))),
            "heard coming"
        );
        let mut unread = filter.unread().to_vec();
        unread.sort();
        assert_eq!(unread.join(" "), "hall room yard");
        filter.set_members([(DeviceId::parse("c").unwrap(), "room".into())]);
        assert!(filter.unread().is_empty() && filter.passes(&arrived(19, "c")));
    }

    #[test]
    fn other_records_are_left_out() {
        let template = FleetChange {
            what: RecordKind::Template,
            id: "hall".into(),
            change: RecordChange::Made,
            body: Default::default(),
        };
        assert!(!plant().passes(&event(11, "", EventBody::Fleet(Box::new(template)))));
        assert!(!plant().passes(&regrouped(11, RecordChange::Made, &group("shed", "yard"))));
    }
}
