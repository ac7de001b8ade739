//! Run modes, cooldown, the breaker, circles; `on_release`.

use super::*;

/// A rule in this mode whose run takes five minutes, fired at minutes 0, 1 and 2.
fn runs(mode: &str) -> Vec<String> {
    let mut sim = world(&format!(
        "  r: {{ {mode}, triggers: {{ changed: a.n }}, actions: [ {{ log: \"{{{{ trigger.value }}}}\" }}, {{ delay: 5m }}, {{ log: end }} ] }}"
    ));
    for n in 0..3 {
        sim.reports("a", "n", f64::from(n));
        sim.pass(60_000);
    }
    sim.pass(3_600_000);
    let mut seen = sim.deeds();
    seen.push("|".into());
    seen.extend(sim.journal());
    seen
}

#[test]
fn run_modes() {
    assert_eq!(
        runs("mode: single"),
        ["0 log 0.0", "300 log end", "|", "r a 0 done", "r a 60 still_running x2",]
    );
    assert_eq!(
        runs("mode: restart"),
        [
            "0 log 0.0",
            "60 log 1.0",
            "120 log 2.0",
            "420 log end",
            "|",
            "r a 0 aborted:restart",
            "r a 60 aborted:restart",
            "r a 120 done",
        ]
    );
    assert_eq!(
        runs("mode: queued"),
        [
            "0 log 0.0",
            "300 log end",
            "300 log 1.0",
            "600 log end",
            "600 log 2.0",
            "900 log end",
            "|",
            "r a 0 done",
            "r a 60 done",
            "r a 120 done",
        ]
    );
    assert_eq!(
        runs("mode: queued, max: 1"),
        [
            "0 log 0.0",
            "300 log end",
            "300 log 1.0",
            "600 log end",
            "|",
            "r a 0 done",
            "r a 60 done",
            "r a 120 too_many",
        ]
    );
    assert_eq!(
        runs("mode: parallel"),
        [
            "0 log 0.0",
            "60 log 1.0",
            "120 log 2.0",
            "300 log end",
            "360 log end",
            "420 log end",
            "|",
            "r a 0 done",
            "r a 60 done",
            "r a 120 done",
        ]
    );
    assert_eq!(
        runs("mode: parallel, max: 2"),
        [
            "0 log 0.0",
            "60 log 1.0",
            "300 log end",
            "360 log end",
            "|",
            "r a 0 done",
            "r a 60 done",
            "r a 120 too_many",
        ]
    );
}

#[test]
fn devices_do_not_stand_in_each_others_way() {
    let mut sim = world("  r: { triggers: { changed: \"lamp-*.on\" }, actions: [ { delay: 5m } ] }");
    for lamp in ["lamp-1", "lamp-2"] {
        sim.make(&id(lamp));
    }
    sim.begin();
    for (lamp, value) in [("lamp-1", 1.0), ("lamp-2", 1.0), ("lamp-1", 2.0)] {
        sim.reports(lamp, "on", value);
    }
    assert_eq!(sim.journal(), ["r lamp-1 0 running", "r lamp-2 0 running", "r lamp-1 0 still_running"]);
}

#[test]
fn how_long_an_act_takes_changes_nothing() {
    // The world has not answered the first run when the second is fired.
    let rules = rules("  r: { triggers: { changed: a.n }, actions: [ { log: \"{{ trigger.value }}\" } ] }");
    let mut engine = Engine::new(noon());
    engine.exchange(rules);
    engine.know(Twin::new(id("a"), DeviceNumber(1), noon()));
    let tell = |engine: &mut Engine, seq: u32| {
        let body = EventBody::Telemetry {
            readings: vec![Reading {
                name: "n".into(),
                value: Scalar::Number(i64::from(seq).into()),
                unit: None,
                quality_score: None,
            }],
            identity: None,
            claimed: None,
            payload: None,
        };
        let at = noon().plus_millis(i64::from(seq));
        let event = twinhub_domain::Event {
            device: id("a"),
            number: DeviceNumber(1),
            at: at.into(),
            received_at: at,
            body,
            cause: device(),
        };
        engine.observe(&Recorded::new(u64::from(seq), event))
    };
    let first = tell(&mut engine, 1);
    let second = tell(&mut engine, 2);
    assert_eq!((first.effects.len(), second.effects.len(), second.entries.len()), (1, 0, 0));
    let step = engine.done(first.effects[0].id, EffectResult::default(), noon().plus_millis(5));
    assert_eq!(step.effects.len(), 1, "the second has its turn");
    assert_eq!(step.entries.len(), 2);
    assert_eq!(step.entries[1].entry.at, noon().plus_millis(2));
    assert_eq!(engine.unanswered().len(), 1);
}

#[test]
fn cooldown() {
    passes(
        r#"
  r:
    triggers: { changed: a.n }
    cooldown: 5m
    actions: { log: "{{ trigger.value }}" }
    tests:
      - given: [ { a.n: 1 }, { after: 1m, a.n: 2 }, { b.n: 3 }, { after: 4m, a.n: 4 } ]
        exactly: [ log 1, { log 4: , at: 5m } ]
      - given: [ { a.n: 1 }, { after: 1m, a.n: 2 } ]
        expect: [ not cooldown ]
"#,
    );
}

#[test]
fn two_rules_in_a_circle_stop_and_all_else_goes_on() {
    let mut sim = world(
        r#"
  ping: { triggers: { changed: a.desired.x }, actions: { desired: b, set: { x: "{{ trigger.value + 1 }}" } } }
  pong: { triggers: { changed: b.desired.x }, actions: { desired: a, set: { x: "{{ trigger.value + 1 }}" } } }
  other: { triggers: { changed: a.desired.x }, mode: parallel, actions: { log: seen } }"#,
    );
    sim.patch(
        &id("a"),
        [("desired", Json::from([("x", Json::from(0))].into_iter().collect::<Object>()))]
            .into_iter()
            .collect(),
    );
    assert_eq!(sim.stopped.len(), 1);
    assert_eq!(sim.entries.iter().map(|entry| entry.depth).max(), Some(8));
    assert!(sim.journal().contains(&"ping a 0 depth".to_owned()), "{:?}", sim.journal());
    assert_eq!(sim.engine.stopped(&rule_id("ping")), Some("rules set each other off in a circle"));
    assert_eq!(sim.engine.stopped(&rule_id("pong")), None);
    // It stays so, and says so.
    sim.patch(
        &id("a"),
        [("desired", Json::from([("x", Json::from(-5))].into_iter().collect::<Object>()))]
            .into_iter()
            .collect(),
    );
    assert_eq!(sim.journal().last().map(String::as_str), Some("ping a 0 stopped"));
    assert_eq!(sim.deeds().last().map(String::as_str), Some("0 log seen"));
    // Until it is enabled.
    let cause = Cause::new(Source::Rest, "user:ann");
    sim.signal(AutomationSignal::Enabled { rule: rule_id("ping"), enabled: true }, &cause);
    assert_eq!(sim.engine.stopped(&rule_id("ping")), None);
}

#[test]
fn the_breaker_counts_runs_that_no_cause_connects() {
    let mut sim =
        world("  r: { breaker: { runs: 3, within: 10s }, triggers: { changed: a.n }, actions: { log: x } }");
    for n in 0..3 {
        sim.reports("a", "n", f64::from(n));
        sim.pass(4_000);
    }
    sim.reports("a", "n", 3.0); // the first is more than ten seconds ago
    assert!(sim.stopped.is_empty());
    sim.reports("a", "n", 4.0);
    assert_eq!(sim.stopped, [(rule_id("r"), "3 runs within 10 s".into())]);
    assert_eq!(sim.journal().last().map(String::as_str), Some("r a 12 stopped"));
}

#[test]
fn release_waits_for_what_it_ends_and_is_given_up_when_it_is_back() {
    let text = r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    actions: [ { log: "on" }, { delay: 5m }, { log: later } ]
    on_release: [ { log: release }, { delay: 5m }, { log: "off" } ]"#;
    let mut sim = world(text);
    sim.reports("a", "x", 5.0);
    sim.pass(60_000);
    sim.reports("a", "x", 0.0);
    sim.pass(540_000);
    assert_eq!(sim.deeds(), ["0 log on", "300 log later", "300 log release", "600 log off"]);

    let mut sim = world(text);
    sim.reports("a", "x", 5.0);
    sim.pass(360_000);
    sim.reports("a", "x", 0.0);
    sim.pass(60_000);
    sim.reports("a", "x", 5.0); // again, before it is off
    sim.pass(3_600_000);
    assert_eq!(sim.deeds(), ["0 log on", "300 log later", "360 log release", "420 log on", "720 log later"]);
    assert_eq!(sim.journal(), ["r a 0 done", "r a 360 aborted:restart", "r a 420 done"]);
}

#[test]
fn there_is_no_release_where_nothing_ran() {
    passes(
        r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    conditions: [ home.occupied == true ]
    actions: { log: "on" }
    on_release: { log: "off" }
    tests:
      - given: [ { a.x: 5 }, { a.x: 0 }, { home.occupied: true }, { a.x: 5 }, { a.x: 0 } ]
        exactly: [ log on, log off ]
"#,
    );
}

#[test]
fn what_dies_dies_alone() {
    for text in [
        "  bad: { triggers: { numeric: a.x, above: 1 }, actions: { log: bad } }",
        "  bad: { triggers: { numeric: a.x, above: 1 }, conditions: [ a.x > 1 ], actions: { log: bad } }",
    ] {
        let mut sim = world(&format!(
            "{text}\n  good: {{ triggers: {{ numeric: a.x, above: 1 }}, actions: {{ log: good }} }}"
        ));
        sim.engine.dies_in_tests(&rule_id("bad"));
        sim.reports("a", "x", 5.0);
        assert_eq!(sim.deeds(), ["0 log good"]);
        assert_eq!(sim.journal()[0], "bad a 0 panic");
        assert_eq!(sim.stopped.len(), 1);
    }
    // In an action.
    let mut sim =
        world("  bad: { triggers: { numeric: a.x, above: 1 }, actions: [ { delay: 1m }, { log: bad } ] }");
    sim.reports("a", "x", 5.0);
    sim.engine.dies_in_tests(&rule_id("bad"));
    sim.pass(60_000);
    assert_eq!(sim.journal(), ["bad a 0 failed:panic"]);
    assert!(sim.engine.stopped(&rule_id("bad")).is_some());
}
