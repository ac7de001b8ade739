//! An export is imported as the same.

use serde_json::json;

use super::{documents, import, import_to, make_group, said};
use crate::support::hub::Installation;

#[tokio::test]
async fn what_is_exported_is_imported_as_the_same() {
    let hub = Installation::new().start().await;
    make_group(&hub, "hall").await;
    let file = r#"{"device_id": "a", "name": "A, \"quoted\"", "tags": {"floor": 2, "code": "007", "n": "5", "": "x", " ": true}}
{"device_id": "b", "name": "B\nC", "serial_number": "0012", "model": "M", "description": "ü;,\t", "group_id": "hall", "claimed": false}
{"device_id": "c", "name": "C", "configuration": {"interval": 1.50, "deep": {"a": [1, null, "x"]}}, "settings": {"heartbeat": "1500ms", "in_flight": 3}}
{"device_id": "d", "name": "D", "desired": {"power": "on", "speed": 12345678901234567890}, "schedule": [{"cron": "0 7 * * Mon-Fri", "timezone": "Europe/Madrid", "set": {"power": "on"}, "missed": "run_once"}], "auth_token": "secret enough, and long", "ip_address": "10.0.0.7", "mac_address": "aa:bb:cc:dd:ee:ff"}"#;
    assert_eq!(import(&hub, "", file).await["created"], 4);
    let all = documents(&hub).await;
    for query in ["format=jsonl", "format=csv", "format=csv&all=true", "all=true"] {
        let exported = hub.get(&format!("/api/devices/export?{query}")).await;
        assert_eq!(exported.status(), 200);
        let name = exported.headers()["Content-Disposition"].to_str().unwrap().to_owned();
        let csv = query.contains("csv");
        assert_eq!(name, format!("attachment; filename=\"devices.{}\"", if csv { "csv" } else { "jsonl" }));
        let media_type = exported.headers()["Content-Type"].to_str().unwrap().to_owned();
        assert_eq!(media_type, if csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" });
        let text = exported.text().await.unwrap();
        assert!(!text.contains("secret") && !text.contains("token"), "{text}");
        let other = Installation::new().start().await;
        make_group(&other, "hall").await;
        let report = import(&other, "", &text).await;
        assert_eq!((&report["created"], &report["refused"]), (&json!(4), &json!(0)), "{report:#}\n{text}");
        assert_eq!(documents(&other).await, all, "{text}");
        other.terminate().await;
    }
    let some = hub.get("/api/devices/export?tag.floor=2&format=csv").await.text().await.unwrap();
    assert_eq!(some.lines().count(), 2, "{some}");
    let filtered = hub.get("/api/devices/export?filter=tag.floor%20==%202").await.text().await.unwrap();
    assert_eq!(filtered.lines().count(), 1, "{filtered}");
    assert_eq!(hub.get("/api/devices/export?sort=name").await.status(), 422);
    assert_eq!(hub.get("/api/devices/export?format=xml").await.status(), 422);
}

#[tokio::test]
async fn templates_go_out_and_come_in_and_devices_say_only_what_is_their_own() {
    let hub = Installation::new().start().await;
    let file = r#"{"id": "pump", "name": "Pumps", "applies_to": {"type": "pump", "priority": 2}, "configuration": {"interval": 10, "mode": "eco"}, "tags": {"kind": "pump"}, "limits": {"temperature": {"min": 0, "max": 80, "unit": "°C"}}, "settings": {"heartbeat": "90s"}, "schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}]}
{"id": "bare", "description": "a,b"}
{"id": "no id"}
{"id": "bad", "colour": "red"}
{"id": "pump"}
{"id": "worse", "limits": {"temperature": {"min": "cold"}}}
{"name": "nobody"}"#;
    let report = import_to(&hub, "templates", "", file).await;
    assert_eq!((&report["created"], &report["refused"]), (&json!(2), &json!(5)), "{report:#}");
    let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(told[1..3], ["4 colour unknown_field", "5 id duplicate"], "{report:#}");
    assert_eq!((&told[0][..4], &told[4][..]), ("3 id", "7 id missing_field"), "{report:#}");
    assert!(told[3].starts_with("6 limits.temperature.min "), "{told:?}");

    let devices = r#"{"device_id": "a", "name": "A", "type": "pump", "configuration": {"interval": 5}, "schedule": []}
{"device_id": "b", "name": "B", "type": "pump", "template": null}
{"device_id": "c", "name": "C", "template": "bare", "lifecycle": "suspended", "limits": {"speed": {"max": 9}}}
{"device_id": "d", "name": "D", "template": "nobody"}
{"device_id": "e", "name": "E", "lifecycle": "asleep"}"#;
    let report = import(&hub, "", devices).await;
    let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(told, ["4 template bad_field", "5 lifecycle bad_field"], "{report:#}");
    let twin = hub.json("/api/devices/a/twin").await;
    assert_eq!(twin["configuration"], json!({ "interval": 5, "mode": "eco" }));
    let all = documents(&hub).await;
    for format in ["jsonl", "csv"] {
        let (templates, devices) = (
            hub.get(&format!("/api/templates/export?format={format}")).await.text().await.unwrap(),
            hub.get(&format!("/api/devices/export?format={format}")).await.text().await.unwrap(),
        );
        assert!(!devices.contains("eco"), "{devices}");
        let other = Installation::new().start().await;
        assert_eq!(import_to(&other, "templates", "", &templates).await["created"], 2, "{templates}");
        assert_eq!(import(&other, "", &devices).await["created"], 3, "{devices}");
        assert_eq!(documents(&other).await, all);
        assert_eq!(other.json("/api/devices/c").await["lifecycle"], "suspended");
        let (here, there) = (hub.json("/api/templates/pump").await, other.json("/api/templates/pump").await);
        for name in ["applies_to", "configuration", "tags", "limits", "settings", "schedule", "name", "rules"]
        {
            assert_eq!(here[name], there[name], "{name}");
        }
        let again = import_to(&other, "templates", "existing=skip", &templates).await;
        assert_eq!(again["skipped"], 2);
        other.terminate().await;
    }
    let dry =
        import_to(&hub, "templates", "existing=update&dry_run=true", "id,configuration.mode\npump,full\n")
            .await;
    assert_eq!(dry["updated"], 1, "{dry}");
    assert_eq!(hub.json("/api/templates/pump").await["configuration"]["mode"], "eco");
}

#[tokio::test]
async fn who_is_out_of_service_comes_in_twice() {
    let hub = Installation::new().start().await;
    let file = r#"{"device_id": "a", "name": "A", "desired": {"power": "on"}, "lifecycle": "suspended"}
{"device_id": "b", "name": "B", "desired": {"power": "on"}, "lifecycle": "retired", "tags": {"floor": 1}}"#;
    assert_eq!(import(&hub, "", file).await["created"], 2);
    let all = documents(&hub).await;
    let text = hub.get("/api/devices/export").await.text().await.unwrap();
    let refused = import(&hub, "", &text).await;
    let told: Vec<_> = refused["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(told, ["1 - device_exists", "2 - device_exists"], "{refused:#}");
    for (query, what) in [
        ("existing=skip", "skipped"),
        ("existing=update&dry_run=true", "updated"),
        ("existing=update", "updated"),
    ] {
        let report = import(&hub, query, &text).await;
        assert_eq!((&report[what], &report["refused"]), (&json!(2), &json!(0)), "{report:#}");
        assert_eq!(documents(&hub).await, all);
    }

    // Into service before anything is desired, and out of it after; a retired one comes back no more.
    let back = "device_id,lifecycle,desired.power\na,active,off\nb,active,off\n";
    for query in ["existing=update&dry_run=true", "existing=update"] {
        let report = import(&hub, query, back).await;
        assert_eq!((&report["updated"], &report["refused"]), (&json!(1), &json!(1)), "{report:#}");
        assert_eq!(said(&report["refusals"][0]), "3 - retired");
    }
    let device = hub.json("/api/devices/a").await;
    assert_eq!((&device["lifecycle"], &device["desired"]), (&json!("active"), &json!({ "power": "off" })));
    let gone = "device_id,lifecycle,desired.power\na,suspended,on\n";
    assert_eq!(import(&hub, "existing=update", gone).await["updated"], 1);
    let other = import(&hub, "existing=update", &gone.replace("on\n", "off\n")).await;
    assert_eq!(said(&other["refusals"][0]), "2 - suspended", "{other:#}");
    // Of a line that is refused nothing is done, and be it that what comes first could be.
    let refused = import(&hub, "existing=update", "device_id,lifecycle,template\na,active,nosuch\n").await;
    assert_eq!(said(&refused["refusals"][0]), "2 template bad_field", "{refused:#}");
    let device = hub.json("/api/devices/a").await;
    assert_eq!((&device["lifecycle"], &device["desired"]), (&json!("suspended"), &json!({ "power": "on" })));
}
