//! Request frames, read field by field. A frame that makes no sense is answered with the field that is wrong and the
//! reason; an unknown field is named first of all.

use std::fmt;

use twinhub_domain::json::fields_of;
use twinhub_domain::payload;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{CommandRequest, DeviceId, Json, Object};

use super::frames;
use crate::api::commands::request::{self, NewCommand};
use crate::http::extract::fields::{FieldError, Fields};
use crate::http::extract::read::read;
use crate::live::subscription::Filter;

/// Ids of frames and subscriptions have at most this many bytes: they are sent with every event.
const LONGEST_ID: usize = 128;

const AUTH: [&str; 1] = ["token"];
const SUBSCRIBE: [&str; 6] = ["devices", "kinds", "group_id", "group", "since", "snapshot"];
const DESIRED: [&str; 3] = ["device_id", "patch", "if_version"];
/// Beside the fields of REST's body.
const COMMAND: [&str; 3] = ["device_id", "idempotency_key", "wait"];

/// A request of the client.
#[derive(Debug)]
pub(super) enum RequestFrame {
    Subscribe(SubscribeRequest),
    Unsubscribe {
        id: Box<str>,
    },
    Desired {
        id: Option<Box<str>>,
        device: DeviceId,
        patch: Object,
        if_version: Option<u64>,
    },
    Command {
        id: Option<Box<str>>,
        device: DeviceId,
        request: Box<CommandRequest>,
    },
    Ping {
        id: Option<Box<str>>,
    },
    /// The sender has this token. Only in a first frame.
    Auth {
        id: Option<Box<str>>,
        token: GivenToken,
    },
}

/// A token that no log shows.
pub(super) struct GivenToken(Box<str>);

impl GivenToken {
    /// The text of it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenToken")
    }
}

/// A request for a subscription.
#[derive(Debug)]
pub(super) struct SubscribeRequest {
    pub id: Box<str>,
    pub filter: Filter,
    pub group: Option<Box<str>>,
    pub since: Option<u64>,
    pub snapshot: bool,
}

/// A frame that makes no sense.
#[derive(Debug, PartialEq)]
pub(super) struct BadFrame {
    id: Option<Box<str>>,
    code: &'static str,
    error: String,
}

/// Reads a frame.
///
/// # Errors
/// Names the field and the reason, with the frame's id where it has one.
pub(super) fn parse(text: &[u8]) -> Result<RequestFrame, BadFrame> {
    let mut fields = Fields::any(payload::object(text).map_err(|error| BadFrame::unread(&error))?);
    let id = fields.text("id").map_err(|error| BadFrame::of(None, error))?;
    if id.as_ref().is_some_and(|id| id.len() > LONGEST_ID || id.is_empty()) {
        let error = FieldError::bad("id", format!("1 to {LONGEST_ID} bytes"));
        return Err(BadFrame::of(None, error));
    }
    let known = id.clone();
    by_type(id, fields).map_err(|error| BadFrame::of(known, error))
}

fn by_type(id: Option<Box<str>>, mut fields: Fields) -> Result<RequestFrame, FieldError> {
    let Some(kind) = fields.text("type")? else {
        // It may be there under another name.
        fields.only(&[&SUBSCRIBE[..], &AUTH, &DESIRED, &COMMAND, fields_of::<NewCommand>()].concat())?;
        return Err(FieldError::missing("type"));
    };
    let needed = |id: Option<Box<str>>| id.ok_or_else(|| FieldError::missing("id"));
    match &*kind {
        "subscribe" => {
            let mut fields = fields.only(&SUBSCRIBE)?;
            Ok(RequestFrame::Subscribe(SubscribeRequest {
                id: needed(id)?,
                filter: Filter::new(fields.texts("devices")?.as_deref(), fields.texts("kinds")?.as_deref())?,
                group: group(&mut fields)?,
                since: fields.count("since")?,
                snapshot: fields.flag("snapshot")?.unwrap_or(false),
            }))
        }
        "unsubscribe" => {
            fields.only(&[])?;
            Ok(RequestFrame::Unsubscribe { id: needed(id)? })
        }
        "desired" => {
            let mut fields = fields.only(&DESIRED)?;
            Ok(RequestFrame::Desired {
                id,
                device: device(&mut fields)?,
                patch: fields.object("patch")?.ok_or_else(|| FieldError::missing("patch"))?,
                if_version: fields.count("if_version")?,
            })
        }
        "command" => command(id, fields.only(&[&COMMAND[..], fields_of::<NewCommand>()].concat())?),
        "ping" => {
            fields.only(&[])?;
            Ok(RequestFrame::Ping { id })
        }
        "auth" => {
            let token = fields.only(&AUTH)?.needed_text("token")?;
            Ok(RequestFrame::Auth { id, token: GivenToken(token) })
        }
        other => {
            let detail = format!(
                "`{}` is none of subscribe, unsubscribe, desired, command, ping, auth",
                other.escape_debug()
            );
            Err(FieldError { code: "unknown_type", ..FieldError::bad("type", detail) })
        }
    }
}

fn command(id: Option<Box<str>>, mut fields: Fields) -> Result<RequestFrame, FieldError> {
    let device = device(&mut fields)?;
    let key = fields.text("idempotency_key")?;
    let key = key.map(|key| request::idempotency_key("idempotency_key", &key)).transpose()?;
    // Read as REST reads it, and without effect: events of the kind `command` tell the outcome.
    match fields.take("wait") {
        None => {}
        Some(Json::String(text)) if request::wait(&text).is_some() => {}
        Some(Json::Number(seconds)) if request::wait(seconds.as_str()).is_some() => {}
        Some(_) => return Err(FieldError::bad("wait", format!("expected {}", request::WAIT))),
    }
    let mut request = read::<NewCommand>(fields.rest())?.request()?;
    request.idempotency_key = key;
    Ok(RequestFrame::Command { id, device, request: Box::new(request) })
}

/// By its word, or the older one.
fn group(fields: &mut Fields) -> Result<Option<Box<str>>, FieldError> {
    match (fields.text("group_id")?, fields.text("group")?) {
        (Some(_), Some(_)) => Err(FieldError::bad("group_id", "is given twice, by two names")),
        (group, older) => Ok(group.or(older)),
    }
}

fn device(fields: &mut Fields) -> Result<DeviceId, FieldError> {
    let device = fields.needed_text("device_id")?;
    DeviceId::parse(&device).map_err(|error| FieldError::bad("device_id", error.to_string()))
}

impl RequestFrame {
    /// The id that answers carry.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Subscribe(SubscribeRequest { id, .. }) | Self::Unsubscribe { id } => Some(id),
            Self::Desired { id, .. }
            | Self::Command { id, .. }
            | Self::Ping { id }
            | Self::Auth { id, .. } => id.as_deref(),
        }
    }
}

impl BadFrame {
    fn unread(error: &PayloadError) -> Self {
        Self { id: None, code: error.reason(), error: error.to_string() }
    }

    fn of(id: Option<Box<str>>, error: FieldError) -> Self {
        Self { id, error: error.to_string(), code: error.code }
    }

    /// The answer to it.
    pub(super) fn frame(&self) -> String {
        frames::error(self.id.as_deref(), self.code, &self.error)
    }
}

/// The types of request frames, each with its members beside `type` and `id`.
#[cfg(test)]
pub(in crate::live) fn requests() -> [(&'static str, Vec<&'static str>); 6] {
    [
        ("subscribe", SUBSCRIBE.to_vec()),
        ("unsubscribe", Vec::new()),
        ("desired", DESIRED.to_vec()),
        ("command", [&COMMAND[..], fields_of::<NewCommand>()].concat()),
        ("ping", Vec::new()),
        ("auth", AUTH.to_vec()),
    ]
}

/// True for a frame that makes sense.
#[cfg(test)]
pub(in crate::live) fn is_read(text: &str) -> bool {
    parse(text.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let answer = match parse(text.as_bytes()) {
            Ok(frame) => format!("{} {:?}", frame.id().unwrap_or("-"), std::mem::discriminant(&frame)),
            Err(bad) => bad.frame(),
        };
        assert!(answer.starts_with(expected), "{text}: {answer}");
    }

    #[test]
    fn reads_request_frames() {
        check(
            r#"{"type":"subscribe","id":"s1","devices":["pump-*"],"kinds":["telemetry"],"since":12}"#,
            "s1 ",
        );
        check(r#"{"type":"subscribe","id":"s1","group":"hall","snapshot":true}"#, "s1 ");
        check(r#"{"type":"subscribe","id":"s1","group_id":"hall"}"#, "s1 ");
        check(r#"{"type":"unsubscribe","id":"s1"}"#, "s1 ");
        check(r#"{"type":"desired","id":"d1","device_id":"a","patch":{"power":"on"},"if_version":7}"#, "d1 ");
        check(r#"{"type":"command","id":"c1","device_id":"a","command_type":"reboot","wait":"5s"}"#, "c1 ");
        check(r#"{"type":"ping"}"#, "- ");
        check(r#"{"type":"auth","id":"a","token":"twh_pat_x"}"#, "a ");
    }

    #[test]
    fn names_the_field_that_makes_no_sense() {
        check("[]", r#"{"type":"error","code":"wrong_type","error":"expected an object, found an array"}"#);
        check("{", r#"{"type":"error","code":"not_json","#);
        check(r#"{"id":"x"}"#, r#"{"type":"error","id":"x","code":"missing_field","error":"`type`: must be"#);
        check(r#"{"type":"dance","id":"x"}"#, r#"{"type":"error","id":"x","code":"unknown_type""#);
        check(
            r#"{"type":"command","id":"c"}"#,
            r#"{"type":"error","id":"c","code":"missing_field","error":"`device_id`"#,
        );
        check(r#"{"type":"subscribe"}"#, r#"{"type":"error","code":"missing_field","error":"`id`"#);
        check(
            r#"{"type":"subscribe","id":"s","device":["a"]}"#,
            r#"{"type":"error","id":"s","code":"unknown_field","error":"`device`"#,
        );
        check(
            r#"{"tpye":"ping","id":"x"}"#,
            r#"{"type":"error","id":"x","code":"unknown_field","error":"`tpye`"#,
        );
        check(
            r#"{"type":"subscribe","kind":"x"}"#,
            r#"{"type":"error","code":"unknown_field","error":"`kind`"#,
        );
        check(
            r#"{"type":"desired","device":"a"}"#,
            r#"{"type":"error","code":"unknown_field","error":"`device`"#,
        );
        check(r#"{"type":"ping","seq":1}"#, r#"{"type":"error","code":"unknown_field","error":"`seq`"#);
        check(
            r#"{"type":"command","device_id":"a","comand_type":"reboot"}"#,
            r#"{"type":"error","code":"unknown_field","error":"`comand_type`"#,
        );
        check(r#"{"type":"auth"}"#, r#"{"type":"error","code":"missing_field","error":"`token`"#);
        check(
            r#"{"type":"subscribe","id":"s","since":-1}"#,
            r#"{"type":"error","id":"s","code":"bad_field""#,
        );
    }

    #[test]
    fn no_token_is_shown() {
        let frame = parse(br#"{"type":"auth","token":"twh_pat_x"}"#).unwrap();
        assert!(!format!("{frame:?}").contains("twh_pat_x"), "{frame:?}");
    }

    #[test]
    fn reads_commands_as_rest_does() {
        let read = |more: &str| {
            let text = format!(r#"{{"type":"command","id":"c1","device_id":"a","command_type":"go"{more}}}"#);
            parse(text.as_bytes())
        };
        let Ok(RequestFrame::Command { request, .. }) =
            read(r#","parameters":{"x":1.50},"priority":9,"ttl":60,"idempotency_key":"k""#)
        else {
            panic!("no command");
        };
        assert_eq!(Json::from(request.parameters.clone()).to_string(), r#"{"x":1.50}"#);
        assert_eq!((request.priority, request.ttl.ms()), (9, 60_000));
        assert_eq!(request.idempotency_key.as_deref(), Some("k"));
        for (more, field) in [
            (r#","priority":10"#, "`priority`"),
            (r#","idempotency_key":"a b""#, "`idempotency_key`"),
            (r#","wait":"2m""#, "`wait`"),
            (r#","wait":true"#, "`wait`"),
        ] {
            let frame = read(more).unwrap_err().frame();
            assert!(frame.contains(&format!(r#""code":"bad_field","error":"{field}"#)), "{more}: {frame}");
        }
    }
}
