//! Socket.IO, `/socket.io/`: every reading as an event, for the clients that pages and programs have already.

mod clients;
mod page;
mod protocol;
mod refusals;
mod rights;
mod slow;
mod upgrade;

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::http::{HttpAnswer, ask};
use crate::support::{HubProcess, MqttDevice, within};

/// The beginning of every request's target.
const BEGIN: &str = "/socket.io/?EIO=4&transport=polling";

/// A session by polls, request by request.
pub struct PolledSession {
    hub: SocketAddr,
    pub sid: String,
}

impl PolledSession {
    /// Begins one.
    pub async fn begin(hub: SocketAddr) -> Self {
        Self::of(hub, &get(hub, BEGIN, &[]).await)
    }

    /// The session that this answer begins.
    pub fn of(hub: SocketAddr, answer: &HttpAnswer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let open: Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        Self { hub, sid: open["sid"].as_str().unwrap().to_owned() }
    }

    /// Begins one and joins the main namespace.
    pub async fn joined(hub: SocketAddr) -> Self {
        let session = Self::begin(hub).await;
        assert_eq!(session.post("40").await.body, "OK");
        assert!(session.poll().await.body.starts_with("40{\"sid\":\""));
        session
    }

    /// The target of its requests.
    pub fn target(&self) -> String {
        format!("{BEGIN}&sid={}", self.sid)
    }

    pub async fn poll(&self) -> HttpAnswer {
        get(self.hub, &self.target(), &[]).await
    }

    pub async fn post(&self, body: &str) -> HttpAnswer {
        post(self.hub, &self.target(), body).await
    }

    /// Polls until a packet comes that is no ping.
    pub async fn next(&self) -> String {
        loop {
            let answer = self.poll().await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            if answer.body != "2" {
                return answer.body;
            }
            self.post("3").await;
        }
    }

    /// Opens a WebSocket beside the polls.
    pub async fn open_socket(&self) -> EngineSocket {
        EngineSocket::open(self.hub, &format!("&sid={}", self.sid)).await
    }
}

/// A WebSocket of Engine.IO, packet by packet.
pub struct EngineSocket(WebSocketStream<TcpStream>);

impl EngineSocket {
    /// Opens one, with more in its query.
    pub async fn open(hub: SocketAddr, more: &str) -> Self {
        let stream = TcpStream::connect(hub).await.unwrap();
        let url = format!("ws://{hub}/socket.io/?EIO=4&transport=websocket{more}");
        Self(within("a WebSocket", client_async(url, stream)).await.unwrap().0)
    }

    /// Opens one as a session, and joins the main namespace.
    pub async fn joined(hub: SocketAddr) -> Self {
        let mut socket = Self::open(hub, "").await;
        assert!(socket.next().await.unwrap().starts_with("0{\"sid\":\""));
        socket.send("40").await;
        assert!(socket.next().await.unwrap().starts_with("40{\"sid\":\""));
        socket
    }

    pub async fn send(&mut self, packet: &str) {
        self.0.send(Message::text(packet)).await.unwrap();
    }

    /// The next packet that is no ping; none once it is closed.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            match within("a packet", self.0.next()).await? {
                Ok(Message::Text(text)) if text == "2" => self.send("3").await,
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// A GET, with these headers.
pub async fn get(hub: SocketAddr, target: &str, headers: &[&str]) -> HttpAnswer {
    request(hub, "GET", target, headers, "").await
}

/// A POST of packets.
pub async fn post(hub: SocketAddr, target: &str, body: &str) -> HttpAnswer {
    request(hub, "POST", target, &["Content-Type: text/plain;charset=UTF-8"], body).await
}

/// Any request.
pub async fn request(
    hub: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> HttpAnswer {
    let (line, host) = (format!("{method} {target} HTTP/1.1"), format!("Host: {hub}"));
    let lines: Vec<&str> = [&*line, &*host].into_iter().chain(headers.iter().copied()).collect();
    ask(hub, &lines, body).await
}

/// Publishes a message of a device, and waits until it is taken in.
pub async fn publish(hub: &HubProcess, device: &str, payload: &str) {
    let mut client = MqttDevice::connect(hub.mqtt.unwrap(), &format!("{device}-client")).await.unwrap();
    client.publish(0, &format!("iot/devices/{device}/data"), payload.as_bytes()).await.unwrap();
    client.next().await.unwrap();
}
