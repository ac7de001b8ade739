//! Packets of Engine.IO 4: a digit and a body. In the body of a poll several of them stand behind each other, parted by
//! the character 0x1E, which no JSON text has in it.

use crate::{LONGEST_PAYLOAD, PING_INTERVAL, PING_TIMEOUT};

/// The character between two packets in the body of a poll.
pub const SEPARATOR: char = '\u{1e}';
/// The server ends the session.
pub const CLOSE: &str = "1";
/// A ping of the server.
pub const PING: &str = "2";
/// The answer to the probe that a client sends over a new WebSocket.
pub const PROBE_ANSWER: &str = "3probe";
/// Nothing: it ends a poll that hangs.
pub const NOOP: &str = "6";
/// The body of a probe.
const PROBE: &str = "probe";

/// A packet as a client sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    Open,
    Close,
    Ping(&'a str),
    Pong,
    Message(&'a str),
    Upgrade,
    Noop,
    /// Bytes, in base64 where the transport is polling.
    Binary,
}

/// A text that is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no packet of Engine.IO 4 or Socket.IO 5")]
pub struct BadPacket;

impl<'a> EnginePacket<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &'a str) -> Result<Self, BadPacket> {
        let mut characters = text.chars();
        let kind = characters.next().ok_or(BadPacket)?;
        let body = characters.as_str();
        Ok(match kind {
            '0' => Self::Open,
            '1' => Self::Close,
            '2' => Self::Ping(body),
            '3' => Self::Pong,
            '4' => Self::Message(body),
            '5' => Self::Upgrade,
            '6' => Self::Noop,
            'b' => Self::Binary,
            _ => return Err(BadPacket),
        })
    }

    /// Is it the probe of a WebSocket?
    #[must_use]
    pub fn is_probe(self) -> bool {
        self == Self::Ping(PROBE)
    }
}

/// The packets in the body of a poll, one by one.
pub fn packets(payload: &str) -> impl Iterator<Item = Result<EnginePacket<'_>, BadPacket>> {
    payload.split(SEPARATOR).map(EnginePacket::parse)
}

/// The body of a poll with these packets.
pub fn payload<T: AsRef<str>>(packets: impl IntoIterator<Item = T>) -> String {
    let mut body = String::new();
    for packet in packets {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        body.push_str(packet.as_ref());
    }
    body
}

/// The first packet of a session. `can_upgrade`: it began with polls, and may go on over a WebSocket.
#[must_use]
pub fn open(sid: &str, can_upgrade: bool) -> String {
    let upgrades = if can_upgrade { r#"["websocket"]"# } else { "[]" };
    let (timeout, interval) = (PING_TIMEOUT.as_millis(), PING_INTERVAL.as_millis());
    format!(
        r#"0{{"sid":"{sid}","upgrades":{upgrades},"pingTimeout":{timeout},"pingInterval":{interval},"maxPayload":{LONGEST_PAYLOAD}}}"#
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_a_digit_and_a_body() {
        let check = |text: &str, expected: Result<EnginePacket<'_>, BadPacket>| {
            assert_eq!(EnginePacket::parse(text), expected, "{text:?}");
        };
        check("0{}", Ok(EnginePacket::Open));
        check("1", Ok(EnginePacket::Close));
        check("2", Ok(EnginePacket::Ping("")));
        check("2probe", Ok(EnginePacket::Ping("probe")));
        check("3", Ok(EnginePacket::Pong));
        check("3probe", Ok(EnginePacket::Pong));
        check("4hello", Ok(EnginePacket::Message("hello")));
        check("4€", Ok(EnginePacket::Message("€")));
        check("4", Ok(EnginePacket::Message("")));
        check("5", Ok(EnginePacket::Upgrade));
        check("6", Ok(EnginePacket::Noop));
        check("bAQIDBA==", Ok(EnginePacket::Binary));
        for wrong in ["", "7", "abc", "€4", "\u{0}", " 4", "-1"] {
            check(wrong, Err(BadPacket));
        }
        assert!(EnginePacket::Ping("probe").is_probe());
        assert!(!EnginePacket::Ping("").is_probe() && !EnginePacket::Message("probe").is_probe());
    }

    #[test]
    fn a_session_is_opened_as_clients_know_it() {
        let expected = r#"0{"sid":"abc","upgrades":["websocket"],"pingTimeout":20000,"pingInterval":25000,"maxPayload":1000000}"#;
        assert_eq!(open("abc", true), expected);
        assert_eq!(open("abc", false), expected.replace(r#"["websocket"]"#, "[]"));
    }

    #[test]
    fn one_bad_packet_is_named_among_good_ones() {
        let found: Vec<_> = packets("4a\u{1e}2\u{1e}x").collect();
        assert_eq!(found, [Ok(EnginePacket::Message("a")), Ok(EnginePacket::Ping("")), Err(BadPacket)]);
        assert_eq!(packets("").collect::<Vec<_>>(), [Err(BadPacket)]);
        assert_eq!(packets("4a\u{1e}").last(), Some(Err(BadPacket)));
    }

    proptest! {
        #[test]
        fn payloads_are_read_as_they_were_written(bodies in prop::collection::vec("[^\u{1e}]{0,20}", 1..20)) {
            let written: Vec<String> = bodies.iter().map(|body| format!("4{body}")).collect();
            let read = payload(&written);
            let read: Vec<_> = packets(&read).map(Result::unwrap).collect();
            let expected: Vec<_> = bodies.iter().map(|body| EnginePacket::Message(body)).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn no_text_breaks_the_reader(text in any::<String>()) {
            let _ = packets(&text).count();
        }
    }
}
