//! A rule file's own tests: given these values at these times, expect these actions. They run in virtual time on
//! the engine that runs live.

mod expect;
pub(super) mod sim;
pub mod test;

#[cfg(test)]
mod tests;

pub use test::{Expectation, Expected, GivenEvent, Happening, Test};

use self::sim::Sim;
use super::model::{AlarmBecomes, Rule};
use twinhub_domain::alarm::{AlarmStep, Originator};
use twinhub_domain::cause::Source;
use twinhub_domain::event::ChangeKind;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::twin::{Part, Patch};
use twinhub_domain::{
    Cause, DeviceId, EventBody, Input, Object, Reading, Scalar, Status, Telemetry, Timestamp, TwinChange,
};

/// The verdict of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioVerdict {
    pub name: String,
    /// None: it passed. Otherwise the expected effect, the actual one and its time.
    pub failure: Option<String>,
    /// Actions that failed, each with its reason; also where the test passed.
    pub failed_actions: Vec<String>,
}

/// Runs a rule's tests as if it were enabled, together with its file's other rules. Where a test has no start time, its
/// clock begins at `start`.
#[must_use]
pub fn run(rules: &[Rule], of: usize, tests: &[&Test], start: Timestamp) -> Vec<ScenarioVerdict> {
    let mut rules = rules.to_vec();
    let Some(rule) = rules.get_mut(of) else { return Vec::new() };
    rule.enabled = true; // what a rule would do can be tried before it is let run
    let (rules, rule) = (&rules[..], &rules[of]);
    let verdict = |test: &&Test| {
        let start = test.start.unwrap_or(start);
        let sim = play(rules, rule, test, start);
        ScenarioVerdict {
            name: test.name.clone(),
            failure: expect::check(test, rule, &sim, start),
            failed_actions: expect::failed_actions(rule, &sim, start),
        }
    };
    tests.iter().map(verdict).collect()
}

/// Plays the events of a test.
fn play(rules: &[Rule], rule: &Rule, test: &Test, start: Timestamp) -> Sim {
    let happenings = test.initially.iter().chain(test.given.iter().map(|given| &given.what));
    let devices: Vec<DeviceId> = happenings.filter_map(device_of).cloned().collect();
    let mut sim = Sim::new(rules, &devices, test.commands, start);
    for happening in &test.initially {
        set_up(&mut sim, happening);
    }
    sim.begin();
    let mut late = 0; // what a time of being down took
    for given in &test.given {
        let at = start.plus_millis(given.at_ms);
        sim.go_to(at.max(sim.now));
        happen(&mut sim, rule, &given.what);
        if let Happening::Down { ms } = given.what {
            late = late.max(given.at_ms + ms);
        }
    }
    sim.go_to(start.plus_millis(test.until_ms.max(late)));
    sim
}

fn device_of(happening: &Happening) -> Option<&DeviceId> {
    match happening {
        Happening::Reported { device, .. }
        | Happening::Twin { device, .. }
        | Happening::Status { device, .. }
        | Happening::Command { device, .. } => Some(device),
        Happening::Alarm { device, .. } => device.as_ref(),
        Happening::Mqtt { .. } | Happening::Webhook { .. } | Happening::Run | Happening::Down { .. } => None,
    }
}

fn set_up(sim: &mut Sim, happening: &Happening) {
    let twin = |change, patch| EventBody::Twin(TwinChange { change, patch });
    match happening {
        Happening::Reported { device, values } => {
            let (readings, others) = split(values);
            if !readings.is_empty() {
                sim.set_up(
                    device,
                    EventBody::Telemetry { readings, identity: None, claimed: None, payload: None },
                );
            }
            if !others.is_empty() {
                let patch = [Part::Reported(others)].into_iter().collect();
                sim.set_up(device, twin(ChangeKind::Reported, patch));
            }
        }
        Happening::Twin { device, patch } => {
            sim.set_up(device, twin(ChangeKind::Updated, Patch::read(patch.clone())));
        }
        Happening::Status { device, status } => {
            sim.set_up(device, EventBody::Presence { status: *status, reason: "test".into() });
        }
        _ => {} // nothing else can be how things stand
    }
}

fn happen(sim: &mut Sim, rule: &Rule, happening: &Happening) {
    let person = Cause::new(Source::Rest, "user:test");
    match happening {
        Happening::Reported { device, values } => {
            let (readings, others) = split(values);
            let cause = Cause::new(Source::Mqtt, "");
            // A twin takes in whatever its device says.
            if !readings.is_empty() {
                let telemetry = Telemetry { readings, ..Telemetry::default() };
                let _ = sim.tell(device, Input::Telemetry(telemetry), &cause);
            }
            if !others.is_empty() {
                let _ = sim.tell(device, Input::Report(others), &cause);
            }
        }
        Happening::Twin { device, patch } => sim.patch(device, patch.clone()),
        Happening::Status { device, status } => {
            let cause = Cause::new(Source::Mqtt, "");
            let online = *status == Status::Online;
            let _ = sim.tell(device, Input::Presence { online, details: Object::default() }, &cause);
        }
        Happening::Command { device, command_type, status } => {
            sim.command(device, command_type.as_deref(), *status);
        }
        Happening::Alarm { device, alarm_type, severity, becomes } => {
            let of = match device {
                Some(device) => Originator::Device(device.clone()),
                None => Originator::Rule(rule.id.clone()),
            };
            let step = match becomes {
                AlarmBecomes::Raised => AlarmStep::Raised,
                AlarmBecomes::Cleared => AlarmStep::Cleared,
                AlarmBecomes::Acknowledged => AlarmStep::Acknowledged,
            };
            sim.alarm(of, alarm_type, step, (*severity, ""), &person);
            sim.go_to(sim.now);
        }
        Happening::Mqtt { topic, payload } => {
            let signal = AutomationSignal::Mqtt { topic: topic.clone(), payload: payload.clone() };
            sim.signal(signal, &Cause::new(Source::Mqtt, topic));
        }
        Happening::Webhook { name, body } => {
            let signal = AutomationSignal::Webhook { name: name.clone(), body: body.clone() };
            sim.signal(signal, &Cause::new(Source::Rest, name));
        }
        Happening::Run => {
            sim.signal(AutomationSignal::Run { rule: rule.id.clone(), unconditional: false }, &person);
        }
        Happening::Down { ms } => sim.down(*ms),
    }
}

/// Plain values as readings, and the others.
fn split(values: &Object) -> (Vec<Reading>, Object) {
    let (mut readings, mut others) = (Vec::new(), Object::default());
    for (name, value) in values.iter() {
        match Scalar::from_json(value.clone()) {
            Some(value) => {
                readings.push(Reading { name: name.into(), value, unit: None, quality_score: None });
            }
            None => {
                others.insert(name, value.clone());
            }
        }
    }
    (readings, others)
}
