//! Rules that did not run, and why; the same again is counted.

use super::arbitration::Arbiter;
use super::firing::RunRefusal;
use super::latch::Latch;
use super::run::{RunState, RunWait, TurnWait};
use super::scope::{FoldedEntry, ScopeKey};
use super::targets;
use twinhub_domain::run::{RunId, RunOutcome, WhyNot};

impl Arbiter<'_> {
    pub fn refuse_run(&mut self, key: ScopeKey, run: RunState, why: WhyNot, detail: &str) -> RunRefusal {
        let refusal = (why, detail.to_owned(), None);
        self.refuse(key, run, &refusal);
        refusal
    }

    /// Says that a rule did not run. The same again is counted where it was said first.
    pub fn refuse(&mut self, key: ScopeKey, run: RunState, (why, detail, condition): &RunRefusal) {
        self.mark_latch(key, &run, None);
        self.state.runs.remove(run.entry.id);
        let device = run.entry.device.clone();
        let id = run.entry.id;
        let list = run.list;
        let mut entry = run.entry;
        entry.outcome = RunOutcome::NotRun { why: *why, detail: detail.as_str().into() };
        let scope = self.state.scopes.entry(key, device.as_ref());
        // Runs that were to follow it do not: it did not run.
        scope
            .runs
            .retain(|other| !matches!(other.waits, RunWait::Turn(TurnWait::After(before)) if before == id));
        let index = entry.trigger.index;
        let same = |folded: &FoldedEntry| {
            folded.why == *why && folded.condition == *condition && folded.index == index
        };
        let mut tell = true;
        match scope.folded.as_deref_mut().filter(|folded| same(folded)) {
            Some(folded) => {
                folded.count = folded.count.saturating_add(1);
                (entry.id, entry.at, entry.count) = (folded.id, folded.at, folded.count);
                tell = false;
            }
            None => {
                let (id, at) = (entry.id, entry.at);
                let folded = FoldedEntry { id, at, count: 1, index, why: *why, condition: *condition };
                scope.folded = Some(Box::new(folded));
            }
        }
        // The devices that patterns choose are looked for once: those of the first are those of all that are counted with it.
        entry.targets = if tell {
            targets::all(self.index, self.world, key.rule, list)
        } else {
            targets::named(self.index, key.rule, list)
        };
        entry.ended_at = Some(entry.last_at);
        self.state.say(entry, tell);
    }

    /// Writes down at a run's latch whether it ran.
    pub fn mark_latch(&mut self, key: ScopeKey, run: &RunState, ran: Option<RunId>) {
        let Some(trigger) = run.latch else { return };
        let Some(scope) = self.state.scopes.get_mut(key) else { return };
        let is_of_run = |of: &Option<RunId>| of.is_none() || *of == Some(run.entry.id);
        if let Some(Latch::Fired { ran: before }) = scope.latch(trigger)
            && is_of_run(before)
        {
            scope.set_latch(trigger, Some(Latch::Fired { ran }));
        }
    }
}
