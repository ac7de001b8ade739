//! An outside broker behind TLS: the hub trusts who is vouched for by an authority of the system, and nobody else.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::hub::Installation;
use crate::support::{Mosquitto, MqttDevice, eventually, within};

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

/// Makes an authority in a folder of its own.
async fn authority(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let (key, file) = (folder.join("authority.key"), folder.join("authority.pem"));
    openssl(&key, &file, &["-subj", "/CN=an authority", "-addext", "keyUsage=critical,keyCertSign"]).await;
}

/// Has the authority in `by` vouch for `localhost`, in `server.pem` of `folder`.
async fn certificate(by: &Path, folder: &Path) {
    let (authority, its_key) = (by.join("authority.pem"), by.join("authority.key"));
    let by = ["-CA", authority.to_str().unwrap(), "-CAkey", its_key.to_str().unwrap()];
    let about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let may = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let (key, file) = (folder.join("server.key"), folder.join("server.pem"));
    openssl(&key, &file, &[&by[..], &about, &may].concat()).await;
}

/// A new key and a certificate of it.
async fn openssl(key: &Path, file: &Path, more: &[&str]) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(file)
        .args(more)
        .stdin(Stdio::null())
        .output();
    let made = within("a certificate", made).await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
