//! The shapes of a rule's tests.

use super::*;

pub(crate) static TEST: MapShape = MapShape {
    name: "test",
    what: "a test",
    fields: &[
        may("name", ValueKind::Text, "What it is called."),
        may("start", ValueKind::Moment, "What the clock says when it begins."),
        may("time", ValueKind::Moment, "The same."),
        may("initially", ValueKind::Facts, "How twins are before it begins; fires nothing."),
        may("twins", ValueKind::Facts, "The same."),
        may("given", ValueKind::Steps, "What happens, and when."),
        may("until", ValueKind::Offset, "The test ends so long after its start."),
        may("for", ValueKind::Offset, "The test ends so long after the last of `given`."),
        may(
            "commands",
            ValueKind::Word(&["executed", "failed", "rejected", "pending"]),
            "What becomes of each command, at once; without it executed.",
        ),
        may(
            "expect",
            ValueKind::Expect,
            "What must be done, in this order; other things may be, too. Nothing: nothing may be.",
        ),
        may("exactly", ValueKind::Expect, "What must be done, and nothing else."),
    ],
};

/// A step of a test; beside these it has `device.property` with a value or a list of values.
pub(crate) static STEP: MapShape = MapShape {
    name: "step",
    what: "a step of a test",
    fields: &[
        may("at", ValueKind::Offset, "When, after the start of the test."),
        may("after", ValueKind::Offset, "When, after the step before."),
        may("every", ValueKind::Duration, "Of a list of values one after each such time."),
        may("reported", ValueKind::Map(&REPORTED), "What a device reports, the long way."),
        may("mqtt", ValueKind::Map(&STEP_MQTT), "A message comes."),
        may("webhook", ValueKind::Map(&STEP_WEBHOOK), "A request comes."),
        may("alarm", ValueKind::Map(&STEP_ALARM), "An alarm is raised, cleared or acknowledged."),
        may("command", ValueKind::Map(&STEP_COMMAND), "A command comes to a status."),
        may("run", ValueKind::Bool, "A person runs the rule."),
        may("down", ValueKind::Duration, "The hub is down for this long."),
    ],
};

pub(crate) static REPORTED: MapShape = MapShape {
    name: "step_reported",
    what: "what a device reports",
    fields: &[
        must("device", ValueKind::Text, "The device."),
        must("values", ValueKind::Object, "The properties."),
    ],
};

pub(crate) static STEP_MQTT: MapShape = MapShape {
    name: "step_mqtt",
    what: "a message",
    fields: &[must("topic", ValueKind::Text, "Its topic."), may("payload", ValueKind::Json, "The message.")],
};

pub(crate) static STEP_WEBHOOK: MapShape = MapShape {
    name: "step_webhook",
    what: "a request",
    fields: &[
        must("name", ValueKind::Name, "The webhook's name."),
        may("body", ValueKind::Json, "The request's body."),
    ],
};

pub(crate) static STEP_ALARM: MapShape = MapShape {
    name: "step_alarm",
    what: "an alarm",
    fields: &[
        must("type", ValueKind::Text, "The alarm's type."),
        may("device", ValueKind::Text, "Whose; without it the rule's."),
        may("severity", ValueKind::Word(SEVERITIES), "How bad it is; warning without it."),
        may("becomes", ValueKind::Word(ALARM_STEPS), "What becomes of it; without it raised."),
    ],
};

pub(crate) static STEP_COMMAND: MapShape = MapShape {
    name: "step_command",
    what: "a command",
    fields: &[
        must("device", ValueKind::Text, "The device."),
        may("type", ValueKind::Text, "What was asked for; without it the newest of any type."),
        must("status", ValueKind::Word(STATUSES), "What it comes to."),
    ],
};
