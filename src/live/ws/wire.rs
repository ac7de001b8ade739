//! The frames that a client is told, written as text.

use std::fmt::Write as _;

use twinhub_domain::json::write_string;
use twinhub_domain::{Command, Json, Recorded, Timestamp, Twin};

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

/// `{"type":"result","id":"c1","status":"accepted","command_id":"…","command_status":"pending","repeated":false}`
pub(super) fn accepted(id: Option<&str>, command: &Command, repeated: bool) -> String {
    Frame::of("result")
        .id(id)
        .text("status", "accepted")
        .text("command_id", &command.id.to_string())
        .text("command_status", command.status.as_str())
        .json("repeated", &repeated.into())
        .end()
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
        let id = twinhub_domain::CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let request = twinhub_domain::CommandRequest::new("reboot", Default::default());
        let command = Command::new(id, request, Timestamp::default(), &twinhub_domain::Cause::hub());
        assert_eq!(
            accepted(Some("c1"), &command, false),
            format!(
                r#"{{"type":"result","id":"c1","status":"accepted","command_id":"{id}","command_status":"pending","repeated":false}}"#
            )
        );
        assert_eq!(pong(None), r#"{"type":"pong"}"#);
    }
}
