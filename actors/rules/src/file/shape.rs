//! The shape of rule files: the tables by which files are checked and of which the JSON Schema is made.
mod test;
mod trigger;

pub(crate) use test::*;
pub(crate) use trigger::*;

use crate::action::{ACTIONS, BRANCH, UNTIL};

/// A map with these keys and no others.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name in the schema.
    pub name: &'static str,
    /// Its name in messages: `a numeric trigger`.
    pub what: &'static str,
    pub fields: &'static [Field],
}

/// A key and its allowed values.
#[derive(Debug)]
pub(crate) struct Field {
    pub key: &'static str,
    pub kind: Kind,
    pub needed: bool,
    pub about: &'static str,
}

/// The kinds of values at a key. Null is nothing, everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
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
    Map(&'static Shape),
}

pub(crate) const fn may(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { key, kind, needed: false, about }
}

pub(crate) const fn must(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { key, kind, needed: true, about }
}

/// The field that every action may have.
pub(crate) const ACTION_ON_ERROR: Field = may(
    "on_error",
    Kind::Word(ON_ERROR),
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

pub(crate) static FILE: Shape = Shape {
    name: "file",
    what: "a rule file",
    fields: &[
        may("version", Kind::Whole(1, 1), "The format's version: 1."),
        may("timezone", Kind::Zone, "Whose clock the rules go by, such as Europe/Berlin; without it UTC."),
        may("rules", Kind::Rules, "The rules by their ids."),
    ],
};

pub(crate) static RULE: Shape = Shape {
    name: "rule",
    what: "a rule",
    fields: &[
        may("id", Kind::Name, "The rule's name: in a file its key, in the API needed."),
        may("alias", Kind::Text, "What people call it."),
        may("description", Kind::Text, "What it is for."),
        may("enabled", Kind::Bool, "Whether it runs; true without it."),
        may("timezone", Kind::Zone, "Whose clock it goes by; without it the file's."),
        may(
            "mode",
            Kind::Word(&["single", "restart", "queued", "parallel"]),
            "What a trigger does while the rule still runs for the same device: passed over (single), begins anew (restart), waits (queued), runs beside (parallel).",
        ),
        may("max", Kind::Whole(1, 100), "How many runs may run (parallel) or wait (queued); 10 without it."),
        may(
            "priority",
            Kind::Whole(-1000, 1000),
            "While a rule of a higher priority holds a property, one of a lower does not write it; 0 without it.",
        ),
        may("even_in_manual", Kind::Bool, "It drives devices in manual mode too."),
        may("cooldown", Kind::Offset, "How long it rests after a run, for each device; 0s: not at all."),
        may("breaker", Kind::Map(&BREAKER), "More runs than these for one device stop the rule."),
        may(
            "on_error",
            Kind::Word(ON_ERROR),
            "What an action that fails does to those after it: stop (without it) or continue.",
        ),
        may("triggers", Kind::Triggers, "What fires it. Without any it runs by hand or by another rule."),
        may("conditions", Kind::Conditions, "All must hold."),
        must("actions", Kind::Actions, "What it does, in order."),
        may("on_release", Kind::Actions, "What it does when what fired it is over."),
        may("tests", Kind::Tests, "What it must do; run by `twinhub rules test`."),
    ],
};

pub(crate) static BREAKER: Shape = Shape {
    name: "breaker",
    what: "a breaker",
    fields: &[
        may("runs", Kind::Whole(1, 10_000), "So many runs; 60 without it."),
        may("within", Kind::Duration, "Within this time; 10s without it."),
    ],
};

/// A property of devices, the long way.
pub(crate) static PLACE: Shape = Shape {
    name: "place",
    what: "a place in a twin",
    fields: &[
        must("device", Kind::Selector, "Which devices."),
        must("property", Kind::Text, "Which property; deeper members by dots."),
    ],
};

/// Devices by what they are.
pub(crate) static WHERE: Shape = Shape {
    name: "devices",
    what: "a choice of devices",
    fields: &[
        may("group", Kind::Text, "Those of this group, and of all under it."),
        may("type", Kind::Text, "Those of this type."),
        may("tag", Kind::Object, "Those with these tags."),
        may("tags", Kind::Object, "The same."),
        may("template", Kind::Text, "Those that have this template."),
    ],
};

/// The conditions that are no expression.
pub(crate) static CONDITIONS: [&Shape; 4] = [&TIMED, &ALL, &ANY, &NOT];

pub(crate) static TIMED: Shape = Shape {
    name: "time_condition",
    what: "a condition",
    fields: &[must("time", Kind::Map(&TIME), "The time of day.")],
};

pub(crate) static TIME: Shape = Shape {
    name: "time",
    what: "a time condition",
    fields: &[
        may("after", Kind::TimeOfDay, "From then on."),
        may("before", Kind::TimeOfDay, "Up to then; over midnight where it is earlier than `after`."),
        may("weekdays", Kind::Weekdays, "On these days."),
        may("timezone", Kind::Zone, "Whose clock it goes by; without it the rule's."),
    ],
};

pub(crate) static ALL: Shape = Shape {
    name: "all_condition",
    what: "a condition",
    fields: &[must("all", Kind::Conditions, "All of them hold.")],
};

pub(crate) static ANY: Shape = Shape {
    name: "any_condition",
    what: "a condition",
    fields: &[must("any", Kind::Conditions, "One of them holds.")],
};

pub(crate) static NOT: Shape = Shape {
    name: "not_condition",
    what: "a condition",
    fields: &[must("not", Kind::Condition, "It does not hold.")],
};

/// All of them but the actions, which [`ACTIONS`] lists.
static SHAPES: &[&Shape] = &[
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
pub(crate) fn all() -> impl Iterator<Item = &'static Shape> {
    SHAPES.iter().chain(ACTIONS).copied()
}

impl Shape {
    /// The field of this key.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// The key word by which it is known among others: the first.
    pub fn word(&self) -> &'static str {
        self.fields.first().map_or("", |field| field.key)
    }
}
