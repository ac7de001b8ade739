//! The tree of groups, as it stands at the engine's place in the sequence, and who fits when it changes.

use std::sync::Arc;

use super::index::{DeviceAttributes, RuleIndex};
use super::trigger_ref::TriggerRef;
use super::watched_twins::{UnwatchedTwin, WatchedTwins};
use twinhub_domain::fleet::{FleetChange, GroupTree};
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp, Twin};

impl WatchedTwins {
    /// The groups are these. To be told before twins are.
    pub fn know_groups(&mut self, tree: Arc<GroupTree>) {
        self.tree = tree;
    }

    /// The tree changes. Gives the triggers that do not watch a device any more.
    pub fn regroup(
        &mut self,
        change: &FleetChange,
        now: Timestamp,
        index: &RuleIndex,
    ) -> Vec<(TriggerRef, DeviceNumber)> {
        if !self.tree.moves(change) {
            Arc::make_mut(&mut self.tree).redo(change);
            return Vec::new();
        }
        // Twins that stand somewhere under it do so before and after.
        let stands = |twin: &Twin| {
            let group = twin.profile.text("group_id");
            !group.is_empty() && self.tree.is_within(group, &change.id)
        };
        let known = self.devices.iter().filter(|(_, known)| known.twin.as_deref().is_some_and(stands));
        let known = known.map(|(id, _)| id.clone()).collect();
        let others = self.others.iter().filter(|(_, other)| {
            other.as_ref().is_some_and(|other| other.profile.groups.contains(&change.id))
        });
        let others = others.map(|(number, _)| *number).collect();
        Arc::make_mut(&mut self.tree).redo(change);
        self.fit_again(known, others, now, index)
    }

    /// Takes the tree back to before these events, which are all that changed it up to where it stands.
    pub fn ungroup(&mut self, past: &[&FleetChange], now: Timestamp, index: &RuleIndex) {
        if past.is_empty() {
            return;
        }
        for change in past.iter().rev() {
            Arc::make_mut(&mut self.tree).undo(change);
        }
        let known = self.devices.iter().filter(|(_, known)| known.twin.is_some());
        let known = known.map(|(id, _)| id.clone()).collect();
        let others = self.others.iter().filter(|(_, other)| other.is_some());
        let others = others.map(|(number, _)| *number).collect();
        self.fit_again(known, others, now, index); // nothing waits yet
    }

    /// These devices stand elsewhere in the tree now. Gives the triggers that do not watch them any more.
    fn fit_again(
        &mut self,
        mut known: Vec<DeviceId>,
        mut others: Vec<DeviceNumber>,
        now: Timestamp,
        index: &RuleIndex,
    ) -> Vec<(TriggerRef, DeviceNumber)> {
        let mut gone = Vec::new();
        known.sort_unstable();
        for id in known {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            let Some(twin) = device.twin.as_deref() else { continue };
            let (number, profile) = (twin.number, DeviceAttributes::of(twin, &self.tree));
            let before = std::mem::replace(&mut device.watch, index.watch(&id, &profile));
            gone.extend(
                before
                    .into_iter()
                    .filter(|trigger_ref| !device.watch.contains(trigger_ref))
                    .map(|trigger_ref| (trigger_ref, number)),
            );
            if !index.needs(&id, &profile) {
                self.devices.remove(&id);
                self.others.insert(number, UnwatchedTwin::of(id, profile, index));
            }
        }
        others.sort_unstable();
        for number in others {
            let Some(Some(other)) = self.others.get_mut(&number) else { continue };
            if let Some(group) = other.profile.groups.first() {
                other.profile.groups = self.tree.upward(group).map(Into::into).collect();
            }
            if index.needs(&other.id, &other.profile) {
                let mut twin = Twin::new(other.id.clone(), number, now);
                other.tell(&mut twin);
                self.others.remove(&number);
                self.know(twin, index);
            }
        }
        gone
    }
}
