//! The shapes of actions.

use super::*;

const ACTION_ON_ERROR: Field = may(
    "on_error",
    Kind::Word(ON_ERROR),
    "Whether the run goes on where this fails; without it as the rule says.",
);

/// The actions, each with its key word first.
pub(in super::super) static ACTIONS: [&Shape; 14] = [
    &COMMAND, &DESIRED, &MODE, &ALARM, &CLEAR, &PUBLISH, &REQUEST, &DELAY, &WAIT, &CHOOSE, &RUN, &ENABLE,
    &DISABLE, &LOG,
];

pub(in super::super) static COMMAND: Shape = Shape {
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

pub(in super::super) static DESIRED: Shape = Shape {
    name: "desired_action",
    what: "a desired action",
    fields: &[
        must("desired", Kind::Selector, "Who is to come to another state."),
        must("set", Kind::Object, "Merged onto what is desired; texts may be templates."),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static MODE: Shape = Shape {
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

pub(in super::super) static ALARM: Shape = Shape {
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

pub(in super::super) static CLEAR: Shape = Shape {
    name: "clear_action",
    what: "a clear action",
    fields: &[
        must("clear", Kind::Text, "The type of the alarm that is over."),
        may("device", Kind::Selector, "Whose; without it the device that fired the rule."),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static PUBLISH: Shape = Shape {
    name: "publish_action",
    what: "a publish action",
    fields: &[
        must("publish", Kind::Template, "The topic."),
        may("payload", Kind::Json, "The message; texts may be templates."),
        may("retain", Kind::Bool, "The broker keeps it."),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static REQUEST: Shape = Shape {
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

pub(in super::super) static DELAY: Shape = Shape {
    name: "delay_action",
    what: "a delay action",
    fields: &[
        must("delay", Kind::Offset, "Go on after this time. It survives restarts. 0s: at once."),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static WAIT: Shape = Shape {
    name: "wait_action",
    what: "a wait action",
    fields: &[
        must("wait", Kind::Wait, "Go on as soon as this holds."),
        may(
            "timeout",
            Kind::Offset,
            "After this time the run ends, or goes on where `on_error` says continue. 0s: unless it holds already.",
        ),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static UNTIL: Shape = Shape {
    name: "until",
    what: "a wait",
    fields: &[
        must("until", Kind::Conditions, "Go on as soon as this holds."),
        may(
            "timeout",
            Kind::Offset,
            "After this time the run ends, or goes on where `on_error` says continue. 0s: unless it holds already.",
        ),
    ],
};

pub(in super::super) static CHOOSE: Shape = Shape {
    name: "choose_action",
    what: "a choose action",
    fields: &[
        must("choose", Kind::Branches, "The first of these that holds."),
        may("else", Kind::Actions, "Where none does."),
        ACTION_ON_ERROR,
    ],
};

pub(in super::super) static BRANCH: Shape = Shape {
    name: "branch",
    what: "a branch",
    fields: &[
        must("when", Kind::Conditions, "All must hold."),
        must("do", Kind::Actions, "What is done then."),
    ],
};

pub(in super::super) static RUN: Shape = Shape {
    name: "run_action",
    what: "a run action",
    fields: &[must("run", Kind::Name, "Another rule, whose conditions must hold."), ACTION_ON_ERROR],
};

pub(in super::super) static ENABLE: Shape = Shape {
    name: "enable_action",
    what: "an enable action",
    fields: &[must("enable", Kind::Name, "A rule."), ACTION_ON_ERROR],
};

pub(in super::super) static DISABLE: Shape = Shape {
    name: "disable_action",
    what: "a disable action",
    fields: &[must("disable", Kind::Name, "A rule."), ACTION_ON_ERROR],
};

pub(in super::super) static LOG: Shape = Shape {
    name: "log_action",
    what: "a log action",
    fields: &[
        must("log", Kind::Template, "What the log says."),
        may("level", Kind::Word(&["debug", "info", "warn", "error"]), "How loud; info without it."),
        ACTION_ON_ERROR,
    ],
};
