//! The alarms that are active: of each originator and type one at most.

use std::collections::HashMap;

use super::{Alarm, AlarmChange, AlarmId, Originator, Raised};
use crate::{DeviceNumber, Timestamp};

/// The active alarms, by originator and type.
#[derive(Clone, Debug, Default)]
pub struct ActiveAlarms {
    active: HashMap<Originator, HashMap<Box<str>, Alarm>>,
    /// The originator and type of each alarm.
    places: HashMap<AlarmId, (Originator, Box<str>)>,
}

impl ActiveAlarms {
    /// The number of active alarms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Is none active?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The active alarm of this originator and type.
    #[must_use]
    pub fn of(&self, originator: &Originator, alarm_type: &str) -> Option<&Alarm> {
        self.active.get(originator)?.get(alarm_type)
    }

    /// The active alarms of this originator, in no order.
    pub fn of_originator(&self, originator: &Originator) -> impl Iterator<Item = &Alarm> {
        self.active.get(originator).into_iter().flat_map(HashMap::values)
    }

    /// The active alarm with this id.
    #[must_use]
    pub fn get(&self, id: AlarmId) -> Option<&Alarm> {
        let (originator, alarm_type) = self.places.get(&id)?;
        self.of(originator, alarm_type)
    }

    /// Puts an alarm in its present state: adds it where it is active, and removes it where it is not. Gives back the
    /// one whose place it takes.
    pub fn put(&mut self, alarm: Alarm) -> Option<Alarm> {
        let (originator, alarm_type) = (alarm.originator.clone(), alarm.alarm_type.clone());
        if !alarm.active {
            return self.take(alarm.id);
        }
        self.places.insert(alarm.id, (originator.clone(), alarm_type.clone()));
        let id = alarm.id;
        let before = self.active.entry(originator).or_default().insert(alarm_type, alarm)?;
        if before.id != id {
            self.places.remove(&before.id);
        }
        Some(before)
    }

    /// Something is wrong: a new alarm, which is then called `id`, or one more time for the one that is active.
    pub fn raise(&mut self, id: AlarmId, raised: Raised, now: Timestamp) -> AlarmChange {
        let change = match self.of(&raised.of, &raised.alarm_type) {
            // One of an earlier device of that name is none of this one's.
            Some(active) if active.number == raised.number => active.clone().repeat(raised, now),
            _ => Alarm::begin(id, raised, now),
        };
        self.put(change.alarm.clone());
        change
    }

    /// Clears an alarm. None where no such alarm is active.
    pub fn clear(
        &mut self,
        originator: &Originator,
        alarm_type: &str,
        by: &str,
        now: Timestamp,
    ) -> Option<AlarmChange> {
        let change = self.of(originator, alarm_type)?.clear(by, now)?;
        self.put(change.alarm.clone());
        Some(change)
    }

    /// Forgets the alarms of this device, and gives them back.
    pub fn forget(&mut self, number: DeviceNumber) -> Vec<Alarm> {
        let is_its = |alarm: &&Alarm| alarm.number == number && alarm.originator.device().is_some();
        let ids: Vec<AlarmId> =
            self.active.values().flat_map(HashMap::values).filter(is_its).map(|alarm| alarm.id).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    fn take(&mut self, id: AlarmId) -> Option<Alarm> {
        let (originator, alarm_type) = self.places.remove(&id)?;
        let types = self.active.get_mut(&originator)?;
        let alarm = types.remove(&alarm_type);
        if types.is_empty() {
            self.active.remove(&originator);
        }
        alarm
    }
}
