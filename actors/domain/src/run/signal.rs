//! Inputs of automation from beyond the twins. Each signal is an event in the one sequence, durable before it is acted
//! upon, so a backtest meets it where the live run did.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::id::RuleId;
use crate::duration::duration_text;
use crate::{Json, Object, Timestamp};

/// An input of automation that is no device's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum AutomationSignal {
    /// The hub is up again: nothing was heard since `down_since`.
    Started { down_since: Timestamp },
    /// The hub's clock was set: it showed `from`, and then `to`. `while_down`: the hub was down when it was, so how
    /// much time passed is not known.
    ClockMoved {
        from: Timestamp,
        to: Timestamp,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        while_down: bool,
    },
    /// A message on a topic that a rule listens to.
    Mqtt { topic: Box<str>, payload: Json },
    /// A request to a rule's webhook.
    Webhook { name: Box<str>, body: Json },
    /// A person runs a rule by hand, its conditions left aside where `unconditional`.
    Run {
        #[serde(rename = "rule_id")]
        rule: RuleId,
        unconditional: bool,
    },
    /// A person, the API or a rule says whether a rule runs.
    Enabled {
        #[serde(rename = "rule_id")]
        rule: RuleId,
        enabled: bool,
    },
    /// Rules came, changed or went: their names, and what people should look at in those that run now.
    Rules { loaded: Vec<RuleId>, changed: Vec<RuleId>, gone: Vec<RuleId>, warnings: Vec<Box<str>> },
    /// The breaker stopped a rule, or a panic did.
    Stopped {
        #[serde(rename = "rule_id")]
        rule: RuleId,
        why: Box<str>,
    },
}

impl AutomationSignal {
    /// The event's `data` on the wire.
    #[must_use]
    pub fn data(&self) -> Object {
        let object = serde_json::to_vec(self).and_then(|bytes| serde_json::from_slice::<Object>(&bytes));
        let mut data = object.unwrap_or_default(); // never: its serde form is an object
        if let Self::ClockMoved { from, to, .. } = self {
            let by = to.millis().saturating_sub(from.millis());
            let sign = if by < 0 { "-" } else { "" };
            data.insert("by", format!("{sign}{}", duration_text(by.saturating_abs())).into());
        }
        data
    }
}

/// All members that any signal has: serde's own way with tagged enums would lose the digits of numbers.
#[derive(Deserialize)]
struct SignalMembers {
    signal: Box<str>,
    down_since: Option<Timestamp>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    while_down: Option<bool>,
    topic: Option<Box<str>>,
    payload: Option<Json>,
    name: Option<Box<str>>,
    body: Option<Json>,
    #[serde(rename = "rule_id", alias = "rule")]
    rule: Option<RuleId>,
    unconditional: Option<bool>,
    enabled: Option<bool>,
    loaded: Option<Vec<RuleId>>,
    changed: Option<Vec<RuleId>>,
    gone: Option<Vec<RuleId>>,
    warnings: Option<Vec<Box<str>>>,
    why: Option<Box<str>>,
}

impl<'de> Deserialize<'de> for AutomationSignal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SignalMembers {
            signal,
            down_since,
            from,
            to,
            while_down,
            topic,
            payload,
            name,
            body,
            rule,
            unconditional,
            enabled,
            loaded,
            changed,
            gone,
            warnings,
            why,
        } = SignalMembers::deserialize(deserializer)?;
        let missing = |name: &'static str| move || <D::Error as de::Error>::missing_field(name);
        let rule = rule.ok_or_else(missing("rule_id"));
        // `null` reads as none, and is a value.
        Ok(match &*signal {
            "started" => Self::Started { down_since: down_since.ok_or_else(missing("down_since"))? },
            "clock_moved" => Self::ClockMoved {
                from: from.ok_or_else(missing("from"))?,
                to: to.ok_or_else(missing("to"))?,
                while_down: while_down.unwrap_or_default(),
            },
            "mqtt" => Self::Mqtt {
                topic: topic.ok_or_else(missing("topic"))?,
                payload: payload.unwrap_or_default(),
            },
            "webhook" => {
                Self::Webhook { name: name.ok_or_else(missing("name"))?, body: body.unwrap_or_default() }
            }
            "run" => {
                Self::Run { rule: rule?, unconditional: unconditional.ok_or_else(missing("unconditional"))? }
            }
            "enabled" => Self::Enabled { rule: rule?, enabled: enabled.ok_or_else(missing("enabled"))? },
            "rules" => Self::Rules {
                loaded: loaded.unwrap_or_default(),
                changed: changed.unwrap_or_default(),
                gone: gone.unwrap_or_default(),
                warnings: warnings.unwrap_or_default(),
            },
            "stopped" => Self::Stopped { rule: rule?, why: why.ok_or_else(missing("why"))? },
            other => return Err(de::Error::custom(format!("there is no signal `{other}`"))),
        })
    }
}
