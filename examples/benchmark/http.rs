//! HTTP/1.1 by hand, for the same reason as `mqtt`: one connection that is kept, one request at a time.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the hub's API.
pub struct Http {
    stream: TcpStream,
    host: SocketAddr,
    /// A line of each request that says who asks, or none.
    credential: String,
    incoming: Vec<u8>,
}

/// The answer to a request.
pub struct AnswerBody<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Http {
    /// Connects.
    pub async fn connect(hub: SocketAddr) -> Result<Self> {
        Self::connect_with(hub, "").await
    }

    /// Connects for requests with this line in their heads, `Cookie: …` or `Authorization: …`.
    pub async fn connect_with(hub: SocketAddr, credential: &str) -> Result<Self> {
        let stream = TcpStream::connect(hub).await?;
        stream.set_nodelay(true)?;
        let credential = if credential.is_empty() { String::new() } else { format!("{credential}\r\n") };
        Ok(Self { stream, host: hub, credential, incoming: Vec::new() })
    }

    /// Sends a request, with a JSON body unless that is empty, and waits for the answer.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<AnswerBody<'_>> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            self.credential,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.incoming.clear();
        loop {
            if let Some((status, body)) = whole(&self.incoming)? {
                return Ok(AnswerBody { status, body: &self.incoming[body] });
            }
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the hub closed the connection"));
            }
        }
    }

    /// The same where any answer but `status` is an error.
    pub async fn expect(&mut self, status: u16, method: &str, path: &str, body: &str) -> Result<&[u8]> {
        let answer = self.request(method, path, body).await?;
        if answer.status == status {
            return Ok(answer.body);
        }
        let said = String::from_utf8_lossy(answer.body);
        Err(Error::other(format!("{method} {path}: {} {said}", answer.status)))
    }
}

/// The text of the first field called `name` in a JSON document, as far as it has no escapes.
pub fn text<'a>(json: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = format!("\"{name}\":\"");
    let start = json.windows(name.len()).position(|window| window == name.as_bytes())? + name.len();
    let length = json[start..].iter().position(|byte| *byte == b'"')?;
    Some(&json[start..start + length])
}

/// The status, and where the body is, once the answer is there whole.
fn whole(bytes: &[u8]) -> Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let bad = || Error::new(ErrorKind::InvalidData, "no HTTP/1.1 answer with a length");
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad())?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let body = end + 4..end + 4 + length.ok_or_else(bad)?;
    Ok((body.end <= bytes.len()).then_some((status, body)))
}
