//! Expressions as tables: their values, unknowns with their reasons, and refusals with their places.

mod cel;
mod filter;
mod guard;
mod logic;
mod size;

use super::*;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::{Cause, DeviceNumber, Input, payload};

/// Some twins, at a time: seconds after [`START`].
pub struct TestTwins {
    twins: Vec<Twin>,
    pub trigger: Object,
    pub now: Timestamp,
    pub device: Option<DeviceId>,
}

/// Sunday, 2026-03-01T06:00:00Z.
pub const START: i64 = 1_772_344_800_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START + seconds * 1_000)
}

fn object(text: &str) -> Object {
    payload::object(text.as_bytes()).unwrap()
}

impl Twins for TestTwins {
    fn twin(&self, id: &str) -> Option<&Twin> {
        self.twins.iter().find(|twin| twin.id.as_str() == id)
    }
}

impl TestTwins {
    /// `pump` (online, full of values), `pump-1`, `fan` (registered, never heard); `pump` fired.
    pub fn new() -> Self {
        let mut world = Self {
            twins: Vec::new(),
            trigger: object(
                r#"{"value": 23.50, "previous": 20, "device": "pump", "at": "2026-03-01T06:00:00Z",
                    "payload": {"on": true, "list": [1, 2, 3]}}"#,
            ),
            now: at(600),
            device: Some(DeviceId::parse("pump").unwrap()),
        };
        let said = r#"{"power": "on", "speed": 80, "exact": 5.0, "temperature": 28.5, "open": false, "big": 12345678901,
            "motor": {"rpm": 1200, "parts": {"fan": true}}, "list": [3, 4.5, "x"], "long": "23.50"}"#;
        world.report("pump", said);
        world.telemetry(
            "pump",
            r#"{"sensor_readings": [{"sensor_type": "humidity", "value": 61.20,
            "quality_score": 40}, {"sensor_type": "axis.x", "value": 7}]}"#,
        );
        world.report("pump-1", r#"{"power": true}"#);
        world.input(
            "fan",
            Input::Register(Box::new(Registration {
                patch: object(
                    r#"{"name": "Fan", "type": "fan", "group_id": "attic", "tags": {"floor": 2},
                "configuration": {"limits": {"top": 3}}}"#,
                ),
            })),
        );
        let patch = [("desired", Json::from(object(r#"{"power": "off"}"#)))].into_iter().collect();
        world.input("fan", Input::Change(Box::new(Change { patch })));
        world
    }

    pub fn report(&mut self, id: &str, patch: &str) {
        self.input(id, Input::Report(object(patch)));
    }

    fn telemetry(&mut self, id: &str, text: &str) {
        self.input(id, Input::Telemetry(payload::telemetry(text.as_bytes()).unwrap()));
    }

    fn input(&mut self, id: &str, input: Input) {
        if self.twin(id).is_none() {
            let number = DeviceNumber(i64::try_from(self.twins.len()).unwrap() + 1);
            self.twins.push(Twin::new(DeviceId::parse(id).unwrap(), number, at(0)));
        }
        let twin = self.twins.iter_mut().find(|twin| twin.id.as_str() == id).unwrap();
        twin.apply(input, at(0), &Cause::hub()).unwrap();
    }

    pub fn scope(&self) -> EvaluationScope<'_> {
        EvaluationScope { twins: self, now: self.now, trigger: &self.trigger, device: self.device.as_ref() }
    }

    pub fn verdict(&self, text: &str) -> Evaluated {
        let expression = compile(text);
        let (scope, compiled) = (self.scope(), &expression.0);
        let verdict = expression.evaluate(&scope);
        // Where nothing is written down, it comes to the same.
        let quiet = Evaluation::quiet(&compiled.text, &scope).condition(&compiled.root);
        assert_eq!(quiet, verdict.holds, "{text}");
        verdict
    }
}

fn compile(text: &str) -> Expression {
    Expression::compile(text).unwrap_or_else(|bad| panic!("{text}: {bad:?}"))
}

#[test]
fn holds_or_not() {
    let world = TestTwins::new();
    let check = |text: &str, expected: bool| {
        let verdict = world.verdict(text);
        assert_eq!(verdict.holds, Some(expected), "{text}: {:?}", verdict.terms);
    };
    check(r#"pump.power == "on""#, true);
    check("pump.power == 'off'", false);
    check("pump.temperature > 28", true);
    check("pump.temperature > 28.5", false);
    check("28 < pump.temperature", true);
    check("pump.exact == 5 && 5.0 == pump.exact && pump.speed == 80.0", true);
    check("pump.big == 12345678901", true);
    check("!pump.open", true);
    check("twin['pump-1'].power", true);
    check(r#"twin["pump"]["power"] == "on""#, true);
    check(
        "pump.speed + 0.5 == 80.5 && pump.speed / 3 > 26 && 5 / 2 == 2.5 && 6 / 2 == 3 && 7 % 4 == 3",
        true,
    );
    check("-pump.speed < -79 && 9223372036854775807 > 0 && -9223372036854775808 < 0", true);
    // Everything of a twin.
    check("pump.reported.power == 'on' && fan.desired.power == 'off'", true);
    check("fan.tags.floor == 2 && fan.configuration.limits.top == 3 && fan.name == 'Fan'", true);
    check("fan.type == 'fan' && fan.group_id == 'attic' && fan.id == 'fan' && fan.claimed", true);
    check(
        "pump.status == 'online' && fan.status == 'unknown' && pump.mode != 'manual' && pump.version > 1",
        true,
    );
    check("pump.motor.rpm == 1200 && pump.motor.parts.fan && pump.axis.x == 7", true);
    // Quality and age.
    check("pump.humidity.quality == 'uncertain' && pump.temperature.quality == 'good'", true);
    check("pump.temperature.age == 600 && pump.age == 600 && pump.axis.x.age >= 600", true);
    check(r#"pump.temperature.age > duration("9m59s") && pump.age < duration('601s')"#, true);
    check("pump.temperature.at == pump.last_seen && now - pump.last_seen == duration('10m')", true);
    check(
        "pump.temperature.changed_at < now && '2026-03-01T06:00:00Z' == string(pump.last_seen) || true",
        true,
    );
    // The trigger and the device.
    check(
        "trigger.value > 23 && trigger.previous == 20 && trigger.payload.on && trigger.device == 'pump'",
        true,
    );
    check("trigger.at < now && trigger.payload.list[1] == 2 && device.power == 'on'", true);
    // Is it there?
    check("has(pump.power) && !has(pump.nothing) && !has(nobody.power) && has(trigger.payload.on)", true);
    check("has(pump.motor.rpm) && !has(pump.motor.no) && !has(fan.age) && has(fan.desired.power)", true);
    check("pump.power == null", false);
    // Lists, maps and texts.
    check(
        "pump.power in ['on', 'auto'] && 4.5 in pump.list && 'rpm' in pump.motor && !(9 in pump.list)",
        true,
    );
    check("pump.list.size() == 3 && size('äöü') == 3 && pump.list[0] == 3 && {'a': 1}['a'] == 1", true);
    check("trigger.payload.list.all(x, x < 4) && trigger.payload.list.exists(x, x == 3.0)", true);
    check("trigger.payload.list.map(x, x * 2) == [2, 4, 6] && [1, 2].exists_one(x, x == 1)", true);
    check("trigger.payload.list.filter(x, x > 1).map(y, y + 1) == [3, 4] && max([1, 2.5, 2]) == 2.5", true);
    check("[1, 2, 3].map(x, x > 1, x * 10) == [20, 30] && {'b': 1, 'a': 2}.all(k, k in ['a', 'b'])", true);
    check("'pump-12'.startsWith('pump') && 'abc'.contains('b') && 'abc'.matches('^a.c$')", true);
    check(r#"r'a\b' == "a\\b" && '''it's''' == "it's" && "\u00e4" == 'ä' && 'a' + 'b' == 'ab'"#, true);
    check("int('5') == 5 && double('2.5') == 2.5 && string(23.5) == '23.5' && bool('true')", true);
    check(
        "round(2.567, 1) == 2.6 && round(2.5) == 3 && abs(-3) == 3 && floor(-0.5) == -1 && min(3, 1) == 1",
        true,
    );
    // Time.
    check("now.getHours() == 6 && now.getHours('Europe/Berlin') == 7 && now.getDayOfWeek() == 0", true);
    check("now > timestamp('2026-03-01T06:09:59Z') && now.getMonth() == 2 && now.getDate() == 1", true);
    check("duration('1h30m') == duration('90m') && duration('90m').getHours() == 1", true);
    check(
        "duration('1h 30m') == duration('PT1H30M') && duration('2 minutes') == duration('-1m') + duration('3m')",
        true,
    );
    // Choices.
    check("(pump.open ? pump.speed : pump.temperature) == 28.5", true);
    check("pump.open ? false : pump.power == 'on'", true);
    check("true // the rest is a remark", true);
}

#[test]
fn unknown_and_why() {
    let world = TestTwins::new();
    let check = |text: &str, why: &str| {
        let verdict = world.verdict(text);
        assert_eq!(verdict.holds, None, "{text}");
        let found: Vec<_> = verdict.terms.iter().filter_map(|term| term.unknown.as_deref()).collect();
        assert_eq!(found, [why], "{text}");
    };
    check("nobody.power == 'on'", "there is no device `nobody`");
    check("fan.power == 'on'", "`fan` has not reported `power`");
    check("pump.desired.power == 'on'", "`pump` has no desired `power`");
    check("pump.tags.floor == 2", "`pump` has no tag `floor`");
    check("fan.last_seen < now", "`fan` has never been heard");
    check("pump.group_id == 'x'", "`pump` has no `group_id`");
    check("trigger.command == 'x'", "what fired this rule has no `command`");
    check("pump.motor.torque > 3", "`pump` has not reported `motor.torque`");
    check("pump.power > 5", "`pump.power` is text, not a number");
    check("pump.power == true", "`pump.power` is text, not true or false");
    check("5 < pump.power", "`pump.power` is text, not a number");
    check("pump.power == pump.speed", "`pump.power` is text and `pump.speed` is a number");
    check("pump.power", "`pump.power` is text, not true or false");
    check("pump.speed + 'x' == 'x'", "`pump.speed` is a number, not text");
    check("-pump.power == 1", "`pump.power` is text, not a number");
    check("pump.speed / 0 > 1", "`pump.speed` with `0`: it divides by zero");
    check("pump.list[7] == 1", "`pump.list` has no item 7");
    check("pump.speed in pump.power", "`pump.power` is text, not a list");
    check(
        "pump.power.startsWith(5)",
        "`pump.power.startsWith(5)` cannot be: `pump.power` is text, `5` is a number",
    );
    check("pump.list.all(x, x > 0)", "`x` is text, not a number");
    check("pump.speed.all(x, true)", "`pump.speed` is a number, not a list");
    check("timestamp(pump.power) < now", "\"on\" is no time");
    check("duration(pump.power) < duration('1s')", "\"on\" is no length of time");
    let mut nobody = TestTwins::new();
    nobody.device = None;
    assert_eq!(
        nobody.verdict("device.power == 'on'").terms[0].unknown.as_deref(),
        Some("no device has fired this rule")
    );
}

#[test]
fn the_terms_say_what_was_seen() {
    let world = TestTwins::new();
    let seen = |text: &str| {
        let terms = world.verdict(text).terms;
        let terms = terms
            .iter()
            .map(|term| format!("{} {} {:?}", term.text, Json::from(term.values.clone()), term.holds));
        terms.collect::<Vec<_>>()
    };
    assert_eq!(
        seen("pump.power == 'on' && (pump.temperature > 30 || !pump.open) && pump.speed > 90"),
        [
            r#"pump.power == 'on' {"pump.power":"on"} Some(true)"#,
            r#"pump.temperature > 30 {"pump.temperature":28.5} Some(false)"#,
            r#"pump.open {"pump.open":false} Some(false)"#,
            r#"pump.speed > 90 {"pump.speed":80} Some(false)"#,
        ]
    );
    // Terms after a settled one are left out; one that is unknown settles nothing.
    assert_eq!(seen("pump.open && pump.power == 'on'"), [r#"pump.open {"pump.open":false} Some(false)"#]);
    assert_eq!(
        seen("fan.power == 'on' && pump.open"),
        ["fan.power == 'on' {} None", r#"pump.open {"pump.open":false} Some(false)"#]
    );
    // Digits stay; what is known of a term that is unknown is shown.
    assert_eq!(
        seen("trigger.value > fan.speed || twin['pump-1'].power"),
        [
            r#"trigger.value > fan.speed {"trigger.value":23.50} None"#,
            r#"twin['pump-1'].power {"twin['pump-1'].power":true} Some(true)"#
        ]
    );
    assert_eq!(
        seen("pump.humidity.age > 5 && now > pump.last_seen"),
        [
            r#"pump.humidity.age > 5 {"pump.humidity.age":600} Some(true)"#,
            r#"now > pump.last_seen {"now":"2026-03-01T06:10:00.000Z","pump.last_seen":"2026-03-01T06:00:00.000Z"} Some(true)"#
        ]
    );
}

#[test]
fn depends_on_what_it_names() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<_> = compile(text)
            .dependencies()
            .iter()
            .map(|dependency| match dependency {
                Dependency::Device(id) => id.to_string(),
                Dependency::TriggerDevice => "*".into(),
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    };
    check("pump.power == 'on' && pump.speed > fan.speed", &["pump", "fan"]);
    check("twin['pump-1'].power || device.open || has(gate.open)", &["pump-1", "*", "gate"]);
    check("trigger.value > 5 && now > timestamp('2026-01-01T00:00:00Z')", &[]);
    check("[1].all(x, x > lamp.level) && x.y", &["lamp", "x"]);
    assert_eq!(compile("1 > 2").constant(), Some(Some(false)));
    assert_eq!(compile("1 > 'a'").constant(), Some(None));
    assert_eq!(compile("pump.power").constant(), None);
}

#[test]
fn facts_are_read_from_it() {
    let facts = |text: &str| {
        compile(text).facts().iter().map(|fact| format!("{} {:?}", fact.path, fact.bound)).collect::<Vec<_>>()
    };
    assert_eq!(
        facts("!(a.x > 5) && b.reported.y"),
        ["x Within { low: None, high: Some((Number(\"5\"), true)) }", "y Is(Bool(true))"]
    );
    assert_eq!(facts("a.x > 5 || a.x < 3"), [""; 0]);
    let excludes = |a: &str, b: &str| compile(a).facts()[0].excludes(&compile(b).facts()[0]);
    assert!(excludes("a.x > 5", "a.x <= 5") && excludes("a.x == 1", "a.x != 1") && excludes("a.x", "!a.x"));
    assert!(excludes("a.x == 4", "5 < a.x") && excludes("a.x == 'on'", "a.x == 'off'"));
    assert!(
        !excludes("a.x >= 5", "a.x <= 5")
            && !excludes("a.x > 1", "b.x < 1")
            && !excludes("a.x > 1", "a.x < 2")
    );
}
