//! A WebSocket subscriber. It holds each frame, its own and the hub's, against the AsyncAPI document.

use std::collections::HashMap;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{asyncapi, within};

/// A session.
pub struct WebSocketSession {
    socket: WebSocketStream<TcpStream>,
    /// By id, how a request frame differs from the document: such frames are refused.
    sent: HashMap<String, Option<String>>,
}

fn request(hub: SocketAddr) -> Request {
    format!("ws://{hub}/api/ws").into_client_request().unwrap()
}

impl WebSocketSession {
    /// Connects, and is greeted.
    pub async fn connect(hub: SocketAddr) -> Self {
        Self::greeted(request(hub), TcpStream::connect(hub).await.unwrap()).await
    }

    /// The same as a person in a browser, by the cookie of their session.
    pub async fn connect_as(hub: SocketAddr, cookie: &str) -> Self {
        let mut request = request(hub);
        for (name, value) in [("Cookie", cookie.to_owned()), ("Origin", format!("http://{hub}"))] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Self::greeted(request, TcpStream::connect(hub).await.unwrap()).await
    }

    async fn greeted(request: Request, stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (socket, _) = within("a WebSocket", client_async(request, stream)).await.unwrap();
        let mut subscriber = Self { socket, sent: HashMap::new() };
        assert_eq!(subscriber.next().await.unwrap()["type"], "hello");
        subscriber
    }

    /// Connects and subscribes to readings after `since`, or from now on.
    pub async fn of_readings(hub: SocketAddr, since: Option<u64>) -> Self {
        Self::connect(hub).await.subscribed(since).await
    }

    /// The same from a machine that takes so few bytes that it has not read yet.
    pub async fn of_readings_with_little_room(hub: SocketAddr, since: Option<u64>, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        let stream = socket.connect(hub).await.unwrap();
        Self::greeted(request(hub), stream).await.subscribed(since).await
    }

    async fn subscribed(self, since: Option<u64>) -> Self {
        let mut subscriber = self;
        subscriber
            .send(&json!({ "type": "subscribe", "id": "s", "kinds": ["telemetry"], "since": since }))
            .await;
        assert_eq!(subscriber.next().await.unwrap()["type"], "subscribed");
        subscriber
    }

    pub async fn send(&mut self, frame: &Value) {
        if let Some(id) = frame["id"].as_str() {
            self.sent.insert(id.to_owned(), asyncapi::difference_of_request(frame));
        }
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Sends what is no whole text.
    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The bytes that one read of the connection gives; no frame may be half read.
    pub async fn read_once(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 256 * 1_024];
        let count = within("bytes of the hub", self.socket.get_mut().read(&mut bytes)).await.unwrap();
        bytes.truncate(count);
        bytes
    }

    /// The next frame; none once the connection has ended, however it did. May be given up half way.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match within("a frame of the hub", self.socket.next()).await? {
                Ok(Message::Text(text)) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    self.check(&frame);
                    return Some(frame);
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The frame is as the document says, and so was the request that it answers.
    fn check(&self, frame: &Value) {
        if let Some(difference) = asyncapi::difference(frame) {
            panic!("a frame that is not described: {difference}");
        }
        let sent = frame["id"].as_str().and_then(|id| self.sent.get(id));
        match (sent, frame["code"].as_str()) {
            (Some(None), Some("unknown_field" | "missing_field" | "unknown_type")) => {
                panic!("the document lets through what the hub refuses: {frame}")
            }
            (Some(Some(difference)), None) => {
                panic!("the hub takes what the document refuses: {difference}")
            }
            _ => {}
        }
    }

    /// Reads until the hub closes, and tells how.
    pub async fn closed(mut self) -> Option<CloseFrame> {
        within("the hub closes", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }
}
