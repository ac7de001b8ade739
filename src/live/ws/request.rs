//! Requests of clients, from their frames. A frame that makes no sense is answered with the field that is wrong and the
//! reason.

use twinhub_domain::payload;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{CommandRequest, DeviceId, Json, Object};

use super::frames;
use super::schema::{
    AuthFrame, ClientFrame, CommandFrame, CommandHead, DesiredFrame, GivenToken, PingFrame, SubscribeFrame,
    UnsubscribeFrame, WatchAuditFrame,
};
use crate::api::commands::request;
use crate::http::cursor::GivenCursor;
use crate::http::extract::fields::FieldError;
use crate::live::bundle::{BadPace, BundlePace};
use crate::live::subscription::EventFilter;

/// Ids of frames and subscriptions have at most this many bytes: they are sent with every event.
const LONGEST_ID: usize = 128;

/// A request of the client.
#[derive(Debug)]
pub(super) enum RequestFrame {
    Subscribe(Box<SubscribeRequest>),
    Unsubscribe {
        id: Box<str>,
    },
    WatchAudit {
        id: Box<str>,
        since: Option<u64>,
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

/// A request for a subscription.
#[derive(Debug)]
pub(super) struct SubscribeRequest {
    pub id: Box<str>,
    pub filter: EventFilter,
    pub group: Option<Box<str>>,
    pub since: Option<GivenCursor>,
    pub snapshot: bool,
    /// Its events are bundled.
    pub pace: Option<BundlePace>,
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
    let mut members = payload::object(text).map_err(|error| BadFrame::unread(&error))?;
    let id = id(&members).map_err(|error| BadFrame::of(None, error))?;
    let known = id.clone();
    let kind = kind(&mut members).map_err(|error| BadFrame::of(known.clone(), error))?;
    let frame = ClientFrame::read(&kind, members).and_then(checked);
    frame.map_err(|error| BadFrame::of(known, error))
}

/// The frame's id, looked at before all else: answers carry it.
fn id(members: &Object) -> Result<Option<Box<str>>, FieldError> {
    match members.get("id") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) if (1..=LONGEST_ID).contains(&id.len()) => Ok(Some(id.clone())),
        Some(Json::String(_)) => Err(FieldError::bad("id", format!("1 to {LONGEST_ID} bytes"))),
        Some(other) => Err(FieldError::bad("id", format!("expected a string, found {}", other.kind()))),
    }
}

fn kind(members: &mut Object) -> Result<Box<str>, FieldError> {
    match members.remove("type") {
        Some(Json::String(kind)) => Ok(kind),
        None | Some(Json::Null) => {
            // It may be there under another name.
            let known = ClientFrame::members();
            let is_known = |name: &str| known.iter().any(|(_, members)| members.contains(&name));
            match members.iter().find(|(name, _)| !is_known(name)) {
                Some((unknown, _)) => Err(FieldError::unknown(unknown)),
                None => Err(FieldError::missing("type")),
            }
        }
        Some(other) => Err(FieldError::bad("type", format!("expected a string, found {}", other.kind()))),
    }
}

/// The request of a frame, once it is looked whether what stands in it makes sense.
fn checked(frame: ClientFrame) -> Result<RequestFrame, FieldError> {
    Ok(match frame {
        ClientFrame::Subscribe(frame) => {
            let SubscribeFrame { id, devices, kinds, group_id, group, since, snapshot, every, latest } =
                frame;
            if group_id.is_some() && group.is_some() {
                return Err(FieldError::bad("group_id", "is given twice, by two names"));
            }
            RequestFrame::Subscribe(Box::new(SubscribeRequest {
                id,
                filter: EventFilter::new(devices.as_deref(), kinds.as_deref())?,
                group: group_id.or(group),
                since,
                snapshot: snapshot.unwrap_or(false),
                pace: BundlePace::asked(every.map(|every| every.ms()), latest)
                    .map_err(|BadPace(field, expected)| FieldError::bad(field, expected))?,
            }))
        }
        ClientFrame::Unsubscribe(UnsubscribeFrame { id }) => RequestFrame::Unsubscribe { id },
        ClientFrame::WatchAudit(WatchAuditFrame { id, since }) => RequestFrame::WatchAudit { id, since },
        ClientFrame::Desired(DesiredFrame { id, device_id, patch, if_version }) => {
            RequestFrame::Desired { id, device: device(&device_id)?, patch, if_version }
        }
        ClientFrame::Command(CommandFrame { head, command }) => {
            let CommandHead { id, device_id, idempotency_key, .. } = head;
            let device = device(&device_id)?;
            let key = idempotency_key.map(|key| request::idempotency_key("idempotency_key", &key));
            let mut request = command.request()?;
            request.idempotency_key = key.transpose()?;
            RequestFrame::Command { id, device, request: Box::new(request) }
        }
        ClientFrame::Ping(PingFrame { id }) => RequestFrame::Ping { id },
        ClientFrame::Auth(AuthFrame { id, token }) => RequestFrame::Auth { id, token },
    })
}

fn device(id: &str) -> Result<DeviceId, FieldError> {
    DeviceId::parse(id).map_err(|error| FieldError::bad("device_id", error.to_string()))
}

impl RequestFrame {
    /// The id that answers carry.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Subscribe(request) => Some(&request.id),
            Self::Unsubscribe { id } | Self::WatchAudit { id, .. } => Some(id),
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
        check(r#"{"type":"subscribe","id":"s1","since":"AdgJ","every":"250ms","latest":true}"#, "s1 ");
        check(r#"{"type":"subscribe","id":"s1","since":"0","every":0.25}"#, "s1 ");
        check(r#"{"type":"unsubscribe","id":"s1"}"#, "s1 ");
        check(r#"{"type":"desired","id":"d1","device_id":"a","patch":{"power":"on"},"if_version":7}"#, "d1 ");
        check(r#"{"type":"command","id":"c1","device_id":"a","command_type":"reboot","wait":"5s"}"#, "c1 ");
        check(r#"{"type":"watch_audit","id":"a1","since":4}"#, "a1 ");
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
            r#"{"type":"error","id":"s","code":"bad_field","error":"`since`: expected a cursor, as "#,
        );
        for (more, field) in [
            (r#""since":"yesterday""#, "since"),
            (r#""since":[1]"#, "since"),
            (r#""every":"9ms""#, "every"),
            (r#""every":"2m""#, "every"),
            (r#""every":"often""#, "every"),
            (r#""latest":true"#, "latest"),
            (r#""latest":1,"every":"1s""#, "latest"),
        ] {
            check(
                &format!(r#"{{"type":"subscribe","id":"s",{more}}}"#),
                &format!(r#"{{"type":"error","id":"s","code":"bad_field","error":"`{field}`: "#),
            );
        }
        check(
            r#"{"type":"subscribe","id":"s","group":"a","group_id":"a"}"#,
            r#"{"type":"error","id":"s","code":"bad_field","error":"`group_id`: is given twice"#,
        );
        check(
            r#"{"type":"desired","id":"d","device_id":"a","patch":5}"#,
            r#"{"type":"error","id":"d","code":"bad_field","error":"`patch`: expected an object, found a number"}"#,
        );
        check(
            r#"{"type":"desired","id":"d","device_id":"a b","patch":{}}"#,
            r#"{"type":"error","id":"d","code":"bad_field","error":"`device_id`"#,
        );
        check(r#"{"type":5,"id":"x"}"#, r#"{"type":"error","id":"x","code":"bad_field","error":"`type`"#);
        check(r#"{"type":"ping","id":""}"#, r#"{"type":"error","code":"bad_field","error":"`id`: 1 to 128"#);
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
