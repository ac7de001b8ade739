//! Commands that are with the broker. One that is over (called back, expired, answered, superseded by its next attempt)
//! must reach no device any more, wherever the broker has it: on a lane, in the queue of a session, or in flight to
//! be sent again. The broker cannot take a message back out of any of these, so it is stopped where all of them
//! pass: as it is written to the client's socket ([`super::stream`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::wire;
use crate::topics;
use crate::topics::{CommandAttempt, Leaf};
use twinhub_domain::CommandId;
use twinhub_domain::Outgoing;

/// Remembers the commands that the broker has and may still deliver.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    live: Mutex<HashMap<CommandId, Handed>>,
    withheld: AtomicU64,
}

#[derive(Debug)]
struct Handed {
    payload: Bytes,
    /// After this the attempt is over.
    until: Option<Instant>,
}

/// A message that is not to go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Withheld {
    /// The packet id in the client's acknowledgement; none at QoS 0.
    pub(super) packet_id: Option<u16>,
}

impl HandedOver {
    /// Notes a command before the broker gets it. Its earlier attempt is over.
    pub(super) fn note(&self, message: &Outgoing, expires_in: Option<Duration>) {
        if message.until.is_none() {
            return; // no command
        }
        if let Some(CommandAttempt { command, .. }) = topics::attempt(&message.payload) {
            let until = expires_in.and_then(|time| Instant::now().checked_add(time));
            self.lock().insert(command, Handed { payload: message.payload.clone(), until });
        }
    }

    /// The command is over.
    pub(super) fn forget(&self, command: CommandId) {
        self.lock().remove(&command);
    }

    /// Removes commands whose attempt is over.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.lock().retain(|_, handed| handed.until.is_none_or(|until| until > now));
    }

    /// Messages kept from devices so far.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Is this packet to a client a command that is over?
    pub(super) fn check(&self, packet: &[u8]) -> Option<Withheld> {
        let first = *packet.first()?;
        if first >> 4 != wire::PUBLISH {
            return None;
        }
        let (topic, rest) = wire::topic(packet)?;
        if topics::parse(topic)?.leaf != Leaf::Commands {
            return None;
        }
        let packet_id = match first & 0b110 {
            0 => None,
            _ => Some(wire::packet_id(rest, 0)?),
        };
        // In MQTT 5 properties stand before the payload, which is a JSON object that ends the packet.
        let starts = rest.windows(ATTEMPT.len()).position(|window| window == ATTEMPT)?;
        let CommandAttempt { command, .. } = topics::attempt(&rest[starts..])?;
        let live = self.lock();
        let is_live = live.get(&command).is_some_and(|handed| {
            rest.ends_with(&handed.payload) && handed.until.is_none_or(|until| Instant::now() < until)
        });
        drop(live);
        if is_live {
            return None;
        }
        self.withheld.fetch_add(1, Ordering::Relaxed);
        Some(Withheld { packet_id })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, Handed>> {
        // Nothing in here panics while holding the lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bytes of every command: its members are in the order of their names.
const ATTEMPT: &[u8] = br#"{"attempt":"#;

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_domain::{Json, Timestamp};

    const TOPIC: &str = "iot/devices/pump-1/commands";

    fn command(number: u128, attempt: i64) -> (CommandId, Outgoing) {
        let id = CommandId(uuid::Uuid::from_u128(number));
        let body = [("id", Json::from(id.to_string())), ("attempt", attempt.into()), ("type", "go".into())];
        let body = Json::from(body.into_iter().collect::<twinhub_domain::Object>());
        let payload = Bytes::from(body.to_string());
        let until = Some(Timestamp::from_millis(0));
        (id, Outgoing { id: 1, topic: TOPIC.into(), payload, retain: false, until })
    }

    /// A PUBLISH at QoS 1 with the id 7, of MQTT 5 with a property where asked.
    fn packet(message: &Outgoing, v5: bool) -> Vec<u8> {
        let properties: &[u8] = if v5 { &[5, 2, 0, 0, 0, 9] } else { &[] };
        let topic = message.topic.as_bytes();
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        body.extend_from_slice(&[0, 7]);
        body.extend_from_slice(properties);
        body.extend_from_slice(&message.payload);
        let (low, high) = (u8::try_from(body.len() % 128).unwrap(), u8::try_from(body.len() / 128).unwrap());
        [&[0x32, low | 0x80, high][..], &body].concat()
    }

    #[test]
    fn a_command_that_is_over_is_withheld() {
        for v5 in [false, true] {
            let handed = HandedOver::default();
            let (id, first) = command(1, 1);
            handed.note(&first, Some(Duration::from_mins(1)));
            assert_eq!(handed.check(&packet(&first, v5)), None, "it lives");
            let (_, second) = command(1, 2);
            handed.note(&second, Some(Duration::from_mins(1)));
            let withheld = Some(Withheld { packet_id: Some(7) });
            assert_eq!(handed.check(&packet(&first, v5)), withheld, "its next attempt took its place");
            assert_eq!(handed.check(&packet(&second, v5)), None);
            handed.forget(id);
            assert_eq!(handed.check(&packet(&second, v5)), withheld);
            let (_, expired) = command(2, 1);
            handed.note(&expired, Some(Duration::ZERO));
            assert_eq!(handed.check(&packet(&expired, v5)), withheld);
            assert_eq!(handed.withheld(), 3);
        }
    }

    #[test]
    fn what_is_no_command_passes() {
        let handed = HandedOver::default();
        let (_, command) = command(1, 1);
        let other = |topic: &str, payload: &'static str| {
            let payload = Bytes::from_static(payload.as_bytes());
            packet(&Outgoing { topic: topic.into(), payload, ..command.clone() }, false)
        };
        let elsewhere = Outgoing { topic: "iot/devices/pump-1/desired".into(), ..command.clone() };
        for passes in [
            packet(&elsewhere, false),
            other(
                TOPIC,
                r#"{"do": "something that is long enough to need two bytes of length, as the helper of this test writes it"}"#,
            ),
            b"\x40\x02\0\x07".to_vec(),
            b"\x32".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(handed.check(&passes), None, "{passes:?}");
        }
    }
}
