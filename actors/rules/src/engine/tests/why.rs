//! Reasons why a rule ran, and why it did not.

use super::*;
use twinhub_domain::run::{RunKind, WhyNot};

#[test]
fn a_run_names_the_devices_it_skipped() {
    let mut sim = world(
        r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    conditions: [ a.y == 1 ]
    actions:
      - choose:
          - when: a.x > 100
            do: [ { command: fan, type: stop } ]
        else: [ { command: pump, type: start }, { command: trigger.device, type: x } ]
"#,
    );
    sim.reports("a", "x", 5.0);
    let entry = sim.entries.last().unwrap();
    assert_eq!(entry.outcome.as_str(), "not_run");
    assert_eq!(entry.targets, [id("fan"), id("pump")]);
}

#[test]
fn a_run_of_other_rules_names_the_devices_they_skipped() {
    let mut sim = world(
        r#"
  r: { triggers: { numeric: a.x, above: 1 }, conditions: [ a.y == 1 ], actions: [ { run: s }, { run: none } ] }
  s: { triggers: { numeric: b.x, above: 1 }, actions: [ { command: fan, type: stop }, { run: r }, { run: t } ] }
  t: { triggers: { numeric: b.x, above: 9 }, actions: { command: pump, type: stop } }
"#,
    );
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.entries.last().unwrap().targets, [id("fan"), id("pump")]);
}

#[test]
fn every_reason_not_to_run_is_reported() {
    passes(
        r#"
  condition:
    triggers: { numeric: a.x, above: 1 }
    conditions: [ home.occupied == false ]
    actions: { log: x }
    tests:
      - { initially: { home.occupied: true }, given: { a.x: 5 }, expect: [ not condition, not log ] }
      - { given: { a.x: 5 }, expect: [ not unknown, not log ] }
  stale:
    triggers: { numeric: b.x, above: 1, for: 5m, max_age: 1m }
    actions: { log: x }
    tests: { given: { b.x: 5 }, expect: [ not stale, not log ] }
  still-running:
    triggers: { changed: c.x }
    actions: { delay: 1h }
    tests: { given: { c.x: [1, 2], every: 1s }, expect: [ not still_running ] }
  too-many:
    mode: parallel
    max: 1
    triggers: { changed: c.x }
    actions: { delay: 1h }
    tests: { given: { c.x: [1, 2], every: 1s }, expect: [ not too_many ] }
  cooldown:
    cooldown: 1m
    triggers: { changed: c.x }
    actions: { log: x }
    tests: { given: { c.x: [1, 2], every: 1s }, expect: [ log, not cooldown ] }
  stopped:
    breaker: { runs: 1, within: 10s }
    triggers: { changed: c.x }
    actions: { log: x }
    tests: { given: { c.x: [1, 2], every: 1s }, exactly: [ log x, not stopped ] }
  depth:
    mode: parallel
    triggers: { changed: d.desired.x }
    actions: { run: depth }
    tests: { given: { d.desired.x: 1 }, expect: [ not depth ] }
  missed:
    triggers: { cron: "0 13 * * *" }
    actions: { log: x }
    tests: { given: { down: 2h }, expect: [ not missed, not log ] }
"#,
    );
    let mut sim = world("  r: { mode: parallel, triggers: { changed: d.desired.x }, actions: { run: r } }");
    sim.patch(
        &id("d"),
        [("desired", Json::from([("x", Json::from(0))].into_iter().collect::<Object>()))]
            .into_iter()
            .collect(),
    );
    assert_eq!(sim.journal().last().map(String::as_str), Some("r d 0 depth"));
}

#[test]
fn an_entry_says_what_fired_it_what_held_and_what_it_did() {
    let mut sim = world(
        r#"
  r:
    triggers: { numeric: a.x, above: 1, release: 0.5, id: high }
    conditions: [ fan.mode != "manual", a.y == 3 ]
    actions: { command: fan, type: set }"#,
    );
    sim.reports("a", "y", 3.0);
    sim.reports("a", "x", 0.0);
    sim.pass(1_000);
    sim.reports("a", "x", 5.0);
    let entry = &sim.entries[0];
    let text = Json::from(entry.trigger.data.clone()).to_string();
    assert_eq!(
        text,
        r#"{"above":1,"at":"2026-06-01T12:00:01.000Z","device":"a","id":"high","kind":"numeric","previous":0.0,"property":"x","value":5.0}"#
    );
    assert_eq!((&*entry.trigger.kind, entry.trigger.index, entry.kind), ("numeric", 0, RunKind::Trigger));
    assert_eq!(entry.trigger.seq, Some(3));
    let holds: Vec<_> = entry.conditions.iter().map(|seen| (&*seen.text, seen.holds)).collect();
    assert_eq!(holds, [("fan.mode != \"manual\"", Some(true)), ("a.y == 3", Some(true))]);
    let line = &entry.actions[0];
    assert_eq!((&*line.path, &*line.kind, &*line.result), ("actions[0]", "command", "ok"));
    assert!(line.seq.is_some() && line.made.is_some());
    // The event that it brought about names the run.
    let caused = sim.log.iter().find(|recorded| recorded.event.cause.source == Source::Rule).unwrap();
    let run = caused.event.cause.run.as_deref().unwrap();
    assert_eq!((run.id, run.depth, &*caused.event.cause.by), (entry.id, 0, "r"));
}

#[test]
fn the_same_again_is_counted() {
    let mut sim = world(
        r#"
  r:
    triggers: [ { changed: a.n, id: n }, { changed: a.m, id: m } ]
    conditions: [ home.occupied == true, a.n < 10 ]
    actions: { log: x }"#,
    );
    let mut tells = Vec::new();
    let mut fire = |sim: &mut Sim, name: &str, value: f64| {
        let before = sim.entries.len();
        sim.reports("a", name, value);
        tells.push(sim.entries.len() - before);
        sim.pass(1_000);
    };
    fire(&mut sim, "n", 1.0);
    fire(&mut sim, "n", 2.0); // the same again
    fire(&mut sim, "m", 1.0); // another trigger
    fire(&mut sim, "n", 3.0); // and back
    sim.tell(&id("home"), readings(&[("occupied", true.into())], None), &device()).unwrap();
    fire(&mut sim, "n", 4.0); // runs
    fire(&mut sim, "n", 11.0); // another condition
    assert_eq!(tells, [1, 0, 1, 1, 1, 1]);
    assert_eq!(
        sim.journal(),
        ["r a 0 unknown x2", "r a 2 unknown", "r a 3 unknown", "r a 4 done", "r a 5 condition",]
    );
    let first = &sim.entries[0];
    assert_eq!((first.at, first.last_at), (noon(), noon().plus_millis(1_000)));
    let RunOutcome::NotRun { why, detail } = &first.outcome else { panic!("{:?}", first.outcome) };
    assert_eq!(*why, WhyNot::Unknown);
    assert!(detail.starts_with("home.occupied == true is not known"), "{detail}");
}

#[test]
fn an_entry_that_begins_and_ends_in_one_step_comes_once() {
    let mut engine = Engine::new(noon());
    engine.exchange(rules(
        "  r: { triggers: { every: 1m }, actions: { choose: [ { when: \"false\", do: { log: x } } ] } }",
    ));
    let step = engine.advance(noon().plus_millis(60_000));
    assert_eq!(step.entries.len(), 1);
    assert!(step.entries[0].tell);
    assert_eq!(step.entries[0].entry.outcome, RunOutcome::Done);
}
