//! Certificates that are to be replaced: an alarm says so until they are, and `twinhub doctor` what to do.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::{CertificateWish, DeviceAuthority, DeviceKeys};
use crate::support::hub::{Installation, run};
use crate::support::{HubProcess, eventually};

const CERTIFICATE: &str = "/api/devices/pump/certificate";

fn of_days(days: i64) -> CertificateWish<'static> {
    CertificateWish { days, ..CertificateWish::of("pump") }
}

/// Waits for the state of the alarm of this device, or of the hub, and gives its severity.
async fn alarm(hub: &HubProcess, device: Option<&str>, status: &str, severity: &str) {
    let what = format!("{status} {severity} alarm of {device:?}");
    let mut last = Value::Null;
    eventually(&what, async || {
        last = hub.json("/api/alarms?type=certificate-expiring").await;
        let found = last.as_array()?.iter().find(|alarm| alarm["device_id"] == json!(device))?;
        assert_eq!(found["rule_id"], Value::Null);
        (found["status"] == status && found["severity"] == severity).then_some(())
    })
    .await;
}

async fn bind(hub: &HubProcess, keys: &DeviceKeys) {
    let bound = hub.request(Method::PUT, CERTIFICATE).body(keys.certificate.clone()).send().await.unwrap();
    assert_eq!(bound.status(), 200);
}

#[tokio::test]
async fn an_alarm_says_that_a_device_needs_another_certificate() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    assert!(
        hub.post("/api/devices", &json!({ "device_id": "pump", "name": "Pump" })).await.status().is_success()
    );
    bind(&hub, &DeviceKeys::self_signed(&of_days(100))).await;
    bind(&hub, &DeviceKeys::self_signed(&of_days(3))).await;
    assert_eq!(hub.json(CERTIFICATE).await["status"], "expiring");
    alarm(&hub, Some("pump"), "active", "warning").await;
    eventually("health has it", async || {
        let tls = hub.json("/health").await["parts"]["tls"].take();
        assert_eq!(tls["status"], "ok", "that of the hub is well");
        (tls["device_certificates_ending"] == 1).then_some(())
    })
    .await;
    assert_eq!(hub.metric("twinhub_device_certificates_ending").await, 1);
    let data = installation.data.to_str().unwrap();
    let told = run(&["doctor", "--tls", "auto", "--data-dir", data], &[]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("warn  device certificates: those of pump expire soon"), "{told}");
    assert!(told.contains("ok    TLS certificate: the one in "), "{told}");

    hub.terminate().await;
    let hub = installation.start().await;
    bind(&hub, &DeviceKeys::self_signed(&of_days(100))).await;
    alarm(&hub, Some("pump"), "cleared", "warning").await;
    let alarms = hub.json("/api/alarms?type=certificate-expiring").await;
    assert_eq!((alarms.as_array().unwrap().len(), &alarms[0]["count"]), (1, &json!(1)), "{alarms}");
    let refused = hub
        .request(Method::PUT, CERTIFICATE)
        .body(DeviceKeys::self_signed(&of_days(-1)).certificate)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 422);
}

#[tokio::test]
async fn an_alarm_of_the_hub_says_that_its_certificate_ends() {
    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let authority = DeviceAuthority::new();
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, &authority.pem).unwrap();
    let serve = |days: i64| {
        let wish = CertificateWish { days, is_server: true, ..CertificateWish::of("localhost") };
        authority.issue(&wish).serve_from(folder.path());
    };
    serve(3);
    let installation = Installation::new().with_certificate(folder.path(), &trusted);
    let hub = installation.start().await;
    alarm(&hub, None, "active", "warning").await;
    let health = hub.json("/health").await;
    assert_eq!(
        (&health["status"], &health["parts"]["tls"]["status"]),
        (&json!("degraded"), &json!("expiring"))
    );
    serve(100);
    hub.signal("HUP").await;
    alarm(&hub, None, "cleared", "warning").await;
    assert_eq!(hub.json("/health").await["parts"]["tls"]["status"], "ok");
    hub.terminate().await;

    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, certificate, key) =
        (installation.data.to_str().unwrap(), file("server.pem"), file("server.key"));
    let doctor = async |more: &[&str]| {
        let tls = ["doctor", "--data-dir", data, "--tls-cert", &certificate, "--tls-key", &key];
        let told = run(&[&tls, more].concat(), &[]).await;
        (told.status.code(), String::from_utf8_lossy(&told.stdout).into_owned())
    };
    let (_, told) = doctor(&[]).await;
    assert!(told.contains("ok    TLS certificate: the one in"), "{told}");
    let (code, told) = doctor(&["--public-url", "https://hub.example"]).await;
    assert!(code == Some(1) && told.contains("public-url says hub.example, and the one in"), "{told}");
    let (code, told) = doctor(&["--tls-client-ca", &key]).await;
    assert!(
        code == Some(1) && told.contains("fail  device authorities: there is no certificate in"),
        "{told}"
    );
    serve(-1);
    let (code, told) = doctor(&[]).await;
    assert!(code == Some(1) && told.contains("has expired on") && told.contains("renew it"), "{told}");
    std::fs::write(folder.path().join("server.key"), DeviceKeys::self_signed(&of_days(1)).key).unwrap();
    let (code, told) = doctor(&[]).await;
    assert!(code == Some(1) && told.contains("server.key is not that of the certificate in"), "{told}");
}
