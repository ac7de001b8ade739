//! The census's view of what happens: events in their order, and the twins of devices that come into a group and of
//! which nothing is known yet. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::broadcast;

use super::reading::Begun;
use twinhub_domain::fleet::GroupStatistics;
use twinhub_domain::fleet::statistics::MembershipEffect;
use twinhub_domain::{DeviceId, DeviceNumber, Recorded, Twin};

/// Twins read at once.
const TWINS: usize = 500;
/// Of so many numbers at most it is remembered that they were passed over.
const PASSED: usize = 10_000;

type Batch = Arc<[Arc<Recorded>]>;

/// The census, and how far it has come.
#[derive(Default)]
pub(super) struct CensusFollower {
    pub census: GroupStatistics,
    /// None while it is read from.
    pub live: Option<broadcast::Receiver<Batch>>,
    /// The last event that was seen; none before the devices were read.
    pub cursor: Option<u64>,
    numbers: Numbers,
    /// Devices that came into a group and whose twins are not read yet.
    coming: HashMap<DeviceNumber, Coming>,
    /// Of these those that nobody reads yet.
    to_read: Vec<(DeviceId, DeviceNumber)>,
    reading: bool,
    /// The number of times that it has begun anew: what was asked for before that is not wanted any more.
    pub begun: u32,
}

/// A device whose twin is not read yet.
struct Coming {
    since: u64,
    /// Its events after that.
    events: Vec<Arc<Recorded>>,
}

/// The numbers that tell a device's first event: it is then known what the device was before, which is nothing.
#[derive(Default)]
struct Numbers {
    highest: i64,
    /// Lower ones that were not seen: twins begin side by side, and their first events come in any order.
    passed: BTreeSet<i64>,
}

impl CensusFollower {
    /// Nothing is counted yet. What the one before waited for is not wanted any more.
    pub fn anew(&mut self) {
        let census = std::mem::take(&mut self.census);
        *self = Self { census, begun: self.begun + 1, ..Self::default() };
    }

    /// All that there is was counted, and is followed from there.
    pub fn begin(&mut self, Begun { seq, live, census, highest }: Begun) {
        self.census = census;
        self.live = Some(live);
        self.cursor = Some(seq);
        self.numbers.highest = highest.0;
    }

    /// Up to where the census is true; none while it is not.
    pub fn seen(&self) -> Option<u64> {
        let before = self.coming.values().map(|coming| coming.since - 1).min();
        let cursor = self.cursor?;
        Some(before.map_or(cursor, |before| before.min(cursor)))
    }

    /// Is this the next event? It is seen then.
    pub fn is_next(&mut self, seq: u64) -> bool {
        if self.cursor.is_none_or(|cursor| seq <= cursor) {
            return false;
        }
        self.cursor = Some(seq);
        true
    }

    /// Counts an event. Gives the group that its device came into.
    pub fn count(&mut self, recorded: &Arc<Recorded>) -> Option<Box<str>> {
        if recorded.event.device.is_none() {
            self.census.see(&recorded.event, false); // the clock may have been set
            return None;
        }
        let is_first = self.numbers.is_first(recorded.event.number);
        self.count_device(recorded, is_first)
    }

    fn count_device(&mut self, recorded: &Arc<Recorded>, is_first: bool) -> Option<Box<str>> {
        let event = &recorded.event;
        if let Some(coming) = self.coming.get_mut(&event.number) {
            coming.events.push(Arc::clone(recorded));
            return None;
        }
        match self.census.see(event, is_first) {
            MembershipEffect::Nothing => None,
            MembershipEffect::Came(group) => Some(group.into()),
            MembershipEffect::Unknown => {
                let coming = Coming { since: recorded.seq, events: Vec::new() };
                self.coming.insert(event.number, coming);
                self.to_read.push((event.device.clone(), event.number));
                None
            }
        }
    }

    /// The devices whose twins are to be read now, some at a time; none while others are read.
    pub fn next_to_read(&mut self) -> Option<Vec<(DeviceId, DeviceNumber)>> {
        if self.reading || self.to_read.is_empty() {
            return None;
        }
        self.reading = true;
        let most = self.to_read.len().min(TWINS);
        Some(self.to_read.drain(..most).collect())
    }

    /// The twins of those that were asked for, as they stand now: perhaps later than the census does, which catches up
    /// with them. Gives the groups that devices came into.
    pub fn know(&mut self, asked: Vec<(DeviceId, DeviceNumber)>, twins: &[Twin]) -> Vec<Box<str>> {
        self.reading = false;
        let mut groups = Vec::new();
        for twin in twins {
            // Of another device that has this one's id by now its own events will tell.
            if self.coming.contains_key(&twin.number) {
                self.census.count_device(twin);
                let group = twin.profile.text("group_id");
                groups.extend((!group.is_empty()).then(|| group.into()));
            }
        }
        for (_, number) in asked {
            // Of one that is gone already, it is among these that it went.
            let events = self.coming.remove(&number).map(|coming| coming.events);
            for recorded in events.into_iter().flatten() {
                groups.extend(self.count_device(&recorded, false));
            }
        }
        groups
    }
}

impl Numbers {
    fn is_first(&mut self, DeviceNumber(number): DeviceNumber) -> bool {
        if number > self.highest {
            self.passed.extend(self.highest + 1..number);
            while self.passed.len() > PASSED {
                self.passed.pop_first();
            }
            self.highest = number;
            return true;
        }
        self.passed.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_events_come_in_any_order() {
        let mut numbers = Numbers { highest: 5, ..Numbers::default() };
        let mut check = |number: i64, expected: bool| {
            assert_eq!(numbers.is_first(DeviceNumber(number)), expected, "{number}");
        };
        check(3, false);
        check(5, false);
        check(8, true);
        check(7, true);
        check(7, false);
        check(8, false);
        check(6, true);
        check(9, true);
    }
}
