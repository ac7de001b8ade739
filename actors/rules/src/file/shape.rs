//! The shape of rule files: the tables by which files are checked and of which the JSON Schema is made.
mod test;
mod trigger;

pub(crate) use test::*;
pub(crate) use trigger::*;

use crate::action::{ACTIONS, BRANCH, UNTIL};

/// A map with these keys and no others.
#[derive(Debug)]
pub(crate) struct MapShape {
    /// Its name in the schema.
    pub name: &'static str,
    /// Its name in messages: `a numeric trigger`.
    pub what: &'static str,
    pub fields: &'static [KeyShape],
}

/// A key and its allowed values.
#[derive(Debug)]
pub(crate) struct KeyShape {
    pub key: &'static str,
    pub kind: ValueKind,
    pub needed: bool,
    pub about: &'static str,
}

/// The kinds of values at a key. Null is nothing, everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueKind {
    /// Any text; a number or a boolean is taken as it is written.
    Text,
    /// A name of a rule or a webhook.
    Name,
    Bool,
    Number,
    /// A whole number from and to.
    Whole(i64, i64),
    /// A duration of 1 ms to 366 days.
    Duration,
    /// The same, or 0: waiting for nothing makes sense there.
    Offset,
    /// A moment, RFC 3339.
    Moment,
    /// `22:30` or `22:30:15`.
    TimeOfDay,
    /// `Mon-Fri`, `Sat,Sun`, or a list of days.
    Weekdays,
    /// An IANA name.
    Zone,
    Cron,
    /// One of these.
    Word(&'static [&'static str]),
    /// One of these or a list of them.
    Words(&'static [&'static str]),
    /// Any document.
    Json,
    /// Any map.
    Object,
    /// A selector of devices.
    Selector,
    /// `pump.temperature`, or which devices and which property.
    Place,
    /// A text to be filled in.
    Template,
    /// Texts to be filled in, by name.
    Headers,
    /// One or a list, as in all the following.
    Triggers,
    Conditions,
    /// One alone.
    Condition,
    Actions,
    Branches,
    /// A condition, or `until` and `timeout`.
    Wait,
    Rules,
    Tests,
    /// Values of twins by `device.property`.
    Facts,
    /// The steps of a test: one step or a list of steps.
    Steps,
    Expect,
    /// A map of this shape.
    Map(&'static MapShape),
}

pub(crate) const fn may(key: &'static str, kind: ValueKind, about: &'static str) -> KeyShape {
    KeyShape { key, kind, needed: false, about }
}

pub(crate) const fn must(key: &'static str, kind: ValueKind, about: &'static str) -> KeyShape {
    KeyShape { key, kind, needed: true, about }
}

/// The field that every action may have.
pub(crate) const ACTION_ON_ERROR: KeyShape = may(
    "on_error",
    ValueKind::Word(ON_ERROR),
    "Whether the run goes on where this fails; without it as the rule says.",
);

pub(crate) const SEVERITIES: &[&str] = &["info", "warning", "minor", "major", "critical"];
pub(crate) const KINDS: &[&str] = &["telemetry", "twin", "command", "presence", "alarm", "rule"];
pub(crate) const STATUSES: &[&str] = &[
    "pending",
    "sent",
    "delivered",
    "executed",
    "failed",
    "rejected",
    "expired",
    "timed_out",
    "canceled",
    "superseded",
];
const ON_ERROR: &[&str] = &["stop", "continue"];
const ACROSS: &[&str] = &["hold", "restart"];
const ALARM_STEPS: &[&str] = &["raised", "cleared", "acknowledged"];
pub(crate) const MODES: &[&str] = &["manual", "schedule"];

pub(crate) static FILE: MapShape = MapShape {
    name: "file",
    what: "a rule file",
    fields: &[
        may("version", ValueKind::Whole(1, 1), "The format's version: 1."),
        may(
            "timezone",
            ValueKind::Zone,
            "Whose clock the rules go by, such as Europe/Berlin; without it UTC.",
        ),
        may("rules", ValueKind::Rules, "The rules by their ids."),
    ],
};

pub(crate) static RULE: MapShape = MapShape {
    name: "rule",
    what: "a rule",
    fields: &[
        may("id", ValueKind::Name, "The rule's name: in a file its key, in the API needed."),
        may("alias", ValueKind::Text, "What people call it."),
        may("description", ValueKind::Text, "What it is for."),
        may("enabled", ValueKind::Bool, "Whether it runs; true without it."),
        may("timezone", ValueKind::Zone, "Whose clock it goes by; without it the file's."),
        may(
            "mode",
            ValueKind::Word(&["single", "restart", "queued", "parallel"]),
            "What a trigger does while the rule still runs for the same device: passed over (single), begins anew (restart), waits (queued), runs beside (parallel).",
        ),
        may(
            "max",
            ValueKind::Whole(1, 100),
            "How many runs may run (parallel) or wait (queued); 10 without it.",
        ),
        may(
            "priority",
            ValueKind::Whole(-1000, 1000),
            "While a rule of a higher priority holds a property, one of a lower does not write it; 0 without it.",
        ),
        may("even_in_manual", ValueKind::Bool, "It drives devices in manual mode too."),
        may("cooldown", ValueKind::Offset, "How long it rests after a run, for each device; 0s: not at all."),
        may("breaker", ValueKind::Map(&BREAKER), "More runs than these for one device stop the rule."),
        may(
            "on_error",
            ValueKind::Word(ON_ERROR),
            "What an action that fails does to those after it: stop (without it) or continue.",
        ),
        may(
            "triggers",
            ValueKind::Triggers,
            "What fires it. Without any it runs by hand or by another rule.",
        ),
        may("conditions", ValueKind::Conditions, "All must hold."),
        must("actions", ValueKind::Actions, "What it does, in order."),
        may("on_release", ValueKind::Actions, "What it does when what fired it is over."),
        may("tests", ValueKind::Tests, "What it must do; run by `twinhub rules test`."),
    ],
};

pub(crate) static BREAKER: MapShape = MapShape {
    name: "breaker",
    what: "a breaker",
    fields: &[
        may("runs", ValueKind::Whole(1, 10_000), "So many runs; 60 without it."),
        may("within", ValueKind::Duration, "Within this time; 10s without it."),
    ],
};

/// A property of devices, the long way.
pub(crate) static PLACE: MapShape = MapShape {
    name: "place",
    what: "a place in a twin",
    fields: &[
        must("device", ValueKind::Selector, "Which devices."),
        must("property", ValueKind::Text, "Which property; deeper members by dots."),
    ],
};

/// Devices by what they are.
pub(crate) static WHERE: MapShape = MapShape {
    name: "devices",
    what: "a choice of devices",
    fields: &[
        may("group", ValueKind::Text, "Those of this group, and of all under it."),
        may("type", ValueKind::Text, "Those of this type."),
        may("tag", ValueKind::Object, "Those with these tags."),
        may("tags", ValueKind::Object, "The same."),
        may("template", ValueKind::Text, "Those that have this template."),
    ],
};

/// The conditions that are no expression.
pub(crate) static CONDITIONS: [&MapShape; 4] = [&TIMED, &ALL, &ANY, &NOT];

pub(crate) static TIMED: MapShape = MapShape {
    name: "time_condition",
    what: "a condition",
    fields: &[must("time", ValueKind::Map(&TIME), "The time of day.")],
};

pub(crate) static TIME: MapShape = MapShape {
    name: "time",
    what: "a time condition",
    fields: &[
        may("after", ValueKind::TimeOfDay, "From then on."),
        may("before", ValueKind::TimeOfDay, "Up to then; over midnight where it is earlier than `after`."),
        may("weekdays", ValueKind::Weekdays, "On these days."),
        may("timezone", ValueKind::Zone, "Whose clock it goes by; without it the rule's."),
    ],
};

pub(crate) static ALL: MapShape = MapShape {
    name: "all_condition",
    what: "a condition",
    fields: &[must("all", ValueKind::Conditions, "All of them hold.")],
};

pub(crate) static ANY: MapShape = MapShape {
    name: "any_condition",
    what: "a condition",
    fields: &[must("any", ValueKind::Conditions, "One of them holds.")],
};

pub(crate) static NOT: MapShape = MapShape {
    name: "not_condition",
    what: "a condition",
    fields: &[must("not", ValueKind::Condition, "It does not hold.")],
};

/// All of them but the actions, which [`ACTIONS`] lists.
static SHAPES: &[&MapShape] = &[
    &FILE,
    &RULE,
    &BREAKER,
    &NUMERIC,
    &CHANGED,
    &EVENT,
    &PRESENCE,
    &COMMANDED,
    &ALARMED,
    &CRON,
    &EVERY,
    &MQTT,
    &WEBHOOK,
    &PLACE,
    &WHERE,
    &TIMED,
    &TIME,
    &ALL,
    &ANY,
    &NOT,
    &UNTIL,
    &BRANCH,
    &TEST,
    &STEP,
    &REPORTED,
    &STEP_MQTT,
    &STEP_WEBHOOK,
    &STEP_ALARM,
    &STEP_COMMAND,
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static MapShape> {
    SHAPES.iter().chain(ACTIONS).copied()
}

impl MapShape {
    /// The field of this key.
    pub fn field(&self, key: &str) -> Option<&'static KeyShape> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The key word by which it is known among others: the first.
    pub fn word(&self) -> &'static str {
        self.fields.first().map_or("", |field| field.key)
    }
}
