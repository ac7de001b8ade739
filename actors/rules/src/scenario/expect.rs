//! Whether what came of a test is what was expected; and if not, a text that says it.

use std::fmt::Write as _;

use super::sim::{Done, Sim};
use super::test::{Expected, Test, Wanted};
use crate::engine::{Deed, Delivery, kind_of_deed, level_word, severity_word};
use crate::model::Rule;
use twinhub_domain::alarm::Originator;
use twinhub_domain::duration::duration_text;
use twinhub_domain::run::{ActionSeen, RunEntry, RunOutcome, WhyNot};
use twinhub_domain::{Json, Object, Timestamp};

/// The results of actions that did what they should, or were not to do anything.
const NO_FAILURE: [&str; 3] = ["ok", "waiting", "skipped"];
/// So many lines of each kind are shown.
const MOST_SHOWN: usize = 20;

/// What is wrong; none: it is as expected.
pub(super) fn check(test: &Test, rule: &Rule, sim: &Sim, start: Timestamp) -> Option<String> {
    let wrong = find_wrong(test, rule, sim, start);
    (!wrong.is_empty()).then(|| describe(&wrong, rule, sim, start))
}

fn find_wrong(test: &Test, rule: &Rule, sim: &Sim, start: Timestamp) -> Vec<String> {
    let mut wrong = Vec::new();
    let fits = |expected: &Expected, done: &Done| does_fit(expected, done, start);
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
        if let Wanted::NotRun(why) = &expected.what {
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

/// How something is missing: not at all, at another time, otherwise, or in another order.
fn missing(expected: &Expected, sim: &Sim, from: usize, start: Timestamp) -> String {
    let other_time = Expected { at_ms: None, ..expected.clone() };
    let bare = Expected { details: Object::default(), ..other_time.clone() };
    let is_like = |expected: &Expected| sim.done.iter().position(|done| does_fit(expected, done, start));
    if let Some(place) = is_like(&other_time) {
        if place < from {
            return format!("came before what stands before it: {}", show(&sim.done[place], start));
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

fn does_fit(expected: &Expected, done: &Done, start: Timestamp) -> bool {
    if done.failed.is_some() || expected.at_ms.is_some_and(|ms| start.plus_millis(ms) != done.at) {
        return false;
    }
    let is = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let has =
        |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|part| found.contains(part));
    let kind = match (&expected.what, &done.deed) {
        (Wanted::Command { device }, Deed::Command { device: of, .. })
        | (Wanted::Desired { device }, Deed::Desired { device: of, .. }) => {
            device.as_ref().is_none_or(|device| device == of)
        }
        (Wanted::Mode { device, mode }, Deed::Mode { device: of, mode: to, .. }) => {
            device.as_ref().is_none_or(|device| device == of) && mode.is_none_or(|mode| mode == *to)
        }
        (Wanted::Alarm { alarm_type: wanted }, Deed::Raise { alarm_type, .. })
        | (Wanted::Clear { alarm_type: wanted }, Deed::Clear { alarm_type, .. }) => is(wanted, alarm_type),
        (Wanted::Publish { topic: wanted }, Deed::Publish { topic, .. }) => is(wanted, topic),
        (Wanted::Webhook { url }, Deed::Webhook(delivery)) => has(url, &delivery.url),
        (Wanted::Log { message: wanted }, Deed::Log { message, .. }) => has(wanted, message),
        (Wanted::Enable { rule: wanted }, Deed::Enable { rule, enabled: true })
        | (Wanted::Disable { rule: wanted }, Deed::Enable { rule, enabled: false }) => {
            is(wanted, rule.as_str())
        }
        _ => false,
    };
    kind && has_members(&details(&done.deed), &expected.details)
}

/// Has `found` all that is wanted? Of objects in it, again what is wanted of those.
fn has_members(found: &Object, wanted: &Object) -> bool {
    wanted.iter().all(|(name, wanted)| match (found.get(name), wanted) {
        (Some(Json::Object(found)), Json::Object(wanted)) => has_members(found, wanted),
        (found, wanted) => found == Some(wanted),
    })
}

/// What a deed says, by the names that tests know.
fn details(deed: &Deed) -> Object {
    let text = |text: &str| Json::from(text);
    let of = |of: &Originator| match of {
        Originator::Device(id) => ("device", Json::from(id.as_str())),
        Originator::Rule(rule) => ("rule", rule.as_str().into()),
    };
    let members = match deed {
        Deed::Command { device, request } => {
            let mut details = request.to_object();
            details.insert("device", text(device.as_str()));
            details.insert("type", text(&request.command_type));
            details.insert("ttl_ms", request.ttl.ms().into());
            details.insert("timeout_ms", request.timeout.ms().into());
            return details;
        }
        Deed::Desired { device, set } => vec![("device", text(device.as_str())), ("set", set.clone().into())],
        Deed::Mode { device, mode, .. } => {
            vec![("device", text(device.as_str())), ("mode", text(mode.as_str()))]
        }
        Deed::Raise { of: whom, alarm_type, severity, message, .. } => vec![
            of(whom),
            ("type", text(alarm_type)),
            ("severity", text(severity_word(*severity))),
            ("message", text(message)),
        ],
        Deed::Clear { of: whom, alarm_type } => vec![of(whom), ("type", text(alarm_type))],
        Deed::Publish { topic, payload, retain } => {
            vec![("topic", text(topic)), ("payload", payload.clone()), ("retain", (*retain).into())]
        }
        Deed::Webhook(delivery) => vec![
            ("url", text(&delivery.url)),
            ("method", text(&delivery.method)),
            ("headers", headers(delivery).into()),
            ("body", delivery.body.clone()),
        ],
        Deed::Enable { rule, .. } => vec![("rule", text(rule.as_str()))],
        Deed::Log { level, message } => vec![("level", text(level_word(*level))), ("message", text(message))],
    };
    members.into_iter().collect()
}

fn headers(delivery: &Delivery) -> Object {
    delivery.headers.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect()
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
        let _ = write!(text, "\n  {} {}", after(done.at, start), show_bare(done));
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

fn show(done: &Done, start: Timestamp) -> String {
    format!("{} {}", show_bare(done), after(done.at, start))
}

fn show_bare(done: &Done) -> String {
    let details = details(&done.deed);
    let whom = |name: &str| details.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (name, rest) = match &done.deed {
        Deed::Command { .. } => {
            (whom("device"), format!("{} {}", whom("type"), member(&details, "parameters")))
        }
        Deed::Desired { .. } => (whom("device"), member(&details, "set")),
        Deed::Mode { .. } => (whom("device"), whom("mode")),
        Deed::Raise { .. } => (whom("type"), format!("({}) {}", whom("severity"), whom("message"))),
        Deed::Clear { .. } => (whom("type"), String::new()),
        Deed::Publish { .. } => (whom("topic"), member(&details, "payload")),
        Deed::Webhook(_) => (whom("url"), member(&details, "body")),
        Deed::Enable { .. } => (whom("rule"), String::new()),
        Deed::Log { .. } => (whom("message"), String::new()),
    };
    format!("{} {name} {rest}", kind_of_deed(&done.deed)).trim_end().to_owned()
}

fn member(details: &Object, name: &str) -> String {
    details.get(name).map(ToString::to_string).unwrap_or_default()
}

/// A moment as people count it in a test: `after 5m 30s`.
fn after(at: Timestamp, start: Timestamp) -> String {
    let ms = at.millis() - start.millis();
    if ms == 0 {
        return "at the start".to_owned();
    }
    format!("after {}", duration_text(ms))
}
