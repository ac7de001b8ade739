//! All that the engine remembers beside the twins, and what it is about to say.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::book::Book;
use super::fire::Firing;
use super::moved::Moved;
use super::run::earlier;
use super::scope::{Hold, Key, Level, Scope};
use super::{Act, ActId, ActResult, Entry, Step};
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::{CommandId, DeviceId, DeviceNumber, Timestamp};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    pub now: Timestamp,
    /// The clock was set a moment ago.
    pub moved: Option<Moved>,
    pub scopes: BTreeMap<Key, Scope>,
    /// By rule.
    pub levels: Vec<Level>,
    /// When which scope is next due; those of one moment in the order in which rules have their turn.
    timers: BTreeSet<(Timestamp, u32, DeviceNumber)>,
    due: HashMap<Key, Timestamp>,
    /// Scopes that were changed and not looked after yet.
    touched: BTreeSet<Key>,
    /// Scopes whose kept form is behind.
    pub dirty: BTreeSet<(RuleId, DeviceNumber)>,
    /// Where the runs are that have not come to their end.
    pub running: HashMap<RunId, Key>,
    /// Runs that wait for a condition, by the device that it looks at.
    pub waiting: HashMap<DeviceId, BTreeSet<(u32, DeviceNumber, RunId)>>,
    /// Runs that wait for a command to be executed.
    pub confirming: HashMap<CommandId, RunId>,
    /// Who holds what.
    pub holds: HashMap<(DeviceId, Hold), Vec<Key>>,
    /// The last runs: by them a circle is told from what hangs on it. Not kept: a circle comes round again.
    last_runs: VecDeque<(RunId, RuleId, Option<RunId>)>,
    /// So many acts were asked for.
    pub asked: u64,
    pub jobs: VecDeque<Job>,
    pub out: Step,
    pub counts: Counts,
    /// A rule that dies when it is looked at.
    #[cfg(test)]
    pub dies: Option<RuleId>,
}

/// So many of the last runs are remembered.
const MOST_LAST_RUNS: usize = 1_024;

/// What is still to be done within a step.
#[derive(Debug)]
pub(super) enum Job {
    Fire(Box<Firing>),
    /// The run goes on, at its own time.
    Drive(RunId, Timestamp),
    /// An act that is done in here was done.
    Answer(ActId, ActResult, Timestamp),
    /// Runs of a scope may have their turn.
    Turns(Key, Timestamp),
}

/// How much the engine has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Triggers that fired.
    pub evaluations: u64,
    /// Those of which a run came.
    pub runs: u64,
}

impl State {
    /// Does this rule die when it is looked at? Only in tests.
    #[cfg(test)]
    pub fn dies(&self, rule: &RuleId) -> bool {
        self.dies.as_ref() == Some(rule)
    }

    #[cfg(not(test))]
    pub fn dies(&self, _rule: &RuleId) -> bool {
        false
    }

    /// A scope, to be changed.
    pub fn scope(&mut self, key: Key, device: Option<&DeviceId>) -> &mut Scope {
        self.touched.insert(key);
        let scope = self.scopes.entry(key).or_default();
        if scope.device.is_none() {
            scope.device = device.cloned();
        }
        scope
    }

    /// A scope that is there, to be changed.
    pub fn present(&mut self, key: Key) -> Option<&mut Scope> {
        let scope = self.scopes.get_mut(&key)?;
        self.touched.insert(key);
        Some(scope)
    }

    /// What is remembered of a rule, to be changed.
    pub fn level(&mut self, rule: u32) -> &mut Level {
        self.touched.insert(Key { device: DeviceNumber(0), rule });
        &mut self.levels[rule as usize]
    }

    pub fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    /// Does the rule run?
    pub fn is_enabled(&self, book: &Book, rule: u32) -> bool {
        self.levels[rule as usize].enabled.unwrap_or(book.rule(rule).enabled)
    }

    /// Looks after the scopes that were changed: their timers, what they hold, whether they are worth keeping.
    pub fn settle(&mut self, book: &Book) {
        while let Some(key) = self.touched.pop_first() {
            self.dirty.insert((book.rule(key.rule).id.clone(), key.device));
            if let Some(scope) = self.scopes.get_mut(&key) {
                scope.tidy(self.now, book.rule(key.rule).breaker.within_ms);
                if !scope.held.is_empty() && !scope.is_holding() {
                    for held in std::mem::take(&mut scope.held) {
                        let_go(&mut self.holds, held, key);
                    }
                }
                if scope.is_empty() {
                    self.scopes.remove(&key);
                }
            }
            self.retime(book, key);
        }
    }

    /// The scope that is due first, up to `until`, and when.
    pub fn pop_due(&mut self, book: &Book, until: Timestamp) -> Option<(Timestamp, Key)> {
        let (at, rank, device) = *self.timers.first()?;
        if at > until {
            return None;
        }
        self.timers.pop_first();
        let key = Key { device, rule: book.of_rank(rank) };
        self.due.remove(&key);
        self.touched.insert(key); // it gets its next time when it is looked after
        Some((at, key))
    }

    /// When anything is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    pub fn hold(&mut self, key: Key, held: (DeviceId, Hold)) {
        let scope = self.scope(key, None);
        if !scope.held.contains(&held) {
            scope.held.push(held.clone());
            self.holds.entry(held).or_default().push(key);
        }
    }

    pub fn remember(&mut self, entry: &RunEntry) {
        if self.last_runs.len() >= MOST_LAST_RUNS {
            self.last_runs.pop_front();
        }
        self.last_runs.push_back((entry.id, entry.rule.clone(), entry.parent));
    }

    /// A run's rule and what brought it about, where it is remembered.
    pub fn parent_of(&self, id: RunId) -> Option<(&RuleId, Option<RunId>)> {
        let found = self.last_runs.iter().rev().find(|(run, ..)| *run == id)?;
        Some((&found.1, found.2))
    }

    /// Drops a scope with all that points to it.
    pub fn forget(&mut self, key: Key) -> Option<Scope> {
        self.touched.insert(key);
        let scope = self.scopes.remove(&key)?;
        for held in &scope.held {
            let_go(&mut self.holds, held.clone(), key);
        }
        Some(scope)
    }

    /// Says an entry; one that has been said within this step is said once, as it is now.
    pub fn say(&mut self, entry: RunEntry, tell: bool) {
        match self.out.entries.iter_mut().rev().find(|said| said.entry.id == entry.id) {
            Some(said) => {
                said.tell |= tell;
                let targets = std::mem::take(&mut said.entry.targets);
                said.entry = entry;
                said.entry.targets.extend(targets);
            }
            None => self.out.entries.push(Entry { entry, tell }),
        }
    }

    pub fn act(&mut self, act: Act) {
        self.out.acts.push(act);
    }

    /// Makes the timers anew: the rules have other numbers now.
    pub fn retime_all(&mut self, book: &Book) {
        self.timers.clear();
        self.due.clear();
        let mut keys: Vec<Key> = self.scopes.keys().copied().collect();
        keys.extend(book.clocks.iter().map(|rule| Key { device: DeviceNumber(0), rule: *rule }));
        for key in keys {
            self.retime(book, key);
        }
    }

    fn retime(&mut self, book: &Book, key: Key) {
        let level = if key.device.0 == 0 { self.levels[key.rule as usize].due() } else { None };
        let due = earlier(level, self.scopes.get(&key).and_then(Scope::due));
        let rank = book.rank(key.rule);
        let before = match due {
            Some(due) => self.due.insert(key, due),
            None => self.due.remove(&key),
        };
        if before != due {
            if let Some(before) = before {
                self.timers.remove(&(before, rank, key.device));
            }
            if let Some(due) = due {
                self.timers.insert((due, rank, key.device));
            }
        }
    }
}

fn let_go(holds: &mut HashMap<(DeviceId, Hold), Vec<Key>>, held: (DeviceId, Hold), key: Key) {
    if let Some(keys) = holds.get_mut(&held) {
        keys.retain(|holder| *holder != key);
        if keys.is_empty() {
            holds.remove(&held);
        }
    }
}
