//! The hub's clock was set. What waits for the end of a span of time (`for`, `delay`, a timeout, a cooldown) waits as
//! long as it would have: it measures time that passes. What is due at a time of the clock goes by the new clock.
//!
//! Set forward, the times of clocks that were jumped over are missed ones, and each rule says what becomes of them.
//! Set back, the clocks go on from the new time. Times that came once in between do not come again; those that came
//! more often do, for a rule that runs every minute is not to be silent for two hours.

use super::clock::{self, next};
use super::latch::Latch;
use super::run::RunWait;
use super::scope::{ClockTrigger, RuleState, ScopeState};
use super::stepper::Stepper;
use crate::model::{Trigger, TriggerKind};
use twinhub_domain::schedule::CLOCK_WRONG_MS;
use twinhub_domain::{Recorded, Timestamp};

/// A time that was read of the clock within so many ms before it was set may come in after that.
const STRAGGLERS_MS: i64 = 2_000;

/// That the clock was set, for as long as what was read before may come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockShift {
    from: Timestamp,
    to: Timestamp,
}

impl ClockShift {
    /// This moment, if it was read before the clock was set, as the clock shows it now.
    pub fn by_new_clock(self, at: Timestamp) -> Timestamp {
        let beside = |moment: Timestamp| at.millis().abs_diff(moment.millis());
        if beside(self.from) < beside(self.to).min(STRAGGLERS_MS.unsigned_abs()) {
            at.plus_millis(self.to.millis() - self.from.millis())
        } else {
            at
        }
    }

    /// The event as it would be had it been received by the new clock; none where it was.
    pub fn translate(self, recorded: &Recorded) -> Option<Recorded> {
        let received_at = self.by_new_clock(recorded.event.received_at);
        if received_at == recorded.event.received_at {
            return None;
        }
        let mut event = recorded.event.clone();
        if event.at == event.received_at {
            event.at = received_at.into();
        }
        event.received_at = received_at;
        Some(Recorded::new(recorded.seq, event))
    }

    /// Is it so long ago that nothing from before it comes in any more?
    pub fn is_over(self, now: Timestamp) -> bool {
        now.millis() - self.to.millis() > STRAGGLERS_MS
    }
}

impl Stepper<'_> {
    /// The clock showed `from` and was set to `to`.
    pub fn moved(&mut self, from: Timestamp, to: Timestamp, while_down: bool) {
        self.advance(from);
        let from = from.max(self.state.now);
        let by = to.millis().saturating_sub(from.millis());
        self.state.now = to;
        self.state.moved = Some(ClockShift { from, to });
        for key in self.state.scopes.keys() {
            if let Some(scope) = self.state.scopes.get_mut(key) {
                shift(scope, by, to);
            }
        }
        if while_down {
            self.state.scopes.restart_latches(self.index, to);
        }
        let index = self.index;
        for rule in index.clocks.iter().copied() {
            let triggers = &index.rule(rule).triggers;
            let before = self.state.scopes.rule(rule).clocks.clone();
            let jumped_over = set_spans(self.state.scopes.rule_mut(rule), triggers, &before, by, to);
            if by >= 0 {
                self.catch_up(rule, to, "when the clock was set forward");
                set_spans(self.state.scopes.rule_mut(rule), triggers, &before, by, to);
            } else {
                set_back(self.state.scopes.rule_mut(rule), triggers, to);
            }
            if self.state.is_enabled(index, rule) {
                for (number, due) in jumped_over {
                    self.state.fire(clock::firing(index, rule, number, due, to));
                    self.drain();
                }
            }
        }
        self.drain();
        self.state.scopes.set_timers(index);
    }
}

/// `every` is a span of time whose ends lie on round times: it is over at the round time that is nearest to when it
/// would have been. Gives the triggers whose round time the clock jumped over: those are over now.
fn set_spans(
    rule: &mut RuleState,
    triggers: &[Trigger],
    before: &[ClockTrigger],
    by: i64,
    now: Timestamp,
) -> Vec<(u16, Timestamp)> {
    let mut jumped_over = Vec::new();
    for (clock, before) in rule.clocks.iter_mut().zip(before) {
        let Some(trigger) = triggers.get(usize::from(clock.trigger)) else { continue };
        let TriggerKind::Every { every_ms } = trigger.kind else { continue };
        let end = before.next.map(|next| round(next.plus_millis(by), every_ms));
        if by > 0
            && let Some(end) = end.filter(|end| *end <= now)
        {
            jumped_over.push((clock.trigger, end));
        }
        let least = end.map_or(now, |end| end.plus_millis(-1).max(now));
        (clock.done, clock.next) = (now, next(trigger, least));
    }
    jumped_over
}

/// The times of a rule's clocks come again from `now` on, which lies before what they have done: those that came
/// once in between are not to come twice, those that came more often are not to be silent until then.
fn set_back(rule: &mut RuleState, triggers: &[Trigger], now: Timestamp) {
    for clock in &mut rule.clocks {
        let trigger = triggers.get(usize::from(clock.trigger));
        let Some(trigger) = trigger.filter(|t| matches!(t.kind, TriggerKind::Cron { .. })) else {
            continue;
        };
        let is_done = |at: &Timestamp| *at <= clock.done;
        let first = next(trigger, now);
        let came_once =
            first.filter(is_done).is_some_and(|at| !next(trigger, at).as_ref().is_some_and(is_done));
        let was_wrong = clock.done.millis() - now.millis() > CLOCK_WRONG_MS;
        if !came_once || was_wrong {
            (clock.done, clock.next) = (now, first);
        }
    }
}

/// The round time that is nearest to `at`; of two the later.
fn round(at: Timestamp, every_ms: i64) -> Timestamp {
    let every = every_ms.max(1);
    let turns = at.millis().saturating_add(every / 2).div_euclid(every);
    Timestamp::from_millis(turns.saturating_mul(every))
}

/// All that a scope waits for is so much later, or earlier. What asks the time is looked at by the new one, `now`.
fn shift(scope: &mut ScopeState, by: i64, now: Timestamp) {
    let later = |at: &mut Timestamp| *at = at.plus_millis(by);
    for (_, latch) in &mut scope.latches {
        if let Latch::Pending(pending) = latch {
            later(&mut pending.since);
            later(&mut pending.until);
        }
    }
    for run in &mut scope.runs {
        run.shifted_ms = run.shifted_ms.saturating_add(by);
        match &mut run.waits {
            RunWait::Turn(_) | RunWait::Acts { .. } => {}
            RunWait::Delay { until } | RunWait::Confirm { until } => later(until),
            RunWait::Condition { until, look } => {
                until.iter_mut().for_each(later);
                *look = look.map(|_| now);
            }
        }
    }
    scope.rests_until.iter_mut().chain(&mut scope.recent).for_each(later);
    scope.folded = None; // it tells a time by the clock before
}
