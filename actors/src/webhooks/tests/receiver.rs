//! A receiver of webhooks, with the answers that the test sets.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use twinhub_testkit::within;

/// A small HTTP server.
pub struct WebhookReceiver {
    pub address: SocketAddr,
    requests: mpsc::UnboundedReceiver<ReceivedRequest>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct ReceivedRequest {
    stream: TcpStream,
    /// `POST /hook`.
    pub line: String,
    head: String,
    pub body: String,
}

impl WebhookReceiver {
    pub async fn start() -> Self {
        Self::at(IpAddr::from([127, 0, 0, 1])).await
    }

    pub async fn at(ip: IpAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        actix::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                actix::spawn(async move {
                    if let Some(request) = read(stream).await {
                        let _ = sender.send(request); // the test may have ended
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn next(&mut self) -> ReceivedRequest {
        within("a request", self.requests.recv()).await.unwrap()
    }

    /// True where no request has come so far.
    pub fn is_quiet(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ &str| line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name));
        Some(self.head.lines().find(named)?.split_once(':')?.1.trim())
    }

    /// Answers with a status line, headers (each with its `\r\n`) and a body.
    pub async fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        );
        let _ = self.stream.write_all(text.as_bytes()).await; // who asked may have gone
        let _ = self.stream.shutdown().await;
    }

    /// Answers with bytes as they are, for as long as they are read.
    pub async fn answer_raw(mut self, text: &[u8]) -> usize {
        let mut written = 0;
        while let Ok(more) = self.stream.write(&text[written..]).await
            && more > 0
        {
            written += more;
        }
        written
    }
}

async fn read(mut stream: TcpStream) -> Option<ReceivedRequest> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let line = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    let mut request = ReceivedRequest { stream, line, head, body: String::new() };
    let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if request.stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    request.body = String::from_utf8(bytes[end + 4..].to_vec()).ok()?;
    Some(request)
}
