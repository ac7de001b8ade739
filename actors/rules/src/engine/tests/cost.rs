//! The cost of rules that are not concerned, and the room that each takes up.

use super::*;
use twinhub_domain::Event;

#[test]
fn a_device_that_no_rule_watches_leaves_no_trace() {
    let mut text = String::new();
    for n in 0..100 {
        text +=
            &format!("  r-{n}: {{ triggers: {{ numeric: d-{n}.x, above: 1 }}, actions: {{ log: x }} }}\n");
    }
    let mut engine = Engine::new(noon());
    engine.exchange(rules(&text));
    let body = EventBody::Telemetry { readings: Vec::new(), identity: None, claimed: None, payload: None };
    let event = Event {
        device: id("nobody"),
        number: DeviceNumber(1_000),
        at: noon().into(),
        received_at: noon(),
        body,
        cause: device(),
    };
    let step = engine.observe(&Recorded::new(1, event));
    assert!(step.entries.is_empty());
    assert!(engine.twin("nobody").is_none());
    assert_eq!(engine.counts(), EngineCounts::default());
}

#[test]
fn readings_find_their_triggers_by_name() {
    let mut text = String::new();
    for n in 0..50 {
        text +=
            &format!("  r-{n}: {{ triggers: {{ numeric: d.p{n}, above: 1 }}, actions: {{ log: p{n} }} }}\n");
    }
    let mut sim = world(&text);
    sim.reports("d", "p7", 5.0);
    sim.reports("d", "p", 5.0);
    sim.reports("d", "p70", 5.0);
    assert_eq!(sim.deeds(), ["0 log p7"]);
}

#[test]
fn a_million_readings_would_take_seconds() {
    // The benchmark measures it; here, without optimization, a hundredth of that must be quick enough.
    let text = "  r: { triggers: { numeric: a.x, above: 90, release: 80, for: 30s }, conditions: [ fan.mode != \"manual\" ], actions: { command: fan, type: set } }";
    let mut engine = Engine::new(noon());
    engine.exchange(rules(text));
    engine.know(Twin::new(id("a"), DeviceNumber(1), noon()));
    engine.know(Twin::new(id("fan"), DeviceNumber(2), noon()));
    let mut backtest = crate::backtest::Backtest::new(engine, noon(), noon().plus_millis(10_000 * 10_000));
    for n in 0..10_000u32 {
        let at = noon().plus_millis(i64::from(n) * 10_000);
        let value = Scalar::Number(i64::from(n * 7 % 100).into());
        let reading = Reading { name: "x".into(), value, unit: None, quality_score: None };
        let event = Event {
            device: id("a"),
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body: EventBody::Telemetry {
                readings: vec![reading],
                identity: None,
                claimed: None,
                payload: None,
            },
            cause: device(),
        };
        backtest.observe(&Recorded::new(u64::from(n) + 1, event));
    }
    assert!(backtest.finish().is_empty(), "no value stays");
}
