//! Group statistics: the number of devices in each group, with their statuses and readings, kept event by event.
//!
//! Of each device in a group it remembers the counted values, so that an event costs only its own change, however many
//! devices there are. Of all others it remembers nothing: when one comes into a group, its twin must be given once.
//! Events carry whole values, so an event that was seen already does no harm as long as all later ones are seen again
//! too.

mod counted_moment;
mod counters;
mod exact_sum;
mod word_table;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use self::counted_moment::CountedMoment;
use self::counters::{GroupCounters, SummedNumber};
use self::word_table::{WordNumber, WordTable};
use super::group::GroupId;
use super::tree::GroupTree;
use crate::clock::{ReadingTime, Timestamp};
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::id::DeviceNumber;
use crate::json::{Json, Number, Object};
use crate::reading::{Reading, Scalar};
use crate::run::AutomationSignal;
use crate::twin::{Arrival, Patch, Twin};
use crate::{Mode, Status};

/// The statistics of all groups.
#[derive(Clone, Debug, Default)]
pub struct GroupStatistics {
    members: HashMap<DeviceNumber, CountedDevice>,
    /// By group; of groups without devices none.
    counters: HashMap<WordNumber, GroupCounters>,
    words: WordTable,
}

/// The counted values of a device.
#[derive(Clone, Debug)]
struct CountedDevice {
    group: WordNumber,
    device_type: WordNumber,
    status: Status,
    mode: Mode,
    reported: Vec<CountedProperty>,
}

/// A property that a device reports.
#[derive(Clone, Copy, Debug)]
struct CountedProperty {
    name: WordNumber,
    moment: CountedMoment,
    /// Not a number where it is none: that it is there matters, for a late reading does not take its place.
    number: f64,
}

/// A device's reported value of a property.
#[derive(Clone, Copy)]
struct ReportedValue {
    at: ReadingTime,
    number: SummedNumber,
    /// The moment is not believed.
    is_doubted: bool,
    /// The arrival of the value, where it is a reading: that may be late.
    arrival: Option<Arrival>,
}

/// The effect of an event on the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipEffect<'a> {
    /// No device came into a group.
    Nothing,
    /// A device came into this group.
    Came(&'a str),
    /// A device that is not known came into a group: its twin must be given.
    Unknown,
}

/// The statistics of some devices, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceStatistics {
    pub total: u64,
    /// In the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// In the order of [`Mode::ALL`].
    pub by_mode: [u64; Mode::ALL.len()],
    /// In the order of their names; those that no device has are left out.
    pub by_type: Vec<(Arc<str>, u64)>,
    /// Of each reading that is a number how many devices have it, and the mean of their latest.
    pub readings: Vec<(Arc<str>, u64, Number)>,
}

/// A group's devices, and with them those of all groups under it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubtreeStatistics {
    pub own: DeviceStatistics,
    pub subtree: DeviceStatistics,
    /// Groups under it.
    pub groups: u64,
}

impl GroupStatistics {
    /// The number of devices in groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when no device is in a group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The groups that have devices.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.counters.keys().map(|group| &**self.words.text(*group))
    }

    /// The number of devices directly in this group.
    #[must_use]
    pub fn devices_of(&self, group: &str) -> u64 {
        self.words.find(group).and_then(|group| self.counters.get(&group)).map_or(0, |counted| counted.total)
    }

    /// Counts a device by its present twin.
    pub fn count_device(&mut self, twin: &Twin) {
        self.forget(twin.number);
        let group = twin.profile.text("group_id");
        if group.is_empty() {
            return;
        }
        self.begin(twin.number, group, &twin.profile.device_type, twin.presence.status, twin.control.mode);
        for property in twin.reported.iter() {
            let number = SummedNumber::of(property.value.as_number());
            let is_doubted = property.claimed_at().is_some();
            let reported_value = ReportedValue { at: property.at(), number, is_doubted, arrival: None };
            self.set(twin.number, &property.name, reported_value);
        }
    }

    /// Removes a device that is in no group any more.
    pub fn forget(&mut self, number: DeviceNumber) {
        let Some(member) = self.members.remove(&number) else { return };
        let CountedDevice { group, device_type, status, mode, reported } = member;
        if let Some(counted) = self.counters.get_mut(&group) {
            counted.remove(status, mode, device_type);
            reported.iter().for_each(|reported| counted.remove_reading(reported.name, reported.measured()));
            if counted.total == 0 {
                self.counters.remove(&group);
            }
        }
        reported.iter().for_each(|reported| self.words.release(reported.name));
        self.words.release(device_type);
        self.words.release(group);
    }

    /// The next event of the sequence. `is_first`: the device had none before.
    pub fn see<'a>(&mut self, event: &'a Event, is_first: bool) -> MembershipEffect<'a> {
        let is_member = self.members.contains_key(&event.number);
        match &event.body {
            EventBody::Signal(signal) => {
                if let AutomationSignal::ClockMoved { to, .. } = **signal {
                    self.come_back_to(to);
                }
            }
            EventBody::Twin(change) => return self.see_change(event, change, is_member, is_first),
            _ if !is_member => {}
            EventBody::Telemetry { readings, claimed, .. } => {
                // As the twin does it: a value of a moment that nobody believes gives way to what comes after it.
                let arrival = Arrival { received: event.received_at, claimed: *claimed };
                for Reading { name, value, .. } in readings {
                    let value = if let Scalar::Number(number) = value { Some(number) } else { None };
                    let (number, is_doubted) = (SummedNumber::of(value), claimed.is_some());
                    let reported_value =
                        ReportedValue { at: event.at, number, is_doubted, arrival: Some(arrival) };
                    self.set(event.number, name, reported_value);
                }
            }
            EventBody::Presence { status, .. } => self.change(event.number, |member| member.status = *status),
            EventBody::Command(_) | EventBody::Alarm(_) | EventBody::Rule(_) | EventBody::Fleet(_) => {}
        }
        MembershipEffect::Nothing
    }

    /// The hub's clock shows `now`: no value is of a later time.
    fn come_back_to(&mut self, now: Timestamp) {
        for reported in self.members.values_mut().flat_map(|member| &mut member.reported) {
            reported.moment = reported.moment.no_later_than(now);
        }
    }

    fn see_change<'a>(
        &mut self,
        event: &'a Event,
        TwinChange { change, patch }: &'a TwinChange,
        is_member: bool,
        is_first: bool,
    ) -> MembershipEffect<'a> {
        let number = event.number;
        let group = patch.text("group_id");
        if *change == ChangeKind::Deleted || group == Some("") {
            self.forget(number);
            return MembershipEffect::Nothing;
        }
        match group {
            None if !is_member => return MembershipEffect::Nothing,
            Some(_) if !is_member && !is_first => return MembershipEffect::Unknown,
            Some(group) if !is_member => self.begin(number, group, "", Status::default(), Mode::default()),
            Some(group) => self.move_to(number, group),
            None => {}
        }
        self.apply_patch(number, patch, event.received_at);
        group.map_or(MembershipEffect::Nothing, MembershipEffect::Came)
    }

    fn apply_patch(&mut self, number: DeviceNumber, patch: &Patch, received_at: Timestamp) {
        if let Some(mode) = patch.mode() {
            self.change(number, |member| member.mode = mode);
        }
        if let Some(device_type) = patch.text("type") {
            let new = self.words.intern(device_type);
            let mut old = new;
            self.change(number, |member| old = std::mem::replace(&mut member.device_type, new));
            self.words.release(old);
        }
        for (name, value) in patch.reported().into_iter().flat_map(Object::iter) {
            match value {
                Json::Null => self.unset(number, name),
                value => {
                    let value = SummedNumber::of(value.as_number());
                    let reported_value = ReportedValue {
                        at: received_at.into(),
                        number: value,
                        is_doubted: false,
                        arrival: None,
                    };
                    self.set(number, name, reported_value);
                }
            }
        }
    }

    fn begin(&mut self, number: DeviceNumber, group: &str, device_type: &str, status: Status, mode: Mode) {
        let (group, device_type) = (self.words.intern(group), self.words.intern(device_type));
        self.counters.entry(group).or_default().add(status, mode, device_type);
        self.members.insert(number, CountedDevice { group, device_type, status, mode, reported: Vec::new() });
    }

    fn move_to(&mut self, number: DeviceNumber, group: &str) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let to = self.words.intern(group);
        let from = std::mem::replace(&mut member.group, to);
        if from != to {
            if let Entry::Occupied(mut counted) = self.counters.entry(from) {
                let left = counted.get_mut();
                left.remove(member.status, member.mode, member.device_type);
                member
                    .reported
                    .iter()
                    .for_each(|reported| left.remove_reading(reported.name, reported.measured()));
                if left.total == 0 {
                    counted.remove();
                }
            }
            let counted = self.counters.entry(to).or_default();
            counted.add(member.status, member.mode, member.device_type);
            member
                .reported
                .iter()
                .for_each(|reported| counted.add_reading(reported.name, reported.measured()));
        }
        self.words.release(from);
    }

    /// Changes the counted values of a member, but for its group and its readings.
    fn change(&mut self, number: DeviceNumber, change: impl FnOnce(&mut CountedDevice)) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let Some(counted) = self.counters.get_mut(&member.group) else { return };
        counted.remove(member.status, member.mode, member.device_type);
        change(member);
        counted.add(member.status, member.mode, member.device_type);
    }

    /// Sets a device's reported value, unless that is late: a later reading is here already.
    fn set(&mut self, number: DeviceNumber, name: &str, reported_value: ReportedValue) {
        let ReportedValue { at, number: value, is_doubted, arrival } = reported_value;
        let is_late = |known: &CountedProperty| {
            arrival.is_some_and(|arrival| arrival.is_late(at, known.moment.at(), known.moment.is_doubted()))
        };
        let Self { members, counters, words } = self;
        let Some(member) = members.get_mut(&number) else { return };
        let Some(counted) = counters.get_mut(&member.group) else { return };
        let known = words.find(name).and_then(|name| member.reported.iter_mut().find(|r| r.name == name));
        match known {
            Some(reported) if is_late(reported) => {}
            Some(reported) => {
                let before = reported.measured();
                if !before.is_same(value) {
                    counted.remove_reading(reported.name, before);
                    counted.add_reading(reported.name, value);
                }
                reported.moment = CountedMoment::new(at, is_doubted, value.rest);
                reported.number = value.nearest;
            }
            None => {
                let name = words.intern(name);
                counted.add_reading(name, value);
                let moment = CountedMoment::new(at, is_doubted, value.rest);
                member.reported.push(CountedProperty { name, moment, number: value.nearest });
            }
        }
    }

    /// A device reports this no longer.
    fn unset(&mut self, number: DeviceNumber, name: &str) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let Some(name) = self.words.find(name) else { return };
        let Some(index) = member.reported.iter().position(|reported| reported.name == name) else { return };
        let reported = member.reported.swap_remove(index);
        if let Some(counted) = self.counters.get_mut(&member.group) {
            counted.remove_reading(name, reported.measured());
        }
        self.words.release(name);
    }
}

impl CountedProperty {
    fn measured(&self) -> SummedNumber {
        SummedNumber { nearest: self.number, rest: self.moment.rest() }
    }
}

/// Queries.
impl GroupStatistics {
    /// The statistics of a group and of all groups under it.
    #[must_use]
    pub fn standing(&self, tree: &GroupTree, group: &GroupId) -> SubtreeStatistics {
        let mut subtree = GroupCounters::default();
        let within = tree.walk([group]);
        for (id, _) in &within {
            if let Some(counted) = self.counters(id) {
                subtree.add_all(counted);
            }
        }
        let own = self.counters(group).map(|counted| self.counts(counted)).unwrap_or_default();
        SubtreeStatistics { own, subtree: self.counts(&subtree), groups: within.len() as u64 - 1 }
    }

    /// The same of those of these groups for which `wanted` is true, with all under each added up once. `walked` is the
    /// result of [`GroupTree::walk`].
    #[must_use]
    pub fn standings(
        &self,
        walked: &[(&GroupId, usize)],
        wanted: impl Fn(&GroupId) -> bool,
    ) -> HashMap<GroupId, SubtreeStatistics> {
        let mut standings = HashMap::new();
        // By depth: what is under the group of the next lesser depth that comes, going backwards.
        let mut under: Vec<(GroupCounters, u64)> = Vec::new();
        for (id, depth) in walked.iter().rev() {
            if under.len() < depth + 2 {
                under.resize_with(depth + 2, Default::default);
            }
            let (mut subtree, groups) = std::mem::take(&mut under[depth + 1]);
            let own = self.counters(id);
            if let Some(own) = own {
                subtree.add_all(own);
            }
            if wanted(id) {
                let own = own.map(|own| self.counts(own)).unwrap_or_default();
                let standing = SubtreeStatistics { own, subtree: self.counts(&subtree), groups };
                standings.insert((*id).clone(), standing);
            }
            let (above, count) = &mut under[*depth];
            above.add_all(&subtree);
            *count += groups + 1;
        }
        standings
    }

    fn counters(&self, group: &GroupId) -> Option<&GroupCounters> {
        self.counters.get(&self.words.find(group.as_str())?)
    }

    fn counts(&self, counted: &GroupCounters) -> DeviceStatistics {
        let word = |word: WordNumber| Arc::clone(self.words.text(word));
        let mut by_type: Vec<_> = counted.by_type.iter().map(|(name, count)| (word(*name), *count)).collect();
        by_type.sort_unstable();
        let readings = counted.readings.iter();
        let mut readings: Vec<_> = readings.map(|(name, of)| (word(*name), of.count, of.mean())).collect();
        readings.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let GroupCounters { total, by_status, by_mode, .. } = *counted;
        DeviceStatistics { total, by_status, by_mode, by_type, readings }
    }
}

#[cfg(test)]
mod tests;
