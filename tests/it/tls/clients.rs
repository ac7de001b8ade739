//! Clients of every kind: those that trust the hub, those that do not, and those that do not get far.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::certificates::{authority, connect};
use crate::support::hub::Installation;
use crate::support::{MqttDevice, eventually, within};

#[tokio::test]
async fn devices_speak_mqtt_over_tls() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    let (mqtts, trusted) = (hub.mqtts.unwrap(), installation.data.join("tls/ca.pem"));
    let mut device = MqttDevice::over(connect(mqtts, &trusted).await.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    assert_eq!(hub.json("/api/devices/pump-1/data").await[0]["value"], 1);
    let health = hub.json("/health").await;
    assert_eq!(health["parts"]["mqtt"]["connections"], 1);

    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let other = folder.path().join("other");
    authority(&other).await;
    let error = connect(mqtts, &other.join("authority.pem")).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(MqttDevice::connect(mqtts, "pump-2").await.is_err(), "in the clear");
    let mut plain = MqttDevice::connect(hub.mqtt.unwrap(), "pump-3").await.unwrap();
    plain.say("iot/devices/pump-3/data", r#"{"n": 1}"#).await;
}

/// The beginning of a connection of TLS 1.1, without the extension by which a newer version could be chosen.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xC0, 0x13, 0x00, 0x2F]); // suites of its day
    body.extend([1, 0]); // no compression
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn old_versions_are_refused() {
    let hub = Installation::new().over_tls().start().await;
    for address in [hub.http, hub.mqtts.unwrap()] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&hello_of_tls_1_1()).await.unwrap();
        let mut answer = Vec::new();
        let _ = within("it ends", socket.read_to_end(&mut answer)).await; // a reset is an end too
        assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
        assert_eq!(answer.last(), Some(&70), "protocol_version: {answer:?}");
    }
}

#[tokio::test]
async fn handshakes_that_do_not_end_stop_nobody() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    let trusted = installation.data.join("tls/ca.pem");
    let mut idle = Vec::new();
    for address in [hub.http, hub.mqtts.unwrap()] {
        for half in 0..400 {
            let Ok(mut socket) = TcpStream::connect(address).await else { break };
            if half % 2 == 0 {
                let _ = socket.write_all(&[0x16, 3, 1, 1]).await; // the hub may have closed it
            }
            idle.push(socket);
        }
    }
    assert!(idle.len() > 500, "{}", idle.len());
    assert_eq!(hub.get("/ready").await.status(), 200);
    let stream =
        eventually("a device gets through", async || connect(hub.mqtts.unwrap(), &trusted).await.ok()).await;
    let mut device = MqttDevice::over(stream, "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    let mut plain = MqttDevice::connect(hub.mqtt.unwrap(), "pump-2").await.unwrap();
    plain.say("iot/devices/pump-2/data", r#"{"n": 1}"#).await;
    assert_eq!(hub.json("/api/devices/pump-1/data").await[0]["value"], 1);
}
