//! Devices by patterns: by id, by what they are.

use super::*;

#[test]
fn patterns_choose_devices() {
    passes(
        r#"
  glob:
    triggers: { numeric: "pump-*.temperature", above: 80 }
    actions: { log: "{{ trigger.device }} {{ device.temperature }}" }
    tests:
      - given: [ { pump-1.temperature: 81 }, { pump-2.temperature: 82 }, { fan-1.temperature: 83 }, { pump-1.temperature: 84 } ]
        exactly: [ log pump-1 81, log pump-2 82 ]
  where:
    triggers: { numeric: { device: { type: pump, tag: { floor: 2 } }, property: temperature }, above: 80 }
    actions: { desired: trigger.device, set: { power: "off" } }
    tests:
      - initially: { a.type: pump, a.tags.floor: 2, b.type: pump, b.tags.floor: 3, c.type: fan, c.tags.floor: 2 }
        given: [ { a.temperature: 81 }, { b.temperature: 81 }, { c.temperature: 81 } ]
        exactly: [ desired a ]
  targets:
    triggers: { changed: home.empty, to: true }
    actions: { command: { group: upstairs, type: thermostat }, type: lower }
    tests:
      - initially: { t1.group_id: upstairs, t1.type: thermostat, t2.group_id: upstairs, t2.type: thermostat, t3.type: thermostat }
        given: { home.empty: true }
        exactly: [ command t1, command t2 ]
"#,
    );
}

#[test]
fn a_device_comes_to_fit_and_fits_no_longer() {
    let mut sim = world(
        "  r: { triggers: { numeric: { device: { group: g, type: pump }, property: x }, above: 1, for: 5m }, actions: { log: x } }",
    );
    let patch = |name: &str, text: &str| [(name, Json::from(text))].into_iter().collect::<Object>();
    sim.make(&id("a"));
    sim.begin();
    sim.patch(&id("a"), patch("type", "pump"));
    sim.reports("a", "x", 5.0);
    assert!(sim.engine.twin("a").is_none(), "nobody looks at it");
    sim.patch(&id("a"), patch("group_id", "g"));
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.engine.next(), Some(noon().plus_millis(300_000)));
    sim.patch(&id("a"), patch("group_id", "h"));
    assert_eq!(sim.engine.next(), None);
    assert!(sim.engine.twin("a").is_none());
    // A new device.
    sim.tell(&id("b"), readings(&[("x", 5.into())], None), &device()).unwrap();
    sim.patch(&id("b"), [("type", "pump".into()), ("group_id", "g".into())].into_iter().collect());
    sim.reports("b", "x", 6.0);
    sim.pass(300_000);
    assert_eq!(sim.journal(), ["r b 300 done"]);
}

#[test]
fn it_asks_for_what_it_must_know_and_no_more() {
    let mut engine = Engine::new(noon());
    engine.exchange(rules("  r: { triggers: { numeric: a.x, above: 1 }, conditions: [ b.y == 1 ], actions: [ { command: c, type: t }, { log: \"{{ d.z }}\" } ] }"));
    let wanted = engine.wants();
    assert_eq!(wanted.devices, [id("a"), id("b"), id("c"), id("d")]);
    assert!(wanted.selectors.is_empty());
    engine.know(Twin::new(id("a"), DeviceNumber(1), noon()));
    engine.know(Twin::new(id("z"), DeviceNumber(9), noon()));
    assert_eq!(engine.wants().devices, [id("b"), id("c"), id("d")]);
    assert!(engine.twin("z").is_none());
    engine.exchange(rules("  r: { triggers: { presence: \"p-*\", becomes: offline }, actions: { desired: { type: fan }, set: { p: 1 } } }"));
    let wanted = engine.wants();
    assert!(wanted.devices.is_empty());
    // Both patterns; and everybody, to know by what else they are who may fit later.
    assert_eq!(wanted.selectors.len(), 3);
}
