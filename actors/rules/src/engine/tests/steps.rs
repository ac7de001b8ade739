//! The nature of a request for an effect, and the work of its answer.

use super::*;

#[test]
fn acts_carry_their_names_and_causes() {
    let mut engine = Engine::new(noon());
    engine.exchange(rules(
        "  r: { even_in_manual: true, triggers: { every: 1m }, actions: [ { command: fan, type: set } ] }",
    ));
    let step = engine.advance(noon().plus_millis(60_000));
    let act = &step.effects[0];
    let Effect::Command { request, .. } = &act.effect else { panic!("{act:?}") };
    assert_eq!(request.idempotency_key.as_deref(), Some(act.id.to_string().as_str()));
    let run = act.cause.run.as_deref().unwrap();
    assert_eq!(
        (act.cause.source, &*act.cause.by, run.id, run.even_in_manual),
        (Source::Rule, "r", act.id.run, true)
    );
}

#[test]
fn what_was_not_answered_is_asked_again_by_the_same_name() {
    let text = "  r: { triggers: { every: 1m }, actions: [ { command: fan, type: set, parameters: { at: \"{{ trigger.at }}\" } }, { log: after } ] }";
    let mut engine = Engine::new(noon());
    engine.exchange(rules(text));
    let mut kept = engine.take_changes();
    let step = engine.advance(noon().plus_millis(60_000));
    for new in engine.take_changes() {
        kept.retain(|old| (&old.rule, old.device) != (&new.rule, new.device));
        kept.push(new);
    }
    let mut engine = Engine::new(engine.now());
    engine.exchange(rules(text));
    engine.restore(kept);
    let again = engine.unanswered();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].id, step.effects[0].id);
    assert_eq!(format!("{:?}", again[0].effect), format!("{:?}", step.effects[0].effect));
    // Its answer lets the run go on; a second one does nothing.
    let step = engine.done(again[0].id, EffectResult::default(), engine.now());
    assert_eq!(step.effects.len(), 1);
    let step = engine.done(again[0].id, EffectResult::default(), engine.now());
    assert!(step.effects.is_empty() && step.entries.is_empty());
    assert_eq!(engine.unanswered().len(), 1);
}

/// The requests of a rule that has just been fired, and those that a restart makes of what was stored of them.
fn before_and_after_restart(action: &str) -> [String; 2] {
    let text = format!("  r: {{ triggers: {{ every: 1m }}, actions: [ {action} ] }}");
    let mut engine = Engine::new(noon());
    engine.exchange(rules(&text));
    let mut kept = engine.take_changes();
    let step = engine.advance(noon().plus_millis(60_000));
    for new in engine.take_changes() {
        kept.retain(|old| (&old.rule, old.device) != (&new.rule, new.device));
        kept.push(new);
    }
    let mut engine = Engine::new(engine.now());
    engine.exchange(rules(&text));
    engine.restore(kept);
    [format!("{:?}", step.effects), format!("{:?}", engine.unanswered())]
}

#[test]
fn every_effect_is_the_same_after_a_restart() {
    for action in [
        r#"{ command: fan, type: set, parameters: { at: "{{ trigger.at }}", n: 1.50 }, ttl: 1h, supersedes: k }"#,
        r#"{ desired: fan, set: { power: on, level: 21.50, since: "{{ trigger.at }}" } }"#,
        "{ mode: fan, to: manual, for: 2h }",
        "{ mode: fan, to: schedule }",
        r#"{ alarm: hot, severity: major, message: "since {{ trigger.at }}" }"#,
        "{ alarm: hot, device: fan }",
        "{ clear: hot }",
        r#"{ publish: "a/{{ trigger.kind }}", payload: { n: 1.50 }, retain: true }"#,
        r#"{ webhook: "https://a.b/{{ trigger.kind }}", method: PUT, headers: { h: "{{ trigger.at }}" }, secret: s }"#,
        r#"{ webhook: "https://a.b", body: { n: 1.50 }, timeout: 5s, max_attempts: 2 }"#,
        "{ enable: other }",
        "{ disable: other }",
        r#"{ log: "{{ trigger.at }}", level: warn }"#,
    ] {
        let [before, after] = before_and_after_restart(action);
        assert!(before.starts_with("[EffectRequest"), "{action}: {before}");
        assert_eq!(before, after, "{action}");
    }
}
