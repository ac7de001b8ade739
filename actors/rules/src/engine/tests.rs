//! The engine in virtual time. What can be said in a rule file's own tests is said there.

mod actions;
mod clock_moved;
mod cost;
mod downtime;
mod modes;
mod patterns;
mod property;
mod reload;
mod rewind;
mod steps;
mod triggers;
mod why;

use super::*;
use crate::RuleFile;
use crate::model::RuleOrigin;
use crate::scenario;
use crate::scenario::sim::Sim;
use twinhub_domain::cause::Source;
use twinhub_domain::run::RunOutcome;
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Json, Object};
use twinhub_domain::{CommandStatus, Input, Reading, Scalar, Telemetry};

/// Monday, 2026-06-01, noon UTC.
pub(super) fn noon() -> Timestamp {
    Timestamp::parse("2026-06-01T12:00:00Z").unwrap()
}

pub(super) fn read(text: &str) -> RuleFile {
    match RuleFile::parse(text, &RuleOrigin::Api) {
        Ok(file) => file,
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

/// The rules of a file without its head.
pub(super) fn rules(text: &str) -> Vec<Rule> {
    read(&format!("version: 1\nrules:\n{text}")).rules
}

/// Every test of every rule passes, each rule being alone.
pub(super) fn passes(text: &str) {
    check(text, false);
}

/// Every test of every rule passes, the other rules being there too.
pub(super) fn passes_together(text: &str) {
    check(text, true);
}

fn check(text: &str, together: bool) {
    let file = read(&format!("version: 1\nrules:\n{text}"));
    assert!(!file.tests.is_empty(), "no tests in\n{text}");
    for (of, test) in &file.tests {
        let rule = &file.rules[*of];
        let verdicts = if together {
            scenario::run(&file.rules, *of, &[test], noon())
        } else {
            scenario::run(std::slice::from_ref(rule), 0, &[test], noon())
        };
        for verdict in verdicts {
            let (failure, id) = (verdict.failure.as_deref().unwrap_or(""), &rule.id);
            assert_eq!(verdict.failure, None, "{id}, {}: {failure}", verdict.name);
        }
    }
}

/// A world with these rules at noon.
pub(super) fn world(text: &str) -> Sim {
    let mut sim = Sim::new(&rules(text), &[], CommandStatus::Executed, noon());
    sim.begin();
    sim
}

pub(super) fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

pub(super) fn rule_id(text: &str) -> RuleId {
    RuleId::parse(text).unwrap()
}

/// A device's own word.
pub(super) fn device() -> Cause {
    Cause::new(Source::Mqtt, "")
}

pub(super) fn readings(values: &[(&str, Json)], at: Option<Timestamp>) -> Input {
    let reading = |(name, value): &(&str, Json)| Reading {
        name: (*name).into(),
        value: Scalar::from_json(value.clone()).unwrap(),
        unit: None,
        quality_score: None,
    };
    let readings = values.iter().map(reading).collect();
    Input::Telemetry(Telemetry {
        readings,
        at: at.map(twinhub_domain::reading::ClaimedTime::at),
        ..Telemetry::default()
    })
}

impl Sim {
    /// The device reports a number.
    pub(super) fn reports(&mut self, device_id: &str, name: &str, value: f64) {
        let value = Json::Number(twinhub_domain::Number::from_f64(value).unwrap());
        self.tell(&id(device_id), readings(&[(name, value)], None), &device()).unwrap();
    }

    /// Lets so much time pass.
    pub(super) fn pass(&mut self, ms: i64) {
        self.go_to(self.now.plus_millis(ms));
    }

    /// The effects done, as short texts with seconds after noon: `300 command fan`.
    pub(super) fn deeds(&self) -> Vec<String> {
        let text = |done: &scenario::sim::PerformedEffect| {
            let what = match &done.effect {
                Effect::Desired { device, set } => format!("desired {device} {}", Json::from(set.clone())),
                Effect::Mode { device, mode, .. } => format!("mode {device} {}", mode.as_str()),
                Effect::Enable { rule, enabled } => format!("enable {rule} {enabled}"),
                other => format!("{} {}", other.word(), other.subject()),
            };
            let seconds = (done.at.millis() - noon().millis()) / 1_000;
            let failed = done.failed.as_ref().map_or(String::new(), |word| format!(" ({word})"));
            format!("{seconds} {what}{failed}")
        };
        self.done.iter().map(text).collect()
    }

    /// The journal as short texts: rule, device, seconds after noon, outcome.
    pub(super) fn journal(&self) -> Vec<String> {
        self.entries.iter().map(line).collect()
    }
}

pub(super) fn line(entry: &RunEntry) -> String {
    let seconds = (entry.at.millis() - noon().millis()) / 1_000;
    let device = entry.device.as_ref().map_or("-", DeviceId::as_str);
    let outcome = match &entry.outcome {
        RunOutcome::NotRun { why, .. } => why.as_str().to_owned(),
        RunOutcome::Failed { reason } => format!("failed:{reason}"),
        RunOutcome::Aborted { reason } => format!("aborted:{reason}"),
        other => other.as_str().to_owned(),
    };
    let times = if entry.count > 1 { format!(" x{}", entry.count) } else { String::new() };
    format!("{} {device} {seconds} {outcome}{times}", entry.rule)
}

#[test]
fn an_unknown_rule_is_ignored() {
    let engine = Engine::new(noon());
    assert_eq!(engine.is_enabled(&rule_id("x")), None);
    assert_eq!(engine.stopped(&rule_id("x")), None);
    assert_eq!(engine.next(), None);
}

#[test]
fn an_act_is_named_and_found_again_by_its_name() {
    let run = RunId::of(&rule_id("r"), 0, DeviceNumber(7), 5, noon());
    let act = EffectId { run, step: 3, nth: 2 };
    assert_eq!(EffectId::parse(&act.to_string()), Some(act));
    assert_eq!(EffectId::parse("door"), None);
}
