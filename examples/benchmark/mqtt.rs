//! MQTT 3.1.1 by hand: just enough to push messages into a broker and to take them out again for a
//! fraction of the processor time that a client library costs, so that the load distorts little.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Written to the socket at once.
const CHUNK: usize = 32 * 1024;

/// A message to publish.
pub struct MqttMessage {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// A connection in the clear or over TLS.
pub trait BrokerStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> BrokerStream for S {}

/// A connection to a broker.
pub struct MqttClient {
    stream: Box<dyn BrokerStream>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    next_id: u16,
}

/// A packet as it came: its first byte and its body.
struct Packet {
    first: u8,
    body: std::ops::Range<usize>,
}

impl MqttClient {
    /// Connects with a clean session.
    pub async fn connect(broker: SocketAddr, client_id: &str) -> Result<Self> {
        let stream = TcpStream::connect(broker).await?;
        stream.set_nodelay(true)?;
        Self::over(stream, client_id).await
    }

    /// The same over a connection that is there.
    pub async fn over(stream: impl BrokerStream + 'static, client_id: &str) -> Result<Self> {
        Self::introduce(stream, &connect_body(client_id)).await
    }

    /// Connects from an address of this machine as a device with a password.
    pub async fn connect_as(broker: SocketAddr, from: Ipv4Addr, device: &str, token: &str) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let mut body = b"\x00\x04MQTT\x04\xc2\x00\x00".to_vec(); // the same, with a user name and a password
        for text in [device, device, token] {
            put_text(&mut body, text);
        }
        let stream = socket.connect(broker).await?;
        stream.set_nodelay(true)?;
        Self::introduce(stream, &body).await
    }

    async fn introduce(stream: impl BrokerStream + 'static, connect: &[u8]) -> Result<Self> {
        let stream = Box::new(stream);
        let mut client = Self { stream, incoming: Vec::new(), outgoing: Vec::new(), next_id: 0 };
        put_packet(&mut client.outgoing, 0x10, &[connect]);
        client.flush().await?;
        client.expect(0x20, |body| body == [0, 0]).await?;
        Ok(client)
    }

    /// Publishes `messages` at QoS 1 with at most `window` of them unacknowledged, and returns when the
    /// last one is acknowledged.
    pub async fn publish_all(
        &mut self,
        mut messages: impl Iterator<Item = MqttMessage>,
        window: usize,
    ) -> Result<u64> {
        let (mut in_flight, mut acknowledged) = (0, 0_u64);
        let mut next = messages.next();
        while in_flight > 0 || next.is_some() {
            while in_flight < window && self.outgoing.len() < CHUNK {
                let Some(message) = next else { break };
                self.put_publish(&message);
                in_flight += 1;
                next = messages.next();
            }
            self.flush().await?;
            // With room left in the window, what has come is enough; else wait for more.
            if in_flight == window || next.is_none() {
                let acks = self.acknowledgements().await?;
                in_flight -= acks;
                acknowledged += acks as u64;
            }
        }
        Ok(acknowledged)
    }

    /// Publishes one message every `period` from `start` on, whatever the answers; acknowledgements
    /// are read on the way. `make` is asked for each when its time has come. Returns the number sent.
    pub async fn publish_paced(
        &mut self,
        start: Instant,
        period: std::time::Duration,
        count: u32,
        mut make: impl FnMut(u32) -> MqttMessage,
    ) -> Result<()> {
        let (mut acknowledged, mut sent) = (0_u32, 0);
        while acknowledged < count {
            let due = start + period * sent;
            tokio::select! {
                () = tokio::time::sleep_until(due.into()), if sent < count => {
                    let message = make(sent);
                    self.put_publish(&message);
                    self.flush().await?;
                    sent += 1;
                }
                acks = read_more(&mut *self.stream, &mut self.incoming) => {
                    acks?;
                    acknowledged += u32::try_from(self.count_acknowledgements()?).unwrap_or(u32::MAX);
                }
            }
        }
        Ok(())
    }

    /// Subscribes at QoS 1.
    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(1);
        put_packet(&mut self.outgoing, 0x82, &[&body]);
        self.flush().await?;
        self.expect(0x90, |body| body.ends_with(&[1])).await
    }

    /// Takes in and acknowledges `count` messages.
    pub async fn receive(&mut self, count: u64) -> Result<()> {
        let mut received = 0;
        while received < count {
            read_more(&mut *self.stream, &mut self.incoming).await?;
            let mut used = 0;
            while let Some(packet) = packet_at(&self.incoming, used) {
                used = packet.body.end;
                if packet.first & 0xF6 == 0x32 {
                    let body = &self.incoming[packet.body];
                    let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    self.outgoing.extend([0x40, 2, body[id], body[id + 1]]);
                    received += 1;
                }
            }
            self.incoming.drain(..used);
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes in and acknowledges what comes, by topic and payload, and publishes what `reply` says to it at
    /// QoS 1, until the connection breaks.
    pub async fn serve(&mut self, mut reply: impl FnMut(&str, &[u8]) -> Option<MqttMessage>) -> Result<()> {
        loop {
            read_more(&mut *self.stream, &mut self.incoming).await?;
            let (mut used, mut replies) = (0, Vec::new());
            while let Some(packet) = packet_at(&self.incoming, used) {
                used = packet.body.end;
                if packet.first & 0xF6 == 0x32 {
                    let body = &self.incoming[packet.body];
                    let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    self.outgoing.extend([0x40, 2, body[id], body[id + 1]]);
                    replies.extend(reply(&String::from_utf8_lossy(&body[2..id]), &body[id + 2..]));
                }
            }
            self.incoming.drain(..used);
            replies.iter().for_each(|message| self.put_publish(message));
            self.flush().await?;
        }
    }

    fn put_publish(&mut self, message: &MqttMessage) {
        put_publish(&mut self.outgoing, &mut self.next_id, message);
    }

    async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        self.stream.flush().await // TLS may hold some of it back
    }

    async fn acknowledgements(&mut self) -> Result<usize> {
        read_more(&mut *self.stream, &mut self.incoming).await?;
        self.count_acknowledgements()
    }

    fn count_acknowledgements(&mut self) -> Result<usize> {
        let (mut used, mut count) = (0, 0);
        while let Some(packet) = packet_at(&self.incoming, used) {
            used = packet.body.end;
            count += usize::from(packet.first == 0x40);
        }
        self.incoming.drain(..used);
        Ok(count)
    }

    async fn expect(&mut self, first: u8, good: impl Fn(&[u8]) -> bool) -> Result<()> {
        loop {
            if let Some(packet) = packet_at(&self.incoming, 0) {
                let fine = packet.first == first && good(&self.incoming[packet.body.clone()]);
                self.incoming.drain(..packet.body.end);
                return if fine {
                    Ok(())
                } else {
                    Err(Error::new(ErrorKind::InvalidData, "the broker refused"))
                };
            }
            read_more(&mut *self.stream, &mut self.incoming).await?;
        }
    }
}

async fn read_more(stream: &mut (impl BrokerStream + ?Sized), into: &mut Vec<u8>) -> Result<()> {
    into.reserve(CHUNK);
    match stream.read_buf(into).await? {
        0 => Err(Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection")),
        _ => Ok(()),
    }
}

/// The packet that begins at `start`, if it is there whole.
fn packet_at(bytes: &[u8], start: usize) -> Option<Packet> {
    let mut length = 0;
    for (index, byte) in bytes.get(start + 1..)?.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let body = start + index + 2..start + index + 2 + length;
            return (body.end <= bytes.len()).then_some(Packet { first: bytes[start], body });
        }
    }
    None
}

/// Puts a CONNECT with a clean session.
pub fn put_connect(into: &mut Vec<u8>, client_id: &str) {
    put_packet(into, 0x10, &[&connect_body(client_id)]);
}

/// Puts a PUBLISH at QoS 1 with the id after `last_id`, which it becomes.
pub fn put_publish(into: &mut Vec<u8>, last_id: &mut u16, message: &MqttMessage) {
    *last_id = last_id.checked_add(1).unwrap_or(1);
    let mut head = Vec::with_capacity(message.topic.len() + 4);
    put_text(&mut head, &message.topic);
    head.extend(last_id.to_be_bytes());
    put_packet(into, 0x32, &[&head, &message.payload]);
}

fn connect_body(client_id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec(); // clean session, no keep-alive
    put_text(&mut body, client_id);
    body
}

fn put_packet(into: &mut Vec<u8>, first: u8, parts: &[&[u8]]) {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    into.push(first);
    loop {
        let low = u8::try_from(length & 0x7F).unwrap_or_default(); // seven bits fit
        length >>= 7;
        into.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    for part in parts {
        into.extend_from_slice(part);
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    into.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}
