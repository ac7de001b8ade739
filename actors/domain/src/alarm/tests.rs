//! The four states as a table, and properties of any history.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::cause::RunCause;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn id(number: u128) -> AlarmId {
    AlarmId(Uuid::from_u128(number))
}

fn device(name: &str) -> Originator {
    Originator::Device(DeviceId::parse(name).unwrap())
}

fn raised(severity: Severity) -> Raised {
    Raised {
        of: device("pump-1"),
        number: DeviceNumber(1),
        alarm_type: "hot".into(),
        severity,
        message: severity.as_str().into(),
        rule: RuleId::parse("cool").ok(),
        run: None,
    }
}

fn state(alarm: &Alarm) -> (bool, bool, Severity, u32) {
    (alarm.active, alarm.acknowledged, alarm.severity, alarm.count)
}

/// Plays `steps` on one alarm: a severity raises it, `clear` and `ack` clear and acknowledge it; then compares.
fn check(steps: &[&str], expected: (bool, bool, Severity, u32), did_last: bool) {
    let mut alarm: Option<Alarm> = None;
    let mut last = None;
    for (step, now) in steps.iter().zip(1..) {
        last = match (*step, &alarm) {
            ("clear", Some(alarm)) => alarm.clear("user:ann", at(now)),
            ("ack", Some(alarm)) => alarm.acknowledge("user:bob", at(now)),
            (word, Some(before)) => {
                Some(before.clone().repeat(raised(Severity::parse(word).unwrap()), at(now)))
            }
            (word, None) => Some(Alarm::begin(id(1), raised(Severity::parse(word).unwrap()), at(now))),
        };
        if let Some(change) = &last {
            alarm = Some(change.alarm.clone());
        }
    }
    assert_eq!((state(&alarm.unwrap()), last.is_some()), (expected, did_last), "{steps:?}");
}

#[test]
fn goes_between_its_four_states() {
    use Severity::{Critical, Major, Minor};
    check(&["major"], (true, false, Major, 1), true);
    check(&["major", "major"], (true, false, Major, 2), true);
    check(&["major", "ack"], (true, true, Major, 1), true);
    check(&["major", "ack", "ack"], (true, true, Major, 1), false);
    check(&["major", "ack", "major"], (true, true, Major, 2), true);
    check(&["major", "ack", "minor"], (true, true, Minor, 2), true);
    check(&["major", "ack", "critical"], (true, false, Critical, 2), true);
    check(&["major", "ack", "minor", "major"], (true, false, Major, 3), true);
    check(&["major", "clear"], (false, false, Major, 1), true);
    check(&["major", "clear", "clear"], (false, false, Major, 1), false);
    check(&["major", "clear", "ack"], (false, true, Major, 1), true);
    check(&["major", "ack", "clear"], (false, true, Major, 1), true);
}

#[test]
fn says_who_and_when() {
    let alarm = Alarm::begin(id(1), raised(Severity::Major), at(1)).alarm;
    let alarm = alarm.repeat(raised(Severity::Minor), at(5)).alarm;
    let alarm = alarm.acknowledge("user:ann", at(6)).unwrap().alarm;
    let alarm = alarm.clear("rule:cool", at(7)).unwrap().alarm;
    assert_eq!(
        Json::from(alarm.document()).to_string(),
        r#"{"acknowledged":true,"acknowledged_at":"1970-01-01T00:00:00.006Z","acknowledged_by":"user:ann","#
            .to_owned()
            + r#""cleared_at":"1970-01-01T00:00:00.007Z","cleared_by":"rule:cool","count":2,"device_id":"pump-1","#
            + r#""id":"00000000-0000-0000-0000-000000000001","last_at":"1970-01-01T00:00:00.005Z","last_rule_id":"cool","last_run_id":null,"message":"minor","#
            + r#""raised_at":"1970-01-01T00:00:00.001Z","rule_id":null,"severity":"minor","#
            + r#""status":"cleared","type":"hot"}"#
    );
    // A clock that is set back turns no order round.
    assert_eq!(alarm.repeat(raised(Severity::Minor), at(2)).alarm.last_at, at(5));
}

#[test]
fn names_who_stands_behind_it() {
    let check = |source, by: &str, expected: &str| assert_eq!(&*who(&Cause::new(source, by)), expected);
    check(Source::Rest, "user:ann", "user:ann");
    check(Source::Rest, "", "rest");
    check(Source::Hub, "", "hub");
    check(Source::Rule, "cool", "rule:cool");
    check(Source::Rule, "rule:cool", "rule:cool");
    let run = RunCause { id: RunId(Uuid::nil()), depth: 1, even_in_manual: false };
    let cause = Cause { run: Some(run.into()), ..Cause::new(Source::Rule, "cool") };
    assert_eq!(&*who(&cause), "rule:cool");
}

#[test]
fn severities_stand_in_order_and_have_names() {
    assert!(Severity::ALL.is_sorted());
    for severity in Severity::ALL {
        assert_eq!(Severity::parse(severity.as_str()), Some(severity));
    }
    assert_eq!(Severity::parse("high"), None);
}

#[test]
fn a_new_device_of_an_old_name_has_its_own_alarms() {
    let mut book = ActiveAlarms::default();
    book.raise(id(1), raised(Severity::Major), at(1));
    let again = book.raise(id(2), Raised { number: DeviceNumber(2), ..raised(Severity::Major) }, at(2));
    assert_eq!((again.step, again.alarm.id, book.len()), (AlarmStep::Raised, id(2), 1));
    assert!(book.get(id(1)).is_none());
}

#[test]
fn what_is_forgotten_is_only_the_devices_own() {
    let mut book = ActiveAlarms::default();
    book.raise(id(1), raised(Severity::Major), at(1));
    let of = Originator::Rule(RuleId::parse("cool").unwrap());
    book.raise(id(2), Raised { of, number: DeviceNumber(0), ..raised(Severity::Major) }, at(1));
    assert!(book.forget(DeviceNumber(0)).is_empty(), "a rule is no device");
    let gone = book.forget(DeviceNumber(1));
    assert_eq!((gone.len(), gone[0].id, book.len()), (1, id(1), 1));
}

/// Something that can happen to a few alarms.
#[derive(Clone, Debug)]
enum AlarmInput {
    Raise { of: u8, alarm_type: u8, severity: Severity },
    Clear { of: u8, alarm_type: u8 },
    Acknowledge { nth: usize },
}

fn happens() -> impl Strategy<Value = AlarmInput> {
    let severity = prop::sample::select(Severity::ALL.to_vec());
    prop_oneof![
        3 => (0..3u8, 0..2u8, severity)
            .prop_map(|(of, alarm_type, severity)| AlarmInput::Raise { of, alarm_type, severity }),
        1 => (0..3u8, 0..2u8).prop_map(|(of, alarm_type)| AlarmInput::Clear { of, alarm_type }),
        1 => (0..20usize).prop_map(|nth| AlarmInput::Acknowledge { nth }),
    ]
}

fn of(number: u8) -> Originator {
    match number {
        0 => Originator::Rule(RuleId::parse("cool").unwrap()),
        n => device(&format!("pump-{n}")),
    }
}

proptest! {
    /// One active of each originator and type; it counts the raises since it began; and the last change of each alarm
    /// is its state, so history is a fold.
    #[test]
    fn history_is_a_fold(story in prop::collection::vec(happens(), 0..60)) {
        let mut book = ActiveAlarms::default();
        let mut folded: HashMap<AlarmId, Alarm> = HashMap::new();
        let mut counts: HashMap<(u8, u8), u32> = HashMap::new();
        let mut ids: Vec<AlarmId> = Vec::new();
        for (step, now) in story.into_iter().zip(1i64..) {
            let change = match step {
                AlarmInput::Raise { of: who, alarm_type, severity } => {
                    *counts.entry((who, alarm_type)).or_default() += 1;
                    let raised = Raised {
                        of: of(who),
                        number: DeviceNumber(who.into()),
                        alarm_type: alarm_type.to_string().into(),
                        ..raised(severity)
                    };
                    let change = book.raise(id(now.unsigned_abs().into()), raised, at(now));
                    prop_assert_eq!(change.alarm.severity, severity);
                    Some(change)
                }
                AlarmInput::Clear { of: who, alarm_type } => {
                    let was = counts.remove(&(who, alarm_type)).is_some();
                    let change = book.clear(&of(who), &alarm_type.to_string(), "user:ann", at(now));
                    prop_assert_eq!(change.is_some(), was);
                    change
                }
                AlarmInput::Acknowledge { nth } if !ids.is_empty() => {
                    let change = folded[&ids[nth % ids.len()]].acknowledge("user:bob", at(now));
                    if let Some(change) = &change {
                        book.put(change.alarm.clone());
                    }
                    change
                }
                AlarmInput::Acknowledge { .. } => None,
            };
            let Some(AlarmChange { step, alarm }) = change else { continue };
            prop_assert_eq!(step == AlarmStep::Raised, !folded.contains_key(&alarm.id));
            prop_assert!(alarm.raised_at <= alarm.last_at);
            prop_assert_eq!(alarm.active, alarm.cleared_at.is_none());
            prop_assert_eq!(alarm.acknowledged, alarm.acknowledged_at.is_some());
            if step == AlarmStep::Raised {
                ids.push(alarm.id);
            }
            folded.insert(alarm.id, alarm);
        }
        let active: Vec<&Alarm> = folded.values().filter(|alarm| alarm.active).collect();
        let keys: HashSet<_> = active.iter().map(|alarm| (&alarm.originator, &alarm.alarm_type)).collect();
        prop_assert_eq!(keys.len(), active.len());
        prop_assert_eq!(book.len(), active.len());
        for alarm in active {
            prop_assert_eq!(book.get(alarm.id), Some(alarm));
            prop_assert_eq!(book.of(&alarm.originator, &alarm.alarm_type), Some(alarm));
        }
        for ((who, alarm_type), count) in counts {
            prop_assert_eq!(book.of(&of(who), &alarm_type.to_string()).unwrap().count, count);
        }
    }
}
