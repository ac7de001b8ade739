//! MQTT over WebSocket.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::certificates::connect;
use crate::support::hub::Installation;
use crate::support::mqtt::ByteStream;
use crate::support::{HubProcess, MqttDevice, eventually, within};

/// Opens a WebSocket for these subprotocols, from a page of this origin.
pub(super) async fn open(
    hub: &HubProcess,
    stream: impl ByteStream + 'static,
    protocols: Option<&str>,
    origin: Option<&str>,
) -> Result<WebSocketStream<Box<dyn ByteStream>>, Error> {
    let mut request = format!("ws://{}/mqtt", hub.http).into_client_request().unwrap();
    let headers = request.headers_mut();
    if let Some(protocols) = protocols {
        headers.insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
    }
    if let Some(origin) = origin {
        headers.insert("Origin", origin.parse().unwrap());
    }
    let stream: Box<dyn ByteStream> = Box::new(stream);
    let (socket, answer) = within("a handshake", client_async(request, stream)).await?;
    assert_eq!(answer.headers()["sec-websocket-protocol"], "mqtt");
    Ok(socket)
}

/// The bytes of a WebSocket, in messages that hold `piece` bytes at most.
pub(super) fn bytes_of(socket: WebSocketStream<Box<dyn ByteStream>>, piece: usize) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(theirs);
    let (mut sink, mut source) = socket.split();
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(bytes) = message {
                let _ = writer.write_all(&bytes).await; // the test may have ended
            }
        }
    });
    tokio::spawn(async move {
        let mut bytes = vec![0; piece];
        while let Ok(count @ 1..) = reader.read(&mut bytes).await {
            if sink.send(Message::binary(bytes[..count].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await; // the hub may have gone
    });
    ours
}

async fn plain(hub: &HubProcess) -> TcpStream {
    TcpStream::connect(hub.http).await.unwrap()
}

#[tokio::test]
async fn devices_speak_mqtt_over_websocket() {
    let hub = Installation::new().start().await;
    for (device_id, piece) in [("pump-1", 4_096), ("pump-2", 1)] {
        let socket = open(&hub, plain(&hub).await, Some("mqttv3.1, mqtt"), None).await.unwrap();
        let mut device = MqttDevice::over(bytes_of(socket, piece), device_id).await.unwrap();
        device.subscribe(&format!("iot/devices/{device_id}/desired")).await.unwrap();
        let text = "x".repeat(3_000);
        device
            .say(&format!("iot/devices/{device_id}/data"), &json!({ "n": 1, "text": text }).to_string())
            .await;
        let patch = json!({ "desired": { "power": "on" } });
        let path = format!("/api/devices/{device_id}/twin");
        assert!(
            hub.request(reqwest::Method::PATCH, &path)
                .json(&patch)
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
        let told = device.next().await.unwrap();
        assert!(format!("{told:?}").contains(&format!("iot/devices/{device_id}/desired")), "{told:?}");
        drop(device);
    }
    eventually("they have left", async || {
        (hub.json("/health").await["parts"]["mqtt"]["connections"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn handshakes_of_others_are_refused() {
    let hub = Installation::new().start().await;
    let refused = async |protocols, origin| match open(&hub, plain(&hub).await, protocols, origin).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is open"),
    };
    assert_eq!(refused(None, None).await, 400);
    assert_eq!(refused(Some("graphql-ws"), None).await, 400);
    assert_eq!(refused(Some("mqtt"), Some("http://evil.example")).await, 403);
    assert_eq!(hub.get("/mqtt").await.status(), 400);
    let own = format!("http://{}", hub.http);
    assert!(open(&hub, plain(&hub).await, Some("mqtt"), Some(&own)).await.is_ok());
}

#[tokio::test]
async fn text_ends_the_connection_and_pings_are_answered() {
    let hub = Installation::new().start().await;
    let mut socket = open(&hub, plain(&hub).await, Some("mqtt"), None).await.unwrap();
    socket.send(Message::Ping("?".into())).await.unwrap();
    assert_eq!(within("a pong", socket.next()).await.unwrap().unwrap(), Message::Pong("?".into()));
    socket.send(Message::text("{}")).await.unwrap();
    let Message::Close(Some(end)) = within("the end", socket.next()).await.unwrap().unwrap() else {
        panic!("it goes on")
    };
    assert_eq!(u16::from(end.code), 1003);
}

#[tokio::test]
async fn it_goes_over_tls_on_the_same_port() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    let stream = connect(hub.http, &installation.data.join("tls/ca.pem")).await.unwrap();
    let socket = open(&hub, stream, Some("mqtt"), Some(&format!("https://{}", hub.http))).await.unwrap();
    let mut device = MqttDevice::over(bytes_of(socket, 4_096), "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    assert_eq!(hub.json("/api/devices/pump-1/data").await[0]["value"], 1);
    // The end of the hub is told.
    let goodbye = hub.terminate();
    assert!(within("it ends", goodbye).await.success());
}
