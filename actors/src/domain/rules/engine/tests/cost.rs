//! What rules cost that are not concerned, and what each takes up.

use super::*;
use crate::domain::Event;

#[test]
fn a_device_that_no_rule_watches_leaves_no_trace() {
    let mut text = String::new();
    for n in 0..100 {
        text += &format!("  r-{n}: {{ triggers: {{ numeric: d-{n}.x, above: 1 }}, actions: {{ log: x }} }}\n");
    }
    let mut engine = Engine::new(noon());
    engine.exchange(rules(&text));
    let body = EventBody::Telemetry { readings: Vec::new(), identity: None };
    let event = Event {
        device: id("nobody"),
        number: DeviceNumber(1_000),
        at: noon(),
        received_at: noon(),
        body,
        cause: device(),
    };
    let step = engine.observe(&Recorded::new(1, event));
    assert!(step.entries.is_empty());
    assert!(engine.twin("nobody").is_none());
    assert_eq!(engine.counts(), Counts::default());
}

#[test]
fn readings_find_their_triggers_by_name() {
    let mut text = String::new();
    for n in 0..50 {
        text += &format!("  r-{n}: {{ triggers: {{ numeric: d.p{n}, above: 1 }}, actions: {{ log: p{n} }} }}\n");
    }
    let mut sim = world(&text);
    sim.reports("d", "p7", 5.0);
    sim.reports("d", "p", 5.0);
    sim.reports("d", "p70", 5.0);
    assert_eq!(sim.deeds(), ["0 log p7"]);
}
