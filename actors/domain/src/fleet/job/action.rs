//! The action of a job on each of its devices.

use serde::{Deserialize, Serialize};

use super::super::rollout::Rollout;
use super::JobId;
use crate::Mode;
use crate::clock::Timestamp;
use crate::command::{CommandId, CommandRequest};
use crate::duration::GivenDuration;
use crate::json::{Json, Object};
use crate::twin::{Change, Input};

/// The action on each device. On the wire an object of one field: `{"desired": {"power": "on"}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobAction {
    /// A merge patch onto `desired`.
    Desired(Object),
    Command(Box<CommandRequest>),
    Mode {
        mode: Mode,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// It ends so long after the device's turn, whenever that comes: in place of `until`.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "for", alias = "for_ms")]
        length: Option<GivenDuration>,
    },
    /// A merge patch onto `tags`.
    Tags(Object),
    /// A merge patch onto `configuration`.
    Configuration(Object),
    /// The group that it is to be in; none: in no group.
    #[serde(rename = "group_id", alias = "group")]
    Group(Option<Box<str>>),
    /// The template that it is to have; none: none any more.
    #[serde(rename = "template_id", alias = "template")]
    Template(Option<Box<str>>),
    /// Devices that have the template of this id take its present layer, or lose it where the template is gone.
    Refresh(Box<str>),
    /// Bring the device to an image; how the job goes on with the others is in it.
    Firmware(Box<Rollout>),
    /// Remove the device with all it has.
    #[serde(with = "yes")]
    Delete,
}

impl JobAction {
    /// The words for the kinds of actions.
    pub const KINDS: [&'static str; 10] = [
        "desired",
        "command",
        "mode",
        "tags",
        "configuration",
        "group",
        "template",
        "refresh",
        "delete",
        "firmware",
    ];

    /// The word for its kind: one of [`JobAction::KINDS`].
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Desired(_) => "desired",
            Self::Command(_) => "command",
            Self::Mode { .. } => "mode",
            Self::Tags(_) => "tags",
            Self::Configuration(_) => "configuration",
            Self::Group(_) => "group",
            Self::Template(_) => "template",
            Self::Refresh(_) => "refresh",
            Self::Delete => "delete",
            Self::Firmware(_) => "firmware",
        }
    }

    /// The input for a device's twin at its turn, which comes `now`, in this round of the job. `command` is the id of
    /// the command, where the action is one.
    #[must_use]
    pub fn input(&self, job: JobId, round: u32, command: CommandId, now: Timestamp) -> Input {
        let change = |section: &str, value: Json| {
            let patch = [(section, value)].into_iter().collect();
            Input::Change(Box::new(Change { patch }))
        };
        match self {
            Self::Desired(patch) => change("desired", patch.clone().into()),
            Self::Tags(patch) => change("tags", patch.clone().into()),
            Self::Configuration(patch) => change("configuration", patch.clone().into()),
            Self::Group(group) => change("group_id", group.clone().map_or(Json::Null, Json::String)),
            Self::Template(template) => change("template", template.clone().map_or(Json::Null, Json::String)),
            Self::Refresh(template) => Input::Refresh(template.clone()),
            Self::Mode { mode, until, length } => {
                let end = length.as_ref().map(|length| now.plus_millis(length.ms()));
                Input::SetMode { mode: *mode, until: end.or(*until) }
            }
            Self::Command(request) => {
                let mut request = request.clone();
                request.idempotency_key = Some(format!("job:{job}:{round}").into());
                // A device's turn comes once in a round, so nobody has used the key.
                Input::Command { id: command, request, known: None, is_new: true }
            }
            Self::Delete => Input::Delete,
            Self::Firmware(rollout) => Input::Update(Box::new(rollout.task(job))),
        }
    }

    /// The roll-out that it is.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        if let Self::Firmware(rollout) = self { Some(rollout) } else { None }
    }
}

/// An action without parameters is `true`.
mod yes {
    use serde::de::{Deserialize as _, Error as _};
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        if bool::deserialize(deserializer)? { Ok(()) } else { Err(D::Error::custom("expected true")) }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// An action is read from `text`, written as it was, and becomes `input` for a twin.
    fn check(text: &str, kind: &str, input: &str) {
        let action: JobAction = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&action).unwrap(), text);
        assert_eq!(action.kind(), kind);
        assert!(JobAction::KINDS.contains(&kind));
        let told = match action.input(
            JobId(Uuid::nil()),
            2,
            CommandId(Uuid::nil()),
            Timestamp::from_millis(5_000),
        ) {
            Input::Change(change) => Json::Object(change.patch).to_string(),
            Input::SetMode { mode, until } => format!("{} {until:?}", mode.as_str()),
            Input::Command { request, is_new, .. } => {
                format!("{} {} {is_new}", request.command_type, request.idempotency_key.unwrap())
            }
            other => format!("{other:?}"),
        };
        assert_eq!(told, input, "{text}");
    }

    #[test]
    fn actions_are_read_written_and_shown() {
        check(r#"{"desired":{"n":1.50}}"#, "desired", r#"{"desired":{"n":1.50}}"#);
        check(r#"{"tags":{"floor":null}}"#, "tags", r#"{"tags":{"floor":null}}"#);
        check(r#"{"configuration":{"a":1}}"#, "configuration", r#"{"configuration":{"a":1}}"#);
        check(r#"{"group_id":"hall"}"#, "group", r#"{"group_id":"hall"}"#);
        check(r#"{"group_id":null}"#, "group", r#"{"group_id":null}"#);
        check(r#"{"template_id":"pump"}"#, "template", r#"{"template":"pump"}"#);
        check(r#"{"template_id":null}"#, "template", r#"{"template":null}"#);
        check(r#"{"refresh":"pump"}"#, "refresh", r#"Refresh("pump")"#);
        check(r#"{"mode":{"mode":"schedule"}}"#, "mode", "schedule None");
        check(
            r#"{"mode":{"mode":"manual","until":"1970-01-01T00:00:01.000Z"}}"#,
            "mode",
            "manual Some(Timestamp(1000))",
        );
        // From its turn on, not from when the job was made.
        check(r#"{"mode":{"mode":"manual","for":"1s"}}"#, "mode", "manual Some(Timestamp(6000))");
        for (earlier, now) in [(r#"{"group":"hall"}"#, "group_id"), (r#"{"template":null}"#, "template_id")] {
            let action: JobAction = serde_json::from_str(earlier).unwrap();
            assert!(serde_json::to_string(&action).unwrap().contains(now), "{earlier}");
        }
        let earlier: JobAction = serde_json::from_str(r#"{"mode":{"mode":"manual","for_ms":1000}}"#).unwrap();
        assert_eq!(serde_json::to_string(&earlier).unwrap(), r#"{"mode":{"mode":"manual","for":"1s"}}"#);
        check(r#"{"delete":true}"#, "delete", "Delete");
        let request = serde_json::to_string(&CommandRequest::new("reboot", Object::default())).unwrap();
        let key = "job:00000000-0000-0000-0000-000000000000:2";
        check(&format!(r#"{{"command":{request}}}"#), "command", &format!("reboot {key} true"));
    }
}
