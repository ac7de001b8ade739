//! The removal of groups. One with devices and groups in it is emptied first, where that is asked for: all of them move
//! to the group above, each as if a person had moved it. Should the hub stop half way, some have moved, the group is
//! still there, and removing it again does the rest.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::oneshot;

use super::super::{FleetDeps, deliver};
use super::Groups;
use super::requests::NOT_ALONE;
use crate::backoff::until_answered;
use crate::mailbox::send_reply;
use crate::messages::groups::{DeleteGroup, DeleteGroupReply, GroupRefusal};
use crate::messages::supervisor::IfUnknown;
use twinhub_access::Reach;
use twinhub_domain::fleet::{Group, GroupId, RecordChange};
use twinhub_domain::receipt::NotAccepted;
use twinhub_domain::twin::Change;
use twinhub_domain::{Cause, DeviceId, Input, Json, Refusal};
use twinhub_store::select::is_within;
use twinhub_store::{DeviceQuery, DeviceSort};

/// Devices under way at once: enough to share commits, and few beside what comes from elsewhere.
const MOVING: usize = 64;
/// Devices listed at once.
const PAGE: u64 = 1_000;

/// The reason why a group with devices of others is not its owner's to remove.
const NOT_ALONE_IN_IT: &str = "devices that are not yours stand in it";

/// A group that is being removed.
struct Removal {
    id: GroupId,
    /// Devices beyond it are not moved.
    reach: Reach,
    cause: Cause,
    /// Devices and groups that were moved so far.
    devices: u64,
    groups: u64,
    reply: oneshot::Sender<Result<DeleteGroupReply, GroupRefusal>>,
}

impl Groups {
    fn remove(&mut self, delete: DeleteGroup, ctx: &mut Context<Self>) {
        let DeleteGroup { id, reach, force, if_tag, cause, reply } = delete;
        let refuse = |reply: oneshot::Sender<_>, refusal| drop(reply.send(Err(refusal))); // may have gone
        let is_reached = |group: &Group| reach.is_everywhere() || reach.has_group(group);
        let found = self.planned.get(&id).filter(|group| is_reached(group));
        let Some(id) = found.map(|group| group.id.clone()) else {
            return refuse(reply, GroupRefusal::Unknown(id));
        };
        if !reach.is_everywhere() && !reach.is_owners() && self.is_at_edge(id.as_str(), &reach) {
            let why = "what is in the first group of your scope would leave it: it is not yours to remove";
            return refuse(reply, GroupRefusal::Beyond(why));
        }
        if reach.is_owners() && !self.stands_as_its_owner_put_it(id.as_str(), &reach) {
            return refuse(reply, GroupRefusal::Beyond(NOT_ALONE));
        }
        if !reach.is_everywhere() && self.deps.places.read().is_shared(&reach, id.as_str()) {
            return refuse(reply, GroupRefusal::Beyond(NOT_ALONE_IN_IT));
        }
        if let Err(refusal) = self.check_tag(id.as_str(), if_tag, &reach) {
            return refuse(reply, refusal);
        }
        let (devices, groups) =
            (self.following.census.devices_of(id.as_str()), self.planned.children(Some(&id)).count() as u64);
        if !force && devices + groups > 0 {
            return refuse(reply, GroupRefusal::NotEmpty { id, devices, groups });
        }
        // One under it that is being emptied moves its devices here, page by page: between two of them this is empty
        // too.
        let child = self.planned.children(Some(&id)).find(|child| self.leaving.contains(*child)).cloned();
        if let Some(child) = child {
            return refuse(reply, GroupRefusal::Leaving(child));
        }
        if !self.leaving.insert(id.clone()) {
            return refuse(reply, GroupRefusal::Leaving(id));
        }
        self.empty(Removal { id, reach, cause, devices: 0, groups: 0, reply }, ctx);
    }

    /// Moves what stands in it, and removes it once nothing does.
    fn empty(&mut self, mut removal: Removal, ctx: &mut Context<Self>) {
        let above = self.planned.get(removal.id.as_str()).and_then(|group| group.parent_group.clone());
        let under: Vec<GroupId> = self.planned.children(Some(&removal.id)).cloned().collect();
        for child in under {
            let Some(group) = self.planned.get(child.as_str()) else { continue };
            let updated_at = self.deps.clock.now();
            let moved = Group { parent_group: above.clone(), updated_at, ..Group::clone(group) };
            self.commit(moved, removal.cause.clone(), ctx, Box::new(|_, _| ()));
            removal.groups += 1;
        }
        if self.following.census.devices_of(removal.id.as_str()) == 0 {
            return self.take_out(removal, ctx);
        }
        let (deps, id, cause) = (Arc::clone(&self.deps), removal.id.clone(), removal.cause.clone());
        let reach = removal.reach.clone();
        let moving = async move { move_all(&deps, &id, &reach, above.as_ref(), &cause).await };
        ctx.spawn(moving.into_actor(self).map(move |moved, this, ctx| match moved {
            Ok(devices) => {
                removal.devices += devices;
                // Some may have come meanwhile.
                this.when_true(ctx, move |this, ctx| this.empty(removal, ctx));
            }
            Err(why) => {
                let Removal { id, reply, .. } = removal;
                this.leaving.remove(&id);
                send_reply(reply, Err(GroupRefusal::Stuck { id, why }));
            }
        }));
    }

    fn take_out(&mut self, removal: Removal, ctx: &mut Context<Self>) {
        let Removal { id, cause, devices, groups, reply, .. } = removal;
        let Some(group) = self.planned.remove(id.as_str()) else { return }; // nobody else removes it
        let group = Group::clone(&group);
        let body = group.to_object();
        let gone = id.clone();
        let then = Box::new(move |this: &mut Self, _: &mut Context<Self>| {
            this.leaving.remove(&gone);
            send_reply(reply, Ok(DeleteGroupReply { group, devices, groups }));
        });
        self.put(&id, RecordChange::Removed, body, cause, ctx, then);
    }
}

/// Moves all devices of a group, and says how many they were; or why one does not move.
async fn move_all(
    deps: &Arc<FleetDeps>,
    group: &GroupId,
    reach: &Reach,
    to: Option<&GroupId>,
    cause: &Cause,
) -> Result<u64, String> {
    let query = DeviceQuery {
        groups: vec![group.as_str().into()],
        sort: DeviceSort::Number,
        limit: PAGE,
        ..DeviceQuery::default()
    };
    let mut all = 0;
    loop {
        // Devices that were moved are not there any more, so it is the first page again.
        let page = until_answered("the devices of a removed group", || deps.store.devices(&query)).await;
        if page.twins.is_empty() {
            return Ok(all);
        }
        // One that is not the caller's may have come since the request was looked at.
        if !page.twins.iter().all(|twin| is_within(reach, twin)) {
            return Err(NOT_ALONE_IN_IT.into());
        }
        let moves = page.twins.into_iter().map(|twin| move_one(deps, twin.id, to, cause));
        let mut moves = stream::iter(moves).buffer_unordered(MOVING);
        while let Some(moved) = moves.next().await {
            all += u64::from(moved?);
        }
    }
}

/// True where it was moved; false where it is gone.
async fn move_one(
    deps: &FleetDeps,
    device: DeviceId,
    to: Option<&GroupId>,
    cause: &Cause,
) -> Result<bool, String> {
    let to = to.map_or(Json::Null, |to| to.as_str().into());
    let change = Change { patch: [("group_id", to)].into_iter().collect() };
    let input = Input::Change(Box::new(change));
    match deliver(deps, &device, &input, cause, IfUnknown::Refuse).await {
        Ok(_) => Ok(true),
        Err(NotAccepted::Refused(Refusal::Unknown(_))) => Ok(false),
        Err(NotAccepted::Refused(refusal)) => Err(format!("{device}: {refusal}")),
        Err(NotAccepted::Lost) => Err(format!("{device}: its twin did not answer in time, see the log")),
    }
}

impl Handler<DeleteGroup> for Groups {
    type Result = ();

    fn handle(&mut self, delete: DeleteGroup, ctx: &mut Context<Self>) {
        self.when_true(ctx, move |this, ctx| this.remove(delete, ctx));
    }
}
