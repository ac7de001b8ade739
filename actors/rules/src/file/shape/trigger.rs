//! The shapes of triggers.

use super::*;

const TRIGGER_ID: KeyShape = may("id", ValueKind::Text, "What conditions and messages call it: trigger.id.");
const FOR: KeyShape = may(
    "for",
    ValueKind::Offset,
    "It must stay so for this long. It survives restarts. 0s: it fires at once.",
);
const ACROSS_DOWNTIME: KeyShape = may(
    "across_downtime",
    ValueKind::Word(ACROSS),
    "What becomes of `for` while the hub is down: it goes on (hold, without it) or begins again (restart).",
);

/// The triggers, each with its key word first.
pub(crate) static TRIGGERS: [&MapShape; 10] =
    [&NUMERIC, &CHANGED, &EVENT, &PRESENCE, &COMMANDED, &ALARMED, &CRON, &EVERY, &MQTT, &WEBHOOK];

pub(crate) static NUMERIC: MapShape = MapShape {
    name: "numeric_trigger",
    what: "a numeric trigger",
    fields: &[
        must("numeric", ValueKind::Place, "A number that devices report, such as greenhouse.temperature."),
        may(
            "above",
            ValueKind::Number,
            "Fires when the number is greater. With `below`: between them, or outside where `above` is the greater.",
        ),
        may("below", ValueKind::Number, "Fires when the number is less."),
        may("release", ValueKind::Number, "Armed again only when it has come back this far."),
        may("max_age", ValueKind::Duration, "Older values fire nothing."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(crate) static CHANGED: MapShape = MapShape {
    name: "changed_trigger",
    what: "a changed trigger",
    fields: &[
        must(
            "changed",
            ValueKind::Place,
            "Something in a twin: door.open, fan.mode, fan.desired.speed, fan.tags.floor.",
        ),
        may("from", ValueKind::Json, "What it was."),
        may("to", ValueKind::Json, "What it becomes."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(crate) static EVENT: MapShape = MapShape {
    name: "event_trigger",
    what: "an event trigger",
    fields: &[
        must(
            "event",
            ValueKind::Words(&["any", "telemetry", "twin", "command", "presence", "alarm", "rule"]),
            "The kinds of events.",
        ),
        may("device", ValueKind::Selector, "Whose; without it everybody's."),
        may("data", ValueKind::Object, "Members that the event's data must have."),
        TRIGGER_ID,
    ],
};

pub(crate) static PRESENCE: MapShape = MapShape {
    name: "presence_trigger",
    what: "a presence trigger",
    fields: &[
        must("presence", ValueKind::Selector, "Who comes or goes."),
        must("becomes", ValueKind::Word(&["online", "offline"]), "Which of the two."),
        FOR,
        ACROSS_DOWNTIME,
        TRIGGER_ID,
    ],
};

pub(crate) static COMMANDED: MapShape = MapShape {
    name: "command_trigger",
    what: "a command trigger",
    fields: &[
        must("command", ValueKind::Selector, "Whose command it is."),
        may("type", ValueKind::Text, "What was asked for; without it anything."),
        may(
            "status",
            ValueKind::Words(STATUSES),
            "What it comes to; without it what is no success: failed, rejected, expired, timed_out.",
        ),
        TRIGGER_ID,
    ],
};

pub(crate) static ALARMED: MapShape = MapShape {
    name: "alarm_trigger",
    what: "an alarm trigger",
    fields: &[
        must("alarm", ValueKind::Text, "The alarm's type, or `any`."),
        may("severity", ValueKind::Word(SEVERITIES), "This bad or worse."),
        may("becomes", ValueKind::Word(ALARM_STEPS), "What becomes of it; without it raised."),
        may("device", ValueKind::Selector, "Whose; without it everybody's, and rules' own."),
        TRIGGER_ID,
    ],
};

pub(crate) static CRON: MapShape = MapShape {
    name: "cron_trigger",
    what: "a cron trigger",
    fields: &[
        must("cron", ValueKind::Cron, "Five to seven fields, or a name such as @daily."),
        may("timezone", ValueKind::Zone, "Whose clock it goes by; without it the rule's."),
        may(
            "missed",
            ValueKind::Word(&["skip", "run_once", "run_all"]),
            "What is done about times that passed while the hub was down; without it skip.",
        ),
        may("missed_within", ValueKind::Duration, "Only about those no longer ago than this."),
        TRIGGER_ID,
    ],
};

pub(crate) static EVERY: MapShape = MapShape {
    name: "every_trigger",
    what: "an every trigger",
    fields: &[
        must("every", ValueKind::Duration, "Again and again after this time; at least 1s."),
        TRIGGER_ID,
    ],
};

pub(crate) static MQTT: MapShape = MapShape {
    name: "mqtt_trigger",
    what: "an mqtt trigger",
    fields: &[
        must("mqtt", ValueKind::Text, "A topic, with + and # as in MQTT."),
        may("payload", ValueKind::Json, "What the message must be."),
        TRIGGER_ID,
    ],
};

pub(crate) static WEBHOOK: MapShape = MapShape {
    name: "webhook_trigger",
    what: "a webhook trigger",
    fields: &[
        must("webhook", ValueKind::Name, "Its name in /api/automation/webhooks/{name}."),
        may(
            "secret",
            ValueKind::Text,
            "The key by which a request that is signed needs no other (HMAC-SHA256).",
        ),
        may("secret_env", ValueKind::Text, "The environment variable that holds it."),
        TRIGGER_ID,
    ],
};
