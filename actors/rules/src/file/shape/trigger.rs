//! The shapes of triggers.

use super::*;

const TRIGGER_ID: Field = may("id", Kind::Text, "What conditions and messages call it: trigger.id.");
const FOR: Field =
    may("for", Kind::Offset, "It must stay so for this long. It survives restarts. 0s: it fires at once.");
const ACROSS_DOWNTIME: Field = may(
    "across_downtime",
    Kind::Word(ACROSS),
    "What becomes of `for` while the hub is down: it goes on (hold, without it) or begins again (restart).",
);

/// The triggers, each with its key word first.
pub(crate) static TRIGGERS: [&Shape; 10] =
    [&NUMERIC, &CHANGED, &EVENT, &PRESENCE, &COMMANDED, &ALARMED, &CRON, &EVERY, &MQTT, &WEBHOOK];

pub(crate) static NUMERIC: Shape = Shape {
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

pub(crate) static CHANGED: Shape = Shape {
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

pub(crate) static EVENT: Shape = Shape {
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

pub(crate) static PRESENCE: Shape = Shape {
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

pub(crate) static COMMANDED: Shape = Shape {
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

pub(crate) static ALARMED: Shape = Shape {
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

pub(crate) static CRON: Shape = Shape {
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

pub(crate) static EVERY: Shape = Shape {
    name: "every_trigger",
    what: "an every trigger",
    fields: &[must("every", Kind::Duration, "Again and again after this time; at least 1s."), TRIGGER_ID],
};

pub(crate) static MQTT: Shape = Shape {
    name: "mqtt_trigger",
    what: "an mqtt trigger",
    fields: &[
        must("mqtt", Kind::Text, "A topic, with + and # as in MQTT."),
        may("payload", Kind::Json, "What the message must be."),
        TRIGGER_ID,
    ],
};

pub(crate) static WEBHOOK: Shape = Shape {
    name: "webhook_trigger",
    what: "a webhook trigger",
    fields: &[must("webhook", Kind::Name, "Its name in /api/automation/webhooks/{name}."), TRIGGER_ID],
};
