//! What falls due: deadlines of latches and runs, times of the clock on the wall; and what becomes of those that
//! passed while nothing was heard.

use super::book::Book;
use super::fire::{Firing, data};
use super::latch::Latch;
use super::scope::{Clock, Key};
use super::sight::word;
use super::work::Work;
use crate::model::{AcrossDowntime, Missed, Trigger, TriggerKind};
use twinhub_domain::run::WhyNot;
use twinhub_domain::{DeviceNumber, Json, Timestamp};

/// What was due within so many ms before the hub was up again is on time: a quick restart loses nothing.
const ON_TIME_MS: i64 = 10_000;

/// So many times that passed are made up for at most, the last ones.
const MOST_MADE_UP: usize = 100;

/// So many times that were passed over are counted at most.
const MOST_COUNTED: usize = 10_000;

/// When a trigger by the clock is due next after `after`.
pub(super) fn next(trigger: &Trigger, after: Timestamp) -> Option<Timestamp> {
    match &trigger.kind {
        TriggerKind::Cron { cron, .. } => cron.recurrence.after(after),
        TriggerKind::Every { every_ms, .. } => {
            let every = (*every_ms).max(1);
            let next = (after.millis().div_euclid(every) + 1).checked_mul(every)?;
            Some(Timestamp::from_millis(next)).filter(|next| *next > after)
        }
        _ => None,
    }
}

/// The clocks of a rule that begins at `now`.
pub(super) fn clocks(book: &Book, rule: u32, now: Timestamp) -> Vec<Clock> {
    let triggers = (0u16..).zip(book.rule(rule).triggers.iter());
    let by_clock =
        triggers.filter(|(_, t)| matches!(t.kind, TriggerKind::Cron { .. } | TriggerKind::Every { .. }));
    by_clock.map(|(index, t)| Clock { trigger: index, done: now, next: next(t, now) }).collect()
}

impl Work<'_> {
    /// Lets the time go on to `until`, with everything that falls due at its own time.
    pub fn advance(&mut self, until: Timestamp) {
        if self.state.moved.is_some_and(|moved| moved.is_over(until)) {
            self.state.moved = None;
        }
        while let Some((at, key)) = self.state.pop_due(self.book, until) {
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
        self.restart_latches(at);
        for rule in self.book.clocks.clone() {
            self.catch_up(rule, at, "while the hub was down");
            self.drain();
        }
        // What else was due is done now, in its order.
        self.state.settle(self.book);
        while let Some((due, key)) = self.state.pop_due(self.book, at) {
            self.is_due(key, due, at);
        }
    }

    /// Does what of a scope was due at `due`, at the time `at`.
    fn is_due(&mut self, key: Key, due: Timestamp, at: Timestamp) {
        if key.device.0 == 0 {
            self.clocks_are_due(key.rule, due);
        }
        let Some(scope) = self.state.scopes.get(&key) else { return self.drain() };
        let device = scope.device.clone();
        let latches: Vec<_> = scope
            .latches
            .iter()
            .filter_map(|(index, latch)| match latch {
                Latch::Pending(pending) if pending.until <= due => Some((*index, (**pending).clone())),
                _ => None,
            })
            .collect();
        let runs: Vec<_> = scope
            .runs
            .iter()
            .filter(|run| run.due().is_some_and(|at| at <= due))
            .map(|run| run.entry.id)
            .collect();
        for (index, pending) in latches {
            self.latch_is_due(key, index, pending, device.clone(), at);
            self.drain();
        }
        for run in runs {
            self.run_is_due(run, at);
            self.drain();
        }
        self.drain();
    }

    fn clocks_are_due(&mut self, rule: u32, due: Timestamp) {
        let is_enabled = self.state.is_enabled(self.book, rule);
        for place in 0..self.state.levels[rule as usize].clocks.len() {
            let clock = &self.state.levels[rule as usize].clocks[place];
            let (index, next_at) = (clock.trigger, clock.next);
            let Some(at) = next_at.filter(|at| *at <= due) else { continue };
            self.set_clock(rule, place, at);
            if is_enabled {
                let firing = self.clock_firing(rule, index, at, at);
                self.fire(firing);
                self.drain();
            }
        }
    }

    /// Everything of a trigger by the clock up to `done` is dealt with.
    pub(super) fn set_clock(&mut self, rule: u32, place: usize, done: Timestamp) {
        let book = self.book;
        if let Some(clock) = self.state.level(rule).clocks.get_mut(place) {
            clock.done = done;
            clock.next = book.rule(rule).triggers.get(usize::from(clock.trigger)).and_then(|t| next(t, done));
        }
    }

    /// The firing of a trigger by the clock whose time was `due`.
    pub(super) fn clock_firing(&self, rule: u32, index: u16, due: Timestamp, at: Timestamp) -> Firing {
        let trigger = &self.book.rule(rule).triggers[usize::from(index)];
        let word = word(&trigger.kind);
        let missed = if due < at { Json::Bool(true) } else { Json::Null };
        let seen = data(&trigger.id, word, [("at", due.to_string().into()), ("missed", missed)]);
        let mut firing = Firing::new(rule, index, word, None, seen, at);
        firing.what = due.millis();
        firing
    }

    /// A `for` that begins again over a time in which nothing was heard.
    pub(super) fn restart_latches(&mut self, at: Timestamp) {
        let book = self.book;
        let keys: Vec<Key> = self.state.scopes.keys().copied().collect();
        for key in keys {
            let Some(scope) = self.state.scopes.get_mut(&key) else { continue };
            let mut changed = false;
            for (index, latch) in &mut scope.latches {
                let trigger = book.rule(key.rule).triggers.get(usize::from(*index));
                if let (Latch::Pending(pending), Some(trigger)) = (latch, trigger)
                    && trigger.across_downtime == AcrossDowntime::Restart
                {
                    pending.since = at;
                    pending.until = at.plus_millis(trigger.for_ms.unwrap_or_default());
                    changed = true;
                }
            }
            if changed {
                self.state.touch(key);
            }
        }
    }

    /// Deals with the times of a rule's clocks that passed up to `now`.
    pub(super) fn catch_up(&mut self, rule: u32, now: Timestamp, why: &'static str) {
        let was_there = !std::mem::take(&mut self.state.level(rule).is_new);
        let is_enabled = self.state.is_enabled(self.book, rule);
        for place in 0..self.state.levels[rule as usize].clocks.len() {
            let clock = self.state.levels[rule as usize].clocks[place].clone();
            self.set_clock(rule, place, now.max(clock.done));
            if was_there && is_enabled {
                self.make_up(rule, clock.trigger, clock.done, (now, why));
            }
        }
    }

    fn make_up(&mut self, rule: u32, index: u16, done: Timestamp, (now, why): (Timestamp, &'static str)) {
        let trigger = &self.book.rule(rule).triggers[usize::from(index)];
        let (missed, within) = match &trigger.kind {
            TriggerKind::Cron { missed, missed_within_ms, .. } => (*missed, *missed_within_ms),
            _ => (Missed::Skip, None),
        };
        let on_time = now.plus_millis(-ON_TIME_MS);
        let worth = within.map_or(done, |within| now.plus_millis(-within));
        let (mut passed, mut last_passed, mut due) = (0usize, None, Vec::new());
        let mut after = done;
        while let Some(at) = next(trigger, after).filter(|at| *at <= now) {
            after = at;
            let is_worth = at >= on_time || (missed != Missed::Skip && at >= worth);
            if is_worth {
                due.push(at);
            }
            let keep = if missed == Missed::RunAll { MOST_MADE_UP } else { 1 };
            // Under `skip` all that is on time runs, and under `run_once` the last of all.
            let too_many = missed != Missed::Skip && due.len() > keep;
            let dropped = if too_many { Some(due.remove(0)) } else { (!is_worth).then_some(at) };
            if let Some(dropped) = dropped {
                passed += 1;
                last_passed = Some(dropped);
            }
            if passed == MOST_COUNTED {
                // So many: nobody asks how many exactly. Where the last are made up for, as far back as they come.
                let apart = (at.millis() - done.millis()) / i64::try_from(passed).unwrap_or(i64::MAX);
                let needed = apart.saturating_mul(2 * i64::try_from(MOST_MADE_UP).unwrap_or(i64::MAX));
                let from =
                    if missed == Missed::Skip { on_time } else { now.plus_millis(-needed).min(on_time) };
                after = after.max(from.plus_millis(-1));
            }
        }
        if let Some(last) = last_passed {
            let word = if passed == 1 { "a time".to_owned() } else { format!("{passed} times") };
            let detail = format!("{word} passed {why}, the last at {last}");
            let firing = self.clock_firing(rule, index, last, now);
            self.pass_over(firing, WhyNot::Missed, detail);
        }
        for at in due {
            let mut firing = self.clock_firing(rule, index, at, now);
            firing.made_up = at < on_time;
            self.fire(firing);
            self.drain();
        }
    }
}

/// The key of what is no device's.
pub(super) fn rule_key(rule: u32) -> Key {
    Key { device: DeviceNumber(0), rule }
}
