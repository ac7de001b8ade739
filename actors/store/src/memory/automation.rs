//! Automation's stored data, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::{
    AlarmPage, AlarmQuery, AutomationChanges, AutomationState, DeliveryPage, DeliveryQuery, DeliveryRecord,
    EngineProgress, RuleRecord, RunPage, RunPlace, RunQuery, select,
};
use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};
use twinhub_rules::ScopeSnapshot;

use super::count;

/// Automation's part of the memory store.
#[derive(Debug, Default)]
pub struct MemoryAutomation {
    progress: Option<EngineProgress>,
    kept: BTreeMap<(RuleId, DeviceNumber), ScopeSnapshot>,
    rules: BTreeMap<RuleId, RuleRecord>,
    runs: BTreeMap<RunId, RunEntry>,
    /// Of each run the number that it was given as it was written first.
    run_seqs: HashMap<RunId, u64>,
    /// The devices that had a part in each run.
    parts: BTreeSet<(RunId, DeviceNumber)>,
    alarms: BTreeMap<AlarmId, Alarm>,
    deliveries: BTreeMap<Uuid, DeliveryRecord>,
    /// Devices that there are no more.
    gone: HashSet<DeviceNumber>,
}

impl MemoryAutomation {
    /// Applies a commit, in which the devices have these `numbers`.
    pub fn take(&mut self, changes: &AutomationChanges, numbers: &HashMap<&DeviceId, DeviceNumber>) {
        let AutomationChanges { progress, kept, runs, alarms, rules, deliveries } = changes;
        self.progress = progress.or(self.progress);
        for kept in kept {
            let key = (kept.rule.clone(), kept.device);
            if kept.body.is_none() || self.gone.contains(&kept.device) {
                self.kept.remove(&key);
            } else {
                self.kept.insert(key, kept.clone());
            }
        }
        for record in rules {
            if record.body.is_none() && record.enabled.is_none() {
                self.rules.remove(&record.id);
            } else {
                self.rules.insert(record.id.clone(), record.clone());
            }
        }
        for entry in runs {
            let gone = self.gone.contains(&entry.number);
            let number = if gone { select::NOBODY } else { entry.number };
            self.runs.insert(entry.id, RunEntry { number, ..entry.clone() });
        }
        // The last entry of a run counts.
        let last: HashMap<RunId, &RunEntry> = runs.iter().map(|entry| (entry.id, entry)).collect();
        for (place, entry) in runs.iter().enumerate() {
            if runs[place + 1..].iter().all(|later| later.id != entry.id) {
                let next = self.run_seqs.len() as u64 + 1;
                self.run_seqs.entry(entry.id).or_insert(next);
            }
        }
        for entry in last.into_values() {
            let acted_on = select::acted_on(entry).filter_map(|id| numbers.get(id).copied());
            let parts = acted_on.chain([entry.number]).filter(|number| *number != select::NOBODY);
            let left = parts.filter(|number| !self.gone.contains(number));
            self.parts.extend(left.map(|number| (entry.id, number)));
        }
        for alarm in alarms.iter().filter(|alarm| !self.gone.contains(&alarm.number)) {
            self.alarms.insert(alarm.id, alarm.clone());
        }
        for record in deliveries {
            self.deliveries.insert(record.id, record.clone());
        }
    }

    /// A device goes.
    pub fn forget(&mut self, device: DeviceNumber) {
        self.gone.insert(device);
        self.kept.retain(|(_, of), _| *of != device);
        self.alarms.retain(|_, alarm| alarm.number != device);
        self.parts.retain(|(_, of)| *of != device);
        for entry in self.runs.values_mut().filter(|entry| entry.number == device) {
            entry.number = select::NOBODY;
        }
    }

    /// Up to when rules have seen the time.
    pub fn seen_until(&self) -> Option<Timestamp> {
        self.progress.map(|progress| progress.time)
    }

    pub fn state(&self) -> AutomationState {
        AutomationState {
            progress: self.progress,
            kept: self.kept.values().cloned().collect(),
            rules: self.rules.values().cloned().collect(),
        }
    }

    /// `is_within`: is this device within the query's reach?
    pub fn runs(&self, query: &RunQuery, is_within: impl Fn(DeviceNumber) -> bool) -> RunPage {
        let has_part =
            |entry: &RunEntry| query.device.is_none_or(|device| self.parts.contains(&(entry.id, device)));
        let is_reached = |entry: &RunEntry| {
            let mut parts = self.parts_of(entry.id).peekable();
            query.reach.is_everywhere() || parts.peek().is_some() && parts.all(&is_within)
        };
        let wanted = |entry: &&RunEntry| select::is_run(query, entry) && has_part(entry) && is_reached(entry);
        let mut found: Vec<&RunEntry> = self.runs.values().filter(wanted).collect();
        found.sort_by_key(|entry| self.place(entry));
        if query.newest_first {
            found.reverse();
        }
        let total = found.len() as u64;
        let is_behind = |entry: &RunEntry| {
            query.after.is_none_or(|after| {
                if query.newest_first { self.place(entry) < after } else { self.place(entry) > after }
            })
        };
        found.retain(|entry| is_behind(entry));
        let (runs, left) = page(&found, query.offset, query.limit);
        let is_last = query.offset.saturating_add(query.limit) >= left;
        let next = if is_last { None } else { runs.last().map(|entry| self.place(entry)) };
        RunPage { runs, total, next }
    }

    /// The devices that had a part in a run.
    fn parts_of(&self, run: RunId) -> impl Iterator<Item = DeviceNumber> {
        let from = (run, DeviceNumber(i64::MIN));
        self.parts.range(from..).take_while(move |(of, _)| *of == run).map(|(_, device)| *device)
    }

    fn place(&self, entry: &RunEntry) -> RunPlace {
        RunPlace { at: entry.at, seq: self.run_seqs.get(&entry.id).copied().unwrap_or_default() }
    }

    pub fn run(&self, id: RunId) -> Option<RunEntry> {
        self.runs.get(&id).cloned()
    }

    pub fn last_runs(&self, rules: &[RuleId]) -> Vec<RunEntry> {
        let last = |rule: &RuleId| {
            let telling = self.runs.values().filter(|entry| entry.rule == *rule && select::is_telling(entry));
            telling.max_by_key(|entry| self.place(entry)).cloned()
        };
        rules.iter().filter_map(last).collect()
    }

    /// `is_within`: is this device within the query's reach?
    pub fn alarms(&self, query: &AlarmQuery, is_within: impl Fn(DeviceNumber) -> bool) -> AlarmPage {
        let wanted = |alarm: &&Alarm| select::is_alarm(query, alarm) && is_within(alarm.number);
        let mut found: Vec<&Alarm> = self.alarms.values().filter(wanted).collect();
        found.sort_by_key(|alarm| std::cmp::Reverse((alarm.raised_at, alarm.id)));
        let (alarms, total) = page(&found, query.offset, query.limit);
        AlarmPage { alarms, total }
    }

    pub fn alarms_of(&self, device: DeviceNumber) -> u64 {
        self.alarms.values().filter(|alarm| alarm.number == device).count() as u64
    }

    pub fn alarm(&self, id: AlarmId) -> Option<Alarm> {
        self.alarms.get(&id).cloned()
    }

    pub fn deliveries(&self, query: &DeliveryQuery) -> DeliveryPage {
        let mut found: Vec<&DeliveryRecord> =
            self.deliveries.values().filter(|record| select::is_delivery(query, record)).collect();
        found.sort_by_key(|record| std::cmp::Reverse((record.created_at, record.id)));
        let (deliveries, total) = page(&found, query.offset, query.limit);
        DeliveryPage { deliveries, total }
    }
}

fn page<T: Clone>(found: &[&T], offset: u64, limit: u64) -> (Vec<T>, u64) {
    let some = found.iter().skip(count(offset)).take(count(limit));
    (some.map(|one| (*one).clone()).collect(), found.len() as u64)
}
