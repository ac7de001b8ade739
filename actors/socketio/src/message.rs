//! Packets of Socket.IO 5: `<digit>[<attachments>-][<namespace>,][<ack id>][<JSON>]`. Each is a message of Engine.IO:
//! what is read here has no `4` in front any more, and what is written has.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::engine::BadPacket;

/// The namespace that every client joins.
pub const MAIN: &str = "/";
/// The server leaves the main namespace.
pub const DISCONNECT: &str = "41";
/// Bytes of a namespace at most.
const LONGEST_NAMESPACE: usize = 256;

/// A packet as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketPacket<'a> {
    /// It joins a namespace, with the token in its `auth` where there is one.
    Connect { namespace: &'a str, token: Option<String> },
    /// It leaves a namespace.
    Disconnect { namespace: &'a str },
    /// It sends an event, which has this name.
    Event { namespace: &'a str, name: String },
    /// It acknowledges one.
    Ack { namespace: &'a str },
}

/// The `auth` of a client that joins. Members that are none of ours are not looked at.
#[derive(Deserialize)]
struct AuthMembers<'a> {
    #[serde(borrow)]
    token: Option<&'a RawValue>,
}

impl<'a> SocketPacket<'a> {
    /// Reads a message of Engine.IO.
    ///
    /// # Errors
    /// It is no packet of a client.
    pub fn parse(text: &'a str) -> Result<Self, BadPacket> {
        let (kind, rest) = text.split_at_checked(1).ok_or(BadPacket)?;
        let rest = match kind {
            "5" | "6" => without_attachments(rest)?,
            _ => rest,
        };
        let (namespace, rest) = namespace(rest)?;
        let data = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        match kind {
            "0" if data.len() == rest.len() => Ok(Self::Connect { namespace, token: token(data)? }),
            "1" if rest.is_empty() => Ok(Self::Disconnect { namespace }),
            "2" | "5" => Ok(Self::Event { namespace, name: event_name(data)? }),
            "3" | "6" if data.len() < rest.len() => {
                serde_json::from_str::<Vec<IgnoredAny>>(data).map_err(|_| BadPacket)?;
                Ok(Self::Ack { namespace })
            }
            _ => Err(BadPacket),
        }
    }
}

/// The text behind the number of attachments.
fn without_attachments(text: &str) -> Result<&str, BadPacket> {
    let (count, rest) = text.split_once('-').ok_or(BadPacket)?;
    count.parse::<u32>().map_err(|_| BadPacket)?;
    Ok(rest)
}

/// The namespace in front of `text`, without its query, and the text behind it.
fn namespace(text: &str) -> Result<(&str, &str), BadPacket> {
    if !text.starts_with('/') {
        return Ok((MAIN, text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    let namespace = namespace.split('?').next().unwrap_or_default();
    if namespace.len() > LONGEST_NAMESPACE { Err(BadPacket) } else { Ok((namespace, rest)) }
}

fn token(auth: &str) -> Result<Option<String>, BadPacket> {
    if auth.is_empty() {
        return Ok(None);
    }
    if !auth.starts_with('{') {
        return Err(BadPacket);
    }
    let AuthMembers { token } = serde_json::from_str(auth).map_err(|_| BadPacket)?;
    Ok(token.and_then(|token| serde_json::from_str(token.get()).ok()))
}

/// The name of an event is the first item of its data: a text, or a number.
fn event_name(data: &str) -> Result<String, BadPacket> {
    let items: Vec<&RawValue> = serde_json::from_str(data).map_err(|_| BadPacket)?;
    let name = items.first().ok_or(BadPacket)?.get();
    if name.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(name.to_owned());
    }
    serde_json::from_str(name).map_err(|_| BadPacket)
}

/// The answer to a client that has joined the main namespace: this is its name there.
#[must_use]
pub fn connected(sid: &str) -> String {
    format!(r#"40{{"sid":"{sid}"}}"#)
}

/// The answer to a client that may not join the main namespace.
#[must_use]
pub fn refused(message: &str) -> String {
    format!(r#"44{{"message":{}}}"#, quoted(message))
}

/// The answer to a client that would join a namespace that is none.
#[must_use]
pub fn unknown_namespace(namespace: &str) -> String {
    format!(r#"44{namespace},"Unable to connect""#)
}

/// An event of one argument, which is JSON text.
#[must_use]
pub fn event(name: &str, argument: &str) -> String {
    format!("42[{},{argument}]", quoted(name))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<SocketPacket<'_>, BadPacket>) {
        assert_eq!(SocketPacket::parse(text), expected, "{text}");
    }

    #[test]
    fn clients_join_and_leave() {
        let joins = |namespace, token: Option<&str>| {
            Ok(SocketPacket::Connect { namespace, token: token.map(str::to_owned) })
        };
        check("0", joins("/", None));
        check("0{}", joins("/", None));
        check(r#"0{"token":"abc","x":[1]}"#, joins("/", Some("abc")));
        check(r#"0{"token":"a\"b"}"#, joins("/", Some("a\"b")));
        check(r#"0{"token":12}"#, joins("/", None));
        check(r#"0{"token":null}"#, joins("/", None));
        check("0/admin,", joins("/admin", None));
        check("0/admin", joins("/admin", None));
        check("0/admin?x=1,{}", joins("/admin", None));
        check(r#"0/admin,{"token":"t"}"#, joins("/admin", Some("t")));
        check("1", Ok(SocketPacket::Disconnect { namespace: "/" }));
        check("1/admin,", Ok(SocketPacket::Disconnect { namespace: "/admin" }));
        for wrong in ["0[]", "0abc", "0{", "012", r#"0"x""#, "1{}", "15"] {
            check(wrong, Err(BadPacket));
        }
        check(&format!("0/{}", "x".repeat(LONGEST_NAMESPACE)), Err(BadPacket));
    }

    #[test]
    fn events_have_a_name() {
        let event = |namespace, name: &str| Ok(SocketPacket::Event { namespace, name: name.into() });
        check(r#"2["message",1,"2",{"3":[true]}]"#, event("/", "message"));
        check(r#"2["a"]"#, event("/", "a"));
        check(r#"217["a",null]"#, event("/", "a"));
        check(r#"2/admin,456["project:delete",123]"#, event("/admin", "project:delete"));
        check("2[1,2]", event("/", "1"));
        check(r#"51-["hello",{"_placeholder":true,"num":0}]"#, event("/", "hello"));
        check(r#"51-/admin,456["b",{"_placeholder":true,"num":0}]"#, event("/admin", "b"));
        for wrong in ["2", "2{}", "2[]", r#"2["a""#, "2[{}]", "2abc", "5[\"a\"]", "5x-[\"a\"]", "2[null]"] {
            check(wrong, Err(BadPacket));
        }
    }

    #[test]
    fn clients_send_acknowledgements_and_nothing_of_a_server() {
        check("312[]", Ok(SocketPacket::Ack { namespace: "/" }));
        check(r#"3/admin,456["x"]"#, Ok(SocketPacket::Ack { namespace: "/admin" }));
        check("61-7[{}]", Ok(SocketPacket::Ack { namespace: "/" }));
        for wrong in ["", "3[]", "312{}", "312", r#"4{"message":"x"}"#, "7", "abc", "é"] {
            check(wrong, Err(BadPacket));
        }
    }

    #[test]
    fn answers_are_written_as_clients_know_them() {
        assert_eq!(connected("abc"), r#"40{"sid":"abc"}"#);
        assert_eq!(refused("Not authenticated"), r#"44{"message":"Not authenticated"}"#);
        assert_eq!(unknown_namespace("/x"), r#"44/x,"Unable to connect""#);
        assert_eq!(event("sensor_data", r#"{"t":23.50}"#), r#"42["sensor_data",{"t":23.50}]"#);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[0-7]?(/[a-z?]{0,3},?)?[0-9]{0,3}.{0,20}") {
            let _ = SocketPacket::parse(&text);
        }

        #[test]
        fn tokens_come_as_they_are(token in any::<String>()) {
            let packet = format!(r#"0{{"token":{}}}"#, quoted(&token));
            prop_assert_eq!(
                SocketPacket::parse(&packet),
                Ok(SocketPacket::Connect { namespace: "/", token: Some(token) })
            );
        }
    }
}
