//! What comes to automation from beyond the twins. Each signal is an event in the one sequence, durable before
//! it is acted upon, so a backtest meets it where the live run did.

use serde::{Deserialize, Serialize};

use super::model::RuleId;
use crate::domain::{Json, Object, Timestamp};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Signal {
    /// The hub is up again, or its clock was set forward: nothing was heard since `down_since`.
    Started { down_since: Timestamp },
    /// A message on a topic that a rule listens to.
    Mqtt { topic: Box<str>, payload: Json },
    /// A request to a rule's webhook.
    Webhook { name: Box<str>, body: Json },
    /// A person runs a rule by hand, its conditions left aside where `unconditional`.
    Run { rule: RuleId, unconditional: bool },
    /// A person, the API or a rule says whether a rule runs.
    Enabled { rule: RuleId, enabled: bool },
    /// Rules came, changed or went: their names, for people to see.
    Rules { loaded: Vec<RuleId>, changed: Vec<RuleId>, gone: Vec<RuleId> },
    /// The breaker stopped a rule, or a panic did.
    Stopped { rule: RuleId, why: Box<str> },
}

impl Signal {
    /// The event's `data` on the wire.
    #[must_use]
    pub fn data(&self) -> Object {
        let json = serde_json::to_vec(self).ok().and_then(|bytes| Json::parse(&bytes).ok());
        match json {
            Some(Json::Object(object)) => object,
            _ => Object::default(), // never: its serde form is an object
        }
    }
}
