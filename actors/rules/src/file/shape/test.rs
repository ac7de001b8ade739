//! The shapes of a rule's tests.

use super::*;

pub(crate) static TEST: Shape = Shape {
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
pub(crate) static STEP: Shape = Shape {
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

pub(crate) static REPORTED: Shape = Shape {
    name: "step_reported",
    what: "what a device reports",
    fields: &[must("device", Kind::Text, "The device."), must("values", Kind::Object, "The properties.")],
};

pub(crate) static STEP_MQTT: Shape = Shape {
    name: "step_mqtt",
    what: "a message",
    fields: &[must("topic", Kind::Text, "Its topic."), may("payload", Kind::Json, "The message.")],
};

pub(crate) static STEP_WEBHOOK: Shape = Shape {
    name: "step_webhook",
    what: "a request",
    fields: &[
        must("name", Kind::Name, "The webhook's name."),
        may("body", Kind::Json, "The request's body."),
    ],
};

pub(crate) static STEP_ALARM: Shape = Shape {
    name: "step_alarm",
    what: "an alarm",
    fields: &[
        must("type", Kind::Text, "The alarm's type."),
        may("device", Kind::Text, "Whose; without it the rule's."),
        may("severity", Kind::Word(SEVERITIES), "How bad it is; warning without it."),
        may("becomes", Kind::Word(ALARM_STEPS), "What becomes of it; without it raised."),
    ],
};

pub(crate) static STEP_COMMAND: Shape = Shape {
    name: "step_command",
    what: "a command",
    fields: &[
        must("device", Kind::Text, "The device."),
        may("type", Kind::Text, "What was asked for; without it the newest of any type."),
        must("status", Kind::Word(STATUSES), "What it comes to."),
    ],
};
