//! Reads and checks the action as the routes for one device do.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use twinhub_domain::Object;
use twinhub_domain::fleet::JobAction;
use twinhub_domain::json::DocumentSize;
use utoipa::ToSchema;

use crate::api::commands::request::NewCommand;
use crate::api::twin::mode::{self, ManualModeEnd};
use crate::api::twin::request::NewMode;
use crate::http::extract::fields::FieldError;
use crate::http::extract::read::even_null;

/// The action upon each device: exactly one of these. Other kinds of jobs are not asked for here: `refresh` is made by
/// changes of templates, and `firmware` has a route of its own.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkAction {
    /// A merge patch.
    #[serde(default, deserialize_with = "even_null")]
    desired: Option<Object>,
    /// As it is sent to a device's commands.
    #[serde(default, deserialize_with = "even_null")]
    command: Option<NewCommand>,
    /// As it is put to a device's mode, or the word alone; `for` counts from the device's turn.
    #[serde(default, deserialize_with = "mode_or_word")]
    #[schema(value_type = Option<NewMode>)]
    mode: Option<ModeRequest>,
    /// A merge patch.
    #[serde(default, deserialize_with = "even_null")]
    tags: Option<Object>,
    /// A merge patch.
    #[serde(default, deserialize_with = "even_null")]
    configuration: Option<Object>,
    /// A group's id, or null.
    #[serde(default, deserialize_with = "even_null", alias = "group")]
    #[schema(value_type = Option<String>)]
    group_id: Option<Option<Box<str>>>,
    /// A template's id, or null.
    #[serde(default, deserialize_with = "even_null", alias = "template")]
    #[schema(value_type = Option<String>)]
    template_id: Option<Option<Box<str>>>,
    /// True: the devices are removed.
    #[serde(default, deserialize_with = "even_null")]
    delete: Option<bool>,
}

/// A mode, and whether its word alone was given.
#[derive(Debug)]
struct ModeRequest {
    mode: NewMode,
    is_word: bool,
}

/// The kinds, as errors name them.
const KINDS: &str = "desired, command, mode, tags, configuration, group_id, template_id, delete";

impl BulkAction {
    /// The action that it is.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn action(self) -> Result<JobAction, FieldError> {
        let given = [
            self.desired.map(|patch| checked("desired", patch).map(JobAction::Desired)),
            self.command.map(|command| {
                let request = command.request().map_err(|error| error.within("command"))?;
                Ok(JobAction::Command(Box::new(request)))
            }),
            self.mode.map(|ModeRequest { mode, is_word }| {
                of_mode(mode).map_err(|error| if is_word { error } else { error.within("mode") })
            }),
            self.tags.map(|patch| checked("tags", patch).map(JobAction::Tags)),
            self.configuration.map(|patch| checked("configuration", patch).map(JobAction::Configuration)),
            self.group_id.map(|group| Ok(JobAction::Group(group.filter(|group| !group.is_empty())))),
            self.template_id.map(|template| Ok(JobAction::Template(template))),
            self.delete.map(|delete| match delete {
                true => Ok(JobAction::Delete),
                false => Err(FieldError::bad("delete", "expected true, found false")),
            }),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(action), None) => action,
            // Of the action as a whole.
            _ => Err(FieldError::bad("", format!("exactly one of {KINDS} must be given"))),
        }
    }
}

/// A patch that a document has room for, or each device would refuse it.
fn checked(section: &str, patch: Object) -> Result<Object, FieldError> {
    match patch.size().excess(DocumentSize::default()) {
        Some(detail) => Err(FieldError::bad(section, detail)),
        None => Ok(patch),
    }
}

/// The length of a mode counts from each device's turn.
fn of_mode(wanted: NewMode) -> Result<JobAction, FieldError> {
    let (mode, end) = mode::mode_request(wanted)?;
    let (until, length) = match end {
        Some(ManualModeEnd::At(until)) => (Some(until), None),
        Some(ManualModeEnd::After(length)) => (None, Some(length)),
        None => (None, None),
    };
    Ok(JobAction::Mode { mode, until, length })
}

/// A mode as an object, or its word alone.
fn mode_or_word<'de, D: Deserializer<'de>>(given: D) -> Result<Option<ModeRequest>, D::Error> {
    struct ModeOrWord;
    impl<'de> Visitor<'de> for ModeOrWord {
        type Value = ModeRequest;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object, or manual or schedule")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<ModeRequest, E> {
            let mode = NewMode { mode: word.into(), r#for: None, until: None };
            Ok(ModeRequest { mode, is_word: true })
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<ModeRequest, A::Error> {
            let mode = NewMode::deserialize(MapAccessDeserializer::new(members))?;
            Ok(ModeRequest { mode, is_word: false })
        }
    }
    given.deserialize_any(ModeOrWord).map(Some)
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Json;

    use super::*;
    use crate::http::extract::read::read;

    fn check(text: &str, expected: &str) {
        let action = read::<BulkAction>(text.parse::<Json>().unwrap()).and_then(BulkAction::action);
        let told = match action {
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
            r#"{"delete":true}"#,
            r#"{"mode":{"mode":"manual"}}"#,
            r#"{"mode":{"mode":"manual","for":"120m"}}"#,
        ] {
            check(text, text);
        }
        check(r#"{"group_id": "hall"}"#, r#"{"group_id":"hall"}"#);
        check(r#"{"group": null}"#, r#"{"group_id":null}"#);
        check(r#"{"group": ""}"#, r#"{"group_id":null}"#);
        check(r#"{"template": "pump"}"#, r#"{"template_id":"pump"}"#);
        check(r#"{"template_id": null}"#, r#"{"template_id":null}"#);
        check(r#"{"mode": "schedule"}"#, r#"{"mode":{"mode":"schedule"}}"#);
        check(
            r#"{"mode": {"mode": "manual", "until": "1970-01-01T00:00:01Z"}}"#,
            r#"{"mode":{"mode":"manual","until":"1970-01-01T00:00:01.000Z"}}"#,
        );
        check(r#"{"command": {"command_type": "reboot"}}"#, r#"{"command":{"command_type":"reboot""#);
    }

    #[test]
    fn names_what_is_wrong() {
        check(
            "{}",
            "``: exactly one of desired, command, mode, tags, configuration, group_id, template_id, delete",
        );
        check(r#"{"group": "a", "delete": true}"#, "``: exactly one of desired,");
        check(r#"{"paint": "red"}"#, "`paint`: there is no such field");
        check(r#"{"desired": 5}"#, "`desired`: expected an object, found a number");
        check(r#"{"tags": null}"#, "`tags`: expected an object, found null");
        check(r#"{"delete": false}"#, "`delete`: expected true, found false");
        check(r#"{"group": 5}"#, "`group`: expected a string, found a number");
        check(r#"{"mode": "auto"}"#, "`mode`: expected manual or schedule, found `auto`");
        check(r#"{"mode": {"mode": "auto"}}"#, "`mode.mode`: expected manual or schedule, found `auto`");
        check(r#"{"mode": {"mode": "schedule", "for": "2h"}}"#, "`mode.for`: only manual mode has an end");
        check(r#"{"command": {}}"#, "`command.command_type`: must be given");
    }
}
