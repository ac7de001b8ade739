//! The clients of seed 002, the cloud backend on FastAPI: the lines of its text, its page, its edge scripts and its socket,
//! as they are.

mod access;
mod lines;
mod programs;
mod sensors;
mod socket;
mod weather;

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};
use twinhub_actors::SystemClock;
use twinhub_domain::{Clock as _, Timestamp};

use crate::support::{HubProcess, MqttDevice, within};

/// The place of this repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A sensor that publishes, and waits until it is acknowledged: then its reading is stored.
struct Sensor(MqttDevice);

impl Sensor {
    async fn connect(hub: &HubProcess) -> Self {
        Self(MqttDevice::connect(hub.mqtt.unwrap(), "sensor-1").await.unwrap())
    }

    async fn say(&mut self, topic: &str, payload: &Value) {
        self.0.say(topic, &payload.to_string()).await;
    }
}

/// This many seconds ago, as the edge writes it.
fn ago(seconds: i64) -> String {
    let now = SystemClock.now();
    Timestamp::from_millis(now.millis() / 1_000 * 1_000).plus_millis(-1_000 * seconds).to_string()
}

/// A plain WebSocket on `/ws`.
struct PlainSocket(WebSocketStream<TcpStream>);

impl PlainSocket {
    /// Connects, with a bearer token perhaps; the status where it is refused.
    async fn open(hub: SocketAddr, token: Option<&str>) -> Result<Self, u16> {
        let mut request = format!("ws://{hub}/ws").into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        }
        let stream = TcpStream::connect(hub).await.unwrap();
        match within("a WebSocket", client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connects, and is greeted.
    async fn greeted(hub: SocketAddr) -> Self {
        let mut socket = Self::open(hub, None).await.unwrap();
        let (kind, data) = socket.next().await;
        assert_eq!((kind.as_str(), data), ("connection", json!({ "status": "connected" })));
        socket
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The type and the data of the next frame.
    async fn next(&mut self) -> (String, Value) {
        loop {
            match within("a frame", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => {
                    let mut frame: Value = serde_json::from_str(&text).unwrap();
                    assert!(frame["timestamp"].as_str().unwrap().ends_with('Z'), "{frame}");
                    assert_eq!(frame.as_object().unwrap().len(), 3, "{frame}");
                    return (frame["type"].as_str().unwrap().to_owned(), frame["data"].take());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until the hub closes, and tells how.
    async fn closed(&mut self) -> Option<CloseFrame> {
        within("the hub closes", async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }
}
