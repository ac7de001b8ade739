//! The live feed as one caller may see it.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::confinement::Confinement;
use super::{Grant, Permission};
use crate::HubError;
use crate::messages::feed::{EventBatch, LiveFeed, SubscribeFeed};

/// The live feed: everything after `seq` that the caller may see, in order. Each event is judged by where its device is
/// when it is read, so whoever loses a device, or a device its place, hears no more of it from then on.
pub struct ConfinedFeed {
    /// The last event before the live ones.
    pub seq: u64,
    events: broadcast::Receiver<EventBatch>,
    grant: Grant,
    /// The version of the tree that the confinement is of.
    version: u64,
    within: Confinement,
}

/// Events of one commit, or more, without a gap in the sequence after those before.
#[derive(Clone, Debug)]
pub struct ConfinedBatch {
    /// The places of the first event and the last, whether the caller sees these or not.
    pub first: u64,
    pub last: u64,
    /// The events among them that the caller sees.
    pub events: EventBatch,
}

impl Grant {
    /// Subscribes to the live feed.
    ///
    /// # Errors
    /// The caller may not read, or the hub is shutting down.
    pub async fn subscribe(&self) -> Result<ConfinedFeed, HubError> {
        self.demand(Permission::Read)?;
        let live = self.hub.feed.send(SubscribeFeed).await;
        let LiveFeed { seq, events } = live.map_err(|_| HubError::ShuttingDown)?;
        let (version, within) = (self.hub.tree.version(), self.confinement());
        Ok(ConfinedFeed { seq, events, grant: self.clone(), version, within })
    }
}

impl ConfinedFeed {
    /// The next events. Dropping it half-way loses nothing.
    ///
    /// # Errors
    /// The caller was too slow and events are missing, or the hub is shutting down: as of the channel.
    pub async fn recv(&mut self) -> Result<ConfinedBatch, RecvError> {
        loop {
            let batch = self.events.recv().await?;
            if let Some(confined) = self.confine(batch) {
                return Ok(confined);
            }
        }
    }

    /// The next events, where there are some already.
    ///
    /// # Errors
    /// There are none; or the caller was too slow and events are missing, or the hub is shutting down: as of the channel.
    pub fn try_recv(&mut self) -> Result<ConfinedBatch, TryRecvError> {
        loop {
            let batch = self.events.try_recv()?;
            if let Some(confined) = self.confine(batch) {
                return Ok(confined);
            }
        }
    }

    /// The part of a batch that the caller sees; none where the batch is empty.
    fn confine(&mut self, batch: EventBatch) -> Option<ConfinedBatch> {
        let (first, last) = (batch.first()?.seq, batch.last()?.seq);
        // Found out from all groups in the scope, the reach would cost every subscriber that with each batch. The
        // version is asked for first: a tree that changes meanwhile makes the next batch look again.
        let version = self.grant.hub.tree.version();
        if version != self.version {
            (self.version, self.within) = (version, self.grant.confinement());
        }
        let within = &self.within;
        let events = if within.reach.is_everywhere() {
            batch
        } else {
            let places = within.places.read();
            batch
                .iter()
                .filter(|recorded| within.sees(&places, recorded))
                .map(|recorded| within.show(recorded))
                .collect()
        };
        Some(ConfinedBatch { first, last, events })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_access::{Reach, Scope, Scopes};
    use twinhub_domain::cause::Source;
    use twinhub_domain::fleet::{GroupId, GroupPrecondition, GroupRequest};
    use twinhub_domain::twin::Registration;
    use twinhub_domain::{DeviceId, Input, Timestamp};
    use twinhub_store::MemoryStore;
    use twinhub_testkit::{ManualClock, within};

    use super::super::Caller;
    use super::*;
    use crate::messages::groups::PutGroup;
    use crate::messages::supervisor::IfUnknown;
    use crate::{Hub, Settings};

    fn group(id: &str) -> GroupId {
        GroupId::parse(id).unwrap()
    }

    async fn put(admin: &Grant, id: &str, parent: Option<&str>) {
        let requested = GroupRequest {
            name: Some(id.into()),
            parent_group: Some(parent.map(group)),
            ..GroupRequest::default()
        };
        let (expect, cause) = (GroupPrecondition::Any, admin.cause());
        let (reach, if_tag, id) = (Reach::default(), None, Some(group(id)));
        let put = admin.change(|reply| PutGroup { id, requested, reach, expect, if_tag, cause, reply });
        within("what became of a group's change", put).await.unwrap().unwrap();
    }

    /// Registers a device in a group, and waits until the feed has it.
    async fn register(admin: &Grant, device: &str, group: &str, feed: &mut ConfinedFeed) {
        let id = DeviceId::parse(device).unwrap();
        let patch = [("group_id", group.into())].into_iter().collect();
        let input = Input::Register(Box::new(Registration { patch }));
        let registered = admin.hub.deliver(id.clone(), input, admin.cause(), IfUnknown::Begin, false);
        within("the device is registered", registered).await.unwrap();
        let heard = async {
            while !feed.recv().await.unwrap().events.iter().any(|recorded| recorded.event.device == id) {}
        };
        within("the device is heard of", heard).await;
    }

    #[actix::test]
    async fn the_reach_is_found_out_again_where_the_tree_has_changed() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000));
        let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
        let admin = hub.of(Caller::Program, Source::Rest);
        put(&admin, "hall", None).await;
        put(&admin, "yard", None).await;
        let scope = Scope::Groups([group("hall")].into());
        let mut feed = admin.clone().in_scopes(Scopes::from(&scope)).subscribe().await.unwrap();
        register(&admin, "a", "hall", &mut feed).await;
        let before = feed.within.reach.clone();
        register(&admin, "b", "hall", &mut feed).await;
        assert!(std::ptr::eq(before.parts(), feed.within.reach.parts()), "the tree is as it was");
        put(&admin, "yard", Some("hall")).await;
        register(&admin, "c", "yard", &mut feed).await;
        assert!(!std::ptr::eq(before.parts(), feed.within.reach.parts()));
    }
}
