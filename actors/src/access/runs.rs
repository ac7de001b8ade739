//! Runs of rules as callers with a scope see them. A rule looks at devices that had no part in its run: what it found
//! of these is in conditions and texts, which are for those who reach all devices.

use std::sync::Arc;

use super::confinement::{Confinement, Judged};
use crate::messages::archive::{FindEvents, FindRun, LastRuns, ListRuns};
use crate::places::PlacesRead;
use twinhub_domain::run::{RunEntry, RunOutcome, WhyNot};
use twinhub_domain::{Event, EventBody, Json, Object, Recorded};
use twinhub_store::{RunPage, StoreError};

impl Confinement {
    /// Is this run for the caller? It is where a device within reach had a part in it, and none beyond.
    pub(super) fn sees_run(&self, places: &PlacesRead<'_>, entry: &RunEntry) -> bool {
        let acted_on = entry.actions.iter().filter_map(|action| action.device.as_ref()).chain(&entry.targets);
        let mut devices = acted_on.chain(&entry.device).filter(|device| places.knows(device)).peekable();
        devices.peek().is_some() && devices.all(|device| places.has(&self.reach, device))
    }

    /// Takes out of a run what may be of other devices than had a part in it.
    pub(super) fn strip_run(&self, entry: &mut RunEntry) {
        if self.reach.is_everywhere() {
            return;
        }
        for condition in &mut entry.conditions {
            condition.text = "".into();
            condition.terms.clear();
        }
        if let RunOutcome::NotRun { why: WhyNot::Condition | WhyNot::Unknown, detail } = &mut entry.outcome {
            *detail = "".into();
        }
        // A message on a topic may be any device's.
        if entry.device.is_none() {
            entry.trigger.data = Object::default();
        }
        // Texts for the log, for topics and addresses, and the conditions of branches and waits.
        for action in entry.actions.iter_mut().filter(|action| action.device.is_none()) {
            action.data = Json::Null;
            action.detail = "".into();
        }
    }

    /// An event that the caller sees, as they see it.
    pub(super) fn show(&self, recorded: &Arc<Recorded>) -> Arc<Recorded> {
        match &recorded.event.body {
            EventBody::Rule(entry) if !self.reach.is_everywhere() => {
                let mut entry = entry.clone();
                self.strip_run(&mut entry);
                let event = Event { body: EventBody::Rule(entry), ..recorded.event.clone() };
                Arc::new(Recorded::new(recorded.seq, event))
            }
            _ => Arc::clone(recorded),
        }
    }
}

impl Judged for FindRun {
    fn judge(answer: Result<Option<RunEntry>, StoreError>, within: &Confinement) -> Self::Result {
        let found = answer?;
        if within.reach.is_everywhere() {
            return Ok(found);
        }
        let places = within.places.read();
        Ok(found.filter(|entry| within.sees_run(&places, entry)).map(|mut entry| {
            within.strip_run(&mut entry);
            entry
        }))
    }
}

impl Judged for LastRuns {
    fn judge(answer: Result<Vec<RunEntry>, StoreError>, within: &Confinement) -> Self::Result {
        let mut runs = answer?;
        if !within.reach.is_everywhere() {
            let places = within.places.read();
            runs.retain(|entry| within.sees_run(&places, entry));
            runs.iter_mut().for_each(|entry| within.strip_run(entry));
        }
        Ok(runs)
    }
}

impl Judged for ListRuns {
    fn judge(answer: Result<RunPage, StoreError>, within: &Confinement) -> Self::Result {
        let mut page = answer?;
        page.runs.iter_mut().for_each(|entry| within.strip_run(entry));
        Ok(page)
    }
}

impl Judged for FindEvents {
    fn judge(answer: Result<Vec<Arc<Recorded>>, StoreError>, within: &Confinement) -> Self::Result {
        let mut events = answer?;
        events.iter_mut().for_each(|recorded| *recorded = within.show(recorded));
        Ok(events)
    }
}
