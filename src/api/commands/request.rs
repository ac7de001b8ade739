//! Requests for a command: the common parts of REST bodies and WebSocket frames.

use std::time::Duration;

use twinhub_domain::duration::duration_ms;
use twinhub_domain::{CommandRequest, Json, Object};

use crate::http::extract::fields::{FieldError, Fields};

/// The fields of a request.
pub const FIELDS: [&str; 7] =
    ["command_type", "parameters", "priority", "ttl", "timeout", "max_attempts", "supersedes"];

/// The forms of a wait.
pub const WAIT: &str = "seconds or a duration such as 5s, 60s at most";
/// The longest wait for an answer: proxies in between would wait no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_KEY: usize = 255;

/// Reads a request.
///
/// # Errors
/// Names the wrong field; an unknown one first of all.
pub fn request(body: Object) -> Result<CommandRequest, FieldError> {
    let body = Fields::of(body, &FIELDS)?.rest();
    if body.get("command_type").is_none_or(|value| *value == Json::Null) {
        return Err(FieldError::missing("command_type"));
    }
    CommandRequest::parse(body).map_err(|(field, detail)| FieldError::bad(&field, detail))
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
    use twinhub_domain::payload;

    use super::*;

    #[test]
    fn names_the_field_that_is_wrong() {
        let check = |text: &str, field: &str, code: &str| {
            let error = request(payload::object(text.as_bytes()).unwrap()).unwrap_err();
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
        };
        check(r#"{"comand_type": "reboot"}"#, "comand_type", "unknown_field");
        check("{}", "command_type", "missing_field");
        check(r#"{"command_type": null}"#, "command_type", "missing_field");
        check(r#"{"command_type": " "}"#, "command_type", "bad_field");
        check(r#"{"command_type": "reboot", "priority": 10}"#, "priority", "bad_field");
        check(r#"{"command_type": "reboot", "ttl": "soon"}"#, "ttl", "bad_field");
        check(r#"{"command_type": "reboot", "parameters": [1]}"#, "parameters", "bad_field");
        check(r#"{"command_type": "reboot", "idempotency_key": "k"}"#, "idempotency_key", "unknown_field");
    }

    #[test]
    fn knows_the_fields_that_the_domain_reads() {
        for field in FIELDS {
            let body: Object =
                [("command_type", Json::from("x")), (field, Json::Bool(true))].into_iter().collect();
            let (named, detail) = CommandRequest::parse(body).unwrap_err();
            assert_eq!(named, field);
            assert!(!detail.contains("no such field"), "{field}: {detail}");
        }
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
