//! Time over a kill: what is held, what begins anew, what is made up for; and the nights when clocks change.

use super::*;

const MINUTE: i64 = 60_000;

#[test]
fn a_for_over_a_kill_is_held_or_begun_again() {
    let text = |across: &str| {
        format!(
            "  r: {{ triggers: {{ numeric: a.x, above: 1, for: 5m, across_downtime: {across} }}, actions: {{ log: fired }} }}"
        )
    };
    let run = |across: &str, down: i64| {
        let mut sim = world(&text(across));
        sim.reports("a", "x", 5.0);
        sim.pass(3 * MINUTE);
        sim.down(down);
        sim.pass(30 * MINUTE);
        sim.deeds()
    };
    // Killed at minute 3, back at minute 4: fires at 5, or at 4 + 5.
    assert_eq!(run("hold", MINUTE), ["300 log fired"]);
    assert_eq!(run("restart", MINUTE), ["540 log fired"]);
    // Back at minute 13: at once, or at 13 + 5.
    assert_eq!(run("hold", 10 * MINUTE), ["780 log fired"]);
    assert_eq!(run("restart", 10 * MINUTE), ["1080 log fired"]);
    // A quick restart loses nothing.
    assert_eq!(run("restart", 10_000), ["300 log fired"]);
}

#[test]
fn a_value_that_grew_old_while_the_hub_was_down_fires_nothing() {
    let mut sim = world(
        "  r: { triggers: { numeric: a.x, above: 1, for: 5m, max_age: 15m }, actions: { log: fired } }",
    );
    sim.reports("a", "x", 5.0);
    sim.pass(3 * MINUTE);
    sim.down(60 * MINUTE);
    assert_eq!(sim.journal(), ["r a 3780 stale"]);
    assert!(sim.done.is_empty());
}

#[test]
fn delays_and_waits_go_on() {
    let mut sim = world(
        r#"
  d: { triggers: { changed: a.x }, actions: [ { delay: 10m }, { log: one }, { delay: 10m }, { log: two } ] }
  w: { triggers: { changed: a.x }, actions: [ { wait: b.x == 1, timeout: 10m, on_error: continue }, { log: waited } ] }"#,
    );
    sim.reports("a", "x", 5.0);
    sim.pass(5 * MINUTE);
    sim.down(2 * MINUTE);
    sim.down(60 * MINUTE); // up at 67
    sim.pass(60 * MINUTE);
    assert_eq!(sim.deeds(), ["4020 log one", "4020 log waited", "4620 log two"]);
    assert_eq!(sim.journal(), ["d a 0 done", "w a 0 done"]);
}

#[test]
fn what_waits_survives_a_kill_at_any_moment() {
    let text = r#"
  q: { mode: queued, triggers: { changed: a.x }, actions: [ { log: "{{ trigger.value }}" }, { delay: 1m } ] }
  c: { cooldown: 10m, triggers: { changed: a.x }, actions: { log: rare } }
  p: { priority: 5, triggers: { numeric: a.x, above: 1 }, actions: { desired: fan, set: { p: 1 } } }
  o: { triggers: { changed: a.y }, actions: { desired: fan, set: { p: 2 } } }"#;
    let run = |kill: bool| {
        let mut sim = world(text);
        let again = |sim: &mut Sim| {
            if kill {
                sim.restart();
            }
        };
        for n in 5..8 {
            sim.reports("a", "x", f64::from(n));
            again(&mut sim);
        }
        sim.reports("a", "y", 1.0);
        again(&mut sim);
        sim.pass(90_000);
        again(&mut sim);
        sim.pass(900_000);
        (sim.deeds(), sim.journal())
    };
    assert_eq!(run(true), run(false));
    let (deeds, _) = run(true);
    assert_eq!(deeds, ["0 desired fan {\"p\":1}", "0 log rare", "0 log 5.0", "60 log 6.0", "120 log 7.0",]);
}

/// A rule by the clock at half past two in Madrid, over this night; the hub is down from `down` to `up`.
fn night(missed: &str, start: &str, down: &str, up: &str) -> Vec<String> {
    let text = format!(
        "  r: {{ timezone: Europe/Madrid, mode: queued, triggers: {{ cron: \"30 2 * * *\", {missed} }}, actions: {{ log: \"{{{{ trigger.at }}}}\" }} }}"
    );
    let at = |text: &str| Timestamp::parse(text).unwrap();
    let mut sim = Sim::new(&rules(&text), &[], CommandStatus::Executed, at(start));
    sim.begin();
    sim.go_to(at(down));
    sim.down(at(up).millis() - at(down).millis());
    sim.down(60_000); // what was dealt with stays so
    sim.pass(60_000);
    let mut seen: Vec<String> = sim
        .done
        .iter()
        .map(|done| match &done.effect {
            Effect::Log { message, .. } => format!("{} at {}", message, done.at),
            other => format!("{other:?}"),
        })
        .collect();
    seen.extend(sim.entries.iter().filter_map(|entry| match &entry.outcome {
        RunOutcome::NotRun { detail, .. } => Some(format!("{}: {detail}", entry.at)),
        _ => None,
    }));
    seen
}

#[test]
fn missed_times_over_the_night_in_which_clocks_go_forward() {
    // 2026-03-29: at 01:00Z (02:00 in Madrid) it becomes 03:00. Half past two is right after the gap: 01:00Z.
    let spring =
        |missed| night(missed, "2026-03-27T12:00:00Z", "2026-03-27T20:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(
        spring("missed: skip"),
        [
            "2026-03-30T12:00:00.000Z: 3 times passed while the hub was down, the last at 2026-03-30T00:30:00.000Z",
        ]
    );
    assert_eq!(
        spring("missed: run_once"),
        [
            "2026-03-30T00:30:00.000Z at 2026-03-30T12:00:00.000Z",
            "2026-03-30T12:00:00.000Z: 2 times passed while the hub was down, the last at 2026-03-29T01:00:00.000Z",
        ]
    );
    assert_eq!(
        spring("missed: run_all"),
        [
            "2026-03-28T01:30:00.000Z at 2026-03-30T12:00:00.000Z",
            "2026-03-29T01:00:00.000Z at 2026-03-30T12:00:00.000Z",
            "2026-03-30T00:30:00.000Z at 2026-03-30T12:00:00.000Z",
        ]
    );
    assert_eq!(
        spring("missed: run_all, missed_within: 36h"),
        [
            "2026-03-29T01:00:00.000Z at 2026-03-30T12:00:00.000Z",
            "2026-03-30T00:30:00.000Z at 2026-03-30T12:00:00.000Z",
            "2026-03-30T12:00:00.000Z: a time passed while the hub was down, the last at 2026-03-28T01:30:00.000Z",
        ]
    );
    assert_eq!(
        spring("missed: run_once, missed_within: 2h"),
        [
            "2026-03-30T12:00:00.000Z: 3 times passed while the hub was down, the last at 2026-03-30T00:30:00.000Z",
        ]
    );
}

#[test]
fn missed_times_over_the_night_in_which_clocks_go_back() {
    // 2026-10-25: at 01:00Z (03:00 in Madrid) it becomes 02:00. Half past two comes twice, and is run in the first.
    let autumn =
        |missed| night(missed, "2026-10-24T12:00:00Z", "2026-10-24T20:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(
        autumn("missed: skip"),
        [
            "2026-10-25T12:00:00.000Z: a time passed while the hub was down, the last at 2026-10-25T00:30:00.000Z",
        ]
    );
    assert_eq!(autumn("missed: run_once"), ["2026-10-25T00:30:00.000Z at 2026-10-25T12:00:00.000Z"]);
    assert_eq!(autumn("missed: run_all"), ["2026-10-25T00:30:00.000Z at 2026-10-25T12:00:00.000Z"]);
    // Down between the two: it was run, and is not run again.
    let within =
        night("missed: run_all", "2026-10-24T12:00:00Z", "2026-10-25T00:45:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(within, ["2026-10-25T00:30:00.000Z at 2026-10-25T00:30:00.000Z"]);
}

#[test]
fn what_was_due_just_before_the_hub_was_up_is_on_time() {
    let at = |missed| night(missed, "2026-06-01T00:00:00Z", "2026-06-01T00:20:00Z", "2026-06-01T00:30:08Z");
    assert_eq!(at("missed: skip"), ["2026-06-01T00:30:00.000Z at 2026-06-01T00:30:08.000Z"]);
    assert_eq!(at("missed: run_once"), at("missed: skip"));
}

#[test]
fn a_rule_that_came_while_the_hub_was_down_missed_nothing() {
    let rules = rules("  r: { triggers: { cron: \"0 13 * * *\", missed: run_once }, actions: { log: x } }");
    let mut engine = Engine::new(noon());
    engine.exchange(rules);
    engine.restore(Vec::new());
    let up = noon().plus_millis(2 * 3_600_000);
    let event = twinhub_domain::Event {
        device: DeviceId::none(),
        number: DeviceNumber(0),
        at: up.into(),
        received_at: up,
        body: EventBody::Signal(Box::new(AutomationSignal::Started { down_since: noon() })),
        cause: Cause::hub(),
    };
    let step = engine.observe(&Recorded::new(1, event));
    assert!(step.effects.is_empty() && step.entries.is_empty());
    assert_eq!(engine.next_of(&rule_id("r")), Some(noon().plus_millis(25 * 3_600_000)));
}

#[test]
fn an_every_has_nothing_to_make_up_for() {
    let mut sim = world("  r: { triggers: { every: 1m }, actions: { log: x } }");
    sim.down(600_500);
    sim.pass(60_000);
    // Minute 10 was half a second ago.
    assert_eq!(sim.deeds(), ["600 log x", "660 log x"]);
    assert_eq!(sim.journal(), ["r - 600 missed", "r - 600 done", "r - 660 done"]);
}
