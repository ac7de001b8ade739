//! Commands that are with the broker. One that is over (called back, expired, answered, superseded by its next attempt)
//! must reach no device any more, wherever the broker has it: in a publish shard, in the queue of a session, or in
//! flight to be sent again. The broker cannot take a message back out of any of these, so it is stopped where all of
//! them pass: as it is written to the client's socket ([`super::stream`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::foreign::ForeignCommands;
use super::wire;
use crate::topics;
use crate::topics::Leaf;
use twinhub_domain::{CommandAttempt, CommandId, Outgoing};

mod foreign;

/// The commands that the broker has.
#[derive(Debug, Default)]
pub(super) struct HandedCommands {
    live: Mutex<HashMap<CommandId, HandedCommand>>,
    foreign: ForeignCommands,
    withheld: AtomicU64,
}

#[derive(Debug)]
struct HandedCommand {
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

impl HandedCommands {
    /// Notes a command before the broker gets it. Its earlier attempt is over.
    pub(super) fn add(&self, message: &Outgoing, expires_in: Option<Duration>) {
        let Some(CommandAttempt { command, .. }) = message.attempt() else { return };
        let until = expires_in.and_then(|time| Instant::now().checked_add(time));
        if topics::parse(&message.topic).is_some_and(|native| native.leaf == Leaf::Commands) {
            self.lock().insert(command, HandedCommand { payload: message.payload.clone(), until });
        } else {
            self.foreign.add(command, &message.topic, &message.payload, until);
        }
    }

    /// The command is over.
    pub(super) fn forget(&self, command: CommandId) {
        self.lock().remove(&command);
        self.foreign.end(command);
    }

    /// Removes commands whose attempt is over.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.lock().retain(|_, handed| handed.until.is_none_or(|until| until > now));
        self.foreign.sweep(now);
    }

    /// Messages kept from devices so far.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Is this packet to a client, of MQTT 5 or before, a command that is over?
    pub(super) fn check(&self, packet: &[u8], is_v5: bool) -> Option<Withheld> {
        let first = *packet.first()?;
        if first >> 4 != wire::PUBLISH {
            return None;
        }
        let (topic, rest) = wire::topic(packet)?;
        let packet_id = match first & 0b110 {
            0 => None,
            _ => Some(wire::packet_id(rest, 0)?),
        };
        if topics::parse(topic).is_none_or(|native| native.leaf != Leaf::Commands) {
            let is_over = self.foreign.is_over(topic, || {
                let rest = rest.get(if packet_id.is_some() { 2 } else { 0 }..)?;
                if is_v5 { wire::after_properties(rest) } else { Some(rest) }
            });
            return is_over.then(|| self.withhold(packet_id));
        }
        // In MQTT 5 properties stand before the payload, which is a JSON object that ends the packet.
        let starts = rest.windows(ATTEMPT.len()).position(|window| window == ATTEMPT)?;
        let CommandAttempt { command, .. } = topics::attempt(&rest[starts..])?;
        let live = self.lock();
        let is_live = live.get(&command).is_some_and(|handed| {
            rest.ends_with(&handed.payload) && handed.until.is_none_or(|until| Instant::now() < until)
        });
        drop(live);
        (!is_live).then(|| self.withhold(packet_id))
    }

    fn withhold(&self, packet_id: Option<u16>) -> Withheld {
        self.withheld.fetch_add(1, Ordering::Relaxed);
        Withheld { packet_id }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CommandId, HandedCommand>> {
        // Nothing in here panics while holding the lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bytes of every command: its members are in the order of their names.
const ATTEMPT: &[u8] = br#"{"attempt":"#;

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_domain::{DeviceId, Json, Purpose, PurposeKind, Timestamp};

    const TOPIC: &str = "iot/devices/pump-1/commands";

    fn command(number: u128, attempt: i64) -> (CommandId, Outgoing) {
        let id = CommandId(uuid::Uuid::from_u128(number));
        let body = [("id", Json::from(id.to_string())), ("attempt", attempt.into()), ("type", "go".into())];
        let body = Json::from(body.into_iter().collect::<twinhub_domain::Object>());
        let payload = Bytes::from(body.to_string());
        let until = Some(Timestamp::from_millis(0));
        let device = DeviceId::parse("pump-1").unwrap();
        let attempt = CommandAttempt { command: id, attempt: u8::try_from(attempt).unwrap() };
        let purpose = Some(Box::new(Purpose { device, kind: PurposeKind::Command(attempt) }));
        (id, Outgoing { id: 1, topic: TOPIC.into(), payload, retain: false, until, purpose })
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
            let handed = HandedCommands::default();
            let (id, first) = command(1, 1);
            handed.add(&first, Some(Duration::from_mins(1)));
            assert_eq!(handed.check(&packet(&first, v5), v5), None, "it lives");
            let (_, second) = command(1, 2);
            handed.add(&second, Some(Duration::from_mins(1)));
            let withheld = Some(Withheld { packet_id: Some(7) });
            assert_eq!(handed.check(&packet(&first, v5), v5), withheld, "its next attempt took its place");
            assert_eq!(handed.check(&packet(&second, v5), v5), None);
            handed.forget(id);
            assert_eq!(handed.check(&packet(&second, v5), v5), withheld);
            let (_, expired) = command(2, 1);
            handed.add(&expired, Some(Duration::ZERO));
            assert_eq!(handed.check(&packet(&expired, v5), v5), withheld);
            assert_eq!(handed.withheld(), 3);
        }
    }

    #[test]
    fn a_command_in_another_dialect_is_withheld_by_its_topic_and_payload() {
        for v5 in [false, true] {
            let handed = HandedCommands::default();
            let foreign = |number: u128, payload: &'static str| {
                let (id, native) = command(number, 1);
                (id, Outgoing { topic: "cmnd/lamp/POWER".into(), payload: payload.into(), ..native })
            };
            let withheld = Some(Withheld { packet_id: Some(7) });
            let ((on, first), (off, second)) = (foreign(1, "ON"), foreign(2, "OFF"));
            for message in [&first, &second] {
                handed.add(message, Some(Duration::from_mins(1)));
                assert_eq!(handed.check(&packet(message, v5), v5), None, "it lives");
            }
            handed.forget(on);
            assert_eq!(handed.check(&packet(&first, v5), v5), withheld);
            assert_eq!(handed.check(&packet(&second, v5), v5), None, "the other one is not over");
            let (_, elsewhere) = foreign(1, "ON");
            let elsewhere = Outgoing { topic: "cmnd/fan/POWER".into(), ..elsewhere };
            assert_eq!(handed.check(&packet(&elsewhere, v5), v5), None, "nor is what another device is told");
            let (_, ends_alike) = foreign(9, "SOON");
            assert_eq!(handed.check(&packet(&ends_alike, v5), v5), None);
            let (_, again) = foreign(3, "ON");
            handed.add(&again, Some(Duration::from_mins(1)));
            assert_eq!(handed.check(&packet(&first, v5), v5), None, "one that says the same is not over");
            handed.forget(off);
            assert_eq!(handed.check(&packet(&second, v5), v5), withheld);
            let (_, expired) = foreign(4, "TOGGLE");
            handed.add(&expired, Some(Duration::ZERO));
            assert_eq!(handed.check(&packet(&expired, v5), v5), withheld);
        }
    }

    #[test]
    fn what_is_no_command_passes() {
        let handed = HandedCommands::default();
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
            assert_eq!(handed.check(&passes, false), None, "{passes:?}");
        }
    }
}
