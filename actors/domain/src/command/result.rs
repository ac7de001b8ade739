//! Parses a device's answer to a command.

use super::{CommandResult, CommandResultStatus};
use crate::json::{Json, Object, bare};
use crate::payload;
use crate::payload::PayloadError;

/// A reason has at most this many bytes; a longer one is cut.
const LONGEST_REASON: usize = 1_024;

impl CommandResult {
    /// Reads `{"status": "delivered|executed|failed|rejected", "response": …, "reason": "…"}`, or the status alone as a
    /// word. Other members are ignored.
    ///
    /// # Errors
    /// The bytes are neither, or the status is none of these.
    pub fn read(bytes: &[u8]) -> Result<Self, PayloadError> {
        if bare(bytes).starts_with(b"{") {
            return Self::parse(payload::object(bytes)?);
        }
        Self::new(&payload::word(bytes), None, None)
    }

    /// The same of a document already parsed.
    ///
    /// # Errors
    /// As [`CommandResult::read`].
    pub fn parse(mut fields: Object) -> Result<Self, PayloadError> {
        let wrong = |name: &str, found: &Json| PayloadError::WrongType {
            name: name.into(),
            expected: "a string",
            found: found.kind(),
        };
        let status = match fields.remove("status").unwrap_or_default() {
            Json::String(word) => word,
            other => return Err(wrong("status", &other)),
        };
        let reason = match fields.remove("reason").unwrap_or_default() {
            Json::Null => None,
            Json::String(reason) => Some(reason),
            other => return Err(wrong("reason", &other)),
        };
        let response = fields.remove("response").filter(|response| *response != Json::Null);
        Self::new(&status, response, reason)
    }

    /// An answer with this word for its status. A reason that is too long is cut.
    ///
    /// # Errors
    /// The word is none of a status.
    pub fn new(status: &str, response: Option<Json>, reason: Option<Box<str>>) -> Result<Self, PayloadError> {
        Ok(Self { status: word(status)?, response, reason: reason.map(cut) })
    }
}

fn word(word: &str) -> Result<CommandResultStatus, PayloadError> {
    CommandResultStatus::parse(&word.to_ascii_lowercase()).ok_or_else(|| PayloadError::BadValue {
        name: "status".into(),
        detail: format!(
            "`{}` is none of delivered, executed, failed, rejected",
            word.chars().take(64).collect::<String>().escape_debug()
        ),
    })
}

fn cut(reason: Box<str>) -> Box<str> {
    if reason.len() <= LONGEST_REASON {
        return reason;
    }
    let end = (0..=LONGEST_REASON).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    reason[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expected: &str) {
        let told = match CommandResult::read(payload.as_bytes()) {
            Ok(CommandResult { status, response, reason }) => {
                format!("{status:?} {} {}", response.unwrap_or_default(), reason.unwrap_or_default())
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{payload}");
    }

    #[test]
    fn reads_what_devices_answer() {
        check(r#"{"status":"executed","response":{"speed":1.50}}"#, r#"Executed {"speed":1.50} "#);
        check(r#"{"status":"Rejected","reason":"too fast","more":1}"#, "Rejected null too fast");
        check(" delivered\n", "Delivered null ");
        check(r#""failed""#, "Failed null ");
        let words = "none of delivered, executed, failed, rejected";
        check(r#"{"status":"done"}"#, &format!("`status`: `done` is {words}"));
        check("", &format!("`status`: `` is {words}"));
        check("{}", "`status`: expected a string, found null");
        check(r#"{"status":"failed","reason":5}"#, "`reason`: expected a string, found a number");
    }

    #[test]
    fn cuts_a_reason_between_characters() {
        let long = format!(r#"{{"status":"failed","reason":"{}"}}"#, "ü".repeat(2_000));
        assert_eq!(CommandResult::read(long.as_bytes()).unwrap().reason.unwrap().len(), LONGEST_REASON);
    }
}
