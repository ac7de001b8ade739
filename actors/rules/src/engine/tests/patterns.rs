//! Devices by patterns: by id, by what they are.

use std::sync::Arc;

use super::*;
use crate::backtest::Backtest;
use twinhub_domain::fleet::tree::body_of_change;
use twinhub_domain::fleet::{FleetChange, Group, GroupId, GroupTree, RecordChange, RecordKind};

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

fn group(id: &str, parent: &str) -> Group {
    let new = Group::new(GroupId::parse(id).unwrap(), id, noon());
    Group { parent_group: GroupId::parse(parent).ok(), ..new }
}

/// A group is made, moved or removed, as the sequence tells it.
fn regroup(sim: &mut Sim, before: Option<&Group>, after: Option<&Group>) {
    let (change, body) = match (before, after) {
        (Some(before), Some(after)) => (RecordChange::Changed, body_of_change(before, after)),
        (None, Some(after)) => (RecordChange::Made, after.to_object()),
        (Some(before), None) => (RecordChange::Removed, before.to_object()),
        (None, None) => return,
    };
    let id = body.get("id").and_then(Json::as_str).unwrap().into();
    sim.fleet(FleetChange { what: RecordKind::Group, id, change, body });
}

const OF_PLANT: &str = "  r: { triggers: { numeric: { device: { group: plant }, property: x }, above: 1, release: 1 }, actions: [ { log: \"{{ trigger.device }}\" }, { desired: { group: plant, type: fan }, set: { on: true } } ] }";

/// `plant` with `hall` under it, `yard` beside; one device in each, and a fan in the hall.
fn plant() -> Sim {
    let mut sim = world(OF_PLANT);
    for (id, parent) in [("plant", ""), ("hall", "plant"), ("yard", "")] {
        regroup(&mut sim, None, Some(&group(id, parent)));
    }
    for (device, group) in [("in-plant", "plant"), ("in-hall", "hall"), ("in-yard", "yard"), ("fan", "hall")]
    {
        sim.make(&id(device));
        sim.begin();
        let patch =
            [("group_id", Json::from(group)), ("type", (if device == "fan" { "fan" } else { "" }).into())];
        sim.patch(&id(device), patch.into_iter().collect());
    }
    sim
}

/// Each device goes over the line and back; gives whom the rule saw, and what it did.
fn cross(sim: &mut Sim) -> Vec<String> {
    sim.done.clear();
    for device in ["in-hall", "in-plant", "in-yard"] {
        sim.reports(device, "x", 5.0);
        sim.reports(device, "x", 0.0);
    }
    let deeds = sim.deeds().into_iter();
    deeds
        .filter_map(|effect| {
            effect.strip_prefix("0 ").map(|effect| effect.split(" {").next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn a_group_means_all_under_it() {
    let mut sim = plant();
    assert_eq!(cross(&mut sim), ["log in-hall", "desired fan", "log in-plant", "desired fan"]);
    // The hall with all that stands in it moves away, and the yard comes.
    regroup(&mut sim, Some(&group("hall", "plant")), Some(&group("hall", "yard")));
    assert_eq!(cross(&mut sim), ["log in-plant"]);
    regroup(&mut sim, Some(&group("yard", "")), Some(&group("yard", "plant")));
    assert_eq!(cross(&mut sim).len(), 6, "each of the three, and the fan each time");
    regroup(&mut sim, Some(&group("yard", "plant")), Some(&group("yard", "")));
    assert_eq!(cross(&mut sim), ["log in-plant"]);
}

#[test]
fn what_waits_for_a_device_ends_when_its_group_moves_away() {
    let mut sim = world(
        "  r: { triggers: { numeric: { device: { group: plant }, property: x }, above: 1, for: 5m }, actions: { log: x } }",
    );
    regroup(&mut sim, None, Some(&group("plant", "")));
    regroup(&mut sim, None, Some(&group("hall", "plant")));
    sim.make(&id("a"));
    sim.begin();
    sim.patch(&id("a"), [("group_id", "hall".into())].into_iter().collect());
    sim.reports("a", "x", 5.0);
    assert!(sim.engine.next().is_some());
    regroup(&mut sim, Some(&group("hall", "plant")), Some(&group("hall", "")));
    assert_eq!(sim.engine.next(), None);
    regroup(&mut sim, Some(&group("hall", "")), Some(&group("hall", "plant")));
    sim.reports("a", "x", 6.0);
    sim.pass(300_000);
    assert_eq!(sim.journal(), ["r a 300 done"]);
}

/// The engine that lived through it, one that begins at the end with what is there then and goes back, and a backtest
/// find the same runs.
#[test]
fn a_restart_and_a_backtest_know_earlier_parents_of_groups() {
    let mut sim = plant();
    let begun = sim.log.len();
    sim.reports("in-hall", "x", 5.0);
    regroup(&mut sim, Some(&group("hall", "plant")), Some(&group("hall", "yard")));
    sim.reports("in-hall", "x", 0.0);
    sim.reports("in-hall", "x", 6.0);
    regroup(&mut sim, Some(&group("yard", "")), None);
    sim.reports("in-plant", "x", 7.0);
    let lived = sim.journal();
    assert_eq!(lived, ["r in-hall 0 done", "r in-plant 0 done"]);

    let tree = GroupTree::new([group("plant", ""), group("hall", "")]);
    let mut engine = Engine::new(noon());
    engine.exchange(rules(OF_PLANT));
    engine.know_groups(Arc::new(tree.clone()));
    sim.each_twin(&mut |twin| engine.know(twin.clone()));
    engine.rewind(sim.log[begun..].iter());
    let mut runs = Vec::new();
    for recorded in &sim.log[begun..] {
        let step = engine.observe(recorded);
        runs.extend(step.entries.into_iter().map(|entry| entry.entry.device.unwrap().to_string()));
    }
    runs.dedup();
    assert_eq!(runs, ["in-hall", "in-plant"]);

    let mut engine = Engine::new(noon());
    engine.know_groups(Arc::new(tree));
    engine.exchange(rules(OF_PLANT));
    let mut backtest = Backtest::new(engine, noon(), noon().plus_millis(1_000));
    sim.log.iter().for_each(|recorded| backtest.observe(recorded));
    assert_eq!(backtest.finish().iter().map(line).collect::<Vec<_>>(), lived);
}
