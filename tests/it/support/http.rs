//! HTTP by hand: requests byte for byte, as no client library sends them.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

/// An answer.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    head: String,
    pub body: String,
}

/// A connection that is kept.
pub struct KeptConnection(TcpStream);

/// Sends a request whose head is `lines` and reads the answer, on a connection of its own.
pub async fn ask(hub: SocketAddr, lines: &[&str], body: &str) -> HttpAnswer {
    KeptConnection::open(hub).await.ask(lines, body).await.expect("an answer")
}

impl KeptConnection {
    pub async fn open(hub: SocketAddr) -> Self {
        Self(within("a connection", TcpStream::connect(hub)).await.unwrap())
    }

    /// Sends a request and reads the answer; none where the hub closes instead.
    pub async fn ask(&mut self, lines: &[&str], body: &str) -> Option<HttpAnswer> {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request = format!("{}\r\n{length}\r\n{body}", lines.join("\r\n"));
        self.0.write_all(request.as_bytes()).await.ok()?;
        let has_body = !lines[0].starts_with("HEAD ");
        within("an answer", self.answer(has_body)).await
    }

    /// Sends a request, and reads nothing yet.
    pub async fn send(&mut self, lines: &[&str]) {
        self.0.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
    }

    /// False once the hub has closed it. What it sends is passed over.
    pub fn is_open(&self) -> bool {
        let mut bytes = [0; 4_096];
        loop {
            match self.0.try_read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The head, and as much of a body as it promises. Streams have none.
    async fn answer(&mut self, has_body: bool) -> Option<HttpAnswer> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = HttpAnswer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while has_body && bytes.len() < end + 4 + length {
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                break;
            }
        }
        answer.body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
        Some(answer)
    }
}

impl HttpAnswer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(fits).and_then(|line| Some(line.split_once(':')?.1.trim()))
    }

    /// The stable word of what is wrong.
    pub fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
