//! Rules come, change and go while the hub runs.

use super::*;

const MINUTE: i64 = 60_000;

#[test]
fn a_reload_keeps_what_waits_of_rules_that_did_not_change() {
    let text = |above: i64, alias: &str| {
        format!(
            "  r: {{ alias: {alias}, triggers: {{ numeric: a.x, above: {above}, for: 5m }}, actions: {{ log: fired }} }}"
        )
    };
    let mut sim = world(&text(1, "before"));
    sim.reports("a", "x", 5.0);
    sim.pass(3 * MINUTE);
    // Only what people call it is another, and there is a rule before it now.
    sim.exchange(&rules(&format!("{}\n  a: {{ actions: {{ log: a }} }}", text(1, "after"))));
    sim.pass(10 * MINUTE);
    assert_eq!(sim.deeds(), ["300 log fired"]);

    let mut sim = world(&text(1, "before"));
    sim.reports("a", "x", 5.0);
    sim.pass(3 * MINUTE);
    sim.exchange(&rules(&text(2, "before")));
    sim.pass(10 * MINUTE);
    assert!(sim.deeds().is_empty(), "it begins anew, with the next value");
    sim.reports("a", "x", 5.0);
    sim.pass(10 * MINUTE);
    assert_eq!(sim.deeds(), ["1080 log fired"]);
}

#[test]
fn runs_of_rules_that_change_or_go_are_given_up() {
    let rule = |log: &str| {
        format!("  r: {{ triggers: {{ changed: a.x }}, actions: [ {{ delay: 5m }}, {{ log: {log} }} ] }}")
    };
    let mut sim = world(&rule("one"));
    sim.reports("a", "x", 1.0);
    sim.exchange(&rules(&rule("two")));
    assert_eq!(sim.journal(), ["r a 0 aborted:changed"]);
    sim.reports("a", "x", 2.0);
    sim.exchange(&[]);
    assert_eq!(sim.journal()[1], "r a 0 aborted:changed");
    sim.pass(10 * MINUTE);
    assert!(sim.done.is_empty());
    assert_eq!(sim.engine.next(), None);
}

#[test]
fn what_people_say_of_a_rule_is_remembered_over_reloads() {
    let rule =
        |log: &str| rules(&format!("  r: {{ triggers: {{ changed: a.x }}, actions: {{ log: {log} }} }}"));
    let mut sim = world("  r: { triggers: { changed: a.x }, actions: { log: one } }");
    sim.engine.set_enabled(&rule_id("r"), false);
    sim.exchange(&rule("two"));
    sim.restart();
    assert_eq!(sim.engine.is_enabled(&rule_id("r")), Some(false));
    sim.reports("a", "x", 1.0);
    assert!(sim.entries.is_empty());
    sim.engine.set_enabled(&rule_id("r"), true);
    sim.reports("a", "x", 2.0);
    assert_eq!(sim.deeds(), ["0 log two"]);
}

#[test]
fn kept_state_of_another_rule_is_not_taken_up() {
    let rule = |above: i64| {
        rules(&format!(
            "  r: {{ triggers: {{ numeric: a.x, above: {above}, for: 5m }}, actions: {{ log: x }} }}"
        ))
    };
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1, for: 5m }, actions: { log: x } }");
    sim.reports("a", "x", 5.0);
    let kept = {
        let mut engine = Engine::new(noon());
        std::mem::swap(&mut engine, &mut sim.engine);
        engine.exchange(rule(1));
        engine.take_changes();
        engine
    };
    drop(kept);
    let body = Json::parse(br#"{"scope":{"device":"a","latches":[[0,{"pending":{"since":"2026-06-01T12:00:00Z","until":"2026-06-01T12:05:00Z","seq":1,"cause":{"source":"mqtt"}}}]]}}"#).unwrap();
    for (above, expected) in [(1, true), (2, false)] {
        let rules = rule(above);
        let fingerprint = rule(1)[0].fingerprint;
        let mut engine = Engine::new(noon());
        engine.exchange(rules);
        engine.know(Twin::new(id("a"), DeviceNumber(1), noon()));
        let kept = ScopeSnapshot {
            rule: rule_id("r"),
            device: DeviceNumber(1),
            fingerprint,
            body: Some(body.clone()),
        };
        engine.restore(vec![kept]);
        assert_eq!(engine.next().is_some(), expected);
        assert_eq!(engine.take_changes().iter().any(|kept| kept.body.is_none()), !expected);
    }
}

#[test]
fn scopes_that_are_as_at_first_are_not_kept() {
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1, for: 5m }, actions: { log: x } }");
    sim.engine.take_changes();
    let value = |x: i64| readings(&[("x", x.into())], None);
    let tell = |sim: &mut Sim, x: i64| {
        sim.make(&id("a"));
        let event = {
            let mut twin = sim.engine.twin("a").unwrap().clone();
            twin.apply(value(x), sim.now, &device()).unwrap().events.pop().unwrap()
        };
        sim.engine.observe(&Recorded::new(1, event));
        sim.engine.take_changes()
    };
    let kept = tell(&mut sim, 5);
    assert!(kept.len() == 1 && kept[0].body.is_some(), "{kept:?}");
    assert!(tell(&mut sim, 6).is_empty(), "nothing changed");
    let kept = tell(&mut sim, 0);
    assert!(kept.len() == 1 && kept[0].body.is_none(), "{kept:?}");
}

#[test]
fn who_was_online_when_a_rule_came_does_not_come_online_by_another_word() {
    for word in [Input::Poll, Input::Presence { online: true, details: Object::default() }] {
        let mut sim = world("  other: { actions: { log: x } }");
        sim.reports("a", "x", 1.0);
        sim.exchange(&rules("  r: { triggers: { presence: a, becomes: online }, actions: { log: there } }"));
        sim.pass(MINUTE);
        sim.tell(&id("a"), word.clone(), &device()).unwrap();
        assert!(sim.deeds().is_empty(), "{word:?}: {:?}", sim.deeds());
        let gone = Input::Presence { online: false, details: Object::default() };
        sim.tell(&id("a"), gone, &device()).unwrap();
        sim.pass(MINUTE);
        sim.tell(&id("a"), word.clone(), &device()).unwrap();
        assert_eq!(sim.deeds(), ["120 log there"], "{word:?}");
    }
}
