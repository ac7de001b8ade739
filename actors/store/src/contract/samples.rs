//! Values of automation, made up for tests: members that are not given are as plain as can be.

use uuid::Uuid;

use super::support::NOON;
use crate::{
    AlarmQuery, AutomationState, DeliveryQuery, DeliveryRecord, DeliveryStatus, RuleAuthor, RuleRecord,
    RunQuery,
};
use twinhub_access::password::PasswordHash;
use twinhub_access::totp::{CODE_BYTES, CODES, TotpSecret};
use twinhub_access::user::UserSource;
use twinhub_access::{Action, AuditEntry, Role, Scope, User, UserId, UserName};
use twinhub_domain::alarm::{Alarm, AlarmChange, AlarmId, AlarmStep, Originator, Severity};
use twinhub_domain::event::EventBody;
use twinhub_domain::run::{ActionSeen, RunKind, TriggerSeen};
use twinhub_domain::run::{AutomationSignal, RuleId, RunEntry, RunId, RunOutcome, WhyNot};
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp};
use twinhub_rules::ScopeSnapshot;
use twinhub_rules::engine::Delivery;

pub const NOBODY: DeviceNumber = DeviceNumber(0);

/// A time, `millis` ms after noon.
pub fn after_noon(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOON + millis)
}

pub fn rule(name: &str) -> RuleId {
    RuleId::parse(name).unwrap()
}

pub fn run_id(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

/// A run that is done, begun `n` ms after noon.
pub fn run(n: u32, of: &str, device: Option<(&str, DeviceNumber)>) -> RunEntry {
    let at = after_noon(i64::from(n));
    let data = r#"{"value": 28.50, "previous": null}"#.parse().unwrap();
    let Json::Object(data) = data else { panic!("an object") };
    RunEntry {
        id: run_id(u128::from(n)),
        rule: rule(of),
        device: device.map(|(id, _)| DeviceId::parse(id).unwrap()),
        number: device.map_or(NOBODY, |(_, number)| number),
        at,
        ended_at: Some(at),
        kind: RunKind::Trigger,
        trigger: TriggerSeen { index: 0, kind: "numeric".into(), data, seq: Some(7), cause: None },
        conditions: Vec::new(),
        outcome: RunOutcome::Done,
        actions: Vec::new(),
        targets: Vec::new(),
        parent: None,
        depth: 0,
        count: 1,
        last_at: at,
    }
}

/// An action upon a device, and that it went well.
pub fn action(device: &str) -> ActionSeen {
    ActionSeen {
        path: "actions[0]".into(),
        kind: "desired".into(),
        device: DeviceId::parse(device).ok(),
        data: Json::Object(Object::default()),
        at: after_noon(0),
        result: "ok".into(),
        detail: "".into(),
        seq: None,
        made: None,
    }
}

/// The same where it did not run.
pub fn dull(n: u32, of: &str, device: Option<(&str, DeviceNumber)>) -> RunEntry {
    let outcome = RunOutcome::NotRun { why: WhyNot::Condition, detail: "fan.mode".into() };
    RunEntry { outcome, ended_at: None, ..run(n, of, device) }
}

/// An alarm, active since `n` ms after noon.
pub fn alarm(n: u32, alarm_type: &str, device: (&str, DeviceNumber)) -> Alarm {
    let at = after_noon(i64::from(n));
    Alarm {
        id: AlarmId(Uuid::from_u128(u128::from(n))),
        originator: Originator::Device(DeviceId::parse(device.0).unwrap()),
        number: device.1,
        alarm_type: alarm_type.into(),
        severity: Severity::Major,
        message: "it is 28.50 °C".into(),
        active: true,
        acknowledged: false,
        raised_at: at,
        last_at: at,
        count: 1,
        cleared_at: None,
        cleared_by: "".into(),
        acknowledged_at: None,
        acknowledged_by: "".into(),
        rule: None,
        run: None,
    }
}

/// The same of a rule.
pub fn rule_alarm(n: u32, of: &str) -> Alarm {
    Alarm { originator: Originator::Rule(rule(of)), ..alarm(n, "rule-stopped", ("x", NOBODY)) }
}

/// A request outward that waits since `n` ms after noon.
pub fn delivery(n: u32, of: RunId) -> DeliveryRecord {
    let at = after_noon(i64::from(n));
    let delivery = Delivery {
        url: "https://example.org/hook".into(),
        method: "POST".into(),
        headers: vec![("x-a".into(), "b".into())],
        body: r#"{"t": 28.50}"#.parse().unwrap(),
        signed_by: Some(rule("cool")),
        step: 3,
        timeout_ms: 10_000,
        max_attempts: 5,
    };
    DeliveryRecord {
        id: Uuid::from_u128(u128::from(n)),
        rule: rule("cool"),
        run: of,
        delivery,
        status: DeliveryStatus::Waiting,
        attempts: 0,
        next_at: at,
        detail: "".into(),
        created_at: at,
        ended_at: None,
    }
}

pub fn kept(of: &str, device: DeviceNumber, body: Option<&str>) -> ScopeSnapshot {
    let body = body.map(|body| body.parse().unwrap());
    ScopeSnapshot { rule: rule(of), device, fingerprint: u64::MAX - 7, body }
}

pub fn record(of: &str, body: Option<&str>, enabled: Option<bool>) -> RuleRecord {
    let body = body.map(|body| match body.parse() {
        Ok(Json::Object(object)) => object,
        other => panic!("{other:?} is no object"),
    });
    let author = body.as_ref().map(|_| RuleAuthor::User(UserId(Uuid::from_u128(7))));
    RuleRecord { id: rule(of), body, enabled, author, created_at: after_noon(1), updated_at: after_noon(2) }
}

/// In an order of their own: stores give them in none.
pub fn sorted(mut state: AutomationState) -> AutomationState {
    state.kept.sort_by(|one, other| (&one.rule, one.device).cmp(&(&other.rule, other.device)));
    state.rules.sort_by(|one, other| one.id.cmp(&other.id));
    state
}

/// The event of an alarm's change.
pub fn told_alarm(alarm: Alarm) -> EventBody {
    EventBody::Alarm(Box::new(AlarmChange { step: AlarmStep::Raised, alarm }))
}

pub fn told_run(entry: RunEntry) -> EventBody {
    EventBody::Rule(Box::new(entry))
}

pub fn signal(topic: &str) -> EventBody {
    EventBody::Signal(Box::new(AutomationSignal::Mqtt {
        topic: topic.into(),
        payload: Json::Object(Object::default()),
    }))
}

pub fn runs() -> RunQuery {
    RunQuery { limit: 10_000, ..RunQuery::default() }
}

pub fn alarms() -> AlarmQuery {
    AlarmQuery { limit: 10_000, ..AlarmQuery::default() }
}

pub fn deliveries() -> DeliveryQuery {
    DeliveryQuery { limit: 10_000, ..DeliveryQuery::default() }
}

/// A user with all that is not secret.
pub fn user(number: u128, name: &str) -> User {
    let (id, name) = (UserId(Uuid::from_u128(number)), UserName::parse(name).unwrap());
    User::new(id, name, (Role::Operator, Scope::All), UserSource::CommandLine, after_noon(0)).unwrap()
}

/// The same with a password and a second factor.
pub fn user_with_factors(number: u128, name: &str) -> User {
    let argon2 = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    // The code of RFC 6238 for this moment.
    let (secret, then) =
        (TotpSecret::new(*b"12345678901234567890"), Timestamp::from_millis(1_111_111_109_000));
    let (totp, _) = secret.confirmed("081804", &[[1; CODE_BYTES]; CODES], then).unwrap();
    User { password: Some(PasswordHash::parse(argon2).unwrap()), totp: Some(totp), ..user(number, name) }
}

/// An entry of the audit, so many ms after noon.
pub fn entry(ms: i64, who: &str, action: Action) -> AuditEntry {
    AuditEntry::new(after_noon(ms), who, action)
}
