//! A rule's `tests:`.
//!
//! ```yaml
//! tests:
//!   - name: a hot afternoon
//!     start: "2026-07-01T14:00:00+02:00"
//!     initially: { fan.power: "off", fan.mode: schedule, greenhouse.tags.floor: 2 }
//!     given: { greenhouse.temperature: [27, 29, 29], every: 3m }
//!     expect: [ command fan, not stale ]
//!   - given:
//!       - { at: 0, door.open: true }
//!       - { after: 5m, mqtt: { topic: home/alarm, payload: "on" } }
//!       - { down: 2h }
//!     until: 3h
//!     exactly: [ { alarm door-open: { severity: minor }, at: 5m } ]
//! ```
//!
//! A step happens `at` a time after the test's start, or `after` the step before, or with it. Its keys with a dot are a
//! device's reports (`door.open`) or other changes of its twin (`fan.mode`, `fan.status`, `fan.desired.speed`,
//! `fan.tags.floor`, `fan.configuration.x`, `fan.name`, `fan.type`, `fan.group_id`). A list is one value after the
//! other, each `every` time; the step is over with its last. `down` lets the step be over when the hub is up again. See
//! [`Test`] for the rest.

use super::check::{Checker, Map, items};
use super::expect::expected;
use super::node::{YamlNode, YamlValue};
use super::shape::{REPORTED, STEP, STEP_ALARM, STEP_COMMAND, STEP_MQTT, STEP_WEBHOOK, TEST};
use crate::action::longest_ms;
use crate::model::Rule;
use crate::scenario::{GivenEvent, Happening, Test};
use twinhub_domain::alarm::Severity;
use twinhub_domain::duration::LONGEST_MS;
use twinhub_domain::{CommandStatus, DeviceId, Json, Mode, Object, Status, Timestamp};

/// The most tests of a rule.
const MOST: usize = 100;
/// The most events of a test.
const MOST_HAPPENINGS: usize = 10_000;

/// One test or a list of them.
pub(super) fn tests(c: &mut Checker, node: &YamlNode, rule: &Rule) -> Vec<Test> {
    let items = items(node);
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("a rule has {MOST} tests at most"));
        return Vec::new();
    }
    let each = items.iter().enumerate();
    each.filter_map(|(index, item)| test(c, item, index, rule)).collect()
}

fn test(c: &mut Checker, node: &YamlNode, index: usize, rule: &Rule) -> Option<Test> {
    let map = c.map(node, &TEST)?;
    for (one, other) in [("start", "time"), ("initially", "twins"), ("until", "for"), ("expect", "exactly")] {
        if let (Some(_), Some(node)) = (map.get(one), map.get(other)) {
            c.flaw(node, format!("`{one}` and `{other}` say the same thing: one of them is enough"));
        }
    }
    let start = moment(c, &map, "start").or_else(|| moment(c, &map, "time"));
    let mut initially = Vec::new();
    for key in ["initially", "twins"] {
        if let Some(node) = map.get(key) {
            facts(c, node, &mut initially);
        }
    }
    let mut steps = Steps::default();
    for item in map.get("given").map(items).unwrap_or_default() {
        steps.step(c, item);
    }
    let for_ms = c.duration(&map, "for");
    let until_ms = c.duration(&map, "until").unwrap_or_else(|| {
        let more = for_ms.unwrap_or_else(|| longest(rule).saturating_add(steps.every));
        steps.at.saturating_add(more).min(LONGEST_MS)
    });
    let exactly = map.has("exactly");
    let expect = map.get("exactly").or_else(|| map.get("expect"));
    if !map.has("expect") && !map.has("exactly") {
        c.flaw(node, "a test needs `expect` (or `exactly`): what must be done, `[]` for nothing");
    }
    Some(Test {
        name: c.text(&map, "name").map_or_else(|| (index + 1).to_string(), str::to_owned),
        start,
        initially,
        given: steps.in_order(),
        until_ms,
        commands: c.word(&map, "commands").unwrap_or(CommandStatus::Executed),
        expect: expect.map(|node| expected(c, node)).unwrap_or_default(),
        exactly,
    })
}

fn moment(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<Timestamp> {
    let node = map.get(key)?;
    let text = node.as_text().unwrap_or_default();
    let at = Timestamp::parse_calendar(text);
    if at.is_none() {
        c.expected(node, "a time such as 2026-01-01T22:30:00+01:00");
    }
    at
}

/// Reads an event from a map of its own.
type HappeningReader = fn(&mut Checker, &YamlNode) -> Option<Happening>;

/// The steps of a test so far.
#[derive(Default)]
struct Steps {
    /// The end of the last step, in ms.
    at: i64,
    /// The longest `every`.
    every: i64,
    /// The events, each with the number of its step.
    given: Vec<(usize, GivenEvent)>,
    count: usize,
}

impl Steps {
    fn step(&mut self, c: &mut Checker, node: &YamlNode) {
        let Some(entries) = node.as_map() else {
            c.expected(node, "a step: a map such as {after: 5m, door.open: true}");
            return;
        };
        self.count += 1;
        // Entries about devices are apart from the keys of the table.
        let (said, rest): (Vec<_>, Vec<_>) =
            entries.iter().cloned().partition(|(key, _)| key.text.contains('.'));
        let rest = YamlNode { value: YamlValue::Map(rest), ..*node };
        let Some(map) = c.map(&rest, &STEP) else { return };
        if let (Some(_), Some(node)) = (map.get("at"), map.get("after")) {
            c.flaw(node, "say `at` or `after`, not both");
        }
        let begin = match (c.duration(&map, "at"), c.duration(&map, "after")) {
            (Some(at), _) => at,
            (None, after) => self.at.saturating_add(after.unwrap_or(0)),
        };
        if begin < self.at
            && let Some(node) = map.get("at")
        {
            c.flaw(node, "this is before the step before: steps stand in the order of time");
        }
        let every = c.duration(&map, "every");
        self.every = self.every.max(every.unwrap_or(0));
        let mut end = begin;
        for (key, value) in &said {
            let YamlValue::List(values) = &value.value else {
                let happening = fact(c, value, &key.text);
                self.put(c, value, begin, happening);
                continue;
            };
            if every.is_none() && values.len() > 1 {
                c.flaw(value, "a list of values needs `every`: how much time lies between them");
            }
            for (index, value) in values.iter().enumerate() {
                let after = i64::try_from(index).unwrap_or(0).saturating_mul(every.unwrap_or(0));
                let at = begin.saturating_add(after).min(LONGEST_MS);
                let happening = fact(c, value, &key.text);
                if !self.put(c, value, at, happening) {
                    return;
                }
                end = end.max(at);
            }
        }
        self.beyond_devices(c, &map, begin);
        self.at = end.saturating_add(c.duration(&map, "down").unwrap_or(0)).min(LONGEST_MS);
    }

    /// Reads an event that no device reports.
    fn beyond_devices(&mut self, c: &mut Checker, map: &Map<'_>, at: i64) {
        let readers: [(&str, HappeningReader); 5] = [
            ("reported", reported),
            ("mqtt", mqtt),
            ("webhook", webhook),
            ("alarm", alarm),
            ("command", command),
        ];
        for (key, read) in readers {
            if let Some(node) = map.get(key) {
                let happening = read(c, node);
                self.put(c, node, at, happening);
            }
        }
        if let (Some(true), Some(node)) = (c.bool(map, "run"), map.get("run")) {
            self.put(c, node, at, Some(Happening::Run));
        }
        if let (Some(ms), Some(node)) = (c.duration(map, "down"), map.get("down")) {
            self.put(c, node, at, Some(Happening::Down { ms }));
        }
    }

    /// False: there is too much.
    fn put(&mut self, c: &mut Checker, node: &YamlNode, at_ms: i64, what: Option<Happening>) -> bool {
        let Some(what) = what else { return true };
        if self.given.len() == MOST_HAPPENINGS {
            c.flaw(node, format!("{MOST_HAPPENINGS} things happen in a test at most"));
        }
        if self.given.len() >= MOST_HAPPENINGS {
            return false;
        }
        self.given.push((self.count, GivenEvent { at_ms, what }));
        true
    }

    /// By time, then as they were written. A device's reports at one time in one step are one message.
    fn in_order(mut self) -> Vec<GivenEvent> {
        self.given.sort_by_key(|(_, given)| given.at_ms); // stable
        let mut merged: Vec<(usize, GivenEvent)> = Vec::with_capacity(self.given.len());
        for (step, given) in self.given {
            if let Happening::Reported { device, values } = &given.what {
                let same = merged.iter_mut().rev().take_while(|(_, other)| other.at_ms == given.at_ms);
                let message =
                    same.filter(|(other, _)| *other == step).find_map(|(_, given)| match &mut given.what {
                        Happening::Reported { device: other, values } if other == device => Some(values),
                        _ => None,
                    });
                if let Some(message) = message {
                    message.merge(values);
                    continue;
                }
            }
            merged.push((step, given));
        }
        merged.into_iter().map(|(_, given)| given).collect()
    }
}

/// Values by `device.property`, all at once.
fn facts(c: &mut Checker, node: &YamlNode, into: &mut Vec<Happening>) {
    let Some(entries) = node.as_map() else {
        c.expected(node, "values such as {door.open: true}");
        return;
    };
    for (key, value) in entries {
        if !key.text.contains('.') {
            let shown: String = key.text.chars().take(64).collect();
            c.flaw_key(key, format!("expected a device's property such as door.open, found `{shown}`"), None);
            continue;
        }
        into.extend(fact(c, value, &key.text));
    }
}

/// One value of `device.property`.
fn fact(c: &mut Checker, value: &YamlNode, key: &str) -> Option<Happening> {
    let (device, path) = key.split_once('.')?;
    let device = match DeviceId::parse(device) {
        Ok(device) if !path.split('.').any(str::is_empty) => device,
        Ok(_) => {
            c.flaw(value, format!("`{key}` has an empty part between its dots"));
            return None;
        }
        Err(error) => {
            c.flaw(value, format!("`{key}`: {error}"));
            return None;
        }
    };
    let json = value.to_json();
    let patch = |patch: Object| Some(Happening::Twin { device: device.clone(), patch });
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (first, rest) {
        ("status", None) => {
            let status = c.word_of::<Status>(value, &["online", "offline"])?;
            Some(Happening::Status { device, status })
        }
        ("mode", None) => {
            let mode = c.word_of::<Mode>(value, &["manual", "schedule"])?;
            patch([("mode", mode.as_str().into())].into_iter().collect())
        }
        ("name" | "type" | "group_id", None) => patch([(first, json)].into_iter().collect()),
        ("desired" | "tags" | "configuration", Some(rest)) => {
            patch([(first, nested(rest, json).into())].into_iter().collect())
        }
        ("reported", Some(rest)) => Some(Happening::Reported { device, values: nested(rest, json) }),
        _ => Some(Happening::Reported { device, values: nested(path, json) }),
    }
}

/// `a.b` with 5 as `{a: {b: 5}}`.
fn nested(path: &str, value: Json) -> Object {
    match path.split_once('.') {
        Some((first, rest)) => [(first, nested(rest, value).into())].into_iter().collect(),
        None => [(path, value)].into_iter().collect(),
    }
}

fn device(c: &mut Checker, map: &Map<'_>) -> Option<DeviceId> {
    let node = map.get("device")?;
    c.device(node)
}

fn reported(c: &mut Checker, node: &YamlNode) -> Option<Happening> {
    let map = c.map(node, &REPORTED)?;
    let device = device(c, &map);
    let values = super::select::object(c, &map, "values");
    Some(Happening::Reported { device: device?, values: values? })
}

fn mqtt(c: &mut Checker, node: &YamlNode) -> Option<Happening> {
    let map = c.map(node, &STEP_MQTT)?;
    let topic = c.text(&map, "topic")?.into();
    Some(Happening::Mqtt { topic, payload: c.json(&map, "payload").unwrap_or_default() })
}

fn webhook(c: &mut Checker, node: &YamlNode) -> Option<Happening> {
    let map = c.map(node, &STEP_WEBHOOK)?;
    let name = super::select::rule_id(c, &map, "name")?;
    Some(Happening::Webhook { name: name.as_str().into(), body: c.json(&map, "body").unwrap_or_default() })
}

fn alarm(c: &mut Checker, node: &YamlNode) -> Option<Happening> {
    let map = c.map(node, &STEP_ALARM)?;
    let alarm_type = super::select::name(c, &map, "type")?;
    Some(Happening::Alarm {
        device: device(c, &map),
        alarm_type,
        severity: c.word(&map, "severity").unwrap_or(Severity::Warning),
        becomes: c.word(&map, "becomes").unwrap_or_default(),
    })
}

fn command(c: &mut Checker, node: &YamlNode) -> Option<Happening> {
    let map = c.map(node, &STEP_COMMAND)?;
    let device = device(c, &map);
    let command_type = super::select::name(c, &map, "type");
    let status = c.word(&map, "status");
    Some(Happening::Command { device: device?, command_type, status: status? })
}

/// The longest time from a rule's last event to its last effect, in ms: its longest `for` and `every`, and the waits of
/// its actions.
fn longest(rule: &Rule) -> i64 {
    use crate::model::TriggerKind;
    let of_triggers = rule.triggers.iter().map(|trigger| match trigger.kind {
        TriggerKind::Every { every_ms } => every_ms,
        _ => trigger.for_ms.unwrap_or(0),
    });
    of_triggers
        .max()
        .unwrap_or(0)
        .saturating_add(longest_ms(&rule.actions))
        .saturating_add(longest_ms(&rule.on_release))
}
