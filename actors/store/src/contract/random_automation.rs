//! Random writes of automation.

use proptest::prelude::*;

use super::samples;
use super::support::TestFleet;
use crate::{DeliveryRecord, DeliveryStatus, EngineProgress};
use twinhub_domain::DeviceNumber;
use twinhub_domain::alarm::{Alarm, Severity};
use twinhub_domain::run::{RunEntry, RunOutcome};

/// A write of automation; the same number again is the same thing come further.
#[derive(Clone, Debug)]
pub enum AutomationWrite {
    /// The run acted upon some of `d0` to `d5`, each a bit.
    Run(u8, bool, u8),
    Alarm(u8, bool),
    Kept(u8, Option<u8>),
    Rule(u8, Option<bool>),
    Delivery(u8, bool),
    /// Only that something happened.
    Event(u8),
}

pub fn any_automation() -> impl Strategy<Value = AutomationWrite> {
    prop_oneof![
        3 => (0..12u8, any::<bool>(), 0..64u8).prop_map(|(n, over, acted)| AutomationWrite::Run(n, over, acted)),
        2 => (0..5u8, any::<bool>()).prop_map(|(n, over)| AutomationWrite::Alarm(n, over)),
        2 => (0..3u8, any::<Option<u8>>()).prop_map(|(rule, body)| AutomationWrite::Kept(rule, body)),
        1 => (0..3u8, any::<Option<bool>>()).prop_map(|(rule, enabled)| AutomationWrite::Rule(rule, enabled)),
        1 => (0..4u8, any::<bool>()).prop_map(|(n, over)| AutomationWrite::Delivery(n, over)),
        3 => (0..6u8).prop_map(AutomationWrite::Event),
    ]
}

/// Says it in the next batch; the engine comes that far with it.
pub fn write_automation(
    world: &mut TestFleet,
    device: Option<(&str, DeviceNumber)>,
    write: &AutomationWrite,
) {
    let number = device.map_or(samples::NOBODY, |(_, number)| number);
    let name = |n: u8| format!("r{}", n % 3);
    let of = |n: u8| u32::from(n) + 100 * u32::try_from(number.0).unwrap();
    let run = |n: u8, over: bool, acted: u8| match n % 3 {
        0 => RunEntry { count: u32::from(over) + 1, ..samples::dull(of(n), &name(n / 3), device) },
        one => {
            let parent = (one == 2).then(|| samples::run_id(1));
            let outcome = if over { RunOutcome::Done } else { RunOutcome::Running };
            let acted = (0..6).filter(|bit| acted & (1 << bit) != 0);
            let actions = acted.map(|bit| samples::action(&format!("d{bit}"))).collect();
            RunEntry { outcome, parent, actions, ..samples::run(of(n), &name(n / 3), device) }
        }
    };
    let alarm = |n: u8, over: bool| {
        let alarm = match device {
            Some(device) => samples::alarm(of(n), "hot", device),
            None => samples::rule_alarm(of(n), &name(n)),
        };
        let severity = if over { Severity::Info } else { Severity::Critical };
        Alarm {
            active: !over,
            acknowledged: n.is_multiple_of(2),
            severity,
            rule: Some(samples::rule(&name(n))),
            ..alarm
        }
    };
    world.automation.progress = Some(EngineProgress { seq: world.seq, time: world.now });
    let automation = &mut world.automation;
    match write {
        AutomationWrite::Run(n, over, acted) => automation.runs.push(run(*n, *over, *acted)),
        AutomationWrite::Alarm(n, over) => automation.alarms.push(alarm(*n, *over)),
        AutomationWrite::Kept(rule, body) => {
            let body = body.map(|body| format!(r#"{{"latch": {body}.50}}"#));
            automation.kept.push(samples::kept(&name(*rule), number, body.as_deref()));
        }
        AutomationWrite::Rule(rule, enabled) => {
            let body = (enabled == &Some(true)).then_some(r#"{"max": 28.50}"#);
            automation.rules.push(samples::record(&name(*rule), body, *enabled));
        }
        AutomationWrite::Delivery(n, over) => {
            let status = if *over { DeliveryStatus::Delivered } else { DeliveryStatus::Waiting };
            let record = samples::delivery(u32::from(*n), samples::run_id(u128::from(n % 2)));
            automation.deliveries.push(DeliveryRecord { status, ..record });
        }
        AutomationWrite::Event(n) => {
            let body = match n % 3 {
                0 => samples::told_run(run(*n, true, 0)),
                1 => samples::told_alarm(alarm(*n, false)),
                _ => samples::signal("x"),
            };
            world.happen(device, body);
        }
    }
}
