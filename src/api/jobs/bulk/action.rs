//! Reads and checks the action as the routes for one device do.

use twinhub_domain::fleet::JobAction;
use twinhub_domain::json::Size;
use twinhub_domain::{Json, Object};

use super::within;
use crate::api::commands::request;
use crate::api::twin::mode;
use crate::api::twin::mode::End;
use crate::http::extract::fields::{FieldError, Fields};

/// The actions that people may request: all kinds but `refresh`, which templates use, and `firmware`, which has a route
/// of its own.
pub(in crate::api) const KINDS: [&str; 8] =
    ["desired", "command", "mode", "tags", "configuration", "group", "template", "delete"];

/// Reads an object of one field, the action.
///
/// # Errors
/// Names the field that is wrong.
pub fn read(object: Object) -> Result<JobAction, FieldError> {
    let mut fields = Fields::of(object, &KINDS)?;
    let mut given = KINDS.into_iter().filter_map(|kind| Some((kind, fields.take_even_null(kind)?)));
    let (Some((kind, value)), None) = (given.next(), given.next()) else {
        // Of the action as a whole.
        return Err(FieldError::bad("", format!("exactly one of {} must be given", KINDS.join(", "))));
    };
    if let ("desired" | "tags" | "configuration", Json::Object(patch)) = (kind, &value)
        && let Some(detail) = patch.size().excess(Size::default())
    {
        return Err(FieldError::bad(kind, detail)); // or each device would refuse it
    }
    let action = match (kind, value) {
        ("desired", Json::Object(patch)) => JobAction::Desired(patch),
        ("tags", Json::Object(patch)) => JobAction::Tags(patch),
        ("configuration", Json::Object(patch)) => JobAction::Configuration(patch),
        ("command", Json::Object(request)) => {
            let request = request::request(request).map_err(|error| within(kind, error))?;
            JobAction::Command(Box::new(request))
        }
        ("mode", Json::Object(wanted)) => of_mode(wanted).map_err(|error| within(kind, error))?,
        ("mode", Json::String(word)) => {
            let wanted = [("mode", Json::String(word))].into_iter().collect();
            of_mode(wanted)?
        }
        ("group", Json::Null) => JobAction::Group(None),
        ("group", Json::String(group)) if group.is_empty() => JobAction::Group(None),
        ("group", Json::String(group)) => JobAction::Group(Some(group)),
        ("template", Json::Null) => JobAction::Template(None),
        ("template", Json::String(template)) => JobAction::Template(Some(template)),
        ("delete", Json::Bool(true)) => JobAction::Delete,
        (kind, other) => {
            let expected = match kind {
                "group" => "a group's id, or null",
                "template" => "a template's id, or null",
                "delete" => "true",
                "mode" => "an object, or manual or schedule",
                _ => "an object",
            };
            return Err(FieldError::bad(kind, format!("expected {expected}, found {}", other.kind())));
        }
    };
    Ok(action)
}

/// The mode's duration counts from each device's turn.
fn of_mode(wanted: Object) -> Result<JobAction, FieldError> {
    let (mode, end) = mode::wanted(wanted)?;
    let (until, for_ms) = match end {
        Some(End::At(until)) => (Some(until), None),
        Some(End::After(millis)) => (None, Some(millis)),
        None => (None, None),
    };
    Ok(JobAction::Mode { mode, until, for_ms })
}

#[cfg(test)]
mod tests {
    use twinhub_domain::payload;

    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match read(payload::object(text.as_bytes()).unwrap()) {
            Ok(action) => serde_json::to_string(&action).unwrap(),
            Err(error) => error.to_string(),
        };
        assert!(told.starts_with(expected), "{text}: {told}");
    }

    #[test]
    fn reads_actions() {
        for text in [
            r#"{"desired":{"m":null,"n":1.50}}"#,
            r#"{"tags":{"floor":"2"}}"#,
            r#"{"configuration":{}}"#,
            r#"{"group":"hall"}"#,
            r#"{"group":null}"#,
            r#"{"template":"pump"}"#,
            r#"{"template":null}"#,
            r#"{"delete":true}"#,
            r#"{"mode":{"mode":"manual"}}"#,
        ] {
            check(text, text);
        }
        check(r#"{"group": ""}"#, r#"{"group":null}"#);
        check(r#"{"mode": "schedule"}"#, r#"{"mode":{"mode":"schedule"}}"#);
        check(
            r#"{"mode": {"mode": "manual", "until": "1970-01-01T00:00:01Z"}}"#,
            r#"{"mode":{"mode":"manual","until":"1970-01-01T00:00:01.000Z"}}"#,
        );
        check(
            r#"{"mode": {"mode": "manual", "for": "2h"}}"#,
            r#"{"mode":{"mode":"manual","for_ms":7200000}}"#,
        );
        check(r#"{"command": {"command_type": "reboot"}}"#, r#"{"command":{"command_type":"reboot""#);
    }

    #[test]
    fn names_what_is_wrong() {
        check(
            "{}",
            "``: exactly one of desired, command, mode, tags, configuration, group, template, delete",
        );
        check(r#"{"group": "a", "delete": true}"#, "``: exactly one of desired,");
        check(r#"{"paint": "red"}"#, "`paint`: there is no such field");
        check(r#"{"desired": 5}"#, "`desired`: expected an object, found a number");
        check(r#"{"tags": null}"#, "`tags`: expected an object, found null");
        check(r#"{"delete": false}"#, "`delete`: expected true, found a boolean");
        check(r#"{"group": 5}"#, "`group`: expected a group's id, or null, found a number");
        check(r#"{"mode": "auto"}"#, "`mode`: expected manual or schedule, found `auto`");
        check(r#"{"mode": {"mode": "schedule", "for": "2h"}}"#, "`mode.for`: only manual mode has an end");
        check(r#"{"command": {}}"#, "`command.command_type`: must be given");
    }
}
