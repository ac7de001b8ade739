//! Every action, and what becomes of a run when one fails.

use super::*;
use twinhub_domain::Mode;

#[test]
fn deeds() {
    passes_together(
        r#"
  all:
    triggers: { changed: button.pressed, to: true }
    actions:
      - { command: fan, type: set, parameters: { speed: "{{ trigger.value }}", n: 3 }, priority: 7, ttl: 10m }
      - { desired: fan, set: { power: "on" } }
      - { mode: fan, to: manual, for: 1h }
      - { alarm: hot, severity: major, message: "by {{ trigger.device }}" }
      - { alarm: fan-hot, device: fan }
      - { clear: hot }
      - { publish: "home/{{ trigger.device }}", payload: { on: true }, retain: true }
      - { webhook: "https://example.com/x", body: { value: "{{ trigger.value }}" }, headers: { x-device: "{{ trigger.device }}" } }
      - { disable: other }
      - { enable: other }
      - { log: "done", level: warn }
    tests:
      - given: { button.pressed: true }
        exactly:
          - command fan: { type: set, parameters: { speed: true, n: 3 }, priority: 7, ttl_ms: 600000 }
          - desired fan: { set: { power: "on" } }
          - mode fan manual
          - alarm hot: { severity: major, message: by button, device: button }
          - alarm fan-hot: { severity: warning, device: fan }
          - clear hot: { device: button }
          - publish home/button: { payload: { on: true }, retain: true }
          - webhook example.com: { method: POST, body: { value: true }, headers: { x-device: button } }
          - disable other
          - enable other
          - log: { level: warn, message: done }
  other:
    actions: { log: never }
"#,
    );
}

#[test]
fn delays_waits_and_choices() {
    passes(
        r#"
  nothing-to-wait-for:
    triggers: { numeric: hall.t, above: 28, for: 0s }
    cooldown: 0s
    actions:
      - { delay: 0s }
      - { log: warm }
      - { wait: { until: hall.closed == true, timeout: 0s }, on_error: continue }
      - { log: on }
      - { wait: { until: hall.closed == true, timeout: { seconds: 0 } } }
      - { log: never }
    tests:
      - given: { hall.t: [29, 27, 29], every: 00:01:00 }
        exactly: [ { log warm: , at: 0 }, { log on: , at: 0s }, { log warm: , at: PT2M }, { log on: , at: "00:02:00" } ]
  delay:
    triggers: { changed: motion.seen, to: true }
    mode: restart
    actions: [ { log: "on" }, { delay: 5m }, { log: "off" } ]
    tests:
      - given: { motion.seen: [true, false, true], every: 2m }
        exactly: [ log on, { log on: , at: 4m }, { log off: , at: 9m } ]
  wait:
    triggers: { changed: gate.open, to: true }
    actions:
      - { wait: { until: car.gone == true, timeout: 10m } }
      - { log: gone }
    tests:
      - name: it comes to hold
        given: [ { gate.open: true }, { after: 3m, car.gone: false }, { after: 3m, car.gone: true } ]
        exactly: [ { log gone: , at: 6m } ]
      - name: it holds already
        initially: { car.gone: true }
        given: { gate.open: true }
        exactly: [ { log gone: , at: 0 } ]
      - name: it never does, and the run ends
        given: { gate.open: true }
        exactly: []
  patient:
    triggers: { changed: gate2.open, to: true }
    actions:
      - { wait: car.gone == true, timeout: 10m, on_error: continue }
      - { log: anyway }
    tests:
      - given: { gate2.open: true }
        exactly: [ { log anyway: , at: 10m } ]
  at-ten:
    triggers: { changed: gate3.open, to: true }
    actions:
      - { wait: { time: { after: "12:10" } } }
      - { log: it is ten past }
    tests:
      - given: { gate3.open: true }
        until: 20m
        exactly: [ { log: , at: 10m } ]
  choose:
    triggers: { changed: button.pressed }
    actions:
      - choose:
          - { when: trigger.value == "a", do: [ { log: first }, { log: still first } ] }
          - when: trigger.value == "b"
            do: { choose: [ { when: lamp.power == "on", do: { log: b and on } } ], else: { log: b and not } }
        else: { log: else }
      - log: after
    tests:
      - given: [ { button.pressed: a }, { button.pressed: b }, { button.pressed: c } ]
        exactly:
          - log first
          - log still first
          - log after
          - log b and not
          - log after
          - log else
          - log after
"#,
    );
}

#[test]
fn the_journal_names_the_path_of_each_action() {
    let mut sim = world(
        r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    actions:
      - choose: [ { when: "true", do: [ { log: one }, { delay: 1m } ] } ]
      - command: ghosts-*
        type: boo
      - log: two"#,
    );
    sim.reports("a", "x", 5.0);
    let lines = |sim: &Sim| -> Vec<String> {
        sim.entries[0]
            .actions
            .iter()
            .map(|a| format!("{} {} {} {}", a.path, a.kind, a.result, a.detail))
            .collect()
    };
    assert_eq!(
        lines(&sim),
        [
            "actions[0] choose ok ",
            "actions[0].choose[0][0] log ok ",
            "actions[0].choose[0][1] delay waiting ",
        ]
    );
    sim.pass(60_000);
    assert_eq!(
        lines(&sim)[2..],
        [
            "actions[0].choose[0][1] delay ok ",
            "actions[1] command skipped no device fits",
            "actions[2] log ok ",
        ]
    );
    assert_eq!(sim.entries[0].ended_at, Some(noon().plus_millis(60_000)));
}

#[test]
fn commands_are_confirmed_or_not() {
    let text = r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    actions: [ { command: fan, type: set, confirm: 30s }, { log: done } ]"#;
    let run = |status: CommandStatus| {
        let mut sim = Sim::new(&rules(text), &[], status, noon());
        sim.begin();
        sim.reports("a", "x", 5.0);
        sim
    };
    let sim = run(CommandStatus::Executed);
    assert_eq!(
        (sim.deeds(), sim.journal()),
        (vec!["0 command fan".into(), "0 log done".into()], vec!["r a 0 done".into()])
    );
    // One that failed is not waited for any longer.
    let sim = run(CommandStatus::Rejected);
    assert_eq!(sim.journal(), ["r a 0 failed:not_confirmed"]);
    assert_eq!(&*sim.entries[0].actions[0].detail, "the command is rejected");
    // One that nobody answers is waited for.
    let mut sim = run(CommandStatus::Delivered);
    sim.pass(29_999);
    assert_eq!(sim.journal(), ["r a 0 running"]);
    sim.pass(1);
    assert_eq!(sim.journal(), ["r a 0 failed:not_confirmed"]);
    // And one that is executed later goes on then.
    let mut sim = run(CommandStatus::Delivered);
    sim.pass(10_000);
    sim.command(&id("fan"), None, CommandStatus::Executed);
    assert_eq!(sim.deeds(), ["0 command fan", "10 log done"]);
    assert_eq!(sim.journal(), ["r a 0 done"]);
}

#[test]
fn a_failed_action_ends_the_run_unless_it_says_otherwise() {
    passes(
        r#"
  stops:
    triggers: { numeric: a.x, above: 1 }
    actions: [ { desired: fan, set: { power: "on" } }, { log: after } ]
    tests:
      - initially: { fan.mode: manual }
        given: { a.x: 5 }
        exactly: []
        until: 1m
  goes-on:
    triggers: { numeric: b.x, above: 1 }
    actions: [ { desired: fan, set: { power: "on" }, on_error: continue }, { log: after } ]
    tests:
      - initially: { fan.mode: manual }
        given: { b.x: 5 }
        expect: [ not desired, log after ]
  drives-on:
    triggers: { numeric: c.x, above: 1 }
    even_in_manual: true
    actions: { desired: fan, set: { power: "on" } }
    tests:
      - initially: { fan.mode: manual }
        given: { c.x: 5 }
        exactly: [ desired fan ]
"#
        .replace("        exactly: []\n", "        expect: [ not desired, not log ]\n")
        .as_str(),
    );
    let mut sim =
        world("  r: { triggers: { numeric: a.x, above: 1 }, actions: [ { desired: fan, set: { p: 1 } } ] }");
    sim.patch(&id("fan"), [("mode", Json::from("manual"))].into_iter().collect());
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.journal(), ["r a 0 failed:manual_mode"]);
}

#[test]
fn a_template_that_cannot_be_filled_in_fails() {
    let mut sim = world(
        r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    actions: [ { log: "{{ nobody.home }}", on_error: continue }, { publish: "a/{{ trigger.value }}/#x", on_error: continue }, { log: after } ]"#
            .replace("/#x", "{{ '#' }}")
            .as_str(),
    );
    sim.reports("a", "x", 5.0);
    let results: Vec<_> = sim.entries[0].actions.iter().map(|line| &*line.result).collect();
    assert_eq!(results, ["template", "bad_topic", "ok"]);
}

#[test]
fn a_rule_runs_another() {
    passes_together(
        r#"
  caller:
    triggers: { numeric: a.x, above: 1 }
    actions: [ { run: called }, { log: back } ]
    tests:
      - name: whose conditions hold
        given: [ { a.x: 5 } ]
        initially: { home.occupied: true }
        expect: [ log called by caller for a ]
      - name: whose conditions do not hold
        given: [ { a.x: 5 } ]
        expect: [ not log called, log back ]
  called:
    conditions: [ home.occupied == true ]
    actions: { log: "called by {{ trigger.rule }} for {{ trigger.device }}" }
"#,
    );
    let mut sim = world(
        r#"
  a: { triggers: { numeric: d.x, above: 1 }, actions: [ { run: nobody, on_error: continue }, { run: b, on_error: continue }, { run: c } ] }
  b: { enabled: false, actions: { log: b } }
  c: { actions: { log: c } }"#,
    );
    sim.reports("d", "x", 5.0);
    let results: Vec<_> = sim.entries[0].actions.iter().map(|line| &*line.result).collect();
    assert_eq!(results, ["unknown_rule", "disabled", "ok"]);
    let called = &sim.entries[1];
    assert_eq!(
        (called.parent, called.depth, called.kind),
        (Some(sim.entries[0].id), 1, twinhub_domain::run::RunKind::Called)
    );
    assert_eq!(sim.entries[0].actions[2].made.as_deref(), Some(called.id.to_string().as_str()));
}

#[test]
fn priority_holds_what_it_wrote() {
    let text = r#"
  cool:
    priority: 10
    triggers: { numeric: a.temperature, above: 28 }
    actions: { desired: fan, set: { power: "on", speed: 3 } }
    on_release: { log: over }
  save:
    triggers: { changed: home.empty, to: true }
    actions: { desired: fan, set: { power: "off", light: 0 } }"#;
    let mut sim = world(text);
    sim.reports("a", "temperature", 30.0);
    let cause = device();
    sim.tell(&id("home"), readings(&[("empty", true.into())], None), &cause).unwrap();
    // A property that nobody holds is written.
    assert_eq!(sim.deeds(), [r#"0 desired fan {"power":"on","speed":3}"#, r#"0 desired fan {"light":0}"#]);
    assert_eq!(&*sim.entries[1].actions[0].detail, "outranked: cool holds power of fan");
    // It is over: the other may.
    sim.reports("a", "temperature", 20.0);
    sim.tell(&id("home"), readings(&[("empty", false.into())], None), &cause).unwrap();
    sim.tell(&id("home"), readings(&[("empty", true.into())], None), &cause).unwrap();
    assert_eq!(sim.deeds()[3..], [r#"0 desired fan {"light":0,"power":"off"}"#]);

    let text = text.replace(", light: 0", "");
    let mut sim = world(&text);
    sim.reports("a", "temperature", 30.0);
    sim.tell(&id("home"), readings(&[("empty", true.into())], None), &cause).unwrap();
    assert_eq!(sim.journal()[1], "save home 0 failed:outranked");
}

#[test]
fn of_two_rules_that_fire_at_once_the_higher_has_its_turn_first() {
    let mut sim = world(
        r#"
  a-low: { triggers: { numeric: a.x, above: 1 }, actions: [ { command: fan, type: set, parameters: { v: 1 } } ] }
  b-high: { priority: 1, triggers: { numeric: a.x, above: 1 }, actions: [ { command: fan, type: set, parameters: { v: 2 } } ] }"#,
    );
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.deeds(), ["0 command fan"]);
    assert_eq!(sim.journal(), ["b-high a 0 done", "a-low a 0 failed:outranked"]);
}

#[test]
fn a_rule_is_disabled_and_enabled_by_another() {
    let mut sim = world(
        r#"
  off: { triggers: { changed: sw.off, to: true }, actions: { disable: r } }
  on: { triggers: { changed: sw.on, to: true }, actions: { enable: r } }
  r: { triggers: { numeric: a.x, above: 1 }, actions: [ { log: r }, { delay: 1h } ] }"#,
    );
    sim.reports("a", "x", 5.0);
    sim.tell(&id("sw"), readings(&[("off", true.into())], None), &device()).unwrap();
    assert_eq!(sim.engine.is_enabled(&rule_id("r")), Some(false));
    assert_eq!(sim.journal()[0], "r a 0 aborted:disabled");
    sim.reports("a", "x", 6.0);
    sim.tell(&id("sw"), readings(&[("on", true.into())], None), &device()).unwrap();
    // It begins anew, armed.
    sim.reports("a", "x", 6.0);
    assert_eq!(sim.deeds(), ["0 log r", "0 enable r false", "0 enable r true", "0 log r"]);
}

#[test]
fn a_device_ends_its_runs_when_it_goes_for_good() {
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1 }, actions: [ { delay: 1h } ] }");
    sim.reports("a", "x", 5.0);
    sim.tell(&id("a"), Input::Delete, &Cause::hub()).unwrap();
    assert_eq!(sim.journal(), ["r a 0 aborted:device_deleted"]);
    assert_eq!(sim.engine.next(), None);
    assert!(sim.engine.twin("a").is_none());
    // A new one by this name is a new one.
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.journal()[1], "r a 0 running");
}

#[test]
fn manual_mode_ends_by_itself() {
    let mut sim = world(
        "  r: { triggers: { numeric: a.x, above: 1 }, actions: [ { mode: fan, to: manual, for: 1h } ] }",
    );
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.engine.twin("fan").map(|twin| twin.control.mode), Some(Mode::Manual));
    sim.pass(3_600_000);
    assert_eq!(sim.engine.twin("fan").map(|twin| twin.control.mode), Some(Mode::Schedule));
}
