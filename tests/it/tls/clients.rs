//! Clients of every kind: those that trust the hub, those that do not, and those that do not get far.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

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

/// Did a handshake of this version succeed?
async fn speaks(address: SocketAddr, version: &str) -> (bool, String) {
    let address = address.to_string();
    let args = ["s_client", "-connect", &address, version, "-cipher", "DEFAULT:@SECLEVEL=0"];
    let asked = Command::new("openssl").args(args).stdin(Stdio::null()).output();
    let asked = within("a handshake", asked).await.unwrap();
    (asked.status.success(), String::from_utf8_lossy(&asked.stderr).into_owned())
}

#[tokio::test]
async fn old_versions_are_refused() {
    let hub = Installation::new().over_tls().start().await;
    for address in [hub.http, hub.mqtts.unwrap()] {
        assert!(speaks(address, "-tls1_2").await.0 && speaks(address, "-tls1_3").await.0);
        for version in ["-tls1", "-tls1_1"] {
            let (speaks, told) = speaks(address, version).await;
            assert!(!speaks && told.contains("alert"), "{version}: {told}");
        }
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
