//! A request for a command.

use serde::{Deserialize, Serialize};

use crate::duration::{BadDuration, EXAMPLES, GivenDuration, LONGEST_MS, within};
use crate::json::{Json, Object};

/// The request, as the API takes it once it is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRequest {
    /// The type: `reboot`, `set_speed`.
    pub command_type: Box<str>,
    #[serde(default)]
    pub parameters: Object,
    /// 0 to 9; higher ones go first.
    pub priority: u8,
    /// The time for which a device may still get it, in ms.
    pub ttl_ms: i64,
    /// The time that the hub waits for an answer to each attempt, in ms.
    pub timeout_ms: i64,
    /// 1 to [`MOST_ATTEMPTS`].
    pub max_attempts: u8,
    /// Of those that wait with the same key, only the newest is kept: the latest setpoint wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Box<str>>,
    /// The same key and the same request again are the same command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Box<str>>,
}

/// The default priority.
pub const USUAL_PRIORITY: u8 = 5;
pub const HIGHEST_PRIORITY: u8 = 9;
/// A day: long enough for a device that sleeps at night.
const USUAL_TTL_MS: i64 = 24 * 60 * 60 * 1_000;
/// Half a minute: a device over a slow radio answers within seconds.
const USUAL_TIMEOUT_MS: i64 = 30_000;
const USUAL_ATTEMPTS: u8 = 3;
const LONGEST_TYPE: usize = 128;
const LONGEST_KEY: usize = 128;
/// More attempts than this are no patience any more.
pub const MOST_ATTEMPTS: u8 = 20;

impl CommandRequest {
    /// A request with the usual priority (5), time-to-live (a day), answer timeout (30 s) and attempts (3).
    #[must_use]
    pub fn new(command_type: &str, parameters: Object) -> Self {
        Self {
            command_type: command_type.into(),
            parameters,
            priority: USUAL_PRIORITY,
            ttl_ms: USUAL_TTL_MS,
            timeout_ms: USUAL_TIMEOUT_MS,
            max_attempts: USUAL_ATTEMPTS,
            supersedes: None,
            idempotency_key: None,
        }
    }

    /// The command of a schedule's entry, which was checked when the schedule was taken in.
    #[must_use]
    pub fn of_schedule(entry: &Object) -> Self {
        Self::parse(entry.clone()).unwrap_or_else(|_| {
            let command_type = entry.get("command_type").and_then(Json::as_str).unwrap_or_default();
            Self::new(command_type, Object::default())
        })
    }

    /// Reads `{command_type, parameters, priority, ttl, timeout, max_attempts, supersedes}`. Durations are
    /// texts such as `1h 30m`, or numbers of seconds.
    ///
    /// # Errors
    /// The wrong field, and its error; an unknown field first of all.
    pub fn parse(mut fields: Object) -> Result<Self, (String, String)> {
        const KNOWN: [&str; 7] =
            ["command_type", "parameters", "priority", "ttl", "timeout", "max_attempts", "supersedes"];
        let bad = |field: &str, detail: String| (field.to_owned(), detail);
        if let Some((field, _)) = fields.iter().find(|(field, _)| !KNOWN.contains(field)) {
            return Err(bad(field, "there is no such field".into()));
        }
        let mut take = |field: &str| fields.remove(field).filter(|value| *value != Json::Null);
        let command_type = match take("command_type") {
            Some(Json::String(text)) if !text.trim().is_empty() && text.len() <= LONGEST_TYPE => text,
            Some(Json::String(_)) => {
                return Err(bad("command_type", format!("must have 1 to {LONGEST_TYPE} bytes")));
            }
            Some(other) => return Err(bad("command_type", expected("a string", &other))),
            None => return Err(bad("command_type", "is needed".into())),
        };
        let parameters = match take("parameters") {
            None => Object::default(),
            Some(Json::Object(parameters)) => parameters,
            Some(other) => return Err(bad("parameters", expected("an object", &other))),
        };
        let mut request = Self::new(&command_type, parameters);
        if let Some(value) = take("priority") {
            request.priority = whole(&value, 0, HIGHEST_PRIORITY)
                .ok_or_else(|| bad("priority", expected("a whole number from 0 to 9", &value)))?;
        }
        if let Some(value) = take("max_attempts") {
            request.max_attempts = whole(&value, 1, MOST_ATTEMPTS)
                .ok_or_else(|| bad("max_attempts", expected("a whole number from 1 to 20", &value)))?;
        }
        for (field, millis) in [("ttl", &mut request.ttl_ms), ("timeout", &mut request.timeout_ms)] {
            if let Some(value) = take(field) {
                *millis = duration(&value).map_err(|error| {
                    bad(field, format!("expected a duration such as {EXAMPLES}, or seconds: {error}"))
                })?;
            }
        }
        request.supersedes = match take("supersedes") {
            None => None,
            Some(Json::String(key)) if !key.is_empty() && key.len() <= LONGEST_KEY => Some(key),
            Some(Json::String(_)) => {
                return Err(bad("supersedes", format!("must have 1 to {LONGEST_KEY} bytes")));
            }
            Some(other) => return Err(bad("supersedes", expected("a string", &other))),
        };
        Ok(request)
    }

    /// As events and answers show it; times in ms.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let mut object: Object = [
            ("command_type", Json::from(&*self.command_type)),
            ("parameters", self.parameters.clone().into()),
            ("priority", i64::from(self.priority).into()),
            ("ttl_ms", self.ttl_ms.into()),
            ("timeout_ms", self.timeout_ms.into()),
            ("max_attempts", i64::from(self.max_attempts).into()),
        ]
        .into_iter()
        .collect();
        for (name, text) in [("supersedes", &self.supersedes), ("idempotency_key", &self.idempotency_key)] {
            if let Some(text) = text {
                object.insert(name, Json::String(text.clone()));
            }
        }
        object
    }
}

fn whole(value: &Json, least: u8, most: u8) -> Option<u8> {
    let Json::Number(number) = value else { return None };
    number.as_str().parse().ok().filter(|number| (least..=most).contains(number))
}

fn duration(value: &Json) -> Result<i64, BadDuration> {
    within(GivenDuration::of(value)?.ms(), 1..=LONGEST_MS)
}

/// Describes the value: texts and numbers as they are, a larger one by its type.
fn expected(what: &str, found: &Json) -> String {
    match found {
        Json::Object(_) | Json::Array(_) => format!("expected {what}, found {}", found.kind()),
        found => {
            let shown: String = found.to_string().chars().take(64).collect();
            format!("expected {what}, found {shown}")
        }
    }
}
