//! Twins that stand later than the engine.

use super::*;

const RULES: &str = r#"
  c: { triggers: { changed: a.x }, mode: parallel, actions: { log: "{{ trigger.value }}" } }
  n: { triggers: { numeric: a.x, above: 5 }, mode: parallel, actions: { log: beyond } }
  p: { triggers: { presence: a, becomes: offline }, actions: { log: gone } }
  d: { triggers: { changed: a.desired.y }, actions: { log: desired } }
  m: { triggers: { changed: a.mode, to: manual }, actions: { log: manual } }
"#;

type SimStep = fn(&mut Sim);

/// The happenings after the engine was last kept: each a second after the one before.
fn check(happens: &[SimStep]) {
    check_after(&[|sim| sim.reports("a", "x", 1.0)], happens);
}

/// The same, and what happened before it was kept: each ten seconds after the one before.
fn check_after(before: &[SimStep], happens: &[SimStep]) {
    let mut sim = world(RULES);
    for happen in before {
        sim.pass(10_000);
        happen(&mut sim);
    }
    let kept = sim.stored();
    let (place, time) = (sim.log.len(), sim.engine.now());
    let before = sim.entries.len();
    for happen in happens {
        sim.pass(1_000);
        happen(&mut sim);
    }
    let mut engine = Engine::new(time);
    engine.exchange(rules(RULES));
    sim.each_twin(&mut |twin| engine.know(twin.clone()));
    engine.restore(kept);
    engine.rewind(sim.log[place..].iter());
    let mut ids = Vec::new();
    for recorded in &sim.log[place..] {
        let mut steps = vec![engine.observe(recorded)];
        while let Some(step) = steps.pop() {
            for entry in &step.entries {
                if !ids.contains(&entry.entry.id) {
                    ids.push(entry.entry.id);
                }
            }
            steps.extend(step.effects.iter().map(|act| engine.done(act.id, EffectResult::default(), noon())));
        }
    }
    let live: Vec<_> = sim.entries[before..].iter().map(|entry| entry.id).collect();
    assert_eq!(ids, live);
    let state = |twin: &Twin| {
        (twin.reported.clone(), twin.desired.to_object(), twin.presence.status, twin.control.mode)
    };
    sim.each_twin(&mut |twin| assert_eq!(state(engine.twin(twin.id.as_str()).unwrap()), state(twin)));
}

#[test]
fn what_happened_between_happens_again() {
    check(&[]);
    check(&[|sim| sim.reports("a", "x", 1.0)]); // the same again: nothing
    check(&[|sim| sim.reports("a", "x", 6.0)]);
    check(&[|sim| sim.reports("a", "x", 6.0), |sim| sim.reports("a", "x", 6.0)]);
    check(&[|sim| sim.reports("a", "x", 1.0), |sim| sim.reports("a", "x", 6.0)]);
    check(&[|sim| sim.happen(&id("a"), gone(), &device())]);
    check(&[|sim| sim.patch(&id("a"), [("mode", Json::from("manual"))].into_iter().collect())]);
    check(&[|sim| {
        let desired: Object = [("y", Json::from(1))].into_iter().collect();
        sim.patch(&id("a"), [("desired", desired.into())].into_iter().collect());
    }]);
}

/// That it is online once more, or asks again, does not mean that it had not been there.
#[test]
fn whoever_was_there_and_says_so_again_had_been_there() {
    let again: SimStep = |sim| {
        let online = Input::Presence { online: true, details: Object::default() };
        sim.tell(&id("a"), online, &device()).unwrap();
    };
    let goes: SimStep = |sim| sim.happen(&id("a"), gone(), &device());
    check(&[again]);
    check(&[again, goes]);
    check(&[again, goes, again]);
    check(&[goes, again]);
}

/// A reading of so many seconds ago.
fn late(sim: &mut Sim, value: i64, seconds: i64) {
    let at = sim.now.plus_millis(-seconds * 1_000);
    sim.tell(&id("a"), readings(&[("x", value.into())], Some(at)), &device()).unwrap();
}

/// A reading that came late fired nothing, and fires nothing when it comes again.
#[test]
fn what_came_late_is_late_again() {
    let one: SimStep = |sim| sim.reports("a", "x", 1.0);
    let six: SimStep = |sim| sim.reports("a", "x", 6.0);
    let late_by_some: SimStep = |sim| late(sim, 9, 5);
    let very_late: SimStep = |sim| late(sim, 9, 100);
    for before in [&[one][..], &[one, one], &[six, one], &[one, six], &[six, six]] {
        for late in [late_by_some, very_late] {
            check_after(before, &[late]);
            check_after(before, &[late, late]);
            check_after(before, &[one, late]);
            check_after(before, &[six, late, late]);
        }
    }
    // And the one that is there is said again behind it.
    check_after(&[one], &[very_late, one]);
    check_after(&[one, one], &[late_by_some, one]);
}

fn gone() -> EventBody {
    EventBody::Presence { status: twinhub_domain::Status::Offline, reason: "silent".into() }
}
