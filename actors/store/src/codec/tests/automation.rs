//! Causes and events that rules brought about.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::{any_json, any_text, decode, encode, same};
use twinhub_domain::alarm::{Alarm, AlarmChange, AlarmId, AlarmStep, Originator, Severity};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::json::DEEPEST;
use twinhub_domain::run::{ActionSeen, ConditionSeen, RunKind, TermSeen, TriggerSeen};
use twinhub_domain::run::{AutomationSignal, RuleId, RunEntry, RunId, RunOutcome, WhyNot};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, EventBody, Json, Object, Recorded, Timestamp};

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn any_object() -> impl Strategy<Value = Object> {
    prop::collection::vec((".{0,3}", any_json()), 0..3).prop_map(|entries| entries.into_iter().collect())
}

fn any_run_id() -> impl Strategy<Value = RunId> {
    any::<u128>().prop_map(|id| RunId(Uuid::from_u128(id)))
}

fn any_rule() -> impl Strategy<Value = RuleId> {
    "[a-z]{1,3}".prop_map(|id| RuleId::parse(&id).unwrap())
}

fn any_device() -> impl Strategy<Value = DeviceId> {
    "[a-b]".prop_map(|id| DeviceId::parse(&id).unwrap())
}

pub fn any_cause() -> impl Strategy<Value = Cause> {
    let source = prop::sample::select(Source::ALL.to_vec());
    let run = (any_run_id(), any::<u8>(), any::<bool>())
        .prop_map(|(id, depth, even_in_manual)| Arc::new(RunCause { id, depth, even_in_manual }));
    (source, "[x-z]{0,1}", prop::option::weighted(0.3, run), prop::bool::weighted(0.2))
        .prop_map(|(source, by, run, retained)| Cause { run, retained, ..Cause::new(source, &by) })
}

pub fn any_body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        any_alarm().prop_map(|change| EventBody::Alarm(Box::new(change))),
        any_run().prop_map(|entry| EventBody::Rule(Box::new(entry))),
        any_signal().prop_map(|signal| EventBody::Signal(Box::new(signal))),
    ]
}

fn any_alarm() -> impl Strategy<Value = AlarmChange> {
    use AlarmStep::{Acknowledged, Cleared, Raised, Repeated};
    use Severity::{Critical, Info, Major, Minor, Warning};

    let step = prop::sample::select(vec![Raised, Repeated, Cleared, Acknowledged]);
    let severity = prop::sample::select(vec![Info, Warning, Minor, Major, Critical]);
    let originator = prop_oneof![
        any_device().prop_map(Originator::Device),
        any_rule().prop_map(Originator::Rule),
        Just(Originator::Hub)
    ];
    let of = (
        originator,
        any::<u128>(),
        any::<i64>(),
        prop::option::of(any_rule()),
        prop::option::of(any_run_id()),
    );
    let what = (step, severity, any_text(), any_text(), any::<(bool, bool, u32)>());
    let when =
        (any_time(), any_time(), prop::option::of(any_time()), prop::option::of(any_time()), any_text());
    (of, what, when).prop_map(|(of, what, when)| {
        let (originator, id, number, rule, run) = of;
        let (step, severity, alarm_type, message, (active, acknowledged, count)) = what;
        let (raised_at, last_at, cleared_at, acknowledged_at, who) = when;
        let alarm = Alarm {
            id: AlarmId(Uuid::from_u128(id)),
            originator,
            number: DeviceNumber(number),
            alarm_type,
            severity,
            message,
            active,
            acknowledged,
            raised_at,
            last_at,
            count,
            cleared_at,
            cleared_by: who.clone(),
            acknowledged_at,
            acknowledged_by: who,
            rule,
            run,
        };
        AlarmChange { step, alarm }
    })
}

fn any_run() -> impl Strategy<Value = RunEntry> {
    use RunKind::{Called, Manual, Release, Trigger};

    let kind = prop::sample::select(vec![Trigger, Release, Manual, Called]);
    let of = (any_run_id(), any_rule(), prop::option::of(any_device()), any::<i64>(), kind);
    let when = (any_time(), prop::option::of(any_time()), any_time());
    let counts = (any::<u8>(), any::<u32>(), prop::option::of(any_run_id()));
    let seen = (
        any_trigger(),
        prop::collection::vec(any_condition(), 0..3),
        prop::collection::vec(any_action(), 0..3),
        any_outcome(),
    );
    (of, when, counts, seen).prop_map(|(of, when, counts, seen)| {
        let (id, rule, device, number, kind) = of;
        let (at, ended_at, last_at) = when;
        let (depth, count, parent) = counts;
        let (trigger, conditions, actions, outcome) = seen;
        RunEntry {
            id,
            rule,
            device,
            number: DeviceNumber(number),
            at,
            ended_at,
            kind,
            trigger,
            conditions,
            outcome,
            actions,
            targets: Vec::new(),
            parent,
            depth,
            count,
            last_at,
        }
    })
}

fn any_trigger() -> impl Strategy<Value = TriggerSeen> {
    let cause = prop::option::of(any_cause());
    (any::<u16>(), any_text(), any_object(), any::<Option<u64>>(), cause)
        .prop_map(|(index, kind, data, seq, cause)| TriggerSeen { index, kind, data, seq, cause })
}

fn any_condition() -> impl Strategy<Value = ConditionSeen> {
    let term = (any_text(), any_object(), any::<Option<bool>>(), prop::option::of(any_text()))
        .prop_map(|(text, values, holds, unknown)| TermSeen { text, values, holds, unknown });
    (any_text(), any::<Option<bool>>(), prop::collection::vec(term, 0..2))
        .prop_map(|(text, holds, terms)| ConditionSeen { text, holds, terms })
}

fn any_action() -> impl Strategy<Value = ActionSeen> {
    let texts = (any_text(), any_text(), any_text(), any_text());
    let rest = (any_time(), any::<Option<u64>>(), prop::option::of(any_text()));
    (texts, prop::option::of(any_device()), any_json(), rest).prop_map(
        |((path, kind, result, detail), device, data, (at, seq, made))| ActionSeen {
            path,
            kind,
            device,
            data,
            at,
            result,
            detail,
            seq,
            made,
        },
    )
}

fn any_outcome() -> impl Strategy<Value = RunOutcome> {
    use WhyNot as W;

    let why = prop::sample::select(vec![
        W::Condition,
        W::Unknown,
        W::Stale,
        W::StillRunning,
        W::TooMany,
        W::Cooldown,
        W::Stopped,
        W::Depth,
        W::Missed,
        W::Panic,
    ]);
    prop_oneof![
        Just(RunOutcome::Running),
        Just(RunOutcome::Done),
        any_text().prop_map(|reason| RunOutcome::Failed { reason }),
        any_text().prop_map(|reason| RunOutcome::Aborted { reason }),
        (why, any_text()).prop_map(|(why, detail)| RunOutcome::NotRun { why, detail }),
    ]
}

fn any_signal() -> impl Strategy<Value = AutomationSignal> {
    let rules = || prop::collection::vec(any_rule(), 0..3);
    prop_oneof![
        any_time().prop_map(|down_since| AutomationSignal::Started { down_since }),
        (any_time(), any_time(), any::<bool>())
            .prop_map(|(from, to, while_down)| AutomationSignal::ClockMoved { from, to, while_down }),
        (any_text(), any_json()).prop_map(|(topic, payload)| AutomationSignal::Mqtt { topic, payload }),
        (any_text(), any_json()).prop_map(|(name, body)| AutomationSignal::Webhook { name, body }),
        (any_rule(), any::<bool>())
            .prop_map(|(rule, unconditional)| AutomationSignal::Run { rule, unconditional }),
        (any_rule(), any::<bool>()).prop_map(|(rule, enabled)| AutomationSignal::Enabled { rule, enabled }),
        (rules(), rules(), rules(), any_text()).prop_map(|(loaded, changed, gone, warning)| {
            AutomationSignal::Rules { warnings: vec![warning], loaded, changed, gone }
        }),
        (any_rule(), any_text()).prop_map(|(rule, why)| AutomationSignal::Stopped { rule, why }),
    ]
}

/// As deep as documents may be where they come in, and then below a run's trigger.
#[test]
fn deep_documents_come_back() {
    let deep = format!("{}23.50{}", r#"{"a":"#.repeat(DEEPEST), "}".repeat(DEEPEST));
    let payload: Json = deep.parse().unwrap();
    let data: Object = [("payload", payload.clone())].into_iter().collect();
    let trigger = TriggerSeen { index: 0, kind: "mqtt".into(), data, seq: Some(1), cause: None };
    let at = Timestamp::from_millis(1_767_268_800_000);
    let entry = RunEntry {
        id: RunId(Uuid::nil()),
        rule: RuleId::parse("cool").unwrap(),
        device: None,
        number: DeviceNumber(0),
        at,
        ended_at: None,
        kind: RunKind::Trigger,
        trigger,
        conditions: Vec::new(),
        outcome: RunOutcome::Running,
        actions: Vec::new(),
        targets: Vec::new(),
        parent: None,
        depth: 0,
        count: 1,
        last_at: at,
    };
    let event = |seq, body| {
        let (device, number, cause) = (DeviceId::none(), DeviceNumber(0), Cause::hub());
        Recorded::new(seq, Event { device, number, at: at.into(), received_at: at, body, cause })
    };
    let signal = AutomationSignal::Mqtt { topic: "x".into(), payload };
    assert!(entry_text(&event(1, EventBody::Rule(Box::new(entry.clone())))).contains("23.50"));
    assert!(entry_text(&event(1, EventBody::Signal(Box::new(signal.clone())))).contains("23.50"));
    let events = [event(1, EventBody::Rule(Box::new(entry))), event(2, EventBody::Signal(Box::new(signal)))];
    assert!(same(&decode(&encode(&events)).unwrap(), &events));
}

fn entry_text(recorded: &Recorded) -> String {
    recorded.json_members().to_owned()
}
