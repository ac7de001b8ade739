//! The frames of the hub, written as text.

use std::sync::Arc;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use twinhub_domain::json::write_string;
use twinhub_domain::{Command, Recorded, Timestamp, Twin};
use utoipa::ToSchema;

use crate::api::audit::AuditItem;
use crate::api::events::schema::EventItem;
use crate::api::twin::schema::TwinDocument;
use crate::http::cursor::CallerCursors;

/// A frame of the hub, but for events: of these all readers share the text.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HubFrame<'a> {
    /// The first frame of a session.
    Hello {
        /// The last event that has passed; for callers who see all devices, as each `seq`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        seq: Option<u64>,
        /// The same as text: a subscription with it as `since` goes on from here.
        cursor: String,
        #[schema(value_type = String, format = DateTime)]
        server_time: Timestamp,
    },
    /// A subscription has begun.
    Subscribed {
        id: &'a str,
        /// Events after this place come; of the audit, entries.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        seq: Option<u64>,
        /// The same as text; none of the audit.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        cursor: Option<String>,
    },
    /// A subscription has ended.
    Unsubscribed { id: &'a str },
    /// An entry of the audit, in their order.
    Audit {
        /// The subscription's.
        id: &'a str,
        entry: AuditItem,
    },
    /// A page of twins in their present state.
    Snapshot {
        /// The subscription's.
        id: &'a str,
        #[schema(value_type = Vec<TwinDocument>)]
        twins: TwinPage<'a>,
        /// True on the last page.
        last: bool,
    },
    /// The client is too slow: events were skipped. A subscription since `cursor` brings them.
    Lagged {
        /// The number of skipped events, those of other subscribers included; for callers who see all devices.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        missed: Option<u64>,
        /// The place of `cursor` as a number, as earlier versions knew it alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        resume: Option<u64>,
        cursor: String,
    },
    /// The past asked for is not stored any more, or belongs to another store. Later events come after `seq`.
    Resync {
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        seq: Option<u64>,
        cursor: String,
        /// The ids of the subscriptions.
        sub: Vec<&'a str>,
    },
    /// The answer to `desired` (`status` is `ok`, with `version`) and to `command` (`status` is `accepted`, with
    /// `command_id`): it is committed.
    Result {
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        id: Option<&'a str>,
        #[schema(inline)]
        status: ResultStatus,
        /// The event of the change, where there is one and the caller sees all devices.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        seq: Option<u64>,
        /// The twin's version after the change.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        version: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        command_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        command_status: Option<&'a str>,
        /// The same key came before: this is the command of then.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        repeated: Option<bool>,
    },
    /// A request frame was refused.
    Error {
        /// The frame's, where it has one that can be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        id: Option<&'a str>,
        /// A stable word, such as `unknown_field`.
        code: &'a str,
        /// A sentence for people.
        error: &'a str,
    },
    /// The answer to `ping`.
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        id: Option<&'a str>,
    },
}

/// The outcome of a request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    Ok,
    Accepted,
}

/// An event, in the order of the sequence.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made: all readers of an event share its text")]
pub struct EventFrame {
    #[schema(inline)]
    r#type: EventType,
    /// The ids of the subscriptions that take it.
    sub: Vec<String>,
    #[serde(flatten)]
    event: EventItem,
}

/// Events of a subscription that asked for `every`, in the order of the sequence.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made: all readers of an event share its text")]
pub struct EventsFrame {
    #[schema(inline)]
    r#type: EventsType,
    /// The subscription's id.
    sub: Vec<String>,
    /// A subscription with it as `since` goes on behind these events.
    cursor: String,
    /// Each without a `cursor` of its own.
    events: Vec<EventItem>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "described, never made: all readers of an event share its text")]
enum EventsType {
    Events,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "described, never made: all readers of an event share its text")]
enum EventType {
    Event,
}

/// Twins that are written one by one.
pub struct TwinPage<'a> {
    twins: &'a [Twin],
    now: Timestamp,
}

impl Serialize for TwinPage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.twins.len()))?;
        for twin in self.twins {
            items.serialize_element(&twin.document(self.now))?;
        }
        items.end()
    }
}

impl HubFrame<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and numbers: JSON can write them all
    }
}

pub(super) fn hello(cursors: &CallerCursors, seq: u64, now: Timestamp) -> String {
    HubFrame::Hello { seq: cursors.seq(seq), cursor: cursors.cursor(seq), server_time: now }.text()
}

pub(super) fn subscribed(cursors: &CallerCursors, id: &str, seq: u64) -> String {
    HubFrame::Subscribed { id, seq: cursors.seq(seq), cursor: Some(cursors.cursor(seq)) }.text()
}

/// The place in the audit is shown to whoever may read it.
pub(super) fn watches_audit(id: &str, seq: u64) -> String {
    HubFrame::Subscribed { id, seq: Some(seq), cursor: None }.text()
}

pub(super) fn unsubscribed(id: &str) -> String {
    HubFrame::Unsubscribed { id }.text()
}

pub(super) fn audit(id: &str, entry: AuditItem) -> String {
    HubFrame::Audit { id, entry }.text()
}

pub(super) fn snapshot(id: &str, twins: &[Twin], last: bool, now: Timestamp) -> String {
    HubFrame::Snapshot { id, twins: TwinPage { twins, now }, last }.text()
}

/// The beginning of an event frame for these subscriptions; the event's cursor and its own members follow.
pub(super) fn event_prefix<'a>(subscriptions: impl Iterator<Item = &'a str>) -> String {
    let mut prefix = String::from(r#"{"type":"event","sub":["#);
    for (index, id) in subscriptions.enumerate() {
        if index > 0 {
            prefix.push(',');
        }
        write_string(&mut prefix, id);
    }
    prefix.push_str(r#"],"cursor":""#);
    prefix
}

/// Writes `{"type":"event","sub":["s1"],"cursor":"…","seq":1235,…}` in the place of what was in `frame`.
pub(super) fn write_event(frame: &mut String, prefix: &str, event: &Recorded, cursors: &CallerCursors) {
    frame.clear();
    frame.push_str(prefix);
    frame.push_str(&cursors.cursor(event.seq));
    frame.push_str("\",");
    frame.push_str(&cursors.members(event));
    frame.push('}');
}

/// Writes `{"type":"events","sub":["s1"],"cursor":"…","events":[{"seq":1235,…}]}` in the place of what was in `frame`.
pub(super) fn write_events(frame: &mut String, id: &str, events: &[Arc<Recorded>], cursors: &CallerCursors) {
    let Some(last) = events.last() else { return };
    frame.clear();
    frame.push_str(r#"{"type":"events","sub":["#);
    write_string(frame, id);
    frame.push_str(r#"],"cursor":""#);
    frame.push_str(&cursors.cursor(last.seq));
    frame.push_str(r#"","events":"#);
    cursors.write_events(frame, events);
    frame.push('}');
}

pub(super) fn lagged(cursors: &CallerCursors, missed: u64, resume: u64) -> String {
    let missed = cursors.seq(missed); // a number of the whole hub, too
    HubFrame::Lagged { missed, resume: cursors.seq(resume), cursor: cursors.cursor(resume) }.text()
}

pub(super) fn resync<'a>(
    cursors: &CallerCursors,
    seq: u64,
    subscriptions: impl Iterator<Item = &'a str>,
) -> String {
    let sub = subscriptions.collect();
    HubFrame::Resync { seq: cursors.seq(seq), cursor: cursors.cursor(seq), sub }.text()
}

/// The answer to a change of a twin.
pub(super) fn result(id: Option<&str>, seq: Option<u64>, version: u64) -> String {
    HubFrame::Result {
        id,
        status: ResultStatus::Ok,
        seq,
        version: Some(version),
        command_id: None,
        command_status: None,
        repeated: None,
    }
    .text()
}

/// The answer to a command that is stored.
pub(super) fn accepted(id: Option<&str>, command: &Command, repeated: bool) -> String {
    HubFrame::Result {
        id,
        status: ResultStatus::Accepted,
        seq: None,
        version: None,
        command_id: Some(command.id.to_string()),
        command_status: Some(command.status.as_str()),
        repeated: Some(repeated),
    }
    .text()
}

pub(super) fn error(id: Option<&str>, code: &str, error: &str) -> String {
    HubFrame::Error { id, code, error }.text()
}

pub(super) fn pong(id: Option<&str>) -> String {
    HubFrame::Pong { id }.text()
}

#[cfg(test)]
mod tests {
    use twinhub_store::seal::Seal;

    use super::*;

    #[test]
    fn writes_frames() {
        let cursors = CallerCursors::new(Arc::new(Seal::new(&[1; 32])), false);
        assert_eq!(
            hello(&cursors, 7, Timestamp::default()),
            format!(r#"{{"type":"hello","seq":7,"cursor":"AQc","server_time":"{}"}}"#, Timestamp::default())
        );
        assert_eq!(
            lagged(&cursors, 17, 1240),
            r#"{"type":"lagged","missed":17,"resume":1240,"cursor":"AdgJ"}"#
        );
        assert_eq!(
            subscribed(&cursors, "s\"1", 3),
            r#"{"type":"subscribed","id":"s\"1","seq":3,"cursor":"AQM"}"#
        );
        assert_eq!(watches_audit("a", 3), r#"{"type":"subscribed","id":"a","seq":3}"#);
        assert_eq!(unsubscribed("s1"), r#"{"type":"unsubscribed","id":"s1"}"#);
        assert_eq!(event_prefix(["a", "b"].into_iter()), r#"{"type":"event","sub":["a","b"],"cursor":""#);
        assert_eq!(
            resync(&cursors, 5, ["a"].into_iter()),
            r#"{"type":"resync","seq":5,"cursor":"AQU","sub":["a"]}"#
        );
        assert_eq!(
            snapshot("s", &[], true, Timestamp::default()),
            r#"{"type":"snapshot","id":"s","twins":[],"last":true}"#
        );
        assert_eq!(
            result(Some("d1"), Some(9), 3),
            r#"{"type":"result","id":"d1","status":"ok","seq":9,"version":3}"#
        );
        assert_eq!(result(None, None, 3), r#"{"type":"result","status":"ok","version":3}"#);
        let id = twinhub_domain::CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let request = twinhub_domain::CommandRequest::new("reboot", Default::default());
        let command = Command::new(id, request, Timestamp::default(), &twinhub_domain::Cause::hub());
        assert_eq!(
            accepted(Some("c1"), &command, false),
            format!(
                r#"{{"type":"result","id":"c1","status":"accepted","command_id":"{id}","command_status":"pending","repeated":false}}"#
            )
        );
        assert_eq!(
            error(None, "busy", "slow\ndown"),
            r#"{"type":"error","code":"busy","error":"slow\ndown"}"#
        );
        assert_eq!(pong(None), r#"{"type":"pong"}"#);
        assert_eq!(pong(Some("p")), r#"{"type":"pong","id":"p"}"#);
    }

    #[test]
    fn whoever_sees_a_part_gets_no_number() {
        let cursors = CallerCursors::new(Arc::new(Seal::new(&[1; 32])), true);
        let now = Timestamp::default();
        for frame in [
            hello(&cursors, 4_711, now),
            subscribed(&cursors, "s", 4_711),
            lagged(&cursors, 4_711, 4_711),
            resync(&cursors, 4_711, ["s"].into_iter()),
        ] {
            assert!(!frame.contains("4711") && frame.contains(r#""cursor":"A"#), "{frame}");
        }
    }

    /// Numbers keep the digits that the device sent, as in the twin's own text.
    #[test]
    fn snapshot_writes_twins_as_they_are_written_elsewhere() {
        use twinhub_domain::{DeviceId, DeviceNumber, Json};
        let now = Timestamp::default();
        let mut twin = Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), now);
        twin.setup.tags = [("n", "1.50".parse::<Json>().unwrap())].into_iter().collect();
        let expected = Json::from(twin.document(now)).to_string();
        assert!(expected.contains("1.50"), "{expected}");
        assert_eq!(
            snapshot("s", &[twin], false, now),
            format!(r#"{{"type":"snapshot","id":"s","twins":[{expected}],"last":false}}"#)
        );
    }
}
