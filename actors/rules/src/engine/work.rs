//! The engine at work within one step: it reads the rules and the twins, and changes what is remembered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::book::Book;
use super::run::Run;
use super::scope::Key;
use super::state::{Job, State};
use super::world::World;
use crate::expression::Scope as Sight;
use crate::model::Condition;
use twinhub_domain::run::{ConditionSeen, RunId, RunOutcome};
use twinhub_domain::{DeviceId, DeviceNumber, Object, Timestamp};

/// See the module.
pub(super) struct Work<'a> {
    pub book: &'a Book,
    pub world: &'a World,
    pub state: &'a mut State,
}

/// An evaluation died: a fault of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Died;

impl Work<'_> {
    /// Does all that is to be done now.
    pub fn drain(&mut self) {
        while let Some(job) = self.state.jobs.pop_front() {
            match job {
                Job::Fire(firing) => self.fire(*firing),
                Job::Drive(run, at) => self.drive(run, at),
                Job::Answer(act, result, at) => self.answer(act, result, at),
                Job::Turns(key, at) => self.give_turns(key, at),
            }
        }
        self.state.settle(self.book);
    }

    /// Evaluates a condition; a panic in it is caught.
    pub fn look(
        &self,
        rule: u32,
        condition: &Condition,
        (trigger, device): (&Object, Option<&DeviceId>),
        now: Timestamp,
    ) -> Result<ConditionSeen, Died> {
        let sight = Sight { twins: self.world, now, trigger, device };
        self.guard(rule, || condition.evaluate(&sight))
    }

    /// Runs what belongs to a rule so that its death is the rule's alone.
    pub fn guard<T>(&self, rule: u32, what: impl FnOnce() -> T) -> Result<T, Died> {
        catch_unwind(AssertUnwindSafe(|| {
            assert!(!self.state.dies(&self.book.rule(rule).id), "a rule that dies in a test");
            what()
        }))
        .map_err(|_| Died)
    }

    /// Stops a rule alone, with all that goes on of it.
    pub fn stop(&mut self, rule: u32, why: &str, at: Timestamp) {
        let level = self.state.level(rule);
        if level.stopped.is_some() {
            return;
        }
        level.stopped = Some(why.into());
        self.state.out.stopped.push((self.book.rule(rule).id.clone(), why.into()));
        for key in self.keys_of(rule) {
            self.abort_all(key, "stopped", at);
        }
    }

    /// The scopes of a rule.
    pub fn keys_of(&self, rule: u32) -> Vec<Key> {
        self.state.scopes.keys().filter(|key| key.rule == rule).copied().collect()
    }

    /// Gives up all runs of a scope.
    pub fn abort_all(&mut self, key: Key, reason: &str, at: Timestamp) {
        let Some(scope) = self.state.present(key) else { return };
        for run in std::mem::take(&mut scope.runs) {
            self.abort(run, reason, at);
        }
    }

    /// Gives up a run that has been taken out of its scope.
    pub fn abort(&mut self, mut run: Run, reason: &str, at: Timestamp) {
        self.unlink(&run);
        run.entry.outcome = RunOutcome::Aborted { reason: reason.into() };
        for line in &mut run.entry.actions {
            if &*line.result == "waiting" {
                line.result = "skipped".into();
                line.detail = "the run was given up".into();
            }
        }
        run.entry.ended_at = Some(at);
        self.state.say(run.entry, true);
    }

    /// Forgets where a run was and what it waited for.
    pub fn unlink(&mut self, run: &Run) {
        self.state.running.remove(&run.entry.id);
        for command in run.confirms.iter().filter_map(|confirm| confirm.command) {
            self.state.confirming.remove(&command);
        }
        self.unlink_wait(run);
    }

    /// Takes a run out of its scope.
    pub fn take_run(&mut self, id: RunId) -> Option<(Key, Run)> {
        let key = *self.state.running.get(&id)?;
        let scope = self.state.present(key)?;
        let place = scope.runs.iter().position(|run| run.entry.id == id)?;
        Some((key, scope.runs.remove(place)))
    }

    /// Puts a run into its scope, where it was by the order in which the runs were fired.
    pub fn put_run(&mut self, key: Key, run: Run) {
        self.state.running.insert(run.entry.id, key);
        let device = run.entry.device.clone();
        let scope = self.state.scope(key, device.as_ref());
        let order = |run: &Run| run.fired_at();
        let place =
            scope.runs.iter().rposition(|other| order(other) <= order(&run)).map_or(0, |place| place + 1);
        scope.runs.insert(place, run);
    }
}

/// The scope of a rule and a device.
pub(super) fn key(rule: u32, device: Option<&(DeviceId, DeviceNumber)>) -> Key {
    Key { device: device.map_or(DeviceNumber(0), |(_, number)| *number), rule }
}
