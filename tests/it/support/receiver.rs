//! Somebody out there who gets webhooks.

use std::net::SocketAddr;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{certificates, within};

/// A server that answers 200 to everything, or first something else.
pub struct WebhookServer {
    pub address: SocketAddr,
    came: mpsc::UnboundedReceiver<CapturedRequest>,
}

/// A request as it came.
#[derive(Debug)]
pub struct CapturedRequest {
    head: String,
    pub body: String,
}

impl WebhookServer {
    /// One that answers the first requests with these statuses.
    pub async fn start(first: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, came) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut first = first.iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                if let Some(request) = read(&mut stream).await {
                    let status = first.next().copied().unwrap_or(200);
                    let answer = format!(
                        "HTTP/1.1 {status} BrokerMessage\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = tell.send(request);
                }
            }
        });
        Self { address, came }
    }

    /// True where no request has come so far.
    pub fn is_quiet(&mut self) -> bool {
        self.came.try_recv().is_err()
    }

    /// The next request.
    pub async fn next(&mut self) -> CapturedRequest {
        within("a request", self.came.recv()).await.unwrap()
    }
}

impl CapturedRequest {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fits = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(fits).and_then(|line| Some(line.split_once(':')?.1.trim()))
    }

    /// `POST /hook`
    pub fn line(&self) -> &str {
        self.head.lines().next().and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap()
    }
}

/// A server that sends everybody on to `location`.
pub async fn redirecting(location: String) -> SocketAddr {
    redirector(None, location).await
}

/// The same over TLS, with the certificate in `folder`.
pub async fn redirecting_over_tls(folder: &Path, location: String) -> SocketAddr {
    redirector(Some(certificates::acceptor(folder)), location).await
}

async fn redirector(tls: Option<TlsAcceptor>, location: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let location = format!("location: {location}");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            match &tls {
                None => send_on(&mut stream, &location).await,
                // One that does not trust the certificate has gone.
                Some(tls) => {
                    if let Ok(mut stream) = tls.accept(stream).await {
                        send_on(&mut stream, &location).await;
                    }
                }
            }
        }
    });
    address
}

async fn send_on(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), location: &str) {
    if read(stream).await.is_some() {
        answer_with(stream, 307, location, "").await;
    }
    let _ = stream.shutdown().await; // whoever asked may have gone
}

/// Reads a request.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<CapturedRequest> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let request = CapturedRequest { head, body: String::new() };
            let length: usize = request.header("content-length").map_or(0, |length| length.parse().unwrap());
            while bytes.len() < end + 4 + length {
                stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
            }
            let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
            return Some(CapturedRequest { body, ..request });
        }
        stream.read_buf(&mut bytes).await.ok().filter(|read| *read > 0)?;
    }
}

/// Answers with a status, a header and a body.
pub async fn answer_with(stream: &mut (impl AsyncWrite + Unpin), status: u16, header: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status} Answer\r\n{header}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await; // whoever asked may have gone
}

/// HMAC-SHA256 (RFC 2104) as hexadecimal digits, by hand: what a receiver does in any language.
pub fn hmac(key: &[u8], text: &[u8]) -> String {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key); // no longer ones here
    let hash = |pad: u8, text: &[u8]| {
        let mut hash = Sha256::new();
        hash.update(block.map(|byte| byte ^ pad));
        hash.update(text);
        hash.finalize()
    };
    hash(0x5C, &hash(0x36, text)).iter().map(|byte| format!("{byte:02x}")).collect()
}
