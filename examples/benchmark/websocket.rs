//! A WebSocket subscriber by hand, for the same reason as `mqtt`: two hundred of them share the machine
//! with what is measured.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the hub's WebSocket.
pub struct Subscriber {
    stream: TcpStream,
    incoming: Vec<u8>,
    used: usize,
}

impl Subscriber {
    /// Connects and subscribes to every reading.
    pub async fn connect(hub: SocketAddr) -> Result<Self> {
        Self::connect_to(hub, "telemetry").await
    }

    /// Connects and subscribes to every event of a kind.
    pub async fn connect_to(hub: SocketAddr, kind: &str) -> Result<Self> {
        let mut subscriber = Self::open(hub, "/api/ws").await?;
        let subscribe = format!(r#"{{"type":"subscribe","id":"s","kinds":["{kind}"]}}"#);
        subscriber.send(subscribe.as_bytes()).await?;
        loop {
            let frame = subscriber.next().await?;
            if contains(frame, br#""type":"subscribed""#) {
                return Ok(subscriber);
            }
        }
    }

    /// Connects to a server of Socket.IO, and joins.
    pub async fn join(server: SocketAddr) -> Result<Self> {
        let target = "/socket.io/?EIO=4&transport=websocket";
        let mut subscriber = Self::open(server, target).await?;
        subscriber.next().await?;
        subscriber.send(b"40").await?;
        while !subscriber.next().await?.starts_with(b"40") {}
        Ok(subscriber)
    }

    /// Answers a ping of Engine.IO.
    pub async fn answer_ping(&mut self) -> Result<()> {
        self.send(b"3").await
    }

    /// The next text frame.
    pub async fn next(&mut self) -> Result<&[u8]> {
        loop {
            match frame_at(&self.incoming, self.used) {
                Some((opcode, payload)) => {
                    self.used = payload.end;
                    match opcode {
                        1 => return Ok(&self.incoming[payload]),
                        8 => return Err(Error::new(ErrorKind::ConnectionAborted, "the hub closed")),
                        9 => self.pong().await?,
                        _ => {}
                    }
                }
                None => self.read_more().await?,
            }
        }
    }

    async fn open(hub: SocketAddr, target: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(hub).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {hub}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut subscriber = Self { stream, incoming: Vec::new(), used: 0 };
        subscriber.read_head().await?;
        Ok(subscriber)
    }

    async fn read_head(&mut self) -> Result<()> {
        loop {
            self.read_more().await?;
            if let Some(end) = self.incoming.windows(4).position(|w| w == b"\r\n\r\n") {
                if !self.incoming.starts_with(b"HTTP/1.1 101") {
                    return Err(Error::new(ErrorKind::InvalidData, "no WebSocket there"));
                }
                self.used = end + 4;
                return Ok(());
            }
        }
    }

    async fn send(&mut self, text: &[u8]) -> Result<()> {
        // Masked with zeros, which is a mask like any other.
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap_or(125), 0, 0, 0, 0];
        frame.extend_from_slice(text);
        self.stream.write_all(&frame).await
    }

    async fn pong(&mut self) -> Result<()> {
        self.stream.write_all(&[0x8A, 0x80, 0, 0, 0, 0]).await
    }

    async fn read_more(&mut self) -> Result<()> {
        self.incoming.drain(..self.used);
        self.used = 0;
        self.incoming.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.incoming).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the hub closed the connection")),
            _ => Ok(()),
        }
    }
}

/// True when `needle` is in `frame`.
pub fn contains(frame: &[u8], needle: &[u8]) -> bool {
    frame.windows(needle.len()).any(|window| window == needle)
}

/// The opcode and payload of the frame at `start`, if it is there whole. The hub does not mask.
fn frame_at(bytes: &[u8], start: usize) -> Option<(u8, std::ops::Range<usize>)> {
    let head = bytes.get(start..start + 2)?;
    let (length, at) = match head[1] {
        126 => {
            let length = bytes.get(start + 2..start + 4)?;
            (usize::from(u16::from_be_bytes([length[0], length[1]])), start + 4)
        }
        127 => {
            let length = bytes.get(start + 2..start + 10)?;
            (usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?, start + 10)
        }
        short => (usize::from(short), start + 2),
    };
    (at + length <= bytes.len()).then(|| (head[0] & 0x0F, at..at + length))
}
