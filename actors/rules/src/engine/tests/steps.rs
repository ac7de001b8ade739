//! What an act is and what its answer does.

use super::*;

#[test]
fn acts_carry_their_names_and_causes() {
    let mut engine = Engine::new(noon());
    engine.exchange(rules(
        "  r: { even_in_manual: true, triggers: { every: 1m }, actions: [ { command: fan, type: set } ] }",
    ));
    let step = engine.advance(noon().plus_millis(60_000));
    let act = &step.acts[0];
    let Deed::Command { request, .. } = &act.deed else { panic!("{act:?}") };
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
    assert_eq!(again[0].id, step.acts[0].id);
    assert_eq!(format!("{:?}", again[0].deed), format!("{:?}", step.acts[0].deed));
    // Its answer lets the run go on; a second one does nothing.
    let step = engine.done(again[0].id, ActResult::default(), engine.now());
    assert_eq!(step.acts.len(), 1);
    let step = engine.done(again[0].id, ActResult::default(), engine.now());
    assert!(step.acts.is_empty() && step.entries.is_empty());
    assert_eq!(engine.unanswered().len(), 1);
}
