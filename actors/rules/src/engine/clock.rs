//! Triggers by the clock on the wall: when they are due, and what becomes of the times that passed while nothing was
//! heard.

use super::firing::{Firing, data};
use super::index::RuleIndex;
use super::scope::ClockTrigger;
use super::trigger_context::word;
use crate::model::{MissedTimes, Trigger, TriggerKind};
use twinhub_domain::{Json, Timestamp};

/// A time that was due within so many ms before the hub was up again is on time: a quick restart loses nothing.
pub(super) const ON_TIME_MS: i64 = 10_000;

/// So many times that passed are made up for at most, the last ones.
const MOST_MADE_UP: usize = 100;

/// So many times that were passed over are counted at most.
const MOST_COUNTED: usize = 10_000;

/// The fate of the times of a clock that passed.
pub(super) struct PassedTimes {
    /// The last of those that are passed over, and a sentence on all of them.
    pub over: Option<(Firing, String)>,
    /// The times that are made up for, in order.
    pub made_up: Vec<Firing>,
}

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
pub(super) fn clocks(index: &RuleIndex, rule: u32, now: Timestamp) -> Vec<ClockTrigger> {
    let triggers = (0u16..).zip(index.rule(rule).triggers.iter());
    let by_clock =
        triggers.filter(|(_, t)| matches!(t.kind, TriggerKind::Cron { .. } | TriggerKind::Every { .. }));
    by_clock.map(|(number, t)| ClockTrigger { trigger: number, done: now, next: next(t, now) }).collect()
}

/// The firing of a trigger by the clock whose time was `due`.
pub(super) fn firing(index: &RuleIndex, rule: u32, number: u16, due: Timestamp, at: Timestamp) -> Firing {
    let trigger = &index.rule(rule).triggers[usize::from(number)];
    let word = word(&trigger.kind);
    let missed = if due < at { Json::Bool(true) } else { Json::Null };
    let seen = data(&trigger.id, word, [("at", due.to_string().into()), ("missed", missed)]);
    let mut firing = Firing::new(rule, number, word, None, seen, at);
    firing.what = due.millis();
    firing
}

/// The fate of the times of a rule's clock that passed between those that are dealt with and `now`.
pub(super) fn passed(
    index: &RuleIndex,
    rule: u32,
    clock: &ClockTrigger,
    (now, why): (Timestamp, &'static str),
) -> PassedTimes {
    let (number, done) = (clock.trigger, clock.done);
    let trigger = &index.rule(rule).triggers[usize::from(number)];
    let (missed, within) = match &trigger.kind {
        TriggerKind::Cron { missed, missed_within_ms, .. } => (*missed, *missed_within_ms),
        _ => (MissedTimes::Skip, None),
    };
    let on_time = now.plus_millis(-ON_TIME_MS);
    let worth = within.map_or(done, |within| now.plus_millis(-within));
    let (mut passed, mut last_passed, mut due) = (0usize, None, Vec::new());
    let mut after = done;
    while let Some(at) = next(trigger, after).filter(|at| *at <= now) {
        after = at;
        let is_worth = at >= on_time || (missed != MissedTimes::Skip && at >= worth);
        if is_worth {
            due.push(at);
        }
        let keep = if missed == MissedTimes::RunAll { MOST_MADE_UP } else { 1 };
        // Under `skip` all that is on time runs, and under `run_once` the last of all.
        let too_many = missed != MissedTimes::Skip && due.len() > keep;
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
                if missed == MissedTimes::Skip { on_time } else { now.plus_millis(-needed).min(on_time) };
            after = after.max(from.plus_millis(-1));
        }
    }
    let over = last_passed.map(|last| {
        let word = if passed == 1 { "a time".to_owned() } else { format!("{passed} times") };
        let detail = format!("{word} passed {why}, the last at {last}");
        (firing(index, rule, number, last, now), detail)
    });
    let made_up = |at: &Timestamp| {
        let mut firing = firing(index, rule, number, *at, now);
        firing.made_up = *at < on_time;
        firing
    };
    PassedTimes { over, made_up: due.iter().map(made_up).collect() }
}
