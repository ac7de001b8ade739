//! The event `sensor_data`: the device's id, and then the members of its message as they came.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use twinhub_domain::event::EventBody;
use twinhub_domain::json::write_string;
use twinhub_domain::{Event, Json, Recorded};
use twinhub_socketio::message::event;

use super::sessions::SocketIoSessions;
use crate::live::pump::{CountedFrames, PingSchedule, Transport, TransportReply};
use crate::live::subscription::{FeedEnded, LiveSubscriptions, Notification};

/// Events in one bundle at most.
const BUNDLE: usize = 256;
/// A bundle ends once it has as many bytes: a message has up to 1 MiB, and bundles wait for a slow client.
const BUNDLE_BYTES: usize = 256 * 1024;
/// Events of which the text is kept: all clients want it at about the same time.
const KEPT: u64 = 512;
/// A packet of at most this many bytes is kept for the other clients: long ones are few, and each would wait in memory
/// until so many others have come.
const LONGEST_KEPT: usize = 16_384;
/// The name of the event.
const NAME: &str = "sensor_data";
/// The member that the hub sets. A device cannot speak for another, so its own is left out.
const DEVICE_ID: &str = "device_id";

/// Packets for the client.
pub(super) type Packets = Vec<Arc<str>>;

/// The readings of a subscription as packets. The session pings its client itself.
pub(super) struct SensorDataTransport(pub Arc<SocketIoSessions>);

/// The packets of the events that were written last, each once for all clients.
pub(super) struct SensorDataPackets(Mutex<Vec<Option<WrittenEvent>>>);

/// An event with its packet.
type WrittenEvent = (Arc<Recorded>, Arc<str>);

/// The members of a payload, as they came.
struct PayloadTexts<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl Transport for SensorDataTransport {
    type Item = Packets;
    type Request = Infallible;

    const BUNDLE: usize = BUNDLE;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::Never
    }

    fn wants(&mut self, notification: &Notification) -> bool {
        matches!(notification, Notification::Event { event, .. } if !event.event.cause.is_of_the_past())
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Packets>>, FeedEnded> {
        let (mut item, mut bytes) = (Packets::new(), 0);
        for event in notifications.filter_map(Notification::into_event) {
            let packet = self.0.packets.packet(event);
            bytes += packet.len();
            item.push(packet);
            if bytes >= BUNDLE_BYTES {
                break; // the rest is the next bundle's
            }
        }
        Ok(Some(CountedFrames { count: item.len() as u64, item }))
    }

    fn ping(&mut self) -> Option<Packets> {
        Some(Vec::new())
    }

    async fn answer(&mut self, request: Infallible, _: &mut LiveSubscriptions) -> TransportReply<Packets> {
        match request {}
    }
}

impl Default for SensorDataPackets {
    fn default() -> Self {
        Self(Mutex::new((0..KEPT).map(|_| None).collect()))
    }
}

impl fmt::Debug for SensorDataPackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SensorDataPackets").finish_non_exhaustive()
    }
}

impl SensorDataPackets {
    /// The packet of an event.
    fn packet(&self, recorded: Arc<Recorded>) -> Arc<str> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(recorded.seq % KEPT).unwrap_or_default();
        let Some(place) = kept.get_mut(place) else { return packet(&recorded.event) }; // not reached
        match place {
            // The same event that was read from the store is another: it has no payload.
            Some((of, packet)) if Arc::ptr_eq(of, &recorded) => Arc::clone(packet),
            place => {
                let packet = packet(&recorded.event);
                *place = (packet.len() <= LONGEST_KEPT).then(|| (recorded, Arc::clone(&packet)));
                packet
            }
        }
    }
}

/// The packet of an event of readings.
fn packet(of: &Event) -> Arc<str> {
    let mut members = String::with_capacity(128);
    members.push_str("{\"device_id\":");
    write_string(&mut members, of.device.as_str());
    match payload(of) {
        Some(PayloadTexts(texts)) => {
            for (name, value) in texts {
                let is_id = name.get() == "\"device_id\""
                    || name.get().contains('\\')
                        && serde_json::from_str::<String>(name.get()).is_ok_and(|name| name == DEVICE_ID);
                if !is_id {
                    members.push(',');
                    members.push_str(name.get());
                    members.push(':');
                    members.push_str(value.get());
                }
            }
        }
        None => write_readings(&mut members, of),
    }
    members.push('}');
    event(NAME, &members).into()
}

/// The payload that the readings came in; none where they came otherwise, or were read from the store.
fn payload(of: &Event) -> Option<PayloadTexts<'_>> {
    let EventBody::Telemetry { payload: Some(payload), .. } = &of.body else { return None };
    serde_json::from_str(payload).ok()
}

fn write_readings(members: &mut String, of: &Event) {
    let EventBody::Telemetry { readings, .. } = &of.body else { return };
    for reading in readings.iter().filter(|reading| &*reading.name != DEVICE_ID) {
        members.push(',');
        write_string(members, &reading.name);
        members.push(':');
        Json::from(reading.value.clone()).write(members);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PayloadTexts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = PayloadTexts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(PayloadTexts(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use twinhub_actors::access::Caller;
    use twinhub_actors::{Hub, Settings};
    use twinhub_domain::cause::Source;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Timestamp, payload};
    use twinhub_store::MemoryStore;
    use twinhub_testkit::ManualClock;

    use super::*;
    use crate::http::HttpConnections;
    use crate::live::subscription::SubscriptionSlots;

    /// The event of a message, as it was heard or as the store has it.
    fn event_of(message: &str, is_from_store: bool) -> Event {
        let telemetry = payload::telemetry(message.as_bytes()).unwrap();
        let payload = telemetry.payload.filter(|_| !is_from_store);
        let body =
            EventBody::Telemetry { readings: telemetry.readings, identity: None, claimed: None, payload };
        let (at, device) = (Timestamp::from_millis(0), DeviceId::parse("pump-1").unwrap());
        Event { device, number: DeviceNumber(1), at: at.into(), received_at: at, body, cause: Cause::hub() }
    }

    #[test]
    fn members_are_told_as_they_came_or_by_their_readings() {
        let check = |message: &str, told: &str, from_store: &str| {
            for (is_from_store, members) in [(false, told), (true, from_store)] {
                let expected = format!(r#"42["sensor_data",{{"device_id":"pump-1"{members}}}]"#);
                assert_eq!(*packet(&event_of(message, is_from_store)), *expected, "{message}");
            }
        };
        check(r#"{"t":23.50}"#, r#","t":23.50"#, r#","t":23.50"#);
        check(r#"{"b":true,"a":"x\u001ey"}"#, r#","b":true,"a":"x\u001ey""#, r#","a":"x\u001ey","b":true"#);
        check(
            r#"{"m":{"rpm":1e3,"off":null},"timestamp":7,"t":1}"#,
            r#","m":{"rpm":1e3,"off":null},"timestamp":7,"t":1"#,
            r#","m.rpm":1e3,"t":1"#,
        );
        check(r#" { "device_id" : "x" , "t" : [ 1, 2 ] } "#, r#","t":[ 1, 2 ]"#, r#","t.0":1,"t.1":2"#);
        check(r#"[{"t":1}]"#, r#","t":1"#, r#","t":1"#);
    }

    #[actix_web::test]
    async fn bundles_end_where_they_are_long() {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
        let hub = hub.of(Caller::Program, Source::Rest);
        let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
        let sessions = SocketIoSessions::new(HttpConnections::new(8));
        let mut transport = SensorDataTransport(sessions);
        for (length, in_bundle) in [(1_000_000, 1), (100_000, 3), (10, 64)] {
            let mut event = event_of(r#"{"t":1}"#, false);
            if let EventBody::Telemetry { payload, .. } = &mut event.body {
                *payload = Some(format!(r#"{{"t":1,"pad":"{}"}}"#, "x".repeat(length)).into());
            }
            let event = Arc::new(Recorded::new(1, event));
            let slots = SubscriptionSlots::one(0);
            let all = (0..64).map(|_| Notification::Event { slots, event: Arc::clone(&event) });
            let (mut all, mut counts) = (all.collect::<Vec<_>>().into_iter(), Vec::new());
            while all.len() > 0 {
                let frames =
                    transport.write(all.by_ref().take(BUNDLE), &subscriptions).await.unwrap().unwrap();
                let bytes: usize = frames.item.iter().map(|packet| packet.len()).sum();
                assert!(bytes < BUNDLE_BYTES + 1_100_000, "{length}: {bytes}");
                counts.push(frames.item.len());
            }
            assert_eq!(counts.iter().sum::<usize>(), 64, "none is lost");
            assert_eq!(counts[0], in_bundle, "{length}");
        }
    }

    #[test]
    fn one_packet_is_written_once_for_all_clients() {
        let packets = SensorDataPackets::default();
        let heard = Arc::new(Recorded::new(7, event_of(r#"{"m":{"t":1}}"#, false)));
        let first = packets.packet(Arc::clone(&heard));
        assert!(Arc::ptr_eq(&first, &packets.packet(Arc::clone(&heard))));
        let read = Arc::new(Recorded::new(7, event_of(r#"{"m":{"t":1}}"#, true)));
        assert!(packets.packet(read).contains("m.t"), "the same event of the store is another");
        let later = Arc::new(Recorded::new(7 + KEPT, event_of(r#"{"t":2}"#, false)));
        assert!(packets.packet(later).contains("\"t\":2"));
    }
}
