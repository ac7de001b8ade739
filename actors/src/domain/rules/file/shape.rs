//! What may stand where: the tables by which files are checked and of which the JSON Schema is made.

/// A map with these keys and no others.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its name in the schema.
    pub name: &'static str,
    /// What it is, in messages: `a numeric trigger`.
    pub what: &'static str,
    pub fields: &'static [Field],
}

/// A key and what may stand there.
#[derive(Debug)]
pub(super) struct Field {
    pub key: &'static str,
    pub kind: Kind,
    pub needed: bool,
    pub about: &'static str,
}

/// What may stand at a key. Null is nothing, everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any text; a number or a boolean is taken as it is written.
    Text,
    /// A name of a rule or a webhook.
    Name,
    Bool,
    Number,
    /// A whole number from and to.
    Whole(i64, i64),
    /// `30s`, `5m`, `1h`; at most 366 days.
    Duration,
    /// The same, or 0.
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
    /// Which devices.
    Selector,
    /// `pump.temperature`, or which devices and which property.
    Place,
    /// A text to be filled in.
    Template,
    /// Texts to be filled in, by name.
    Headers,
    /// One or a list, as with all that follow.
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
    /// What happens: one step or a list of steps.
    Steps,
    Expect,
    /// A map of this shape.
    Map(&'static Shape),
}

const fn may(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { key, kind, needed: false, about }
}

const fn must(key: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { key, kind, needed: true, about }
}

pub(super) const SEVERITIES: &[&str] = &["info", "warning", "minor", "major", "critical"];
pub(super) const KINDS: &[&str] = &["telemetry", "twin", "command", "presence", "alarm", "rule"];
pub(super) const STATUSES: &[&str] = &[
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
const MODES: &[&str] = &["manual", "schedule"];

pub(super) static FILE: Shape = Shape {
    name: "file",
    what: "a rule file",
    fields: &[
        may("version", Kind::Whole(1, 1), "The format's version: 1."),
        may("timezone", Kind::Zone, "Whose clock the rules go by, such as Europe/Berlin; without it UTC."),
        may("rules", Kind::Rules, "The rules by their ids."),
    ],
};

pub(super) static RULE: Shape = Shape {
    name: "rule",
    what: "a rule",
    fields: &[
        may("id", Kind::Name, "The rule's name: in a file the key that it stands under, in the API needed."),
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
        may("cooldown", Kind::Duration, "How long it rests after a run, for each device."),
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

pub(super) static BREAKER: Shape = Shape {
    name: "breaker",
    what: "a breaker",
    fields: &[
        may("runs", Kind::Whole(1, 10_000), "So many runs; 60 without it."),
        may("within", Kind::Duration, "Within this time; 10s without it."),
    ],
};

const TRIGGER_ID: Field = may("id", Kind::Text, "What conditions and messages call it: trigger.id.");
const FOR: Field = may("for", Kind::Duration, "It must stay so for this long. It survives restarts.");
const ACROSS_DOWNTIME: Field = may(
    "across_downtime",
    Kind::Word(ACROSS),
    "What becomes of `for` while the hub is down: it goes on (hold, without it) or begins again (restart).",
);

/// The triggers, each with its key word first.
pub(super) static TRIGGERS: [&Shape; 10] =
    [&NUMERIC, &CHANGED, &EVENT, &PRESENCE, &COMMANDED, &ALARMED, &CRON, &EVERY, &MQTT, &WEBHOOK];

pub(super) static NUMERIC: Shape = Shape {
    name: "numeric_trigger",
    what: "a numeric trigger",
    fields: &[
        must("numeric", Kind::Place, "A number that devices report, such as greenhouse.temperature."),
        may(
            "above",
            Kind::Number,
            "Fires when the number is greater. With `below`: between them, or outside where `above` is the greater.",
        ),
        may("below", Kind::Number, "Fires when the number is less."),
        may("release", Kind::Number, "Armed again only when it has come back this far."),
        may("max_age", Kind::Duration, "Older values fire nothing."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(super) static CHANGED: Shape = Shape {
    name: "changed_trigger",
    what: "a changed trigger",
    fields: &[
        must(
            "changed",
            Kind::Place,
            "Something in a twin: door.open, fan.mode, fan.desired.speed, fan.tags.floor.",
        ),
        may("from", Kind::Json, "What it was."),
        may("to", Kind::Json, "What it becomes."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(super) static EVENT: Shape = Shape {
    name: "event_trigger",
    what: "an event trigger",
    fields: &[
        must(
            "event",
            Kind::Words(&["any", "telemetry", "twin", "command", "presence", "alarm", "rule"]),
            "The kinds of events.",
        ),
        may("device", Kind::Selector, "Whose; without it everybody's."),
        may("data", Kind::Object, "Members that the event's data must have."),
        TRIGGER_ID,
    ],
};

pub(super) static PRESENCE: Shape = Shape {
    name: "presence_trigger",
    what: "a presence trigger",
    fields: &[
        must("presence", Kind::Selector, "Who comes or goes."),
        must("becomes", Kind::Word(&["online", "offline"]), "Which of the two."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(super) static COMMANDED: Shape = Shape {
    name: "command_trigger",
    what: "a command trigger",
    fields: &[
        must("command", Kind::Selector, "Whose command it is."),
        may("type", Kind::Text, "What was asked for; without it anything."),
        may(
            "status",
            Kind::Words(STATUSES),
            "What it comes to; without it what is no success: failed, rejected, expired, timed_out.",
        ),
        TRIGGER_ID,
    ],
};

pub(super) static ALARMED: Shape = Shape {
    name: "alarm_trigger",
    what: "an alarm trigger",
    fields: &[
        must("alarm", Kind::Text, "The alarm's type, or `any`."),
        may("severity", Kind::Word(SEVERITIES), "This bad or worse."),
        may("becomes", Kind::Word(ALARM_STEPS), "What becomes of it; without it raised."),
        may("device", Kind::Selector, "Whose; without it everybody's, and rules' own."),
        TRIGGER_ID,
    ],
};

pub(super) static CRON: Shape = Shape {
    name: "cron_trigger",
    what: "a cron trigger",
    fields: &[
        must("cron", Kind::Cron, "Five to seven fields, or a name such as @daily."),
        may("timezone", Kind::Zone, "Whose clock it goes by; without it the rule's."),
        may(
            "missed",
            Kind::Word(&["skip", "run_once", "run_all"]),
            "What is done about times that passed while the hub was down; without it skip.",
        ),
        may("missed_within", Kind::Duration, "Only about those no longer ago than this."),
        TRIGGER_ID,
    ],
};

pub(super) static EVERY: Shape = Shape {
    name: "every_trigger",
    what: "an every trigger",
    fields: &[must("every", Kind::Duration, "Again and again after this time; at least 1s."), TRIGGER_ID],
};

pub(super) static MQTT: Shape = Shape {
    name: "mqtt_trigger",
    what: "an mqtt trigger",
    fields: &[
        must("mqtt", Kind::Text, "A topic, with + and # as in MQTT."),
        may("payload", Kind::Json, "What the message must be."),
        TRIGGER_ID,
    ],
};

pub(super) static WEBHOOK: Shape = Shape {
    name: "webhook_trigger",
    what: "a webhook trigger",
    fields: &[must("webhook", Kind::Name, "Its name in /api/automation/webhooks/{name}."), TRIGGER_ID],
};

/// A property of devices, the long way.
pub(super) static PLACE: Shape = Shape {
    name: "place",
    what: "a place in a twin",
    fields: &[
        must("device", Kind::Selector, "Which devices."),
        must("property", Kind::Text, "Which property; deeper members by dots."),
    ],
};

/// Devices by what they are.
pub(super) static WHERE: Shape = Shape {
    name: "devices",
    what: "a choice of devices",
    fields: &[
        may("group", Kind::Text, "Those of this group."),
        may("type", Kind::Text, "Those of this type."),
        may("tag", Kind::Object, "Those with these tags."),
        may("tags", Kind::Object, "The same."),
    ],
};

/// The conditions that are no expression.
pub(super) static CONDITIONS: [&Shape; 4] = [&TIMED, &ALL, &ANY, &NOT];

pub(super) static TIMED: Shape = Shape {
    name: "time_condition",
    what: "a condition",
    fields: &[must("time", Kind::Map(&TIME), "The time of day.")],
};

pub(super) static TIME: Shape = Shape {
    name: "time",
    what: "a time condition",
    fields: &[
        may("after", Kind::TimeOfDay, "From then on."),
        may("before", Kind::TimeOfDay, "Up to then; over midnight where it is earlier than `after`."),
        may("weekdays", Kind::Weekdays, "On these days."),
        may("timezone", Kind::Zone, "Whose clock it goes by; without it the rule's."),
    ],
};

pub(super) static ALL: Shape = Shape {
    name: "all_condition",
    what: "a condition",
    fields: &[must("all", Kind::Conditions, "All of them hold.")],
};

pub(super) static ANY: Shape = Shape {
    name: "any_condition",
    what: "a condition",
    fields: &[must("any", Kind::Conditions, "One of them holds.")],
};

pub(super) static NOT: Shape = Shape {
    name: "not_condition",
    what: "a condition",
    fields: &[must("not", Kind::Condition, "It does not hold.")],
};

const ACTION_ON_ERROR: Field = may(
    "on_error",
    Kind::Word(ON_ERROR),
    "Whether the run goes on where this fails; without it as the rule says.",
);

/// The actions, each with its key word first.
pub(super) static ACTIONS: [&Shape; 14] = [
    &COMMAND, &DESIRED, &MODE, &ALARM, &CLEAR, &PUBLISH, &REQUEST, &DELAY, &WAIT, &CHOOSE, &RUN, &ENABLE,
    &DISABLE, &LOG,
];

pub(super) static COMMAND: Shape = Shape {
    name: "command_action",
    what: "a command action",
    fields: &[
        must("command", Kind::Selector, "Who is to do something."),
        must("type", Kind::Text, "What."),
        may("parameters", Kind::Object, "With what; texts may be templates."),
        may("ttl", Kind::Duration, "How long a device may still get it; 24h without it."),
        may("timeout", Kind::Duration, "How long an answer to each attempt is waited for; 30s without it."),
        may("priority", Kind::Whole(0, 9), "Higher ones go first; 5 without it."),
        may("max_attempts", Kind::Whole(1, 20), "3 without it."),
        may("supersedes", Kind::Text, "Of those that wait with the same key only the newest is kept."),
        may("confirm", Kind::Duration, "The next action waits this long for it to be done."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static DESIRED: Shape = Shape {
    name: "desired_action",
    what: "a desired action",
    fields: &[
        must("desired", Kind::Selector, "Who is to come to another state."),
        must("set", Kind::Object, "Merged onto what is desired; texts may be templates."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static MODE: Shape = Shape {
    name: "mode_action",
    what: "a mode action",
    fields: &[
        must("mode", Kind::Selector, "Whose mode it is."),
        must(
            "to",
            Kind::Word(MODES),
            "Who drives the device: people (manual), or schedules and rules (schedule).",
        ),
        may("for", Kind::Duration, "After this time it is as it was."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static ALARM: Shape = Shape {
    name: "alarm_action",
    what: "an alarm action",
    fields: &[
        must("alarm", Kind::Text, "The alarm's type; of one device and type there is one."),
        may("severity", Kind::Word(SEVERITIES), "How bad it is; warning without it."),
        may("message", Kind::Template, "What people read; without it the type."),
        may("device", Kind::Selector, "Whose; without it the device that fired the rule."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static CLEAR: Shape = Shape {
    name: "clear_action",
    what: "a clear action",
    fields: &[
        must("clear", Kind::Text, "The type of the alarm that is over."),
        may("device", Kind::Selector, "Whose; without it the device that fired the rule."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static PUBLISH: Shape = Shape {
    name: "publish_action",
    what: "a publish action",
    fields: &[
        must("publish", Kind::Template, "The topic."),
        may("payload", Kind::Json, "The message; texts may be templates."),
        may("retain", Kind::Bool, "The broker keeps it."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static REQUEST: Shape = Shape {
    name: "webhook_action",
    what: "a webhook action",
    fields: &[
        must("webhook", Kind::Template, "The URL, http or https."),
        may("method", Kind::Word(&["POST", "PUT", "PATCH", "DELETE", "GET"]), "POST without it."),
        may("headers", Kind::Headers, "Headers by name; values may be templates."),
        may("body", Kind::Json, "Sent as JSON; texts may be templates. Without it the run's head."),
        may("secret", Kind::Text, "The key that the body is signed with (HMAC-SHA256)."),
        may("secret_env", Kind::Text, "The environment variable that holds it."),
        may("timeout", Kind::Duration, "For each attempt; 10s without it, 1m at most."),
        may("max_attempts", Kind::Whole(1, 20), "5 without it."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static DELAY: Shape = Shape {
    name: "delay_action",
    what: "a delay action",
    fields: &[must("delay", Kind::Duration, "Go on after this time. It survives restarts."), ACTION_ON_ERROR],
};

pub(super) static WAIT: Shape = Shape {
    name: "wait_action",
    what: "a wait action",
    fields: &[
        must("wait", Kind::Wait, "Go on as soon as this holds."),
        may(
            "timeout",
            Kind::Duration,
            "After this time the run ends, or goes on where `on_error` says continue.",
        ),
        ACTION_ON_ERROR,
    ],
};

pub(super) static UNTIL: Shape = Shape {
    name: "until",
    what: "a wait",
    fields: &[
        must("until", Kind::Conditions, "Go on as soon as this holds."),
        may(
            "timeout",
            Kind::Duration,
            "After this time the run ends, or goes on where `on_error` says continue.",
        ),
    ],
};

pub(super) static CHOOSE: Shape = Shape {
    name: "choose_action",
    what: "a choose action",
    fields: &[
        must("choose", Kind::Branches, "The first of these that holds."),
        may("else", Kind::Actions, "Where none does."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static BRANCH: Shape = Shape {
    name: "branch",
    what: "a branch",
    fields: &[
        must("when", Kind::Conditions, "All must hold."),
        must("do", Kind::Actions, "What is done then."),
    ],
};

pub(super) static RUN: Shape = Shape {
    name: "run_action",
    what: "a run action",
    fields: &[must("run", Kind::Name, "Another rule, whose conditions must hold."), ACTION_ON_ERROR],
};

pub(super) static ENABLE: Shape = Shape {
    name: "enable_action",
    what: "an enable action",
    fields: &[must("enable", Kind::Name, "A rule."), ACTION_ON_ERROR],
};

pub(super) static DISABLE: Shape = Shape {
    name: "disable_action",
    what: "a disable action",
    fields: &[must("disable", Kind::Name, "A rule."), ACTION_ON_ERROR],
};

pub(super) static LOG: Shape = Shape {
    name: "log_action",
    what: "a log action",
    fields: &[
        must("log", Kind::Template, "What the log says."),
        may("level", Kind::Word(&["debug", "info", "warn", "error"]), "How loud; info without it."),
        ACTION_ON_ERROR,
    ],
};

pub(super) static TEST: Shape = Shape {
    name: "test",
    what: "a test",
    fields: &[
        may("name", Kind::Text, "What it is called."),
        may("start", Kind::Moment, "What the clock says when it begins."),
        may("time", Kind::Moment, "The same."),
        may("initially", Kind::Facts, "How twins are before it begins; fires nothing."),
        may("twins", Kind::Facts, "The same."),
        may("given", Kind::Steps, "What happens, and when."),
        may("until", Kind::Offset, "The test ends so long after its start."),
        may("for", Kind::Offset, "The test ends so long after the last of `given`."),
        may(
            "commands",
            Kind::Word(&["executed", "failed", "rejected", "pending"]),
            "What becomes of each command, at once; without it executed.",
        ),
        may(
            "expect",
            Kind::Expect,
            "What must be done, in this order; other things may be, too. Nothing: nothing may be.",
        ),
        may("exactly", Kind::Expect, "What must be done, and nothing else."),
    ],
};

/// A step of a test; beside these it has `device.property` with a value or a list of values.
pub(super) static STEP: Shape = Shape {
    name: "step",
    what: "a step of a test",
    fields: &[
        may("at", Kind::Offset, "When, after the start of the test."),
        may("after", Kind::Offset, "When, after the step before."),
        may("every", Kind::Duration, "Of a list of values one after each such time."),
        may("reported", Kind::Map(&REPORTED), "What a device reports, the long way."),
        may("mqtt", Kind::Map(&STEP_MQTT), "A message comes."),
        may("webhook", Kind::Map(&STEP_WEBHOOK), "A request comes."),
        may("alarm", Kind::Map(&STEP_ALARM), "An alarm is raised, cleared or acknowledged."),
        may("command", Kind::Map(&STEP_COMMAND), "A command comes to a status."),
        may("run", Kind::Bool, "A person runs the rule."),
        may("down", Kind::Duration, "The hub is down for this long."),
    ],
};

pub(super) static REPORTED: Shape = Shape {
    name: "step_reported",
    what: "what a device reports",
    fields: &[must("device", Kind::Text, "The device."), must("values", Kind::Object, "The properties.")],
};

pub(super) static STEP_MQTT: Shape = Shape {
    name: "step_mqtt",
    what: "a message",
    fields: &[must("topic", Kind::Text, "Its topic."), may("payload", Kind::Json, "The message.")],
};

pub(super) static STEP_WEBHOOK: Shape = Shape {
    name: "step_webhook",
    what: "a request",
    fields: &[
        must("name", Kind::Name, "The webhook's name."),
        may("body", Kind::Json, "The request's body."),
    ],
};

pub(super) static STEP_ALARM: Shape = Shape {
    name: "step_alarm",
    what: "an alarm",
    fields: &[
        must("type", Kind::Text, "The alarm's type."),
        may("device", Kind::Text, "Whose; without it the rule's."),
        may("severity", Kind::Word(SEVERITIES), "How bad it is; warning without it."),
        may("becomes", Kind::Word(ALARM_STEPS), "What becomes of it; without it raised."),
    ],
};

pub(super) static STEP_COMMAND: Shape = Shape {
    name: "step_command",
    what: "a command",
    fields: &[
        must("device", Kind::Text, "The device."),
        may("type", Kind::Text, "What was asked for; without it the newest of any type."),
        must("status", Kind::Word(STATUSES), "What it comes to."),
    ],
};

/// All of them.
pub(super) static ALL_SHAPES: [&Shape; 43] = [
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
    &COMMAND,
    &DESIRED,
    &MODE,
    &ALARM,
    &CLEAR,
    &PUBLISH,
    &REQUEST,
    &DELAY,
    &WAIT,
    &UNTIL,
    &CHOOSE,
    &BRANCH,
    &RUN,
    &ENABLE,
    &DISABLE,
    &LOG,
    &TEST,
    &STEP,
    &REPORTED,
    &STEP_MQTT,
    &STEP_WEBHOOK,
    &STEP_ALARM,
    &STEP_COMMAND,
];

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
