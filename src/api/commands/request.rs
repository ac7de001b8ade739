//! Asking for a command, and answering one: what REST bodies and WebSocket frames have in common.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use twinhub_domain::command::USUAL_PRIORITY;
use twinhub_domain::duration::{GivenDuration, duration_ms};
use twinhub_domain::{CommandRequest, Json, Number, Object};
use utoipa::ToSchema;

use crate::http::extract::fields::FieldError;
use crate::http::extract::read::{duration, filled};

/// A command for a device.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"command_type": "set_speed", "parameters": {"rpm": 1200}, "ttl": "1h"}))]
pub struct NewCommand {
    /// 1 to 128 bytes.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "set_speed")]
    pub command_type: Box<str>,
    parameters: Option<Object>,
    /// 0 to 9, 5 by default; higher ones go first. Or `low` (2), `normal` (5), `high` (8) or `urgent` (9).
    #[serde(default, deserialize_with = "priority")]
    #[schema(maximum = 9)]
    priority: Option<u8>,
    /// The time for which the device may still get it: a duration, or seconds; a day by default.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<String>, example = "1h")]
    ttl: Option<GivenDuration>,
    /// The time that each attempt waits for an answer: a duration, or seconds; `30s` by default.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<String>, example = "30s")]
    timeout: Option<GivenDuration>,
    /// 1 to 20, 3 by default.
    #[schema(minimum = 1, maximum = 20)]
    max_attempts: Option<u8>,
    /// Of those that wait with the same key, the newest alone is kept: the latest setpoint wins.
    supersedes: Option<Box<str>>,
}

/// The outcome of a command, as its device reports it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "executed", "response": {"rpm": 1200}}))]
pub struct CommandAnswer {
    /// `delivered`, `executed`, `failed` or `rejected`.
    pub status: Box<str>,
    /// Any JSON.
    #[schema(value_type = Option<Value>)]
    pub response: Option<Json>,
    pub reason: Option<Box<str>>,
}

/// The words for priorities, and the number of each.
const PRIORITIES: [(&str, u8); 6] = [
    ("low", 2),
    ("normal", USUAL_PRIORITY),
    ("medium", USUAL_PRIORITY),
    ("high", 8),
    ("urgent", 9),
    ("critical", 9),
];

/// A priority: a number, whose range is checked with all else, or a word.
fn priority<'de, D: Deserializer<'de>>(given: D) -> Result<Option<u8>, D::Error> {
    let value = Json::deserialize(given)?;
    if value == Json::Null {
        return Ok(None);
    }
    let number = value.as_number().and_then(Number::as_whole).and_then(|number| u8::try_from(number).ok());
    let of_word = || {
        let word = value.as_str()?.to_ascii_lowercase();
        PRIORITIES.into_iter().find(|(known, _)| *known == word).map(|(_, number)| number)
    };
    let wrong =
        || D::Error::custom(format!("expected 0 to 9, or low, normal, high or urgent, found {value}"));
    number.or_else(of_word).map(Some).ok_or_else(wrong)
}

/// The forms of a wait.
pub const WAIT: &str = "seconds or a duration such as 5s, 60s at most";
/// The longest wait for an answer: proxies in between would wait no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_KEY: usize = 255;

impl NewCommand {
    /// The request that it is.
    ///
    /// # Errors
    /// Names the field that is larger or smaller than it may be.
    pub fn request(self) -> Result<CommandRequest, FieldError> {
        let usual = CommandRequest::new(&self.command_type, self.parameters.unwrap_or_default());
        let request = CommandRequest {
            priority: self.priority.unwrap_or(usual.priority),
            ttl: self.ttl.unwrap_or(usual.ttl),
            timeout: self.timeout.unwrap_or(usual.timeout),
            max_attempts: self.max_attempts.unwrap_or(usual.max_attempts),
            supersedes: self.supersedes,
            ..usual
        };
        request.checked().map_err(|(field, detail)| FieldError::bad(&field, detail))
    }
}

/// An idempotency key: 1 to 255 characters of visible ASCII. `field` is its place.
///
/// # Errors
/// The text is no such key.
pub fn idempotency_key(field: &str, key: &str) -> Result<Box<str>, FieldError> {
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(key.into());
    }
    Err(FieldError::bad(field, format!("1 to {LONGEST_KEY} characters of visible ASCII, without spaces")))
}

/// The length of a wait: a duration, or bare seconds; a minute at most.
#[must_use]
pub fn wait(text: &str) -> Option<Duration> {
    let wait = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => Duration::from_millis(u64::try_from(duration_ms(text).ok()?).ok()?),
    };
    (wait <= LONGEST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::read::read;

    fn request(text: &str) -> Result<CommandRequest, FieldError> {
        read::<NewCommand>(text.parse::<Json>().unwrap())?.request()
    }

    #[test]
    fn reads_what_is_asked() {
        let text = r#"{"command_type": "go", "parameters": {"n": 1.50}, "ttl": "PT1H", "timeout": 2.5, "priority": 9}"#;
        let asked = request(text).unwrap();
        assert_eq!(Json::from(asked.parameters).to_string(), r#"{"n":1.50}"#);
        assert_eq!((asked.ttl.text(), asked.timeout.text(), asked.priority), ("PT1H", "2s 500ms", 9));
        assert_eq!(request(r#"{"command_type": "go", "ttl": null}"#).unwrap().ttl.text(), "1d");
    }

    #[test]
    fn priorities_have_words() {
        let priority = |given: &str| {
            request(&format!(r#"{{"command_type": "go", "priority": {given}}}"#)).map(|asked| asked.priority)
        };
        for (word, number) in PRIORITIES {
            assert_eq!(priority(&format!("\"{word}\"")), Ok(number));
            assert_eq!(priority(&format!("\"{}\"", word.to_uppercase())), Ok(number));
        }
        assert_eq!((priority("0"), priority("null")), (Ok(0), Ok(USUAL_PRIORITY)));
        for wrong in ["\"soonest\"", "-1", "1.5", "300", "[]", "true"] {
            let error = priority(wrong).unwrap_err();
            assert_eq!((&*error.field, error.code), ("priority", "bad_field"), "{wrong}");
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |text: &str, field: &str, code: &str| {
            let error = request(text).unwrap_err();
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
        };
        check(r#"{"comand_type": "reboot"}"#, "comand_type", "unknown_field");
        check("{}", "command_type", "missing_field");
        check(r#"{"command_type": null}"#, "command_type", "missing_field");
        check(r#"{"command_type": " "}"#, "command_type", "bad_field");
        check(r#"{"command_type": "reboot", "priority": 10}"#, "priority", "bad_field");
        check(r#"{"command_type": "reboot", "max_attempts": 0}"#, "max_attempts", "bad_field");
        check(r#"{"command_type": "reboot", "ttl": "soon"}"#, "ttl", "bad_field");
        check(r#"{"command_type": "reboot", "ttl": "367d"}"#, "ttl", "bad_field");
        check(r#"{"command_type": "reboot", "parameters": [1]}"#, "parameters", "bad_field");
        check(r#"{"command_type": "reboot", "idempotency_key": "k"}"#, "idempotency_key", "unknown_field");
    }

    #[test]
    fn reads_keys() {
        assert_eq!(&*idempotency_key("k", "0198-a/b").unwrap(), "0198-a/b");
        for wrong in ["", "a b", "ü", "\t", &"k".repeat(256)] {
            assert_eq!(idempotency_key("k", wrong).unwrap_err().field, "k", "{wrong}");
        }
        assert!(idempotency_key("k", &"k".repeat(255)).is_ok());
    }

    #[test]
    fn reads_waits() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(wait(text), millis.map(Duration::from_millis), "{text}");
        };
        check("5s", Some(5_000));
        check("5", Some(5_000));
        check("0", Some(0));
        check("0s", Some(0));
        check("250ms", Some(250));
        check("PT5S", Some(5_000));
        check("1m", Some(60_000));
        check("61s", None);
        check("2m", None);
        check("-1", None);
        check("soon", None);
    }
}
