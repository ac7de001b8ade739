//! Claim codes: a device is given to whoever has the code that is printed on it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::told;

async fn claim(hub: &HubProcess, serial: &str, code: Option<&str>) -> (u16, String) {
    let mut body = json!({ "serial_number": serial, "name": "Mine" });
    if let Some(code) = code {
        body["claim_code"] = code.into();
    }
    told(hub.post("/api/devices/claim", &body).await).await
}

#[tokio::test]
async fn a_device_with_a_code_is_given_to_who_has_it() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let lamp =
        json!({ "device_id": "lamp", "name": "Lamp", "serial_number": "S-1", "claim_code": "K7-42-XY" });
    assert_eq!(hub.post("/api/devices", &lamp).await.status(), 201);
    let file = "device_id,name,serial_number,claim_code\nfan,Fan,S-2,QQ-99-ZZ\npump,Pump,S-3,\n";
    let imported = hub.request(reqwest::Method::POST, "/api/devices/import").body(file);
    let report: Value =
        imported.header("Content-Type", "text/csv").send().await.unwrap().json().await.unwrap();
    assert_eq!(report["created"], 2, "{report}");
    for (id, claimed) in [("lamp", false), ("fan", false), ("pump", true)] {
        let twin = hub.json(&format!("/api/devices/{id}")).await;
        assert_eq!(twin["claimed"], claimed, "{id}");
        assert!(!twin.to_string().contains("claim_code"), "{twin}");
    }

    // The hashes are stored, and need the hub's own key.
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(claim(&hub, "S-1", None).await, (403, "wrong_claim_code".into()));
    assert_eq!(claim(&hub, "S-1", Some("QQ-99-ZZ")).await, (403, "wrong_claim_code".into()));
    assert_eq!(claim(&hub, "S-1", Some("K7-42-XY")).await.0, 200);
    assert_eq!(claim(&hub, "S-1", Some("K7-42-XY")).await, (409, "device_claimed".into()));

    // A registration by its id goes no way round.
    let again = json!({ "device_id": "fan", "name": "Mine" });
    assert_eq!(told(hub.post("/api/devices", &again).await).await, (403, "wrong_claim_code".into()));
    assert_eq!(claim(&hub, "S-2", Some("QQ-99-ZZ")).await.0, 200);
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let hub = Installation::new().start().await;
    for (id, serial) in [("lamp", "S-1"), ("fan", "S-2")] {
        let device = json!({ "device_id": id, "name": id, "serial_number": serial, "claim_code": "123456" });
        assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    }
    for guess in 0..5 {
        let refused = claim(&hub, "S-1", Some(&format!("00000{guess}"))).await;
        assert_eq!(refused, (403, "wrong_claim_code".into()), "{guess}");
    }
    let body = json!({ "serial_number": "S-1", "claim_code": "123456" });
    let limited = hub.post("/api/devices/claim", &body).await;
    let wait: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    assert_eq!(told(limited).await, (429, "too_many_tries".into()));
    let again = json!({ "device_id": "lamp", "name": "Mine", "claim_code": "123456" });
    assert_eq!(told(hub.post("/api/devices", &again).await).await, (429, "too_many_tries".into()));
    for path in ["/api/devices/import", "/api/devices/import?dry_run=true"] {
        let file = "device_id,name,claim_code\nlamp,Mine,123456\n";
        let imported = hub.request(reqwest::Method::POST, path).header("Content-Type", "text/csv").body(file);
        let report = imported.send().await.unwrap().text().await.unwrap();
        assert!(report.contains("too many wrong claim codes"), "{path}: {report}");
    }
    assert_eq!(claim(&hub, "S-2", Some("123456")).await.0, 200, "the other device's tries are its own");
}

#[tokio::test]
async fn codes_are_not_guessed_by_registrations_nor_at_once() {
    let hub = Installation::new().start().await;
    for (id, serial) in [("lamp", "S-1"), ("fan", "S-2")] {
        let device = json!({ "device_id": id, "name": id, "serial_number": serial, "claim_code": "123456" });
        assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    }
    let hub = &hub;
    let registrations = (0..20).map(|guess| async move {
        let code = format!("0000{guess:02}");
        let body = json!({ "device_id": "lamp", "name": "Mine", "claim_code": code });
        told(hub.post("/api/devices", &body).await).await
    });
    let claims =
        (0..20).map(|guess| async move { claim(hub, "S-2", Some(&format!("0000{guess:02}"))).await });
    for answers in [join_all(registrations).await, join_all(claims).await] {
        let count = |status| answers.iter().filter(|(found, _)| *found == status).count();
        assert_eq!((count(403), count(429)), (5, 15), "{answers:?}");
    }
}
