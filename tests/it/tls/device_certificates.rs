//! Devices that come by their certificates: those of an authority, and those that are bound by their fingerprints.

use std::path::{Path, PathBuf};

use reqwest::Method;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};

use crate::support::certificates::{
    CertificateWish, DeviceAuthority, DeviceKeys, client_config, connect_with,
};
use crate::support::hub::{Installation, run};
use crate::support::people::{Person, told};
use crate::support::{HubProcess, MqttDevice, eventually, within};

use super::websocket::{bytes_of, open};

/// The code of MQTT 3.1.1 for a client that is not authorized.
const NOT_AUTHORIZED: u8 = 5;
const CERTIFICATE: &str = "/api/devices/pump/certificate";

/// A hub over TLS where nobody comes without a credential, and who may change it.
struct Guarded {
    hub: HubProcess,
    ann: Person,
    trusted: PathBuf,
    /// The file with the authorities of devices.
    authorities: PathBuf,
}

impl Guarded {
    /// With these devices. The values of these options are files with these texts.
    async fn with(options: &[(&str, &str)], devices: &[&str]) -> Self {
        let mut installation = Installation::new().over_tls().with("--devices", "strict");
        let authorities = installation.data.with_file_name("device-authorities.pem");
        for (option, text) in options {
            std::fs::write(&authorities, text).unwrap();
            installation = installation.with(option, authorities.to_str().unwrap());
        }
        let hub = installation.start().await;
        let ann = Person::first(&hub, "ann").await;
        for id in devices {
            let made =
                ann.send(&hub, Method::POST, "/api/devices", &json!({ "device_id": id, "name": id })).await;
            assert_eq!(made.status(), 201);
        }
        let trusted = installation.data.join("tls/ca.pem");
        Self { hub, ann, trusted, authorities }
    }

    /// Reports a reading over HTTP: the status and the code.
    async fn report(&self, keys: &DeviceKeys, device: &str) -> (u16, String) {
        let url = format!("https://{}/api/devices/{device}/data", self.hub.http);
        told(keys.client(&self.trusted).post(url).json(&json!({ "t": 1 })).send().await.unwrap()).await
    }

    /// Connects over MQTT, with a user name or without.
    async fn connect(&self, keys: &DeviceKeys, client: &str, user: Option<&str>) -> Result<MqttDevice, u8> {
        let config = client_config(&self.trusted, Some(keys));
        let stream = connect_with(self.hub.mqtts.unwrap(), config).await.unwrap();
        MqttDevice::connect_over(stream, client, user).await
    }

    async fn bind(&self, path: &str, body: String) -> (u16, Value) {
        let bound = self.ann.request(&self.hub, Method::PUT, path).body(body).send().await.unwrap();
        (bound.status().as_u16(), bound.json().await.unwrap())
    }

    async fn set_lifecycle(&self, state: &str) {
        let path = "/api/devices/pump/lifecycle";
        let set = self.ann.send(&self.hub, Method::PUT, path, &json!({ "state": state })).await;
        assert_eq!(set.status(), 200);
    }
}

#[tokio::test]
async fn a_device_comes_by_a_certificate_of_an_authority() {
    let ours = DeviceAuthority::new();
    let guarded = Guarded::with(&[("--tls-client-ca", &ours.pem)], &["pump", "fan"]).await;
    let pump = ours.issue(&CertificateWish::of("pump"));
    let uri = Some("urn:twinhub:device:fan");
    let fan = ours.issue(&CertificateWish { uri, ..CertificateWish::of("Hall 2, north wall") });
    for (keys, id, other) in [(&pump, "pump", "fan"), (&fan, "fan", "pump")] {
        assert_eq!(guarded.report(keys, id).await.0, 201);
        assert_eq!(guarded.report(keys, other).await, (404, "device_not_found".into()), "as of none");
        let mut device = guarded.connect(keys, id, None).await.unwrap();
        device.say(&format!("iot/devices/{id}/data"), r#"{"t": 2}"#).await;
        device.subscribe(&format!("iot/devices/{id}/commands")).await.unwrap();
        assert!(device.subscribe(&format!("iot/devices/{other}/commands")).await.is_err());
        guarded.connect(keys, "any-name", Some(id)).await.unwrap();
        assert_eq!(guarded.connect(keys, "any-name", Some(other)).await.err(), Some(NOT_AUTHORIZED));
        assert!(guarded.connect(keys, other, None).await.is_err(), "its client id names another device");
    }
    let twin =
        pump.client(&guarded.trusted).get(format!("https://{}/api/devices/pump/twin", guarded.hub.http));
    assert_eq!(twin.send().await.unwrap().status(), 200);
    // A browser shows its certificate for pages of any site.
    let url = format!("https://{}/api/devices/pump/data", guarded.hub.http);
    let browser = pump.client(&guarded.trusted).post(url).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(browser.json(&json!({ "t": 1 })).send().await.unwrap().status(), 401);
    // A device with another credential needs no certificate, and one with a certificate may use another credential.
    assert_eq!(guarded.ann.get(&guarded.hub, "/api/devices").await.status(), 200);
}

/// The hub learns of its end when the device shows it.
#[tokio::test]
async fn an_authoritys_certificate_that_ends_soon_is_told_until_another_is_shown() {
    let ours = DeviceAuthority::new();
    let guarded = Guarded::with(&[("--tls-client-ca", &ours.pem)], &["pump"]).await;
    let of_days = |days| ours.issue(&CertificateWish { days, ..CertificateWish::of("pump") });
    let alarm = async |status: &str| {
        eventually(status, async || {
            let answer = guarded.ann.get(&guarded.hub, "/api/alarms?type=certificate-expiring").await;
            let alarms: Value = answer.json().await.ok()?; // so many questions are refused at times
            let alarm = alarms.as_array()?.iter().find(|alarm| alarm["device_id"] == "pump")?;
            (alarm["status"] == status && alarm["severity"] == "warning").then_some(())
        })
        .await;
    };
    assert_eq!(guarded.report(&of_days(3), "pump").await.0, 201);
    alarm("active").await;
    let data = guarded.trusted.ancestors().nth(2).unwrap().to_str().unwrap();
    let authorities = guarded.authorities.to_str().unwrap();
    let told =
        run(&["doctor", "--tls", "auto", "--data-dir", data, "--tls-client-ca", authorities], &[]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("those that your authority issued to pump expire soon"), "{told}");
    assert_eq!(guarded.report(&of_days(100), "pump").await.0, 201);
    alarm("cleared").await;
}

#[tokio::test]
async fn a_certificate_that_does_not_count_is_refused_with_its_reason() {
    let (ours, others) = (DeviceAuthority::new(), DeviceAuthority::new());
    let authorities = format!("{}{}", ours.pem, ours.revoke(7));
    let guarded = Guarded::with(&[("--tls-client-ca", &authorities)], &["pump"]).await;
    let of = CertificateWish::of;
    for (keys, reason, counted) in [
        (ours.issue(&CertificateWish { days: -1, ..of("pump") }), "has expired", "certificate_expired"),
        (ours.issue(&CertificateWish { serial: 7, ..of("pump") }), "is revoked", "certificate_revoked"),
        (others.issue(&of("pump")), "no authority", "unknown_certificate"),
        (DeviceKeys::self_signed(&of("pump")), "no authority", "unknown_certificate"),
        (ours.issue(&of("pump-9")), "names no device", "other_certificate"),
    ] {
        let url = format!("https://{}/api/devices/pump/data", guarded.hub.http);
        let answer = keys.client(&guarded.trusted).post(url).json(&json!({ "t": 1 })).send().await.unwrap();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(401), &json!("certificate_refused")));
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
        assert_eq!(guarded.connect(&keys, "pump", None).await.err(), Some(NOT_AUTHORIZED), "{reason}");
        let metrics = guarded.ann.get(&guarded.hub, "/metrics").await.text().await.unwrap();
        let name = format!("twinhub_mqtt_clients_refused_total{{reason=\"{counted}\"}}");
        let counts = metrics.lines().filter(|line| line.starts_with(&name) && !line.ends_with(" 0")).count();
        assert_eq!(counts, 1, "{name}: {metrics}");
    }
    let line = guarded.hub.logs("certificate refused").await;
    assert!(line.contains("sha256:"), "{line}");
    let audit = eventually("the audit has it", async || {
        let audit: Value = guarded.ann.json(&guarded.hub, "/api/audit?action=device.refused").await;
        audit.as_array().filter(|entries| !entries.is_empty()).cloned()
    })
    .await;
    assert_eq!(audit[0]["outcome"], "refused");
}

#[tokio::test]
async fn a_bound_certificate_counts_whoever_signed_it_and_alone() {
    let ours = DeviceAuthority::new();
    let guarded = Guarded::with(&[("--tls-client-ca", &ours.pem)], &["pump", "fan"]).await;
    let (own, second) = (
        DeviceKeys::self_signed(&CertificateWish::of("whatever it is called")),
        DeviceKeys::self_signed(&CertificateWish::of("pump")),
    );
    let by_name = ours.issue(&CertificateWish::of("pump"));
    assert_eq!(guarded.report(&own, "pump").await.0, 401);
    assert_eq!(guarded.report(&by_name, "pump").await.0, 201);
    assert_eq!(guarded.ann.get(&guarded.hub, CERTIFICATE).await.status(), 404);

    let mut named = guarded.connect(&by_name, "pump", None).await.unwrap();
    let (status, bound) = guarded.bind(CERTIFICATE, own.certificate.clone()).await;
    assert_eq!((status, &bound["fingerprint"]), (200, &json!(own.fingerprint)), "{bound}");
    assert!(bound["expires_at"].is_string() && bound["status"] == "ok", "{bound}");
    named.until_ended().await;
    assert_eq!(guarded.report(&own, "pump").await.0, 201);
    assert_eq!(guarded.report(&own, "fan").await.0, 404);
    assert_eq!(guarded.report(&by_name, "pump").await.0, 401, "it comes by the bound one alone");
    let shown: Value = guarded.ann.json(&guarded.hub, CERTIFICATE).await;
    assert_eq!(shown["fingerprint"], own.fingerprint);
    let (status, problem) = guarded.bind("/api/devices/fan/certificate", own.certificate.clone()).await;
    assert_eq!((status, &problem["code"]), (409, &json!("certificate_taken")));
    let (status, problem) = guarded.bind(CERTIFICATE, format!("{}{}", second.certificate, second.key)).await;
    assert_eq!((status, &problem["field"]), (422, &json!("body")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("private key"), "{problem}");

    // Another one takes its place, by its fingerprint.
    let mut device = guarded.connect(&own, "pump", None).await.unwrap();
    device.say("iot/devices/pump/data", r#"{"t": 3}"#).await;
    let by_fingerprint = json!({ "fingerprint": second.fingerprint }).to_string();
    assert_eq!(guarded.bind(CERTIFICATE, by_fingerprint).await.0, 200);
    within("the connection by the one before ends", device.until_ended()).await;
    assert_eq!(guarded.connect(&own, "pump", None).await.err(), Some(NOT_AUTHORIZED));
    assert_eq!(guarded.report(&own, "pump").await.0, 401);
    assert_eq!(guarded.report(&second, "pump").await.0, 201);
}

#[tokio::test]
async fn a_device_whose_certificate_counts_no_more_is_gone() {
    let ours = DeviceAuthority::new();
    let guarded = Guarded::with(&[("--tls-client-ca", &ours.pem)], &["pump"]).await;
    let own = DeviceKeys::self_signed(&CertificateWish::of("x"));
    let by_name = ours.issue(&CertificateWish { serial: 7, ..CertificateWish::of("pump") });
    let bind = async || assert_eq!(guarded.bind(CERTIFICATE, own.certificate.clone()).await.0, 200);
    // A poll that waits ends with the rights of who asked.
    let poll = |keys: &DeviceKeys| {
        let url = format!("https://{}/api/devices/pump/commands?status=pending&wait=60s", guarded.hub.http);
        tokio::spawn(keys.client(&guarded.trusted).get(url).send())
    };
    bind().await;
    let (mut device, waiting) = (guarded.connect(&own, "pump", None).await.unwrap(), poll(&own));
    guarded.set_lifecycle("suspended").await;
    device.until_ended().await;
    let ended = within("the poll ends", waiting).await.unwrap().unwrap().status().as_u16();
    assert!(
        [401, 409].contains(&ended),
        "by the rights that are lost, or by the twin that is suspended: {ended}"
    );
    assert_eq!(guarded.connect(&own, "pump", None).await.err(), Some(NOT_AUTHORIZED));
    guarded.set_lifecycle("active").await;

    let mut device = guarded.connect(&own, "pump", None).await.unwrap();
    let removed = guarded.ann.request(&guarded.hub, Method::DELETE, CERTIFICATE).send().await.unwrap();
    assert_eq!(removed.status(), 200);
    device.until_ended().await;
    assert_eq!(guarded.report(&own, "pump").await.0, 401);

    // The authority revokes one, while its device is there.
    let (mut device, waiting) = (guarded.connect(&by_name, "pump", None).await.unwrap(), poll(&by_name));
    std::fs::write(&guarded.authorities, format!("{}{}", ours.pem, ours.revoke(7))).unwrap();
    guarded.hub.signal("HUP").await;
    guarded.hub.logs("authorities of clients' certificates taken over").await;
    device.until_ended().await;
    assert_eq!(within("the poll ends", waiting).await.unwrap().unwrap().status(), 401);

    bind().await;
    let mut device = guarded.connect(&own, "pump", None).await.unwrap();
    guarded.set_lifecycle("retired").await;
    device.until_ended().await;
    assert_eq!(guarded.report(&own, "pump").await.0, 401);
}

#[tokio::test]
async fn devices_without_a_credential_do_not_speak_for_one_with_a_certificate() {
    let hub = Installation::new().over_tls().with("--devices", "known").start().await;
    let own = DeviceKeys::self_signed(&CertificateWish::of("x"));
    assert!(
        hub.post("/api/devices", &json!({ "device_id": "pump", "name": "Pump" })).await.status().is_success()
    );
    assert_eq!(hub.request(Method::DELETE, "/api/devices/pump/token").send().await.unwrap().status(), 200);
    MqttDevice::connect(hub.mqtt.unwrap(), "pump").await.unwrap();
    let bound = hub.request(Method::PUT, CERTIFICATE).body(own.certificate.clone()).send().await.unwrap();
    assert_eq!(bound.status(), 200);
    assert!(MqttDevice::connect(hub.mqtt.unwrap(), "pump").await.is_err(), "its client id is a device's");
}

/// A client as devices have it, and MQTT over WebSocket.
#[tokio::test]
async fn clients_of_every_kind_show_their_certificates() {
    let guarded = Guarded::with(&[], &["pump"]).await;
    let own = DeviceKeys::self_signed(&CertificateWish::of("x"));
    assert_eq!(guarded.bind(CERTIFICATE, own.certificate.clone()).await.0, 200);
    let address = guarded.hub.mqtts.unwrap();
    let mut options = MqttOptions::new("pump", address.ip().to_string(), address.port());
    let config = client_config(&guarded.trusted, Some(&own));
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config.into())));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.publish("iot/devices/pump/data", QoS::AtLeastOnce, false, r#"{"flow": 9}"#).await.unwrap();
    within("rumqttc is acknowledged", async {
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
    })
    .await;

    let folder = guarded.trusted.parent().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path: &Path = &folder.join(name);
        std::fs::write(path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (file("pump.pem", &own.certificate), file("pump.key", &own.key));
    let port = address.port().to_string();
    let args =
        ["--cafile", guarded.trusted.to_str().unwrap(), "--cert", &certificate, "--key", &key, "-q", "1"];
    let said = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-i",
        "pump",
        "-t",
        "iot/devices/pump/data",
        "-m",
        r#"{"flow": 10}"#,
    ];
    let published = tokio::process::Command::new("mosquitto_pub").args(args).args(said).output();
    let published = within("mosquitto_pub", published).await.unwrap();
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));

    let stream = connect_with(guarded.hub.http, client_config(&guarded.trusted, Some(&own))).await.unwrap();
    let socket = open(&guarded.hub, stream, Some("mqtt"), None).await.unwrap();
    let mut device = MqttDevice::connect_over(bytes_of(socket, 64 * 1024), "pump", None).await.unwrap();
    device.say("iot/devices/pump/data", r#"{"flow": 11}"#).await;
    let data: Value = guarded.ann.json(&guarded.hub, "/api/devices/pump/data").await;
    let values: Vec<&Value> = data.as_array().unwrap().iter().map(|reading| &reading["value"]).collect();
    assert!([9, 10, 11].iter().all(|value| values.contains(&&json!(value))), "{data}");
}

#[tokio::test]
async fn a_certificate_is_bound_to_one_of_two_devices_at_once() {
    let guarded = Guarded::with(&[], &["pump", "fan"]).await;
    for _ in 0..8 {
        let own = DeviceKeys::self_signed(&CertificateWish::of("x"));
        let paths = [CERTIFICATE, "/api/devices/fan/certificate"];
        let binding = paths.map(|path| guarded.bind(path, own.certificate.clone()));
        let bound = futures_util::future::join_all(binding).await;
        let mut statuses: Vec<u16> = bound.iter().map(|(status, _)| *status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{bound:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_goes_to_another_device_lets_that_one_in_at_once() {
    let guarded = Guarded::with(&[], &["pump", "fan"]).await;
    let own = DeviceKeys::self_signed(&CertificateWish::of("x"));
    assert_eq!(guarded.bind(CERTIFICATE, own.certificate.clone()).await.0, 200);
    // By a client id that is no device's, so that its device is looked up by the certificate.
    let mut device = guarded.connect(&own, "client-7", None).await.unwrap();
    let removed = guarded.ann.request(&guarded.hub, Method::DELETE, CERTIFICATE).send().await.unwrap();
    assert_eq!(removed.status(), 200);
    device.until_ended().await;
    let (status, bound) = guarded.bind("/api/devices/fan/certificate", own.certificate.clone()).await;
    assert_eq!(status, 200, "{bound}");
    assert_eq!(guarded.connect(&own, "client-7", None).await.err(), None);
}
