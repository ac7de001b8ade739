//! The shipped rules pass their own tests, and a test that fails has its reason.

use super::*;
use crate::RuleFile;
use crate::model::RuleOrigin;

fn verdicts(text: &str) -> Vec<ScenarioVerdict> {
    let file = RuleFile::parse(text, &RuleOrigin::Api).unwrap();
    let start = Timestamp::parse("2026-06-01T12:00:00Z").unwrap();
    file.tests.iter().flat_map(|(of, test)| run(&file.rules, *of, &[test], start)).collect()
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    for text in [
        include_str!("../../../../rules/door.yaml"),
        include_str!("../../../../rules/greenhouse.yaml"),
        include_str!("../../../../rules/leak.yaml"),
        include_str!("../../../../rules/night-setback.yaml"),
        include_str!("../../../../rules/silent.yaml"),
    ] {
        let verdicts = verdicts(text);
        assert!(!verdicts.is_empty());
        for verdict in verdicts {
            assert_eq!(
                verdict.failure,
                None,
                "{}: {}",
                verdict.name,
                verdict.failure.as_deref().unwrap_or("")
            );
        }
    }
}

#[test]
fn a_failed_action_is_reported_with_its_reason() {
    let text = r#"
version: 1
rules:
  r:
    triggers: { numeric: a.x, above: 5 }
    actions: [ { log: "{{ fan.speed }}" } ]
    tests:
      - { given: { a.x: 6 }, expect: [ log ] }
      - { given: { a.x: 6 }, expect: [ not log ] }
"#;
    let verdicts = verdicts(text);
    let why = "at the start actions[0] log: template: `fan` has not reported `speed`";
    let failure = verdicts[0].failure.as_deref().unwrap();
    assert!(failure.contains(&format!("\nwhat failed:\n  {why}")), "{failure}");
    assert_eq!((&verdicts[1].failure, &verdicts[1].failed_actions[..]), (&None, &[why.to_owned()][..]));
}

#[test]
fn a_failed_action_is_reported_though_its_run_went_on() {
    let text = r#"
version: 1
rules:
  r:
    triggers: { numeric: a.x, above: 5 }
    actions:
      - { run: nobody, on_error: continue }
      - { log: done }
    tests:
      - { given: { a.x: 6 }, expect: [ log done ] }
"#;
    let verdicts = verdicts(text);
    assert_eq!(verdicts[0].failure, None);
    let told = "at the start actions[0] run: unknown_rule: there is no rule nobody";
    assert_eq!(verdicts[0].failed_actions, [told]);
}

#[test]
fn a_test_that_fails_says_what_came_instead_and_why() {
    let failure = |expect: &str| {
        let text = format!(
            r#"
version: 1
rules:
  r:
    triggers: {{ numeric: a.x, above: 5, for: 5m }}
    conditions: [ fan.mode != "manual" ]
    actions: [ {{ command: fan, type: set, parameters: {{ speed: 3 }} }}, {{ log: done }} ]
    tests:
      - given: {{ a.x: 6 }}
        {expect}
      - initially: {{ fan.mode: manual }}
        given: {{ a.x: 6 }}
        {expect}
"#
        );
        let verdicts = verdicts(&text);
        (verdicts[0].failure.clone(), verdicts[1].failure.clone())
    };
    let (first, second) = failure("expect: [ command fan, log ]");
    assert_eq!(first, None);
    assert_eq!(
        second.unwrap(),
        "expected command fan, and it was not done\nexpected log, and it was not done\nwhat was done: nothing\nwhat did not run:\n  after 5m condition: fan.mode != \"manual\" does not hold"
    );
    let (first, _) = failure("expect: [ { command fan: { type: get } } ]");
    assert_eq!(
        first.unwrap(),
        "expected command fan, and it came otherwise: command fan set {\"speed\":3} after 5m\nwhat was done:\n  after 5m command fan set {\"speed\":3}\n  after 5m log done"
    );
    let (first, _) = failure("expect: [ { command fan: , at: 4m } ]");
    assert!(first.unwrap().starts_with("expected command fan, and it came after 5m"));
    let (first, _) = failure("expect: [ log, command fan ]");
    assert!(
        first.unwrap().starts_with("expected command fan, and it came before the effect listed before it")
    );
    let (first, second) = failure("expect: [ not command fan ]");
    assert!(first.unwrap().starts_with("expected not command fan, got command fan"));
    assert_eq!(second, None);
    let (first, _) = failure("exactly: [ command fan ]");
    assert!(first.unwrap().starts_with("expected nothing else, got log done after 5m"));
    let (first, second) = failure("expect: [ not condition ]");
    assert!(first.unwrap().starts_with("expected not condition, which never was so"));
    assert_eq!(second, None);
}
