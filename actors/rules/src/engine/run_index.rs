//! Where the runs are found that have not come to their end: by their ids, by the devices and by the commands that they
//! wait for; and what set off the last ones.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::scope::ScopeKey;
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{CommandId, DeviceId, DeviceNumber};

/// So many of the last runs are remembered.
const MOST_LAST_RUNS: usize = 1_024;

/// A run that waits for a condition, in the order in which such runs are looked at: by the rank of their rules.
type WaitingRun = (u32, DeviceNumber, RunId);

/// Finds runs.
#[derive(Debug, Default)]
pub(super) struct RunIndex {
    scopes: HashMap<RunId, ScopeKey>,
    /// Runs that wait for a condition, by the device that it looks at.
    waiting: HashMap<DeviceId, BTreeSet<WaitingRun>>,
    /// The same by run.
    waits: HashMap<RunId, (WaitingRun, Box<[DeviceId]>)>,
    /// Runs that wait for a command to be executed.
    confirming: HashMap<CommandId, RunId>,
    /// The last runs: by them a circle is told from what hangs on it. Not stored: a circle comes round again.
    last: VecDeque<(RunId, RuleId, Option<RunId>)>,
}

impl RunIndex {
    /// The scope of a run.
    pub fn scope_of(&self, run: RunId) -> Option<ScopeKey> {
        self.scopes.get(&run).copied()
    }

    pub fn add(&mut self, run: RunId, key: ScopeKey) {
        self.scopes.insert(run, key);
    }

    pub fn remove(&mut self, run: RunId) {
        self.scopes.remove(&run);
    }

    /// A run waits for a condition that looks at these devices.
    pub fn wait(&mut self, run: RunId, rank: u32, device: DeviceNumber, on: Vec<DeviceId>) {
        if on.is_empty() {
            return;
        }
        let name = (rank, device, run);
        for device in &on {
            self.waiting.entry(device.clone()).or_default().insert(name);
        }
        self.waits.insert(run, (name, on.into()));
    }

    /// It waits no more.
    pub fn end_wait(&mut self, run: RunId) {
        let Some((name, on)) = self.waits.remove(&run) else { return };
        for device in on {
            if let Some(waiting) = self.waiting.get_mut(&device) {
                waiting.remove(&name);
                if waiting.is_empty() {
                    self.waiting.remove(&device);
                }
            }
        }
    }

    /// The runs that wait for a condition that looks at this device.
    pub fn waiting_on(&self, device: &DeviceId) -> Vec<RunId> {
        self.waiting.get(device).into_iter().flatten().map(|(_, _, run)| *run).collect()
    }

    /// A run waits for this command to be executed.
    pub fn confirm(&mut self, command: CommandId, run: RunId) {
        self.confirming.insert(command, run);
    }

    /// Nobody waits for this command any more. Gives who did.
    pub fn end_confirm(&mut self, command: CommandId) -> Option<RunId> {
        self.confirming.remove(&command)
    }

    /// A run began.
    pub fn remember(&mut self, entry: &RunEntry) {
        if self.last.len() >= MOST_LAST_RUNS {
            self.last.pop_front();
        }
        self.last.push_back((entry.id, entry.rule.clone(), entry.parent));
    }

    /// Does a run of its own rule stand above this one? Then it is in the circle, and not only at its end.
    pub fn is_in_circle(&self, entry: &RunEntry) -> bool {
        let mut above = entry.parent;
        while let Some((_, rule, parent)) =
            above.and_then(|id| self.last.iter().rev().find(|(run, ..)| *run == id))
        {
            if *rule == entry.rule {
                return true;
            }
            above = *parent;
        }
        false
    }

    /// Forgets where runs are, but not what set off the last ones.
    pub fn clear(&mut self) {
        self.scopes.clear();
        self.waiting.clear();
        self.waits.clear();
        self.confirming.clear();
    }
}
