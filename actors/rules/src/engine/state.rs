//! All that the engine remembers beside the twins, and what it is about to say.

use std::collections::VecDeque;

use super::clock_shift::ClockShift;
use super::firing::Firing;
use super::index::RuleIndex;
use super::run::{RunState, RunWait};
use super::run_index::RunIndex;
use super::scope::ScopeKey;
use super::scopes::RuleScopes;
use super::waiting_runs::waited_for;
use super::{EffectId, EffectResult, EngineOutput, JournalEntry};
use twinhub_domain::Timestamp;
use twinhub_domain::run::{RuleId, RunEntry, RunId, RunOutcome, WhyNot};

/// The engine's memory.
#[derive(Debug, Default)]
pub(super) struct EngineState {
    pub now: Timestamp,
    /// The clock was set a moment ago.
    pub moved: Option<ClockShift>,
    pub scopes: RuleScopes,
    pub runs: RunIndex,
    /// So many effects were asked for.
    pub action_requests: u64,
    /// The work still to be done within a step.
    pub followups: VecDeque<Followup>,
    pub output: EngineOutput,
    pub counts: EngineCounts,
    /// A rule that dies when it is looked at.
    #[cfg(test)]
    pub dies: Option<RuleId>,
}

/// Something that is still to be done within a step.
#[derive(Debug)]
pub(super) enum Followup {
    Fire(Box<Firing>),
    /// Nothing comes of a firing, and why.
    PassOver(Box<Firing>, WhyNot, String),
    /// The run goes on, at its own time.
    Drive(RunId, Timestamp),
    /// An effect that is done in here was done.
    Answer(EffectId, EffectResult, Timestamp),
    /// Runs of a scope may have their turn.
    Turns(ScopeKey, Timestamp),
}

/// The counts of what the engine has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounts {
    /// Triggers that fired.
    pub evaluations: u64,
    /// The ones that led to a run.
    pub runs: u64,
}

impl EngineState {
    /// The rule that dies when it is looked at: in tests alone there is one.
    #[cfg(test)]
    pub fn dies(&self) -> Option<&RuleId> {
        self.dies.as_ref()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it is used")]
    pub fn dies(&self) -> Option<&RuleId> {
        None
    }

    pub fn is_enabled(&self, index: &RuleIndex, rule: u32) -> bool {
        self.scopes.is_enabled(index, rule)
    }

    pub fn settle(&mut self, index: &RuleIndex) {
        self.scopes.settle(index, self.now);
    }

    pub fn follow_up(&mut self, followup: Followup) {
        self.followups.push_back(followup);
    }

    pub fn fire(&mut self, firing: Firing) {
        self.follow_up(Followup::Fire(Box::new(firing)));
    }

    /// Says an entry; one that has been said within this step is said once, as it is now.
    pub fn say(&mut self, entry: RunEntry, tell: bool) {
        match self.output.entries.iter_mut().rev().find(|said| said.entry.id == entry.id) {
            Some(said) => {
                said.tell |= tell;
                let targets = std::mem::take(&mut said.entry.targets);
                said.entry = entry;
                said.entry.targets.extend(targets);
            }
            None => self.output.entries.push(JournalEntry { entry, tell }),
        }
    }

    /// Takes a run out of its scope.
    pub fn take_run(&mut self, id: RunId) -> Option<(ScopeKey, RunState)> {
        let key = self.runs.scope_of(id)?;
        let scope = self.scopes.get_mut(key)?;
        let place = scope.runs.iter().position(|run| run.entry.id == id)?;
        Some((key, scope.runs.remove(place)))
    }

    /// Puts a run into its scope, where it was by the order in which the runs were fired.
    pub fn put_run(&mut self, key: ScopeKey, run: RunState) {
        self.runs.add(run.entry.id, key);
        let device = run.entry.device.clone();
        let scope = self.scopes.entry(key, device.as_ref());
        let order = |run: &RunState| run.fired_at();
        let place =
            scope.runs.iter().rposition(|other| order(other) <= order(&run)).map_or(0, |place| place + 1);
        scope.runs.insert(place, run);
    }

    /// Remembers by device what a run waits for.
    pub fn link_wait(&mut self, index: &RuleIndex, key: ScopeKey, run: &RunState) {
        let on = waited_for(index, key, run);
        self.runs.wait(run.entry.id, index.rank(key.rule), key.device, on);
    }

    /// Forgets where a run was and what it waited for.
    pub fn unlink(&mut self, run: &RunState) {
        self.runs.remove(run.entry.id);
        for command in run.confirms.iter().filter_map(|confirm| confirm.command) {
            self.runs.end_confirm(command);
        }
        self.runs.end_wait(run.entry.id);
    }

    /// Finds again by what the runs are found, and who holds what.
    pub fn link_all(&mut self, index: &RuleIndex) {
        self.runs.clear();
        self.scopes.holds.clear();
        for (key, scope) in &self.scopes.by_key {
            for run in &scope.runs {
                self.runs.add(run.entry.id, *key);
                for confirm in run.confirms.iter().filter(|confirm| confirm.status.is_none()) {
                    confirm.command.into_iter().for_each(|command| self.runs.confirm(command, run.entry.id));
                }
                if let RunWait::Acts { open, .. } = &run.waits {
                    self.action_requests =
                        open.iter().map(|open| open.order).fold(self.action_requests, u64::max);
                }
                let on = waited_for(index, *key, run);
                self.runs.wait(run.entry.id, index.rank(key.rule), key.device, on);
            }
            for held in &scope.held {
                self.scopes.holds.add(*key, held.clone());
            }
        }
    }

    /// Gives up those runs of a scope that `which` says.
    pub fn abort_where(
        &mut self,
        key: ScopeKey,
        reason: &str,
        at: Timestamp,
        which: impl Fn(&RunState) -> bool,
    ) {
        let Some(scope) = self.scopes.get_mut(key) else { return };
        let (given_up, stay): (Vec<RunState>, _) =
            std::mem::take(&mut scope.runs).into_iter().partition(|run| which(run));
        scope.runs = stay;
        for run in given_up {
            self.abort(run, reason, at);
        }
    }

    /// Gives up all runs of a scope.
    pub fn abort_all(&mut self, key: ScopeKey, reason: &str, at: Timestamp) {
        self.abort_where(key, reason, at, |_| true);
    }

    /// Gives up a run that has been taken out of its scope.
    fn abort(&mut self, mut run: RunState, reason: &str, at: Timestamp) {
        self.unlink(&run);
        run.entry.outcome = RunOutcome::Aborted { reason: reason.into() };
        for line in &mut run.entry.actions {
            if &*line.result == "waiting" {
                line.result = "skipped".into();
                line.detail = "the run was given up".into();
            }
        }
        run.entry.ended_at = Some(at);
        self.say(run.entry, true);
    }

    /// Stops a rule alone, with all that goes on of it.
    pub fn stop(&mut self, index: &RuleIndex, rule: u32, why: &str, at: Timestamp) {
        let state = self.scopes.rule_mut(rule);
        if state.stopped.is_some() {
            return;
        }
        state.stopped = Some(why.into());
        self.output.stopped.push((index.rule(rule).id.clone(), why.into()));
        for key in self.scopes.keys_of(rule) {
            self.abort_all(key, "stopped", at);
        }
    }

    /// Forgets a scope, and gives up all that goes on in it.
    pub fn forget(&mut self, key: ScopeKey, reason: &str, at: Timestamp) {
        self.abort_all(key, reason, at);
        self.scopes.forget(key);
    }
}
