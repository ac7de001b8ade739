//! MQTT packets as bytes: the parts that our ingress has to know before the broker sees them. A packet that cannot be
//! read here is left to the broker, which reports the error.

use bytes::{BufMut as _, Bytes, BytesMut};
use mqtt5::broker::events::SubAckReasonCode;
use mqtt5::encoding::encode_variable_int;
use mqtt5::packet::subscribe::SubscribePacket;
use mqtt5::{FixedHeader, Properties, PropertyId, QoS, validate_topic_name};

/// The answer to a CONNECT that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectAnswer {
    /// There are too many clients.
    Crowded,
    BadCredentials,
    NotAuthorized,
    BadClientId,
    TooManyTries,
    Unavailable,
}

impl ConnectAnswer {
    /// The reason code of MQTT 5.
    fn code(self) -> u8 {
        match self {
            Self::Crowded => QUOTA_EXCEEDED,
            Self::BadCredentials => 0x86,
            Self::NotAuthorized => NOT_AUTHORIZED,
            Self::BadClientId => 0x85,
            Self::TooManyTries => 0x9f,
            Self::Unavailable => 0x88,
        }
    }

    /// The return code of MQTT 3.1.1, which has five.
    fn code_before_5(self) -> u8 {
        match self {
            Self::BadClientId => 2,
            Self::Crowded | Self::TooManyTries | Self::Unavailable => 3,
            Self::BadCredentials => 4,
            Self::NotAuthorized => 5,
        }
    }
}

/// Packet types, the high half of the first byte.
pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const PUBACK: u8 = 4;
pub(super) const PUBREC: u8 = 5;
pub(super) const PUBREL: u8 = 6;
pub(super) const PUBCOMP: u8 = 7;
pub(super) const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const DISCONNECT: u8 = 14;

/// Reason codes of MQTT 5.
pub(super) const PROTOCOL_ERROR: u8 = 0x82;
pub(super) const NOT_AUTHORIZED: u8 = 0x87;
pub(super) const TOPIC_ALIAS_INVALID: u8 = 0x94;
pub(super) const PACKET_TOO_LARGE: u8 = 0x95;
pub(super) const QUOTA_EXCEEDED: u8 = 0x97;
/// SUBACK's code of MQTT 3.1.1 for a filter that was not taken.
const SUBSCRIPTION_FAILED: u8 = 0x80;

const FLAG_WILL: u8 = 0b100;
const FLAG_WILL_RETAIN: u8 = 0b10_0000;
const FLAGS_OF_WILL: u8 = 0b11_1100;

/// The end of the packet that `bytes` begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketExtent {
    /// Its length has not come yet.
    Unknown,
    /// No packet has such a header.
    Malformed,
    /// The number of bytes of the fixed header, and of the whole packet.
    Packet { header: usize, total: usize },
}

/// The packet that `bytes` begin with.
pub(super) fn extent(bytes: &[u8]) -> PacketExtent {
    let mut remaining = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let header = place + 2;
            return PacketExtent::Packet { header, total: header + remaining };
        }
    }
    if bytes.len() < 5 { PacketExtent::Unknown } else { PacketExtent::Malformed }
}

/// The contents of a CONNECT.
#[derive(Debug)]
pub(super) struct ConnectPacket {
    pub(super) v5: bool,
    pub(super) will: Option<WillPacket>,
    /// The same packet without the will, where there is one.
    pub(super) without_will: Option<Vec<u8>>,
}

/// A last will as a CONNECT has it.
#[derive(Clone, Debug)]
pub(super) struct WillPacket {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// In seconds.
    pub(super) delay: u32,
    /// Without the delay: as the message carries them.
    pub(super) properties: Properties,
}

/// Reads a CONNECT. None where the broker is to report the error.
pub(super) fn connect(packet: &[u8], header: usize) -> Option<ConnectPacket> {
    let mut read = PacketReader(packet.get(header..)?);
    let (name, level, flags) = (read.text()?, read.byte()?, read.byte()?);
    if name != "MQTT" || !matches!(level, 4 | 5) {
        return None;
    }
    let v5 = level == 5;
    let keep_alive = read.take(2)?;
    let properties = if v5 { read.properties()? } else { &[] };
    let client_id = read.text()?;
    let mut connect = ConnectPacket { v5, will: None, without_will: None };
    if flags & FLAG_WILL == 0 {
        return Some(connect);
    }
    let qos = match flags >> 3 & 0b11 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return None,
    };
    let all = if v5 { Properties::decode(&mut read.properties()?).ok()? } else { Properties::default() };
    let (mut delay, mut properties_of_will) = (0, Properties::default());
    for (id, value) in all.iter() {
        match (id, value) {
            (PropertyId::WillDelayInterval, mqtt5::PropertyValue::FourByteInteger(seconds)) => {
                delay = *seconds;
            }
            _ => properties_of_will.add(id, value.clone()).ok()?,
        }
    }
    let topic = read.text()?;
    validate_topic_name(topic).ok()?;
    let payload = Bytes::copy_from_slice(read.binary()?);
    let retain = flags & FLAG_WILL_RETAIN != 0;
    connect.will =
        Some(WillPacket { topic: topic.into(), payload, qos, retain, delay, properties: properties_of_will });

    let mut body = BytesMut::with_capacity(packet.len());
    put_text(&mut body, name);
    body.put_slice(&[level, flags & !FLAGS_OF_WILL]);
    body.put_slice(keep_alive);
    body.put_slice(properties);
    put_text(&mut body, client_id);
    body.put_slice(read.0); // user name and password
    connect.without_will = Some(packet_of(CONNECT << 4, &body));
    Some(connect)
}

/// The parts of a PUBLISH beside its topic and payload.
#[derive(Debug, Default)]
pub(super) struct PublishParts {
    pub(super) retain: bool,
    /// Without a topic alias.
    pub(super) properties: Properties,
    pub(super) alias: Option<u16>,
    /// The topic is given by its alias alone.
    pub(super) only_alias: bool,
}

/// Reads a PUBLISH, as its client sent it. None where the broker is to report the error.
pub(super) fn publish(packet: &[u8], header: usize, v5: bool) -> Option<PublishParts> {
    let flags = packet.first().copied().unwrap_or_default();
    let mut publish = PublishParts { retain: flags & 1 != 0, ..PublishParts::default() };
    if !v5 {
        return Some(publish);
    }
    let mut read = PacketReader(packet.get(header..)?);
    publish.only_alias = read.binary()?.is_empty();
    if flags >> 1 & 0b11 != 0 {
        read.take(2)?; // the packet id
    }
    let mut bytes = read.properties()?;
    if bytes.len() > 1 {
        publish.properties = Properties::decode(&mut bytes).ok()?;
        publish.alias = publish.properties.get_topic_alias();
        publish.properties.remove_topic_alias();
    }
    Some(publish)
}

/// The topic of a PUBLISH, and the bytes behind it.
pub(super) fn topic(packet: &[u8]) -> Option<(&str, &[u8])> {
    let PacketExtent::Packet { header, .. } = extent(packet) else { return None };
    let mut read = PacketReader(packet.get(header..)?);
    Some((read.text()?, read.0))
}

/// Reads a SUBSCRIBE. None where the broker is to report the error.
pub(super) fn subscribe(packet: &[u8], header: usize, v5: bool) -> Option<SubscribePacket> {
    let fixed = FixedHeader::decode(&mut packet.get(..header)?).ok()?;
    let mut body = packet.get(header..)?;
    SubscribePacket::decode_body_with_version(&mut body, &fixed, if v5 { 5 } else { 4 }).ok()
}

/// The packet id that an acknowledgement or a PUBREL begins with.
pub(super) fn packet_id(packet: &[u8], header: usize) -> Option<u16> {
    let id = packet.get(header..header + 2)?;
    Some(u16::from_be_bytes([id[0], id[1]]))
}

/// The bytes after the properties that `bytes` begin with.
pub(super) fn after_properties(bytes: &[u8]) -> Option<&[u8]> {
    let mut read = PacketReader(bytes);
    read.properties()?;
    Some(read.0)
}

/// Has the CONNECT that `begun` begins a will? None where that has not come yet.
pub(super) fn has_will(begun: &[u8]) -> Option<bool> {
    let PacketExtent::Packet { header, .. } = extent(begun) else { return None };
    let mut read = PacketReader(begun.get(header..)?);
    let (_name, _level, flags) = (read.binary()?, read.byte()?, read.byte()?);
    Some(flags & FLAG_WILL != 0)
}

/// Of a CONNACK that lets the client in: it goes on with the session that it had.
pub(super) fn resumes(packet: &[u8]) -> Option<bool> {
    let PacketExtent::Packet { header, .. } = extent(packet) else { return None };
    match packet.get(header..)? {
        [flags, 0, ..] => Some(flags & 1 != 0),
        _ => None,
    }
}

/// A CONNACK that refuses the client, with the reason.
pub(super) fn refusal(v5: bool, answer: ConnectAnswer, reason: &str) -> Vec<u8> {
    if !v5 {
        return packet_of(CONNACK << 4, &[0, answer.code_before_5()]);
    }
    let mut properties = Properties::default();
    properties.set_reason_string(reason.into());
    let mut body = BytesMut::from(&[0, answer.code()][..]);
    // It fails for what is longer than a packet.
    let _ = properties.encode(&mut body);
    packet_of(CONNACK << 4, &body)
}

/// A SUBACK that takes none of `filters` filters.
pub(super) fn no_subscription(v5: bool, packet_id: u16, filters: usize) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u16(packet_id);
    if v5 {
        body.put_u8(0);
    }
    body.put_bytes(if v5 { QUOTA_EXCEEDED } else { SUBSCRIPTION_FAILED }, filters);
    packet_of(SUBACK << 4, &body)
}

/// A DISCONNECT of MQTT 5; 3.1.1 has none from the server.
pub(super) fn disconnect(reason: u8) -> Vec<u8> {
    packet_of(DISCONNECT << 4, &[reason, 0])
}

/// The PUBACK or PUBREC `packet`, saying that the message was not taken.
pub(super) fn refused(packet: &[u8], reason: u8) -> Vec<u8> {
    let PacketExtent::Packet { header, .. } = extent(packet) else { return packet.to_vec() };
    let id = packet.get(header..header + 2).unwrap_or_default();
    packet_of(packet[0], &[id, &[reason]].concat())
}

/// The PUBREL of a message.
pub(super) fn pubrel(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [PUBREL << 4 | 0b10, 2, high, low]
}

/// The PUBCOMP of a message, saying that its exchange is over; the only one that MQTT 3.1.1 has.
pub(super) fn pubcomp(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [PUBCOMP << 4, 2, high, low]
}

/// The filter was taken.
pub(super) fn is_granted(result: SubAckReasonCode) -> bool {
    use SubAckReasonCode::{GrantedQoS0, GrantedQoS1, GrantedQoS2};
    matches!(result, GrantedQoS0 | GrantedQoS1 | GrantedQoS2)
}

fn packet_of(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    // It fails beyond 256 MiB, which no packet of ours has.
    let _ = encode_variable_int(&mut packet, u32::try_from(body.len()).unwrap_or(u32::MAX));
    packet.extend_from_slice(body);
    packet
}

fn put_text(to: &mut BytesMut, text: &str) {
    to.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX)); // it was read with such a length
    to.put_slice(text.as_bytes());
}

/// Reads on in the bytes that are left.
struct PacketReader<'a>(&'a [u8]);

impl<'a> PacketReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?;
        self.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.binary()?).ok()
    }

    /// Properties, with their length in front.
    fn properties(&mut self) -> Option<&'a [u8]> {
        let (mut length, mut place) = (0_usize, 0);
        loop {
            let byte = *self.0.get(place)?;
            length |= usize::from(byte & 0x7f) << (7 * place);
            place += 1;
            if byte & 0x80 == 0 {
                return self.take(place + length);
            }
            if place == 4 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
