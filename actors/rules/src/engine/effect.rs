//! The effects of actions: each effect, the word for it, its data in the journal of runs, and what a test in a rule
//! file may expect of it.

use serde::{Deserialize, Serialize};

use crate::model::LogLevel;
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::run::RuleId;
use twinhub_domain::{CommandRequest, DeviceId, DeviceNumber, Json, Mode, Object, Timestamp};

/// Something that is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// `request` carries the idempotency key.
    Command {
        device: DeviceId,
        request: CommandRequest,
    },
    Desired {
        device: DeviceId,
        set: Object,
    },
    Mode {
        device: DeviceId,
        mode: Mode,
        until: Option<Timestamp>,
    },
    Raise {
        of: Originator,
        number: DeviceNumber,
        alarm_type: Box<str>,
        severity: Severity,
        message: String,
    },
    Clear {
        of: Originator,
        alarm_type: Box<str>,
    },
    Publish {
        topic: String,
        payload: Json,
        retain: bool,
    },
    Webhook(Box<Delivery>),
    Enable {
        rule: RuleId,
        enabled: bool,
    },
    Log {
        level: LogLevel,
        message: String,
    },
}

/// A request outward, filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub url: String,
    pub method: Box<str>,
    pub headers: Vec<(Box<str>, String)>,
    pub body: Json,
    /// Where the key is that the body is signed with, not the key: the rule, whose `secret` it is.
    pub signed_by: Option<RuleId>,
    pub step: u32,
    pub timeout_ms: i64,
    pub max_attempts: u16,
}

/// An effect that tests can expect.
#[derive(Debug)]
pub(crate) struct Expectable {
    /// See [`Effect::word`].
    pub word: &'static str,
    pub subject: Subject,
    /// The other things that can be said of it: members of [`Effect::details`].
    pub members: &'static [&'static str],
}

/// The way in which a test names the subject of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// By a device's id.
    Device,
    /// By a device's id and the mode that it comes to.
    DeviceAndMode,
    Text,
    /// By a part of a text.
    PartOfText,
}

const fn expectable(word: &'static str, subject: Subject, members: &'static [&'static str]) -> Expectable {
    Expectable { word, subject, members }
}

/// All that can be expected.
pub(crate) static EXPECTABLE: [Expectable; 10] = [
    expectable(
        "command",
        Subject::Device,
        &["type", "parameters", "priority", "ttl_ms", "timeout_ms", "max_attempts", "supersedes"],
    ),
    expectable("desired", Subject::Device, &["set"]),
    expectable("mode", Subject::DeviceAndMode, &["mode"]),
    expectable("alarm", Subject::Text, &["severity", "message", "device"]),
    expectable("clear", Subject::Text, &["device"]),
    expectable("publish", Subject::Text, &["payload", "retain"]),
    expectable("webhook", Subject::PartOfText, &["method", "headers", "body"]),
    expectable("log", Subject::PartOfText, &["level", "message"]),
    expectable("enable", Subject::Text, &[]),
    expectable("disable", Subject::Text, &[]),
];

impl Effect {
    /// The word for it in tests: the key word of the action that has it done.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Command { .. } => "command",
            Self::Desired { .. } => "desired",
            Self::Mode { .. } => "mode",
            Self::Raise { .. } => "alarm",
            Self::Clear { .. } => "clear",
            Self::Publish { .. } => "publish",
            Self::Webhook(_) => "webhook",
            Self::Enable { enabled: true, .. } => "enable",
            Self::Enable { .. } => "disable",
            Self::Log { .. } => "log",
        }
    }

    /// The device whose twin is asked.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Command { device, .. } | Self::Desired { device, .. } | Self::Mode { device, .. } => {
                Some(device)
            }
            _ => None,
        }
    }

    /// The effect's data in the journal of runs. After a restart the effect is made of that again, by
    /// `Behaviour::read_back`.
    #[must_use]
    pub fn data(&self) -> Object {
        let members: Vec<(&str, Json)> = match self {
            Self::Command { request, .. } => return request.to_object(),
            Self::Desired { set, .. } => return set.clone(),
            Self::Mode { mode, until, .. } => {
                let until = until.map(|until| ("until", until.to_string().into()));
                [("mode", mode.as_str().into())].into_iter().chain(until).collect()
            }
            Self::Raise { alarm_type, severity, message, .. } => vec![
                ("type", Json::from(&**alarm_type)),
                ("severity", severity_word(*severity).into()),
                ("message", message.as_str().into()),
            ],
            Self::Clear { alarm_type, .. } => vec![("type", Json::from(&**alarm_type))],
            Self::Publish { topic, payload, retain } => vec![
                ("topic", topic.as_str().into()),
                ("payload", payload.clone()),
                ("retain", (*retain).into()),
            ],
            Self::Webhook(delivery) => vec![
                ("url", delivery.url.as_str().into()),
                ("method", Json::from(&*delivery.method)),
                ("body", delivery.body.clone()),
            ],
            Self::Enable { rule, enabled } => {
                vec![("rule", rule.as_str().into()), ("enabled", (*enabled).into())]
            }
            Self::Log { level, message } => {
                vec![("level", level_word(*level).into()), ("message", message.as_str().into())]
            }
        };
        members.into_iter().collect()
    }

    /// The subject, as tests name it.
    pub(crate) fn subject(&self) -> &str {
        match self {
            Self::Command { device, .. } | Self::Desired { device, .. } | Self::Mode { device, .. } => {
                device.as_str()
            }
            Self::Raise { alarm_type, .. } | Self::Clear { alarm_type, .. } => alarm_type,
            Self::Publish { topic, .. } => topic,
            Self::Webhook(delivery) => &delivery.url,
            Self::Enable { rule, .. } => rule.as_str(),
            Self::Log { message, .. } => message,
        }
    }

    /// All that tests can say of it, by name.
    pub(crate) fn details(&self) -> Object {
        let mut details = match self {
            Self::Desired { set, .. } => [("set", Json::Object(set.clone()))].into_iter().collect(),
            _ => self.data(),
        };
        if let Some(device) = self.device() {
            details.insert("device", device.as_str().into());
        }
        match self {
            Self::Command { request, .. } => {
                details.insert("type", Json::from(&*request.command_type));
                details.insert("ttl_ms", request.ttl.ms().into());
                details.insert("timeout_ms", request.timeout.ms().into());
            }
            Self::Raise { of, .. } | Self::Clear { of, .. } => {
                let (name, whose) = match of {
                    Originator::Device(id) => ("device", id.as_str()),
                    Originator::Rule(rule) => ("rule", rule.as_str()),
                    Originator::Hub => ("hub", ""), // no rule raises one of the hub
                };
                details.insert(name, whose.into());
            }
            Self::Webhook(delivery) => {
                let header = |(name, value): &(Box<str>, String)| (name.clone(), Json::from(value.as_str()));
                let headers: Object = delivery.headers.iter().map(header).collect();
                details.insert("headers", headers.into());
            }
            _ => {}
        }
        details
    }

    /// It in a line, as people read it.
    pub(crate) fn summary(&self) -> String {
        let rest = match self {
            Self::Command { request, .. } => {
                format!("{} {}", request.command_type, Json::from(request.parameters.clone()))
            }
            Self::Desired { set, .. } => Json::from(set.clone()).to_string(),
            Self::Mode { mode, .. } => mode.as_str().to_owned(),
            Self::Raise { severity, message, .. } => format!("({}) {message}", severity_word(*severity)),
            Self::Publish { payload, .. } => payload.to_string(),
            Self::Webhook(delivery) => delivery.body.to_string(),
            Self::Clear { .. } | Self::Enable { .. } | Self::Log { .. } => String::new(),
        };
        format!("{} {} {rest}", self.word(), self.subject()).trim_end().to_owned()
    }
}

/// The word for a severity on the wire.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

/// The word for a level on the wire.
fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
