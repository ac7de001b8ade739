//! An outside broker behind TLS: the hub trusts who is vouched for by an authority of the system, and nobody else.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::certificates::{authority, certificate};
use crate::support::hub::Installation;
use crate::support::{Mosquitto, MqttDevice, eventually};

#[tokio::test]
async fn only_brokers_of_a_trusted_authority_are_trusted() {
    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    authority(&ours).await;
    authority(&theirs).await;
    certificate(&ours, folder.path()).await;

    // Devices speak to it in the clear.
    let devices = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut mosquitto = tls_mosquitto(folder.path(), devices).await;
    let hub = Installation::new()
        .with("--mqtt", &format!("mqtts://localhost:{}", mosquitto.address.port()))
        .in_environment("SSL_CERT_FILE", ours.join("authority.pem").to_str().unwrap())
        .start()
        .await;
    let stored = async |n: i64| {
        // Mosquitto opens its listeners one after the other.
        let mut device =
            eventually("devices can connect", async || MqttDevice::connect(devices, "pump-1").await.ok())
                .await;
        device.say("iot/devices/pump-1/data", &format!(r#"{{"n": {n}}}"#)).await;
        eventually("the reading is stored", async || {
            let found: Value = hub.get("/api/devices/pump-1/data").await.json().await.ok()?;
            (found[0]["value"] == n).then_some(())
        })
        .await;
    };
    stored(1).await;
    let port = mosquitto.address.port();
    assert_eq!(hub.json("/health").await["parts"]["mqtt"]["url"], format!("mqtts://localhost:{port}"));

    // Somebody else is there in its place.
    mosquitto.stop().await;
    certificate(&theirs, folder.path()).await;
    mosquitto.start_again().await;
    eventually("the hub says why it does not connect", async || {
        let mqtt = hub.json("/health").await["parts"]["mqtt"].take();
        let detail = mqtt["detail"].as_str()?;
        (mqtt["status"] != "ok" && detail.contains("invalid peer certificate")).then_some(())
    })
    .await;

    // And then it is back.
    mosquitto.stop().await;
    certificate(&ours, folder.path()).await;
    mosquitto.start_again().await;
    stored(2).await;
}

/// A Mosquitto with the certificate in `folder`, and for `devices` another listener without.
async fn tls_mosquitto(folder: &Path, devices: SocketAddr) -> Mosquitto {
    let folder = folder.display();
    let files = format!("certfile {folder}/server.pem\nkeyfile {folder}/server.key\n");
    Mosquitto::with(&format!("{files}listener {} 127.0.0.1\n", devices.port())).await
}
