//! Compares the effects of a test with its expectations; a difference becomes a text.

use std::fmt::Write as _;

use super::sim::{PerformedEffect, Sim};
use super::test::{Expectation, Expected, Test};
use crate::engine::Effect;
use crate::model::Rule;
use twinhub_domain::duration::duration_text;
use twinhub_domain::run::{ActionSeen, RunEntry, RunOutcome, WhyNot};
use twinhub_domain::{Json, Mode, Object, Timestamp};

/// The results of actions that succeeded, or were not to be done.
const NO_FAILURE: [&str; 3] = ["ok", "waiting", "skipped"];
/// The most lines shown of each kind.
const MOST_SHOWN: usize = 20;

/// The difference; none: all is as expected.
pub(super) fn check(test: &Test, rule: &Rule, sim: &Sim, start: Timestamp) -> Option<String> {
    let wrong = find_wrong(test, rule, sim, start);
    (!wrong.is_empty()).then(|| describe(&wrong, rule, sim, start))
}

fn find_wrong(test: &Test, rule: &Rule, sim: &Sim, start: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let fits = |expected: &Expected, done: &PerformedEffect| does_fit(expected, done, start);
    let (nots, others): (Vec<_>, Vec<_>) = test.expect.iter().partition(|expected| expected.not);
    for expected in nots {
        if let Some(done) = sim.done.iter().find(|done| fits(expected, done)) {
            wrong.push(format!("expected {}, got {}", expected.text, show(done, start)));
        }
    }
    let mut from = 0;
    let mut matched = Vec::new();
    let mut in_order = 0;
    for expected in others {
        if let Expectation::NotRun(why) = &expected.what {
            if !was_not_run(expected, *why, rule, sim, start) {
                wrong.push(format!("expected {}, which never was so", expected.text));
            }
            continue;
        }
        in_order += 1;
        match sim.done[from..].iter().position(|done| fits(expected, done)) {
            Some(place) => {
                from += place + 1;
                matched.push(from - 1);
            }
            None => wrong.push(format!(
                "expected {}, and it {}",
                expected.text,
                missing(expected, sim, from, start)
            )),
        }
    }
    let wants_nothing = test.expect.is_empty();
    if (test.exactly || wants_nothing) && matched.len() == in_order {
        for (place, done) in sim.done.iter().enumerate() {
            if !matched.contains(&place) {
                wrong.push(format!("expected nothing else, got {}", show(done, start)));
            }
        }
    }
    wrong
}

/// The kind of difference: none at all, at another time, other members, or another order.
fn missing(expected: &Expected, sim: &Sim, from: usize, start: Timestamp) -> String {
    let other_time = Expected { at_ms: None, ..expected.clone() };
    let bare = Expected { details: Object::default(), ..other_time.clone() };
    let is_like = |expected: &Expected| sim.done.iter().position(|done| does_fit(expected, done, start));
    if let Some(place) = is_like(&other_time) {
        if place < from {
            return format!("came before the effect listed before it: {}", show(&sim.done[place], start));
        }
        return format!("came {}", after(sim.done[place].at, start));
    }
    match is_like(&bare) {
        Some(place) => format!("came otherwise: {}", show(&sim.done[place], start)),
        None => "was not done".to_owned(),
    }
}

fn was_not_run(expected: &Expected, why: WhyNot, rule: &Rule, sim: &Sim, start: Timestamp) -> bool {
    sim.entries.iter().any(|entry| {
        let at = start.plus_millis(expected.at_ms.unwrap_or_default());
        let is_then = expected.at_ms.is_none() || entry.at == at || entry.last_at == at;
        let is_so = matches!(&entry.outcome, RunOutcome::NotRun { why: found, .. } if *found == why);
        entry.rule == rule.id && is_so && is_then
    })
}

fn does_fit(expected: &Expected, done: &PerformedEffect, start: Timestamp) -> bool {
    if done.failed.is_some() || expected.at_ms.is_some_and(|ms| start.plus_millis(ms) != done.at) {
        return false;
    }
    is_meant(&expected.what, &done.effect) && has_members(&done.effect.details(), &expected.details)
}

fn is_meant(expectation: &Expectation, effect: &Effect) -> bool {
    let Expectation::Effect { word, subject, by_part, mode } = expectation else { return false };
    let found = effect.subject();
    let is_subject = |wanted: &str| if *by_part { found.contains(wanted) } else { found == wanted };
    let is_mode = |wanted: Mode| matches!(effect, Effect::Mode { mode, .. } if *mode == wanted);
    effect.word() == *word && subject.as_deref().is_none_or(is_subject) && mode.is_none_or(is_mode)
}

/// Does `found` have all members of `wanted`? Objects in it are compared by their members again.
fn has_members(found: &Object, wanted: &Object) -> bool {
    wanted.iter().all(|(name, wanted)| match (found.get(name), wanted) {
        (Some(Json::Object(found)), Json::Object(wanted)) => has_members(found, wanted),
        (found, wanted) => found == Some(wanted),
    })
}

/// The actions that failed, whether their runs went on or not: when, which and why.
pub(super) fn failed_actions(rule: &Rule, sim: &Sim, start: Timestamp) -> Vec<String> {
    let failed = sim.entries.iter().flat_map(|entry| {
        let failed = entry.actions.iter().filter(|action| !NO_FAILURE.contains(&&*action.result));
        failed.map(move |action| (entry, action))
    });
    let tell = |(entry, action): (&RunEntry, &ActionSeen)| {
        let whose = if entry.rule == rule.id { String::new() } else { format!("{} ", entry.rule) };
        let device = action.device.as_ref().map(|device| format!(" {device}")).unwrap_or_default();
        let ActionSeen { path, kind, result, detail, .. } = action;
        let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        format!("{} {whose}{path} {kind}{device}: {result}{why}", after(entry.at, start))
    };
    failed.take(MOST_SHOWN).map(tell).collect()
}

fn describe(wrong: &[String], rule: &Rule, sim: &Sim, start: Timestamp) -> String {
    let mut text = wrong.join("\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "\nwhat was done:");
    if sim.done.is_empty() {
        text.push_str(" nothing");
    }
    for done in sim.done.iter().take(MOST_SHOWN) {
        let _ = write!(text, "\n  {} {}", after(done.at, start), done.effect.summary());
        if let Some(word) = &done.failed {
            let _ = write!(text, " ({word})");
        }
    }
    let not_run = sim.entries.iter().rev().filter_map(|entry| match &entry.outcome {
        RunOutcome::NotRun { why, detail } => Some((entry, *why, detail)),
        _ => None,
    });
    let mut not_run: Vec<_> = not_run.take(MOST_SHOWN).collect();
    not_run.reverse();
    if !not_run.is_empty() {
        let _ = write!(text, "\nwhat did not run:");
    }
    for (entry, why, detail) in not_run {
        let whose = if entry.rule == rule.id { String::new() } else { format!("{} ", entry.rule) };
        let _ = write!(text, "\n  {} {whose}{}: {detail}", after(entry.at, start), why.as_str());
        if entry.count > 1 {
            let _ = write!(text, " ({} times)", entry.count);
        }
    }
    let failed = failed_actions(rule, sim, start);
    if !failed.is_empty() {
        let _ = write!(text, "\nwhat failed:\n  {}", failed.join("\n  "));
    }
    for (rule, why) in &sim.stopped {
        let _ = write!(text, "\nrule {rule} was stopped: {why}");
    }
    text
}

fn show(done: &PerformedEffect, start: Timestamp) -> String {
    format!("{} {}", done.effect.summary(), after(done.at, start))
}

/// A moment as people count it in a test: `after 5m 30s`.
fn after(at: Timestamp, start: Timestamp) -> String {
    let ms = at.millis() - start.millis();
    if ms == 0 {
        return "at the start".to_owned();
    }
    format!("after {}", duration_text(ms))
}
