//! Request frames: each is one struct, which is read, and described in the AsyncAPI document.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::json::fields_of;
use twinhub_domain::{EventKind, Json, Object};
use utoipa::openapi::schema::{Object as ObjectSchema, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::commands::request::{self, NewCommand};
use crate::http::cursor::{GivenCursor, NoCursor};
use crate::http::extract::fields::FieldError;
use crate::http::extract::read::{duration, filled, read, texts};

/// A request frame.
#[derive(Debug, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Begin a subscription to the events of devices. Answered by `subscribed`.
    Subscribe(SubscribeFrame),
    /// End a subscription. Answered by `unsubscribed`.
    Unsubscribe(UnsubscribeFrame),
    /// Change a twin's desired state. Answered by `result` after the commit.
    Desired(DesiredFrame),
    /// Queue a command for a device. Answered by `result` after the commit; events of the kind `command` follow.
    Command(CommandFrame),
    /// Begin a subscription to the audit, for admins. Answered by `subscribed`, whose `seq` is a place in the audit; `audit`
    /// frames follow, until it is ended by `unsubscribe`. A session has one at most.
    WatchAudit(WatchAuditFrame),
    /// Ask whether the hub is there. Answered by `pong`.
    Ping(PingFrame),
    /// Say by a token who the sender is. It must be the first frame, within 10 s, where the handshake has neither
    /// `Authorization` nor a session's cookie and the hub is not open. Answered by `hello`, or the hub closes with 4401.
    Auth(AuthFrame),
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeFrame {
    /// The client's own name of the subscription.
    #[serde(deserialize_with = "filled")]
    #[schema(min_length = 1, max_length = 128)]
    pub id: Box<str>,
    /// Devices by id or by pattern (`*`, `?`, `[a-c]`, `{a,b}`); all by default.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<DeviceNames>)]
    pub devices: Option<Vec<Box<str>>>,
    /// All kinds by default.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<KindNames>)]
    pub kinds: Option<Vec<Box<str>>>,
    /// Devices of this group, and of all groups under it, alone.
    pub group_id: Option<Box<str>>,
    /// The older word for `group_id`.
    #[schema(deprecated)]
    pub group: Option<Box<str>>,
    /// Events after this place in the sequence, then the live ones; from now on by default. A `cursor` of the hub, or, of
    /// a client that sees all devices, a `seq`; 0 is the beginning.
    #[serde(default, deserialize_with = "cursor")]
    #[schema(value_type = Option<SinceMember>)]
    pub since: Option<GivenCursor>,
    /// Twins in their present state first, as `snapshot` frames; false by default.
    pub snapshot: Option<bool>,
    /// Events in bundles, as `events` frames: one at most in this time, a duration from 10 ms to a minute, or seconds. One
    /// that is full, with 4,096 events or 256 KiB, goes before. By default each event is a frame, as soon as it is there.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<WaitMember>)]
    pub every: Option<GivenDuration>,
    /// With `every`: of readings the newest of each name of each device alone, in each bundle; false by default.
    pub latest: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeFrame {
    #[serde(deserialize_with = "filled")]
    #[schema(min_length = 1, max_length = 128)]
    pub id: Box<str>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchAuditFrame {
    /// The client's own name of the subscription.
    #[serde(deserialize_with = "filled")]
    #[schema(min_length = 1, max_length = 128)]
    pub id: Box<str>,
    /// Entries after this place in the audit, then those that come; from now on by default.
    pub since: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredFrame {
    /// The answer carries it.
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<Box<str>>,
    #[serde(deserialize_with = "filled")]
    pub device_id: Box<str>,
    /// A merge patch (RFC 7396) onto `desired`.
    pub patch: Object,
    /// The version that the twin must have; any by default.
    pub if_version: Option<u64>,
}

#[derive(Debug, ToSchema)]
pub struct CommandFrame {
    #[serde(flatten)]
    pub head: CommandHead,
    #[serde(flatten)]
    pub command: NewCommand,
}

/// The members of the frame of a command beside the command itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandHead {
    /// The answer carries it.
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<Box<str>>,
    #[serde(deserialize_with = "filled")]
    pub device_id: Box<str>,
    /// 1 to 255 characters of visible ASCII. The same key and the same command again are the same command.
    #[schema(min_length = 1, max_length = 255)]
    pub idempotency_key: Option<Box<str>>,
    /// Read as REST reads it, and without effect: the answer never waits for the device.
    #[serde(default, deserialize_with = "wait")]
    #[schema(value_type = Option<WaitMember>)]
    #[expect(dead_code, reason = "without effect: events of the kind `command` tell the outcome")]
    wait: Option<Json>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PingFrame {
    /// The answer carries it.
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<Box<str>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthFrame {
    #[schema(min_length = 1, max_length = 128)]
    pub id: Option<Box<str>>,
    /// A personal key, or a service account's.
    #[serde(deserialize_with = "token")]
    #[schema(value_type = String)]
    pub token: GivenToken,
}

/// A token that no log shows.
pub struct GivenToken(Box<str>);

impl GivenToken {
    /// The text of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn token<'de, D: Deserializer<'de>>(given: D) -> Result<GivenToken, D::Error> {
    filled(given).map(GivenToken)
}

impl fmt::Debug for GivenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenToken")
    }
}

impl ClientFrame {
    /// The frame of the type `kind` with these other members.
    ///
    /// # Errors
    /// There is no such type, or a member is wrong, missing or unknown.
    pub fn read(kind: &str, members: Object) -> Result<Self, FieldError> {
        match kind {
            "subscribe" => read(members).map(Self::Subscribe),
            "unsubscribe" => read(members).map(Self::Unsubscribe),
            "desired" => read(members).map(Self::Desired),
            "command" => CommandFrame::read(members).map(Self::Command),
            "watch_audit" => read(members).map(Self::WatchAudit),
            "ping" => read(members).map(Self::Ping),
            "auth" => read(members).map(Self::Auth),
            other => {
                let types = Self::members().map(|(name, _)| name).join(", ");
                let detail = format!("`{}` is none of {types}", other.escape_debug());
                Err(FieldError { code: "unknown_type", ..FieldError::bad("type", detail) })
            }
        }
    }

    /// The types of frames, each with its members beside `type`.
    pub fn members() -> [(&'static str, Vec<&'static str>); 7] {
        [
            ("subscribe", fields_of::<SubscribeFrame>().to_vec()),
            ("unsubscribe", fields_of::<UnsubscribeFrame>().to_vec()),
            ("desired", fields_of::<DesiredFrame>().to_vec()),
            ("command", [fields_of::<CommandHead>(), fields_of::<NewCommand>()].concat()),
            ("watch_audit", fields_of::<WatchAuditFrame>().to_vec()),
            ("ping", fields_of::<PingFrame>().to_vec()),
            ("auth", fields_of::<AuthFrame>().to_vec()),
        ]
    }
}

impl CommandFrame {
    /// The command is read as REST reads it; all that is no part of one belongs to the frame.
    fn read(members: Object) -> Result<Self, FieldError> {
        let (mut head, mut command) = (Object::default(), Object::default());
        for (name, value) in members {
            let part = if fields_of::<NewCommand>().contains(&&*name) { &mut command } else { &mut head };
            part.insert(name, value);
        }
        Ok(Self { head: read(head)?, command: read(command)? })
    }
}

/// For a place in the sequence.
fn cursor<'de, D: Deserializer<'de>>(given: D) -> Result<Option<GivenCursor>, D::Error> {
    let text = match Json::deserialize(given)? {
        Json::Null => return Ok(None),
        Json::String(text) => text,
        Json::Number(number) => number.as_str().into(),
        other => return Err(D::Error::custom(format!("expected a cursor, found {}", other.kind()))),
    };
    text.parse().map(Some).map_err(|error: NoCursor| D::Error::custom(error.to_string()))
}

/// For a wait, of which it is only looked whether it is one.
fn wait<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Json>, D::Error> {
    let given = Json::deserialize(given)?;
    let is_wait = match &given {
        Json::Null => return Ok(None),
        Json::String(text) => request::wait(text).is_some(),
        Json::Number(seconds) => request::wait(seconds.as_str()).is_some(),
        _ => false,
    };
    if is_wait { Ok(Some(given)) } else { Err(D::Error::custom(format!("expected {}", request::WAIT))) }
}

/// A duration, or seconds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
#[serde(untagged)]
pub enum WaitMember {
    Duration(String),
    Seconds(u32),
}

/// A cursor, or the number of a place.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
#[serde(untagged)]
pub enum SinceMember {
    Cursor(String),
    Place(u64),
}

/// One device, or several.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
#[serde(untagged)]
pub enum DeviceNames {
    One(String),
    Several(Vec<String>),
}

/// One kind, or several.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
#[serde(untagged)]
pub enum KindNames {
    One(KindName),
    Several(Vec<KindName>),
}

/// The kind of an event.
pub struct KindName;

impl PartialSchema for KindName {
    fn schema() -> RefOr<Schema> {
        let words = EventKind::ALL.map(EventKind::as_str);
        ObjectSchema::builder().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for KindName {}
