//! The hub's clock was set. What waits in a twin for the end of a span of time, a command's time to live or an
//! answer, waits as long as it would have. And what is dated in the future, by a clock that was set back since, must
//! not stand in the way of what comes now: the state is the newest that can be believed, and of what carries no time
//! of its own the last that came.

use super::{Outcome, Part, Patch, Twin};
use crate::cause::Cause;
use crate::clock::{CLOCK_JUMP_MS, Timestamp};
use crate::event::ChangeKind;

impl Twin {
    /// Has the hub's clock been set back since this twin was last changed or heard, as far as `now` tells?
    #[must_use]
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        let latest = now.plus_millis(CLOCK_JUMP_MS);
        self.updated_at > latest || self.last_seen.is_some_and(|seen| seen > latest)
    }

    /// The hub's clock was set from `from` to `to`.
    pub(super) fn clock_moved(
        &mut self,
        outcome: &mut Outcome,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
        cause: &Cause,
    ) {
        let by = to.millis().saturating_sub(from.millis());
        let mut patch = Patch::default();
        let waits = self.queue.is_some() || self.firmware().is_some_and(|task| task.deadline().is_some());
        if waits {
            patch.set(Part::ClockMoved(by));
        }
        if let Some(until) = self.mode_until.filter(|until| is_span(*until, from, by)) {
            patch.set(Part::ModeUntil(Some(until.plus_millis(by))));
        }
        if !patch.is_empty() {
            self.update(outcome, ChangeKind::Clock, patch, now, cause);
            outcome.commands.extend(self.commands().iter().cloned());
        }
    }

    /// All that waits for the end of a span of time is so many ms later, or earlier.
    pub(super) fn shift(&mut self, by: i64) {
        if let Some(queue) = &mut self.queue {
            queue.shift(by);
        }
        if let Some(task) = &mut self.firmware {
            task.at = task.at.plus_millis(by);
            if let Some(furthest) = &mut task.furthest {
                furthest.at = furthest.at.plus_millis(by);
            }
            task.expires = task.expires.map(|at| at.plus_millis(by));
        }
    }

    /// Nothing of it lies in the future of `now` any more.
    pub(super) fn come_back_to(&mut self, now: Timestamp) {
        let no_later = |at: &mut Timestamp| *at = (*at).min(now);
        no_later(&mut self.updated_at);
        self.last_seen.iter_mut().for_each(no_later);
        self.reported.no_later_than(now);
        self.desired.no_later_than(now);
        if let Some(line) = &mut self.line {
            line.no_later_than(now);
        }
        if let Some(unmet) = &mut self.unmet {
            unmet.no_later_than(now);
        }
    }
}

/// A moment that somebody named may be the end of a span (`for 1h`) or a time of the day (`until 18:00`), and nothing
/// tells which. What was nearer than the clock was moved is taken for the end of a span: as a time of the day it would
/// be over by now, or far away.
fn is_span(until: Timestamp, from: Timestamp, by: i64) -> bool {
    until.millis().saturating_sub(from.millis()).abs() < by.saturating_abs()
}
