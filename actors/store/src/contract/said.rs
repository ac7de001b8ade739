//! Random writes of automation.

use proptest::prelude::*;

use super::made;
use super::support::World;
use crate::{DeliveryRecord, DeliveryStatus, Progress};
use twinhub_domain::DeviceNumber;
use twinhub_domain::alarm::{Alarm, Severity};
use twinhub_domain::run::{RunEntry, RunOutcome};

/// A write of automation; the same number again is the same thing come further.
#[derive(Clone, Debug)]
pub enum Said {
    /// The run acted upon some of `d0` to `d5`, each a bit.
    Run(u8, bool, u8),
    Alarm(u8, bool),
    Kept(u8, Option<u8>),
    Rule(u8, Option<bool>),
    Delivery(u8, bool),
    /// Only that something happened.
    Event(u8),
}

pub fn any_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        3 => (0..12u8, any::<bool>(), 0..64u8).prop_map(|(n, over, acted)| Said::Run(n, over, acted)),
        2 => (0..5u8, any::<bool>()).prop_map(|(n, over)| Said::Alarm(n, over)),
        2 => (0..3u8, any::<Option<u8>>()).prop_map(|(rule, body)| Said::Kept(rule, body)),
        1 => (0..3u8, any::<Option<bool>>()).prop_map(|(rule, enabled)| Said::Rule(rule, enabled)),
        1 => (0..4u8, any::<bool>()).prop_map(|(n, over)| Said::Delivery(n, over)),
        3 => (0..6u8).prop_map(Said::Event),
    ]
}

/// Says it in the next batch; the engine comes that far with it.
pub fn say(world: &mut World, device: Option<(&str, DeviceNumber)>, said: &Said) {
    let number = device.map_or(made::NOBODY, |(_, number)| number);
    let name = |n: u8| format!("r{}", n % 3);
    let of = |n: u8| u32::from(n) + 100 * u32::try_from(number.0).unwrap();
    let run = |n: u8, over: bool, acted: u8| match n % 3 {
        0 => RunEntry { count: u32::from(over) + 1, ..made::dull(of(n), &name(n / 3), device) },
        one => {
            let parent = (one == 2).then(|| made::run_id(1));
            let outcome = if over { RunOutcome::Done } else { RunOutcome::Running };
            let acted = (0..6).filter(|bit| acted & (1 << bit) != 0);
            let actions = acted.map(|bit| made::action(&format!("d{bit}"))).collect();
            RunEntry { outcome, parent, actions, ..made::run(of(n), &name(n / 3), device) }
        }
    };
    let alarm = |n: u8, over: bool| {
        let alarm = match device {
            Some(device) => made::alarm(of(n), "hot", device),
            None => made::rule_alarm(of(n), &name(n)),
        };
        let severity = if over { Severity::Info } else { Severity::Critical };
        Alarm {
            active: !over,
            acknowledged: n.is_multiple_of(2),
            severity,
            rule: Some(made::rule(&name(n))),
            ..alarm
        }
    };
    world.automation.progress = Some(Progress { seq: world.seq, time: world.now });
    let automation = &mut world.automation;
    match said {
        Said::Run(n, over, acted) => automation.runs.push(run(*n, *over, *acted)),
        Said::Alarm(n, over) => automation.alarms.push(alarm(*n, *over)),
        Said::Kept(rule, body) => {
            let body = body.map(|body| format!(r#"{{"latch": {body}.50}}"#));
            automation.kept.push(made::kept(&name(*rule), number, body.as_deref()));
        }
        Said::Rule(rule, enabled) => {
            let body = (enabled == &Some(true)).then_some(r#"{"max": 28.50}"#);
            automation.rules.push(made::record(&name(*rule), body, *enabled));
        }
        Said::Delivery(n, over) => {
            let status = if *over { DeliveryStatus::Delivered } else { DeliveryStatus::Waiting };
            let record = made::delivery(u32::from(*n), made::run_id(u128::from(n % 2)));
            automation.deliveries.push(DeliveryRecord { status, ..record });
        }
        Said::Event(n) => {
            let body = match n % 3 {
                0 => made::told_run(run(*n, true, 0)),
                1 => made::told_alarm(alarm(*n, false)),
                _ => made::signal("x"),
            };
            world.happen(device, body);
        }
    }
}
