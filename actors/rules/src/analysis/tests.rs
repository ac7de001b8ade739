//! The warnings about small sets of rules, and the absence of others.

use std::sync::Arc;
use std::time::Instant;

use chrono_tz::Tz;

use super::*;
use crate::Expression;
use crate::action::{ActionKind, AlarmAction, ClearAction, CommandAction, DesiredAction, RunAction};
use crate::model::{
    AlarmBecomes, Breaker, Cron, Glob, MissedTimes, OnError, Path, RuleOrigin, RunMode, Selector, TimeOfDay,
    Trigger, TriggerKind,
};
use crate::template::{JsonTemplate, TextTemplate};
use twinhub_domain::alarm::Severity;
use twinhub_domain::schedule::Recurrence;
use twinhub_domain::{DeviceId, Json, Number, Object, Status};

fn rule(id: &str, triggers: Vec<TriggerKind>, conditions: &[&str], actions: Vec<ActionKind>) -> Rule {
    let action = |kind| Action { kind, on_error: None };
    let trigger = |kind| Trigger { id: "".into(), kind, for_ms: None, across_downtime: Default::default() };
    Rule {
        id: RuleId::parse(id).unwrap(),
        alias: "".into(),
        description: "".into(),
        origin: RuleOrigin::Api,
        enabled: true,
        mode: RunMode::Single,
        max: 10,
        priority: 0,
        even_in_manual: false,
        cooldown: None,
        breaker: Breaker::default(),
        on_error: OnError::Stop,
        triggers: triggers.into_iter().map(trigger).collect(),
        conditions: conditions
            .iter()
            .map(|text| Condition::Expression(Expression::compile(text).unwrap()))
            .collect(),
        actions: actions.into_iter().map(action).collect(),
        on_release: Arc::default(),
        fingerprint: 0,
        source: Default::default(),
    }
}

/// The parts of a rule are shared: here they are made anew with one more.
fn push<T: Clone>(list: &mut Arc<[T]>, item: T) {
    *list = list.iter().cloned().chain([item]).collect();
}

/// An id, a pattern (`pump-*`), `type:pump`, `group:hall`, or `*`: the device that fired.
fn of(text: &str) -> Selector {
    if text == "*" {
        Selector::Trigger
    } else if let Some(device_type) = text.strip_prefix("type:") {
        let device_type = Some(device_type.into());
        Selector::Where { group: None, device_type, tags: Vec::new(), template: None }
    } else if let Some(group) = text.strip_prefix("group:") {
        Selector::Where { group: Some(group.into()), device_type: None, tags: Vec::new(), template: None }
    } else if text.contains('*') {
        let matcher = globset::Glob::new(text).unwrap().compile_matcher();
        Selector::Glob(Glob { text: text.into(), matcher })
    } else {
        Selector::Device(DeviceId::parse(text).unwrap())
    }
}

fn json(text: &str) -> JsonTemplate {
    JsonTemplate::compile(text.parse().unwrap()).unwrap()
}

fn above(device: &str, property: &str, above: f64) -> TriggerKind {
    numeric(device, property, Some(above), None)
}

fn below(device: &str, property: &str, below: f64) -> TriggerKind {
    numeric(device, property, None, Some(below))
}

fn numeric(device: &str, property: &str, above: Option<f64>, below: Option<f64>) -> TriggerKind {
    let [above, below] = [above, below].map(|bound| bound.and_then(Number::from_f64));
    TriggerKind::Numeric {
        of: of(device),
        property: property.into(),
        above,
        below,
        release: None,
        max_age: None,
    }
}

fn changed(device: &str, property: &str, to: Option<&str>) -> TriggerKind {
    let to = to.map(|to| to.parse::<Json>().unwrap());
    TriggerKind::Changed { of: of(device), path: Path::Reported(property.into()), from: None, to }
}

fn cron(text: &str) -> TriggerKind {
    let recurrence = Arc::new(Recurrence::parse(text, Tz::Europe__Berlin).unwrap());
    TriggerKind::Cron {
        cron: Cron { text: text.into(), recurrence, zone: chrono_tz::UTC },
        missed: MissedTimes::Skip,
        missed_within_ms: None,
    }
}

fn alarmed(alarm_type: &str) -> TriggerKind {
    let becomes = AlarmBecomes::Raised;
    TriggerKind::Alarm { of: None, alarm_type: Some(alarm_type.into()), at_least: None, becomes }
}

fn desired(device: &str, set: &str) -> ActionKind {
    ActionKind::Desired(DesiredAction { to: of(device), set: json(set) })
}

fn command(device: &str, parameters: &str) -> ActionKind {
    let (command_type, parameters) = ("set".into(), json(parameters));
    let (to, options) = (of(device), Object::default());
    ActionKind::Command(CommandAction { to, command_type, parameters, options, confirm: None })
}

fn raise(alarm_type: &str) -> ActionKind {
    let message = TextTemplate::compile("{{ trigger.value }}").unwrap();
    let (alarm_type, severity) = (alarm_type.into(), Severity::Major);
    ActionKind::Alarm(AlarmAction { alarm_type, severity, message, of: None })
}

fn run(rule: &str) -> ActionKind {
    ActionKind::Run(RunAction { rule: RuleId::parse(rule).unwrap() })
}

fn check(rules: &[Rule], expected: &[&str]) {
    let rules: Vec<&Rule> = rules.iter().collect();
    let found = analyse(&rules, &|_| true, &|_| true);
    let short: Vec<_> = found
        .iter()
        .map(|warning| {
            let ids: Vec<_> = warning.rules.iter().map(RuleId::as_str).collect();
            format!("{} {}", warning.code, ids.join(" "))
        })
        .collect();
    assert_eq!(short, expected, "{found:#?}");
}

#[test]
fn conflicts() {
    let on = || desired("fan", r#"{"power": "on"}"#);
    let off = || desired("fan", r#"{"power": "off"}"#);
    let pair = |a: Rule, b: Rule, expected: &[&str]| check(&[a, b], expected);
    let hot = |id: &str, limit, what| rule(id, vec![above("room", "temperature", limit)], &[], vec![what]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, off()), &["conflict a b"]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, on()), &[]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, desired("fan", r#"{"speed": 1}"#)), &[]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, desired("lamp", r#"{"power": "off"}"#)), &[]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, desired("f*", r#"{"power": "off"}"#)), &["conflict a b"]);
    pair(hot("a", 28.0, on()), hot("b", 30.0, desired("type:fan", r#"{"power": "off"}"#)), &[]);
    pair(
        hot("a", 28.0, command("fan", "{\"x\": 1}")),
        hot("b", 30.0, command("fan", "{\"x\": 2}")),
        &["conflict a b"],
    );
    // Not at once.
    let cold = rule("b", vec![below("room", "temperature", 26.0)], &[], vec![off()]);
    pair(hot("a", 28.0, on()), cold, &[]);
    pair(
        rule("a", vec![cron("0 30 22 * * *")], &[], vec![on()]),
        rule("b", vec![cron("0 0 6 * * *")], &[], vec![off()]),
        &[],
    );
    pair(
        rule("a", vec![cron("0 0 * * * *")], &[], vec![on()]),
        rule("b", vec![cron("0 0 6 * * *")], &[], vec![off()]),
        &["conflict a b"],
    );
    pair(
        rule("a", vec![changed("door", "open", Some("true"))], &[], vec![on()]),
        rule("b", vec![changed("door", "open", Some("false"))], &[], vec![off()]),
        &[],
    );
    // Conditions that exclude each other.
    let when = |id: &str, condition: &str, what| {
        rule(id, vec![changed("door", "open", None)], &[condition], vec![what])
    };
    pair(when("a", "home.occupied", on()), when("b", "home.occupied == false", off()), &[]);
    pair(when("a", "home.level > 5", on()), when("b", "home.level <= 5", off()), &[]);
    pair(when("a", "home.level > 5", on()), when("b", "home.level > 6", off()), &["conflict a b"]);
    let mut night = when("a", "true", on());
    let mut day = when("b", "true", off());
    let time = |after: u32, before: u32| Condition::Time {
        after: Some(TimeOfDay(after * 3_600)),
        before: Some(TimeOfDay(before * 3_600)),
        weekdays: Vec::new(),
        zone: Tz::UTC,
    };
    push(&mut night.conditions, time(22, 6));
    push(&mut day.conditions, time(6, 22));
    pair(night.clone(), day, &[]);
    let mut evening = when("b", "true", off());
    push(&mut evening.conditions, time(18, 23));
    pair(night, evening, &["conflict a b"]);
    // The higher priority wins.
    let mut first = hot("a", 28.0, on());
    first.priority = 5;
    pair(first, hot("b", 30.0, off()), &[]);
    // The actions of a rule that is over are not those with which it begins, nor those of the other then.
    let mut cooled = hot("a", 28.0, on());
    cooled.on_release = vec![Action { kind: off(), on_error: None }].into();
    pair(cooled, hot("b", 30.0, on()), &[]);
    // The device that fired.
    let each =
        |id: &str, what: &str| rule(id, vec![above("pump-*", "heat", 80.0)], &[], vec![desired("*", what)]);
    pair(each("a", r#"{"power": "off"}"#), each("b", r#"{"power": "on"}"#), &["conflict a b"]);
}

#[test]
fn circles() {
    let set = |id: &str, from: &str, to: &str| {
        rule(id, vec![changed(from, "power", None)], &[], vec![desired(to, r#"{"power": "on"}"#)])
    };
    check(&[set("a", "x", "y"), set("b", "y", "x")], &["circle a b"]);
    check(&[set("a", "x", "y"), set("b", "y", "z"), set("c", "z", "x")], &["circle a b c"]);
    check(&[set("a", "x", "y"), set("b", "y", "z"), set("c", "z", "q")], &[]);
    check(&[set("a", "x", "x")], &["circle a"]);
    check(&[set("a", "pump-*", "pump-1")], &["circle a"]);
    // The value that is written is not the one that is waited for.
    let off = rule(
        "a",
        vec![changed("x", "power", Some("\"on\""))],
        &[],
        vec![desired("x", r#"{"power": "off"}"#)],
    );
    check(&[off], &[]);
    let limit = |value: &str| {
        rule(
            "a",
            vec![above("x", "level", 50.0)],
            &[],
            vec![desired("x", &format!("{{\"level\": {value}}}"))],
        )
    };
    check(&[limit("40")], &[]);
    check(&[limit("60")], &["circle a"]);
    check(&[limit("\"{{ trigger.value + 1 }}\"")], &["circle a"]);
    // By alarms, and by name.
    let raises = rule("a", vec![alarmed("late")], &[], vec![raise("hot")]);
    let answers = rule("b", vec![alarmed("hot")], &[], vec![raise("late")]);
    check(&[raises.clone(), answers], &["circle a b"]);
    let on_device = |id: &str, waits: &str, raises: &str| {
        let mut of_x = rule(id, vec![alarmed(waits)], &[], vec![]);
        let message = TextTemplate::compile("x").unwrap();
        let kind = ActionKind::Alarm(AlarmAction {
            alarm_type: raises.into(),
            severity: Severity::Major,
            message,
            of: Some(of("x")),
        });
        push(&mut of_x.actions, Action { kind, on_error: None });
        of_x
    };
    check(&[on_device("a", "late", "hot"), on_device("b", "hot", "late")], &["circle a b"]);
    let called = |id: &str, other: &str| rule(id, vec![above("x", "y", 1.0)], &[], vec![run(other)]);
    check(&[called("a", "b"), called("b", "c"), called("c", "a")], &["circle a b c"]);
    check(&[called("a", "b"), called("b", "c"), called("c", "c")], &["circle c"]);
    let found = analyse(&[&set("a", "x", "y"), &set("b", "y", "x")], &|_| true, &|_| true);
    assert_eq!(found[0].message, "these rules set each other off in a circle: `a` → `b` → `a`");
}

#[test]
fn what_can_never_be() {
    let one = |triggers, conditions: &[&str], expected: &[&str]| {
        check(&[rule("a", triggers, conditions, vec![])], expected);
    };
    let hot = || vec![above("x", "y", 28.0)];
    one(hot(), &[], &[]);
    one(vec![numeric("x", "y", Some(5.0), Some(5.0))], &[], &["never a"]);
    one(vec![numeric("x", "y", Some(5.0), Some(9.0))], &[], &[]);
    one(vec![numeric("x", "y", Some(9.0), Some(5.0))], &[], &[]); // outside of both
    one(hot(), &["1 > 2"], &["never a"]);
    one(hot(), &["2 > 1"], &[]);
    one(hot(), &["x.y < 20"], &["never a"]);
    one(hot(), &["x.z < 20 && x.z > 30"], &["never a"]);
    one(hot(), &["x.z < 20", "x.z == 20"], &["never a"]);
    one(hot(), &["x.z < 20 || x.z > 30"], &[]);
    one(vec![above("x", "y", 28.0), above("x", "w", 1.0)], &["x.y < 20"], &[]);
    one(
        vec![TriggerKind::Presence { of: of("x"), status: Status::Offline }],
        &["device.status == 'online'"],
        &["never a"],
    );
    let same = TriggerKind::Changed {
        of: of("x"),
        path: Path::Mode,
        from: Some("manual".into()),
        to: Some("manual".into()),
    };
    one(vec![same], &[], &["never a"]);
    one(vec![cron("0 0 0 1 1 * 2020")], &[], &["never a"]);
    let mut nothing = rule("a", hot(), &[], vec![]);
    let six = Some(TimeOfDay(21_600));
    push(
        &mut nothing.conditions,
        Condition::Time { after: six, before: six, weekdays: Vec::new(), zone: Tz::UTC },
    );
    check(&[nothing], &["never a"]);
}

#[test]
fn unknown_names() {
    let mut broken =
        rule("a", vec![above("greenhuose", "y", 1.0)], &["fan.mode != 'manual'"], vec![run("cool-al")]);
    push(
        &mut broken.actions,
        Action { kind: desired("fna", r#"{"x": "{{ greenhouse.y }}"}"#), on_error: None },
    );
    let good = rule("cool-all", vec![above("greenhouse", "y", 1.0)], &["fan.x"], vec![]);
    push(&mut broken.actions, Action { kind: desired("group:upstairs", "{}"), on_error: None });
    push(&mut broken.actions, Action { kind: desired("group:attic", "{}"), on_error: None });
    let found = analyse(&[&broken, &good], &|id| id == "greenhouse" || id == "fan", &|id| id == "attic");
    let messages: Vec<_> = found.iter().map(|warning| (warning.code, warning.message.as_str())).collect();
    assert_eq!(
        messages,
        [
            ("unknown_device", "unknown device `fna`; did you mean `fan`?"),
            ("unknown_device", "unknown device `greenhuose`; did you mean `greenhouse`?"),
            ("unknown_group", "there is no group `upstairs`"),
            ("unknown_rule", "there is no rule `cool-al`; did you mean `cool-all`?"),
        ]
    );
}

/// The rules of the documentation, and those that are shipped as examples: there are no warnings about them.
#[test]
fn the_examples_are_as_they_should_be() {
    let mut cool = rule(
        "greenhouse-cool",
        vec![above("greenhouse", "temperature", 28.0)],
        &["fan.mode != \"manual\""],
        vec![command("fan", r#"{"power": "on", "speed": 80}"#), raise("greenhouse-hot")],
    );
    push(
        &mut cool.conditions,
        Condition::Any(vec![
            Condition::Expression(Expression::compile("greenhouse.temperature.quality == \"good\"").unwrap()),
            Condition::Expression(Expression::compile("greenhouse.override == true").unwrap()),
        ]),
    );
    let clear = ActionKind::Clear(ClearAction { alarm_type: "greenhouse-hot".into(), of: None });
    cool.on_release = vec![
        Action { kind: desired("fan", r#"{"power": "off"}"#), on_error: None },
        Action { kind: clear, on_error: None },
    ]
    .into();
    let night = rule(
        "night-setback",
        vec![cron("0 30 22 * * Mon-Fri")],
        &["home.occupied == false"],
        vec![desired("type:thermostat", r#"{"setpoint": 17}"#)],
    );
    let morning = rule(
        "morning",
        vec![cron("0 0 6 * * Mon-Fri")],
        &[],
        vec![desired("type:thermostat", r#"{"setpoint": 21}"#)],
    );
    let leak = rule(
        "leak",
        vec![changed("leak-*", "wet", Some("true"))],
        &[],
        vec![command("valve", r#"{"open": false}"#)],
    );
    let silent = rule(
        "silent",
        vec![TriggerKind::Presence { of: of("sensor-*"), status: Status::Offline }],
        &[],
        vec![raise("silent")],
    );
    check(&[cool, night, morning, leak, silent], &[]);
}

#[test]
fn ten_thousand_rules_are_looked_at_in_no_time() {
    let rules: Vec<Rule> = (0..10_000)
        .map(|n| {
            let (sensor, fan) = (format!("s{}", n % 5_000), format!("fan{}", n % 5_000));
            let value = if n < 5_000 { r#"{"power": "on"}"# } else { r#"{"power": "off"}"# };
            let what = vec![desired(&fan, value), command(&fan, value), desired("fan*", r#"{"level": 1}"#)];
            rule(&format!("r{n}"), vec![above(&sensor, "t", 20.0)], &[&format!("{sensor}.t2 > 3")], what)
        })
        .collect();
    let rules: Vec<&Rule> = rules.iter().collect();
    let start = Instant::now();
    let found = analyse(&rules, &|_| true, &|_| true);
    println!("10,000 rules: {:?}, {} warnings", start.elapsed(), found.len());
    assert_eq!(found.len(), MOST_WARNINGS);
    assert!(found.iter().all(|warning| warning.code == "conflict"));
}

#[test]
fn rules_that_are_off_give_no_warnings() {
    let id = |text: &str| RuleId::parse(text).unwrap();
    let warning = |code, rules: &[&str]| Warning::new(code, rules.iter().map(|rule| id(rule)), "…");
    let off = |rule: &RuleId| rule.as_str() != "off";
    let about = |warnings: Vec<Warning>| -> Vec<(&str, Vec<String>)> {
        let rules = |warning: &Warning| warning.rules.iter().map(ToString::to_string).collect();
        warnings.iter().map(|warning| (warning.code, rules(warning))).collect()
    };
    let told = of_running(
        vec![
            warning("unknown_device", &["off"]),
            warning("unknown_device", &["a", "off"]),
            warning("conflict", &["a", "off"]),
            warning("conflict", &["a", "b"]),
            warning("circle", &["a", "b", "off"]),
        ],
        &off,
    );
    assert_eq!(
        about(told),
        [("unknown_device", vec!["a".to_owned()]), ("conflict", vec!["a".to_owned(), "b".to_owned()])]
    );
}
