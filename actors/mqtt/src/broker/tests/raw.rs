//! A client byte for byte, and the parts of MQTT 5 that only such a one can see.

use mqtt5::encoding::encode_variable_int;
use tokio::net::TcpStream;

use super::*;

/// A client that sends and reads packets as they are.
pub(super) struct Raw(TcpStream);

pub(super) fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

pub(super) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut packet = vec![first];
    encode_variable_int(&mut packet, u32::try_from(body.len()).unwrap()).unwrap();
    packet.extend(body);
    packet
}

/// A CONNECT of MQTT 5 or 3.1.1; a session that is kept lasts a minute.
pub(super) fn connect(v5: bool, id: &str, clean: bool) -> Vec<u8> {
    let head = [&text("MQTT")[..], &[4 + u8::from(v5), u8::from(clean) << 1, 0, 60]].concat();
    let properties: &[u8] = if !v5 {
        &[]
    } else if clean {
        &[0]
    } else {
        &[5, 0x11, 0, 0, 0, 60]
    };
    packet(0x10, &[&head, properties, &text(id)])
}

/// The same with a user name and a password, and with a will at QoS 1: its topic, its payload, and whether it is
/// retained.
pub(super) fn connect_as(
    v5: bool,
    id: &str,
    clean: bool,
    user: Option<(&str, &str)>,
    will: Option<(&str, &[u8], bool)>,
) -> Vec<u8> {
    let mut flags = u8::from(clean) << 1;
    let properties: &[u8] = match (v5, clean) {
        (false, _) => &[],
        (true, true) => &[0],
        (true, false) => &[5, 0x11, 0, 0, 0, 60],
    };
    let mut rest = text(id);
    if let Some((topic, payload, retain)) = will {
        flags |= 0b1100 | u8::from(retain) << 5;
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        rest.extend([if v5 { &[0][..] } else { &[] }, &text(topic), &length, payload].concat());
    }
    if let Some((name, password)) = user {
        flags |= 0b1100_0000;
        rest.extend([text(name), text(password)].concat());
    }
    packet(0x10, &[&text("MQTT"), &[4 + u8::from(v5), flags, 0, 60], properties, &rest])
}

/// A PUBLISH with these flags (DUP 8, QoS 2 4, QoS 1 2, retain 1) and properties, their length in front.
pub(super) fn publish(flags: u8, topic: &str, id: Option<u16>, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let id = id.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default();
    packet(0x30 | flags, &[&text(topic), &id, properties, payload])
}

pub(in crate::broker) fn subscribe(v5: bool, id: u8, filters: &[(&str, u8)]) -> Vec<u8> {
    let filters: Vec<u8> =
        filters.iter().flat_map(|(filter, options)| [text(filter), vec![*options]].concat()).collect();
    packet(0x82, &[&[0, id], if v5 { &[0] } else { &[] }, &filters])
}

impl Raw {
    /// A socket that has sent nothing.
    pub(super) async fn open(broker: &EmbeddedBroker) -> Self {
        Self(TcpStream::connect(broker.local_addr()).await.unwrap())
    }

    /// Connects; true where the broker goes on with its session.
    pub(super) async fn connect(broker: &EmbeddedBroker, v5: bool, id: &str, clean: bool) -> (Self, bool) {
        let mut raw = Self::open(broker).await;
        raw.send(&connect(v5, id, clean)).await;
        let connack = raw.read().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:x?}");
        (raw, connack[2] == 1)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next packet.
    pub(super) async fn read(&mut self) -> Vec<u8> {
        within("a packet of the broker", async {
            let mut packet = vec![self.0.read_u8().await.unwrap()];
            let (mut length, mut place) = (0, 0);
            loop {
                let byte = self.0.read_u8().await.unwrap();
                packet.push(byte);
                length |= usize::from(byte & 0x7f) << (7 * place);
                place += 1;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let header = packet.len();
            packet.resize(header + length, 0);
            self.0.read_exact(&mut packet[header..]).await.unwrap();
            packet
        })
        .await
    }

    /// All that comes until the broker ends the connection.
    pub(super) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        within("the broker ends the connection", self.0.read_to_end(&mut read)).await.unwrap();
        read
    }

    /// Sends a PINGREQ and gives all packets that come before its answer.
    pub(super) async fn until_pong(&mut self) -> Vec<Vec<u8>> {
        self.send(&[0xc0, 0]).await;
        let mut packets = Vec::new();
        loop {
            match self.read().await {
                pong if pong == [0xd0, 0] => return packets,
                packet => packets.push(packet),
            }
        }
    }
}

impl Raw {
    /// All packets that the broker has for it. The broker serves its queue and its reading in turns, by chance:
    /// everything that it has comes before so many empty answers in a row.
    pub(super) async fn all(&mut self) -> Vec<Vec<u8>> {
        let (mut all, mut empty) = (Vec::new(), 0);
        while empty < 30 {
            let packets = self.until_pong().await;
            empty = if packets.is_empty() { empty + 1 } else { 0 };
            all.extend(packets);
        }
        all
    }
}

#[tokio::test]
async fn properties_pass_unchanged_and_none_is_added() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut app, _) = Raw::connect(&broker, true, "app", true).await;
    app.send(&subscribe(true, 1, &[("a/#", 0), (DATA, 0)])).await;
    app.read().await;
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    let name = [&[0x26][..], &text("x-mqtt-client-id"), &text("mine")].concat();
    for properties in [vec![0], [&[u8::try_from(name.len()).unwrap()], &name[..]].concat(), vec![2, 1, 1]] {
        for topic in ["a/b", DATA] {
            let sent = publish(0, topic, None, &properties, b"1");
            device.send(&sent).await;
            assert_eq!(app.read().await, sent);
        }
    }
}

#[tokio::test]
async fn a_will_has_its_own_properties_and_no_others() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut app, _) = Raw::connect(&broker, true, "app", true).await;
    app.send(&subscribe(true, 1, &[("will/#", 0)])).await;
    app.read().await;
    let mut device = Raw::open(&broker).await;
    let property = [&[0x26][..], &text("a"), &text("b")].concat();
    let properties = [&[u8::try_from(property.len()).unwrap()], &property[..]].concat();
    let head = [&text("MQTT")[..], &[5, 0b110, 0, 60, 0], &text("device")].concat();
    device.send(&packet(0x10, &[&head, &properties, &text("will/x"), &text("gone")])).await;
    device.read().await;
    drop(device);
    assert_eq!(app.read().await, publish(0, "will/x", None, &properties, b"gone"));
}

#[tokio::test]
async fn a_bad_topic_alias_is_answered_with_its_reason() {
    let broker = start(&TestIntake::with_room(10)).await;
    for (topic, properties, reason) in [
        (DATA, &[3, 0x23, 0, 0][..], 0x94),
        (DATA, &[3, 0x23, 0, 65], 0x94),
        ("", &[3, 0x23, 0, 1], 0x82),
        ("", &[0], 0x82),
    ] {
        let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
        device.send(&publish(0, topic, None, properties, b"1")).await;
        assert_eq!(device.read_to_end().await, [0xe0, 2, reason, 0], "{topic} {properties:x?}");
    }
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    let alias = [3, 0x23, 0, u8::try_from(MOST_TOPIC_ALIASES).unwrap()];
    device.send(&publish(0, DATA, None, &alias, b"1")).await;
    device.send(&publish(0, "", None, &alias, b"2")).await;
    for expected in ["1", "2"] {
        assert_eq!(test_intake.next().await.payload(), expected);
    }
}

#[tokio::test]
async fn packets_that_come_in_pieces_or_together_are_the_same_packets() {
    let test_intake = TestIntake::with_room(1_000);
    let broker = start(&test_intake).await;
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    let large = "x".repeat(100_000);
    let payloads = ["1", &large, "2", "3"];
    let bytes: Vec<u8> =
        payloads.iter().flat_map(|payload| publish(0, DATA, None, &[0], payload.as_bytes())).collect();
    for size in [bytes.len(), 1_000, 7] {
        for piece in bytes.chunks(size) {
            device.send(piece).await;
        }
        for expected in payloads {
            assert!(test_intake.next().await.payload() == expected, "in pieces of {size}");
        }
    }
}
