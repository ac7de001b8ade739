//! The frames of `/api/ws`: what a client says, read by field, and what it is told, written as text.

use std::fmt::Write as _;

use twinhub_actors::domain::json::write_string;
use twinhub_actors::domain::payload::{self, PayloadError};
use twinhub_actors::domain::{DeviceId, Json, Object, Recorded, Timestamp, Twin};

use crate::fields::{FieldError, Fields};
use crate::subscription::Filter;

/// Ids of frames and subscriptions have at most this many bytes: they are told with every event.
const LONGEST_ID: usize = 128;

/// What a client says.
#[derive(Debug)]
pub(super) enum ClientFrame {
    Subscribe(Subscribe),
    Unsubscribe { id: Box<str> },
    Desired { id: Option<Box<str>>, device: DeviceId, patch: Object, if_version: Option<u64> },
    Ping { id: Option<Box<str>> },
}

/// A wish to hear.
#[derive(Debug)]
pub(super) struct Subscribe {
    pub id: Box<str>,
    pub filter: Filter,
    pub group: Option<Box<str>>,
    pub since: Option<u64>,
    pub snapshot: bool,
}

/// A frame that was not understood.
#[derive(Debug, PartialEq)]
pub(super) struct BadFrame {
    id: Option<Box<str>>,
    code: &'static str,
    error: String,
}

/// Reads a frame.
///
/// # Errors
/// Names what is wrong, with the frame's id where it has one.
pub(super) fn parse(text: &[u8]) -> Result<ClientFrame, BadFrame> {
    let mut fields = Fields::of(payload::object(text).map_err(|error| BadFrame::unread(&error))?);
    let id = fields.text("id").map_err(|error| BadFrame::of(None, error))?;
    if id.as_ref().is_some_and(|id| id.len() > LONGEST_ID || id.is_empty()) {
        let error = FieldError::bad("id", format!("1 to {LONGEST_ID} bytes"));
        return Err(BadFrame::of(None, error));
    }
    let known = id.clone();
    by_type(id, fields).map_err(|error| BadFrame::of(known, error))
}

fn by_type(id: Option<Box<str>>, mut fields: Fields) -> Result<ClientFrame, FieldError> {
    let needed = |id: Option<Box<str>>| id.ok_or_else(|| FieldError::missing("id"));
    let kind = fields.needed_text("type")?;
    let frame = match &*kind {
        "subscribe" => ClientFrame::Subscribe(Subscribe {
            id: needed(id)?,
            filter: Filter::new(fields.texts("devices")?.as_deref(), fields.texts("kinds")?.as_deref())?,
            group: fields.text("group")?,
            since: fields.count("since")?,
            snapshot: fields.flag("snapshot")?.unwrap_or(false),
        }),
        "unsubscribe" => ClientFrame::Unsubscribe { id: needed(id)? },
        "desired" => {
            let device = fields.needed_text("device_id")?;
            ClientFrame::Desired {
                id,
                device: DeviceId::parse(&device)
                    .map_err(|error| FieldError::bad("device_id", error.to_string()))?,
                patch: fields.object("patch")?.ok_or_else(|| FieldError::missing("patch"))?,
                if_version: fields.count("if_version")?,
            }
        }
        "ping" => ClientFrame::Ping { id },
        "command" => {
            return Err(FieldError {
                code: "not_supported",
                ..FieldError::bad("type", "this version takes no commands: set `desired`")
            });
        }
        other => {
            let detail =
                format!("`{}` is none of subscribe, unsubscribe, desired, ping", other.escape_debug());
            return Err(FieldError { code: "unknown_type", ..FieldError::bad("type", detail) });
        }
    };
    fields.finish()?;
    Ok(frame)
}

impl ClientFrame {
    /// The id that answers carry.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Subscribe(Subscribe { id, .. }) | Self::Unsubscribe { id } => Some(id),
            Self::Desired { id, .. } | Self::Ping { id } => id.as_deref(),
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
        error(self.id.as_deref(), self.code, &self.error)
    }
}

/// `{"type":"hello","seq":1234,"server_time":"…"}`
pub(super) fn hello(seq: u64, now: Timestamp) -> String {
    format!(r#"{{"type":"hello","seq":{seq},"server_time":"{now}"}}"#)
}

/// `{"type":"subscribed","id":"s1","seq":…}`: events after `seq` come.
pub(super) fn subscribed(id: &str, seq: u64) -> String {
    Frame::of("subscribed").text("id", id).number("seq", seq).end()
}

/// `{"type":"unsubscribed","id":"s1"}`
pub(super) fn unsubscribed(id: &str) -> String {
    Frame::of("unsubscribed").text("id", id).end()
}

/// `{"type":"snapshot","id":"s1","twins":[…],"last":true}`
pub(super) fn snapshot(id: &str, twins: &[Twin], last: bool, now: Timestamp) -> String {
    let mut frame = Frame::of("snapshot").text("id", id);
    frame.0.push_str(r#","twins":["#);
    for (index, twin) in twins.iter().enumerate() {
        if index > 0 {
            frame.0.push(',');
        }
        twin.document(now).write(&mut frame.0);
    }
    let _ = write!(frame.0, r#"],"last":{last}"#); // writing to a String cannot fail
    frame.end()
}

/// How an event frame for these subscriptions begins; the event's own members follow.
pub(super) fn event_prefix<'a>(subscriptions: impl Iterator<Item = &'a str>) -> String {
    let mut prefix = String::from(r#"{"type":"event","sub":["#);
    for (index, id) in subscriptions.enumerate() {
        if index > 0 {
            prefix.push(',');
        }
        write_string(&mut prefix, id);
    }
    prefix.push_str("],");
    prefix
}

/// `{"type":"event","sub":["s1"],"seq":1235,…}`
pub(super) fn event(prefix: &str, event: &Recorded) -> String {
    let members = event.json_members();
    let mut frame = String::with_capacity(prefix.len() + members.len() + 1);
    frame.push_str(prefix);
    frame.push_str(members);
    frame.push('}');
    frame
}

/// `{"type":"lagged","missed":17,"resume":1240}`
pub(super) fn lagged(missed: u64, resume: u64) -> String {
    Frame::of("lagged").number("missed", missed).number("resume", resume).end()
}

/// `{"type":"resync","seq":…,"sub":["s1"]}`: the past asked for is gone.
pub(super) fn resync<'a>(seq: u64, subscriptions: impl Iterator<Item = &'a str>) -> String {
    let ids = subscriptions.map(Json::from).collect::<Vec<_>>();
    Frame::of("resync").number("seq", seq).json("sub", &Json::Array(ids.into())).end()
}

/// `{"type":"result","id":"d1","status":"ok","seq":…,"version":…}`
pub(super) fn result(id: Option<&str>, seq: Option<u64>, version: u64) -> String {
    let mut frame = Frame::of("result").id(id).text("status", "ok");
    if let Some(seq) = seq {
        frame = frame.number("seq", seq);
    }
    frame.number("version", version).end()
}

/// `{"type":"error","id":…,"code":…,"error":…}`
pub(super) fn error(id: Option<&str>, code: &str, error: &str) -> String {
    Frame::of("error").id(id).text("code", code).text("error", error).end()
}

/// `{"type":"pong"}`
pub(super) fn pong(id: Option<&str>) -> String {
    Frame::of("pong").id(id).end()
}

/// A frame being written.
struct Frame(String);

impl Frame {
    fn of(kind: &str) -> Self {
        Self(format!(r#"{{"type":"{kind}""#))
    }

    fn id(self, id: Option<&str>) -> Self {
        if let Some(id) = id { self.text("id", id) } else { self }
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        write_string(&mut self.0, value);
        self
    }

    fn number(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        let _ = write!(self.0, "{value}"); // writing to a String cannot fail
        self
    }

    fn json(mut self, name: &str, value: &Json) -> Self {
        self.name(name);
        value.write(&mut self.0);
        self
    }

    fn name(&mut self, name: &str) {
        let _ = write!(self.0, r#","{name}":"#); // writing to a String cannot fail
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
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
    fn reads_what_clients_say() {
        check(
            r#"{"type":"subscribe","id":"s1","devices":["pump-*"],"kinds":["telemetry"],"since":12}"#,
            "s1 ",
        );
        check(r#"{"type":"subscribe","id":"s1","group":"hall","snapshot":true}"#, "s1 ");
        check(r#"{"type":"unsubscribe","id":"s1"}"#, "s1 ");
        check(r#"{"type":"desired","id":"d1","device_id":"a","patch":{"power":"on"},"if_version":7}"#, "d1 ");
        check(r#"{"type":"ping"}"#, "- ");
    }

    #[test]
    fn says_what_it_does_not_understand() {
        check("[]", r#"{"type":"error","code":"wrong_type","error":"expected an object, found an array"}"#);
        check("{", r#"{"type":"error","code":"not_json","#);
        check(r#"{"id":"x"}"#, r#"{"type":"error","id":"x","code":"missing_field","error":"`type`: must be"#);
        check(r#"{"type":"dance","id":"x"}"#, r#"{"type":"error","id":"x","code":"unknown_type""#);
        check(r#"{"type":"command","id":"c"}"#, r#"{"type":"error","id":"c","code":"not_supported""#);
        check(r#"{"type":"subscribe"}"#, r#"{"type":"error","code":"missing_field","error":"`id`"#);
        check(
            r#"{"type":"subscribe","id":"s","device":["a"]}"#,
            r#"{"type":"error","id":"s","code":"unknown_field","error":"`device`"#,
        );
        check(
            r#"{"type":"subscribe","id":"s","since":-1}"#,
            r#"{"type":"error","id":"s","code":"bad_field""#,
        );
    }

    #[test]
    fn writes_frames() {
        assert_eq!(lagged(17, 1240), r#"{"type":"lagged","missed":17,"resume":1240}"#);
        assert_eq!(subscribed("s\"1", 3), r#"{"type":"subscribed","id":"s\"1","seq":3}"#);
        assert_eq!(event_prefix(["a", "b"].into_iter()), r#"{"type":"event","sub":["a","b"],"#);
        assert_eq!(resync(5, ["a"].into_iter()), r#"{"type":"resync","seq":5,"sub":["a"]}"#);
        assert_eq!(
            snapshot("s", &[], true, Timestamp::default()),
            r#"{"type":"snapshot","id":"s","twins":[],"last":true}"#
        );
        assert_eq!(pong(None), r#"{"type":"pong"}"#);
    }
}
