//! Request frames as the AsyncAPI document describes them; [`super::request`] reads them.
#![expect(dead_code, reason = "described, never made: frames are read field by field")]

use twinhub_domain::Kind;
use utoipa::openapi::schema::{Object as ObjectSchema, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::commands::request::NewCommand;
use crate::api::schema::Object;

/// A request frame.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Begin a subscription to the events of devices. Answered by `subscribed`.
    Subscribe {
        /// The client's own name of the subscription.
        #[schema(min_length = 1, max_length = 128)]
        id: String,
        /// Devices by id or by pattern (`*`, `?`, `[a-c]`, `{a,b}`); all by default.
        devices: Option<DeviceNames>,
        /// All kinds by default.
        kinds: Option<KindNames>,
        /// Devices of this group, and of all groups under it, alone.
        group_id: Option<String>,
        /// The older word for `group_id`.
        #[schema(deprecated)]
        group: Option<String>,
        /// Events after this place in the sequence, then the live ones; from now on by default.
        since: Option<u64>,
        /// Twins in their present state first, as `snapshot` frames; false by default.
        snapshot: Option<bool>,
    },
    /// End a subscription. Answered by `unsubscribed`.
    Unsubscribe {
        #[schema(min_length = 1, max_length = 128)]
        id: String,
    },
    /// Change a twin's desired state. Answered by `result` after the commit.
    Desired {
        /// The answer carries it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
        device_id: String,
        /// A merge patch (RFC 7396) onto `desired`.
        patch: Object,
        /// The version that the twin must have; any by default.
        if_version: Option<u64>,
    },
    /// Queue a command for a device. Answered by `result` after the commit; events of the kind `command` follow.
    Command(CommandFrame),
    /// Ask whether the hub is there. Answered by `pong`.
    Ping {
        /// The answer carries it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// Say by a token who the sender is. It must be the first frame, within 10 s, where the handshake has neither
    /// `Authorization` nor a session's cookie and the hub is not open. Answered by `hello`, or the hub closes with 4401.
    Auth {
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
        /// A personal key, or a service account's.
        token: String,
    },
}

#[derive(ToSchema)]
pub struct CommandFrame {
    /// The answer carries it.
    #[schema(min_length = 1, max_length = 128)]
    id: Option<String>,
    device_id: String,
    /// 1 to 255 characters of visible ASCII. The same key and the same command again are the same command.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// Read as REST reads it, and without effect: the answer never waits for the device.
    wait: Option<Wait>,
    #[serde(flatten)]
    command: NewCommand,
}

/// A duration, or seconds.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Wait {
    Duration(String),
    Seconds(u32),
}

/// One device, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum DeviceNames {
    One(String),
    Several(Vec<String>),
}

/// One kind, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum KindNames {
    One(KindName),
    Several(Vec<KindName>),
}

/// The kind of an event.
pub struct KindName;

impl PartialSchema for KindName {
    fn schema() -> RefOr<Schema> {
        let words = Kind::ALL.map(Kind::as_str);
        ObjectSchema::builder().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for KindName {}
