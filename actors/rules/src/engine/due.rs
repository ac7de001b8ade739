//! The passing of time: deadlines of latches and runs, and the times of clocks, each at its own time and in order.

use super::clock::{self, ON_TIME_MS, PassedTimes};
use super::latch::Latch;
use super::scope::ScopeKey;
use super::state::Followup;
use super::stepper::Stepper;
use twinhub_domain::Timestamp;
use twinhub_domain::run::WhyNot;

impl Stepper<'_> {
    /// Lets the time go on to `until`, with everything that falls due at its own time.
    pub fn advance(&mut self, until: Timestamp) {
        if self.state.moved.is_some_and(|moved| moved.is_over(until)) {
            self.state.moved = None;
        }
        while let Some((at, key)) = self.state.scopes.pop_due(self.index, until) {
            self.state.now = self.state.now.max(at);
            self.is_due(key, at, at);
        }
        self.state.now = self.state.now.max(until);
    }

    /// The hub is up again: nothing was heard since `down_since`.
    pub fn started(&mut self, down_since: Timestamp, at: Timestamp) {
        let down_since = down_since.min(at);
        self.advance(down_since);
        if at.millis() - down_since.millis() <= ON_TIME_MS {
            return self.advance(at);
        }
        self.state.now = self.state.now.max(at);
        self.state.scopes.restart_latches(self.index, at);
        for rule in &self.index.clocks {
            self.catch_up(*rule, at, "while the hub was down");
            self.drain();
        }
        // Everything else that was due is done now, in its order.
        self.state.settle(self.index);
        while let Some((due, key)) = self.state.scopes.pop_due(self.index, at) {
            self.is_due(key, due, at);
        }
    }

    /// Does what of a scope was due at `due`, at the time `at`.
    fn is_due(&mut self, key: ScopeKey, due: Timestamp, at: Timestamp) {
        if key.device.0 == 0 {
            self.clocks_are_due(key.rule, due);
        }
        let Some(scope) = self.state.scopes.get(key) else { return self.drain() };
        let device = scope.device.clone();
        let latches: Vec<_> = scope
            .latches
            .iter()
            .filter_map(|(number, latch)| match latch {
                Latch::Pending(pending) if pending.until <= due => Some((*number, (**pending).clone())),
                _ => None,
            })
            .collect();
        let runs: Vec<_> = scope
            .runs
            .iter()
            .filter(|run| run.due().is_some_and(|at| at <= due))
            .map(|run| run.entry.id)
            .collect();
        for (number, pending) in latches {
            self.triggers().latch_is_due(key, number, pending, device.clone(), at);
            self.drain();
        }
        for run in runs {
            self.run_loop().run_is_due(run, at);
            self.drain();
        }
        self.drain();
    }

    fn clocks_are_due(&mut self, rule: u32, due: Timestamp) {
        let is_enabled = self.state.is_enabled(self.index, rule);
        for place in 0..self.state.scopes.rule(rule).clocks.len() {
            let clock = &self.state.scopes.rule(rule).clocks[place];
            let (number, next_at) = (clock.trigger, clock.next);
            let Some(at) = next_at.filter(|at| *at <= due) else { continue };
            self.state.scopes.set_clock(self.index, rule, place, at);
            if is_enabled {
                self.state.fire(clock::firing(self.index, rule, number, at, at));
                self.drain();
            }
        }
    }

    /// Deals with the times of a rule's clocks that passed up to `now`.
    pub fn catch_up(&mut self, rule: u32, now: Timestamp, why: &'static str) {
        let was_there = !std::mem::take(&mut self.state.scopes.rule_mut(rule).is_new);
        let is_enabled = self.state.is_enabled(self.index, rule);
        for place in 0..self.state.scopes.rule(rule).clocks.len() {
            let clock = self.state.scopes.rule(rule).clocks[place].clone();
            self.state.scopes.set_clock(self.index, rule, place, now.max(clock.done));
            if !was_there || !is_enabled {
                continue;
            }
            let PassedTimes { over, made_up } = clock::passed(self.index, rule, &clock, (now, why));
            if let Some((firing, detail)) = over {
                self.state.follow_up(Followup::PassOver(Box::new(firing), WhyNot::Missed, detail));
            }
            for firing in made_up {
                self.state.fire(firing);
                self.drain();
            }
        }
    }
}
