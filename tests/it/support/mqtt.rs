//! A device's side of MQTT 3.1.1, by hand: so that a test knows of every single message whether it was
//! acknowledged.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// The bytes of a connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection to a broker.
pub struct MqttDevice {
    stream: Box<dyn ByteStream>,
    incoming: Vec<u8>,
    /// The unacknowledged messages, by packet id: the caller's name for each.
    waiting: HashMap<u16, u64>,
    next_id: u16,
}

/// A word of a broker.
#[derive(Debug, PartialEq, Eq)]
pub enum BrokerMessage {
    /// This message is acknowledged.
    Acknowledged(u64),
    Message {
        topic: String,
        payload: Vec<u8>,
    },
}

impl MqttDevice {
    /// Connects with a clean session.
    pub async fn connect(broker: SocketAddr, client_id: &str) -> Result<Self> {
        Self::connect_with(broker, client_id, true).await
    }

    /// Connects to the session that the broker keeps for it.
    pub async fn connect_to_session(broker: SocketAddr, client_id: &str) -> Result<Self> {
        Self::connect_with(broker, client_id, false).await
    }

    async fn connect_with(broker: SocketAddr, client_id: &str, clean: bool) -> Result<Self> {
        let stream = TcpStream::connect(broker).await?;
        stream.set_nodelay(true)?;
        Self::introduced(Box::new(stream), client_id, clean).await
    }

    /// Connects with a clean session, by a connection that is there.
    pub async fn over(stream: impl ByteStream + 'static, client_id: &str) -> Result<Self> {
        Self::introduced(Box::new(stream), client_id, true).await
    }

    async fn introduced(stream: Box<dyn ByteStream>, client_id: &str, clean: bool) -> Result<Self> {
        let mut device = Self { stream, incoming: Vec::new(), waiting: HashMap::new(), next_id: 0 };
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([u8::from(clean) << 1, 0, 0]);
        put_text(&mut body, client_id);
        device.write(0x10, &body).await?;
        match within("the broker's CONNACK", device.packet()).await? {
            (0x20, body) if body[1] == 0 => Ok(device),
            (first, body) => {
                Err(Error::new(ErrorKind::InvalidData, format!("no CONNACK: {first:x} {body:?}")))
            }
        }
    }

    /// Connects from this address of this machine, with a clean session and a password.
    ///
    /// # Errors
    /// The broker's return code.
    pub async fn connect_as(
        broker: SocketAddr,
        from: [u8; 4],
        client_id: &str,
        (user, password): (&str, &str),
    ) -> std::result::Result<Self, u8> {
        Self::enter(broker, from, 0xC2, &[client_id, user, password]).await
    }

    /// The same without a password.
    ///
    /// # Errors
    /// The broker's return code.
    pub async fn connect_from(
        broker: SocketAddr,
        from: [u8; 4],
        client_id: &str,
    ) -> std::result::Result<Self, u8> {
        Self::enter(broker, from, 0x02, &[client_id]).await
    }

    async fn enter(
        broker: SocketAddr,
        from: [u8; 4],
        flags: u8,
        texts: &[&str],
    ) -> std::result::Result<Self, u8> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = within("the broker takes the connection", socket.connect(broker)).await.unwrap();
        let mut device =
            Self { stream: Box::new(stream), incoming: Vec::new(), waiting: HashMap::new(), next_id: 0 };
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([flags, 0, 0]);
        for text in texts {
            put_text(&mut body, text);
        }
        device.write(0x10, &body).await.unwrap();
        match within("the broker's CONNACK", device.packet()).await.unwrap() {
            (0x20, body) if body[1] == 0 => Ok(device),
            (_, body) => Err(body[1]),
        }
    }

    /// Connects with a clean session and no password, by a connection that is there.
    ///
    /// # Errors
    /// The broker's return code.
    pub async fn connect_over(
        stream: impl ByteStream + 'static,
        client_id: &str,
        user: Option<&str>,
    ) -> std::result::Result<Self, u8> {
        let mut device =
            Self { stream: Box::new(stream), incoming: Vec::new(), waiting: HashMap::new(), next_id: 0 };
        let mut body = b"\x00\x04MQTT\x04".to_vec();
        body.extend([if user.is_some() { 0x82 } else { 0x02 }, 0, 0]);
        for text in std::iter::once(client_id).chain(user) {
            put_text(&mut body, text);
        }
        device.write(0x10, &body).await.unwrap();
        match within("the broker's CONNACK", device.packet()).await.unwrap() {
            (0x20, body) if body[1] == 0 => Ok(device),
            (_, body) => Err(body[1]),
        }
    }

    /// Waits until the broker ends the connection.
    pub async fn until_ended(&mut self) {
        within("the broker ends the connection", async { while self.packet().await.is_ok() {} }).await;
    }

    /// Publishes at QoS 1 without waiting; `name` comes back with the acknowledgement.
    pub async fn publish(&mut self, name: u64, topic: &str, payload: &[u8]) -> Result<()> {
        self.send(0x32, name, topic, payload).await
    }

    /// The same, retained.
    pub async fn retain(&mut self, name: u64, topic: &str, payload: &[u8]) -> Result<()> {
        self.send(0x33, name, topic, payload).await
    }

    async fn send(&mut self, first: u8, name: u64, topic: &str, payload: &[u8]) -> Result<()> {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.next_id) {
                break;
            }
        }
        self.waiting.insert(self.next_id, name);
        let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
        put_text(&mut body, topic);
        body.extend(self.next_id.to_be_bytes());
        body.extend_from_slice(payload);
        self.write(first, &body).await
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    pub async fn say(&mut self, topic: &str, payload: &str) {
        self.publish(u64::MAX, topic, payload.as_bytes()).await.unwrap();
        within("an acknowledgement", async {
            while self.next().await.unwrap() != BrokerMessage::Acknowledged(u64::MAX) {}
        })
        .await;
    }

    /// Publishes at QoS 2, or `again` with the same packet id, and waits until the broker has it.
    pub async fn begin_exactly_once(&mut self, id: u16, again: bool, topic: &str, payload: &[u8]) {
        let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
        put_text(&mut body, topic);
        body.extend(id.to_be_bytes());
        body.extend_from_slice(payload);
        self.write(if again { 0x3C } else { 0x34 }, &body).await.unwrap();
        self.waits_for("the broker's PUBREC", 0x50, id).await;
    }

    /// Gives the packet id of a message of QoS 2 free, and waits until the broker has done so too.
    pub async fn end_exactly_once(&mut self, id: u16) {
        self.write(0x62, &id.to_be_bytes()).await.unwrap();
        self.waits_for("the broker's PUBCOMP", 0x70, id).await;
    }

    async fn waits_for(&mut self, what: &str, packet: u8, id: u16) {
        let came = async { while self.packet().await.unwrap() != (packet, id.to_be_bytes().to_vec()) {} };
        within(what, came).await;
    }

    /// Subscribes at QoS 1.
    pub async fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(1);
        self.write(0x82, &body).await?;
        match within("the broker's SUBACK", self.packet()).await? {
            (0x90, body) if body.ends_with(&[1]) => Ok(()),
            (first, body) => {
                Err(Error::new(ErrorKind::InvalidData, format!("no SUBACK: {first:x} {body:?}")))
            }
        }
    }

    /// The number of messages that are not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }

    /// The broker's next word; messages are acknowledged on the way. May be given up half way.
    pub async fn next(&mut self) -> Result<BrokerMessage> {
        loop {
            let (first, body) = within("the broker says something", self.packet()).await?;
            match first & 0xF0 {
                0x40 => {
                    let id = u16::from_be_bytes([body[0], body[1]]);
                    if let Some(name) = self.waiting.remove(&id) {
                        return Ok(BrokerMessage::Acknowledged(name));
                    }
                }
                0x30 => {
                    let (topic, rest) =
                        body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
                    let (id, payload) = if first & 0x06 == 0 { rest.split_at(0) } else { rest.split_at(2) };
                    if let [high, low] = id {
                        self.write(0x40, &[*high, *low]).await?;
                    }
                    let topic = String::from_utf8_lossy(topic).into_owned();
                    return Ok(BrokerMessage::Message { topic, payload: payload.to_vec() });
                }
                _ => {}
            }
        }
    }

    /// Waits for a message on this topic, and does not acknowledge it.
    pub async fn take_unacknowledged(&mut self, topic: &str) {
        loop {
            let (first, body) = within("a message", self.packet()).await.unwrap();
            if first & 0xF0 == 0x30 && body[2..].starts_with(topic.as_bytes()) {
                return;
            }
        }
    }

    async fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((first, head, end)) = whole(&self.incoming) {
                let body = self.incoming[head..end].to_vec();
                self.incoming.drain(..end);
                return Ok((first, body));
            }
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection"));
            }
        }
    }

    async fn write(&mut self, first: u8, body: &[u8]) -> Result<()> {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let low = u8::try_from(length % 128).unwrap();
            length /= 128;
            packet.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream.write_all(&packet).await
    }
}

/// First byte, head's length and whole length of the first packet, if it is there whole.
fn whole(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let head = index + 2;
            return (head + length <= bytes.len()).then_some((bytes[0], head, head + length));
        }
    }
    None
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    into.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}
