//! Templates: given, taken by devices that register themselves, changed over what devices say themselves, with rules
//! and limits, and gone.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::rules::{done, report};
use crate::support::{HubProcess, MqttDevice, eventually};

const TEMPLATES: &str = "/api/templates";

#[tokio::test]
async fn a_template_is_given_changed_over_what_devices_say_and_taken_away() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let pump = json!({
        "id": "pump", "name": "Pumps", "applies_to": { "type": "pump", "id": "pump-*" },
        "configuration": { "interval": 60, "net": { "ssid": "hall", "retry": 3 } },
        "schedule": [{ "cron": "0 7 * * *", "set": { "power": "on" } }],
        "tags": { "kind": "pump" }, "limits": { "t": { "min": -10, "max": 40, "unit": "°C", "interval": "60s" } },
        "settings": { "heartbeat": "5m" },
    });
    let response = hub.post(TEMPLATES, &pump).await;
    assert_eq!(response.headers()["location"], "/api/templates/pump");
    let made: Value = response.json().await.unwrap();
    assert_eq!((&made["version"], &made["device_count"]), (&json!(1), &json!(0)));
    assert_eq!(made["schedule"][0]["cron"], "0 0 7 * * *");
    assert_eq!(
        send(&hub, Method::POST, TEMPLATES, &pump, StatusCode::CONFLICT).await["code"],
        "template_exists"
    );

    // Given at registration, with words of the device's own.
    let own = json!({
        "device_id": "a", "name": "A", "template": "pump", "configuration": { "net": { "retry": 9 } },
        "tags": { "floor": "2" }, "settings": { "in_flight": 2 }, "limits": { "t": { "max": 35 } },
    });
    send(&hub, Method::POST, "/api/devices", &own, StatusCode::CREATED).await;
    let unknown = json!({ "device_id": "b", "name": "B", "template": "fan" });
    let told = send(&hub, Method::POST, "/api/devices", &unknown, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(
        (&told["field"], &told["detail"]),
        (&json!("template_id"), &json!("`template_id`: there is no template `fan`"))
    );
    // Given later, by a job.
    register(&hub, "b").await;
    let given = |template: &str| json!({ "ids": ["b"], "action": { "template": template } });
    let bulk = "/api/devices/bulk";
    let told = send(&hub, Method::POST, bulk, &given("fan"), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["field"], "action.template_id");
    send(&hub, Method::POST, bulk, &given("pump"), StatusCode::ACCEPTED).await;
    has_version(&hub, "b", 1).await;
    // Taken by one that registers itself and then says, by who claims it, what it is.
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"t": 20}"#).await;
    assert_eq!(twin(&hub, "pump-1").await["template"], Value::Null);
    let claim = json!({ "serial_number": "pump-1", "type": "pump" });
    let claimed = send(&hub, Method::POST, "/api/devices/claim", &claim, StatusCode::OK).await;
    assert_eq!(claimed["template"], json!({ "id": "pump", "version": 1 }));

    let a = twin(&hub, "a").await;
    assert_eq!(a["configuration"], json!({ "interval": 60, "net": { "ssid": "hall", "retry": 9 } }));
    assert_eq!(a["settings"], json!({ "heartbeat": "5m", "in_flight": 2 }));
    assert_eq!(a["limits"]["t"], json!({ "min": -10, "max": 35, "unit": "°C", "interval": "60s" }));
    assert_eq!(
        a["metadata"]["configuration"],
        json!({ "interval": { "from": "template" }, "net": { "from": "both" } })
    );
    assert_eq!(
        a["metadata"]["tags"],
        json!({ "floor": { "from": "device" }, "kind": { "from": "template" } })
    );
    assert_eq!(
        a["metadata"]["settings"],
        json!({ "heartbeat": { "from": "template" }, "in_flight": { "from": "device" } })
    );
    assert_eq!(
        (&a["metadata"]["limits"], &a["metadata"]["schedule"]),
        (&json!({ "t": { "from": "both" } }), &json!({ "from": "template" }))
    );
    assert_eq!(hub.json("/api/devices/a/schedule").await[0]["set"]["power"], "on");
    assert_eq!(ids(&hub, "/api/templates/pump/devices?sort=id").await, ["a", "b", "pump-1"]);
    assert_eq!(ids(&hub, "/api/devices?template=pump&tag.floor=2").await, ["a"]);
    assert_eq!(hub.json(TEMPLATES).await[0]["device_count"], 3);

    // The changes that would be made, then the change. A device that is there is told of its new configuration.
    device.subscribe("iot/devices/pump-1/configuration").await.unwrap();
    let change =
        json!({ "configuration": { "interval": 30, "net": { "retry": 5 } }, "tags": { "kind": null } });
    let dry =
        send(&hub, Method::PATCH, "/api/templates/pump?dry_run=true&limit=2", &change, StatusCode::OK).await;
    assert_eq!((&dry["device_count"], &dry["changed_count"]), (&json!(3), &json!(3)));
    assert_eq!(dry["changes"].as_array().unwrap().len(), 2);
    let of_a = json!({
        "configuration": { "interval": { "from": 60, "to": 30 } }, "tags": { "kind": { "from": "pump", "to": null } },
    });
    assert_eq!(dry["changes"][0], json!({ "device_id": "a", "changes": of_a }), "its own net stays");
    assert_eq!(hub.json("/api/templates/pump").await["version"], 1, "nothing was done");
    let changed = send(&hub, Method::PATCH, "/api/templates/pump", &change, StatusCode::OK).await;
    assert_eq!((&changed["version"], &changed["device_count"]), (&json!(2), &json!(3)));
    assert!(changed["job_id"].is_string());
    for device in ["a", "b", "pump-1"] {
        has_version(&hub, device, 2).await;
    }
    let a = twin(&hub, "a").await;
    assert_eq!(a["configuration"], json!({ "interval": 30, "net": { "ssid": "hall", "retry": 9 } }));
    assert_eq!((&a["tags"], &a["limits"]["t"]["max"]), (&json!({ "floor": "2" }), &json!(35)));
    told_configuration(&mut device, &json!({ "interval": 30, "net": { "ssid": "hall", "retry": 5 } })).await;

    // All of it is there after a restart.
    drop(device);
    hub.kill().await;
    let hub = installation.start().await;
    let again = twin(&hub, "a").await;
    for part in ["template", "configuration", "tags", "settings", "limits", "schedule"] {
        assert_eq!(again[part], a[part], "{part}");
    }
    let mut late = MqttDevice::connect(hub.mqtt.unwrap(), "pump-2").await.unwrap();
    let by_id = json!({ "applies_to": { "type": null } }); // its pattern of ids stays
    let put = send(&hub, Method::PATCH, "/api/templates/pump", &by_id, StatusCode::OK).await;
    assert_eq!(
        (&put["version"], &put["layer_version"], &put["job_id"]),
        (&json!(3), &json!(2), &Value::Null)
    );
    late.say("iot/devices/pump-2/data", r#"{"t": 20}"#).await;
    assert_eq!(twin(&hub, "pump-2").await["configuration"]["interval"], 30, "it took it as it appeared");

    // Away: only by force, and what each said itself is what it has.
    let refused = send(&hub, Method::DELETE, "/api/templates/pump", &Value::Null, StatusCode::CONFLICT).await;
    assert_eq!(refused["code"], "template_in_use");
    assert!(refused["detail"].as_str().unwrap().contains("devices: 4"), "{refused}");
    send(&hub, Method::PATCH, "/api/devices/b", &json!({ "template": null }), StatusCode::OK).await;
    let gone =
        send(&hub, Method::DELETE, "/api/templates/pump?force=true", &Value::Null, StatusCode::OK).await;
    assert_eq!(gone["device_count"], 3);
    let a = eventually("it is taken off", async || {
        let a = twin(&hub, "a").await;
        a["template"].is_null().then_some(a)
    })
    .await;
    assert_eq!(
        (&a["configuration"], &a["tags"], &a["limits"], &a["schedule"]),
        (
            &json!({ "net": { "retry": 9 } }),
            &json!({ "floor": "2" }),
            &json!({ "t": { "max": 35 } }),
            &json!([])
        )
    );
    assert_eq!(hub.get("/api/templates/pump").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/api/templates/pump/devices").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_rules_of_a_template_fire_for_its_devices_alone() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let rules = json!({
        "hot": { "triggers": [{ "numeric": "t", "above": 40 }], "actions": [{ "desired": "trigger.device", "set": { "power": "off" } }] },
    });
    send(&hub, Method::POST, TEMPLATES, &json!({ "id": "pump", "rules": rules }), StatusCode::CREATED).await;
    for device in ["ours", "other"] {
        register(&hub, device).await;
    }
    send(&hub, Method::PUT, "/api/devices/ours", &json!({ "template": "pump" }), StatusCode::OK).await;
    report(&hub, "other", &json!({ "t": 50 })).await;
    report(&hub, "ours", &json!({ "t": 50 })).await;
    let run = done(&hub, "template:pump:hot").await;
    assert_eq!(run["device_id"], "ours", "{run}");
    eventually("it is wanted off", async || {
        (twin(&hub, "ours").await["desired"]["power"] == "off").then_some(())
    })
    .await;
    let runs = hub.json("/api/automation/rules/template:pump:hot/runs").await;
    assert_eq!((runs.as_array().unwrap().len(), &twin(&hub, "other").await["desired"]), (1, &json!({})));

    // It is the template's: switched by people, changed by the template.
    let path = "/api/automation/rules/template:pump:hot";
    let rule = hub.json(path).await;
    assert_eq!((&rule["origin"], &rule["template_id"]), (&json!("template"), &json!("pump")));
    let listed = hub.json("/api/automation/rules?origin=template").await;
    assert_eq!(listed[0]["id"], "template:pump:hot");
    let mine = json!({ "triggers": [{ "every": "1h" }], "actions": [{ "log": "x" }] });
    for method in [Method::PUT, Method::DELETE] {
        let told = send(&hub, method, path, &mine, StatusCode::CONFLICT).await;
        assert_eq!(told["code"], "rule_of_template");
        assert!(told["detail"].as_str().unwrap().contains("template `pump`"), "{told}");
    }
    let named =
        json!({ "id": "template:pump:mine", "triggers": [{ "every": "1h" }], "actions": [{ "log": "x" }] });
    send(&hub, Method::POST, "/api/automation/rules", &named, StatusCode::CONFLICT).await;
    send(&hub, Method::PATCH, path, &json!({ "enabled": false }), StatusCode::OK).await;

    let wrong = json!({ "rules": { "hot": { "triggers": [{ "numeric": "t", "abve": 50 }] } } });
    let told =
        send(&hub, Method::PATCH, "/api/templates/pump", &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
    let places: Vec<&Value> =
        told["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(told["code"], "bad_rule");
    assert!(places.contains(&&json!("/rules/hot/triggers/0/abve")), "{places:?}");
    let wrong = json!({ "limits": { "t": { "min": 5, "max": 4 } } });
    let told =
        send(&hub, Method::PATCH, "/api/templates/pump", &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["field"], "limits.t.min");
    let told = send(
        &hub,
        Method::PATCH,
        "/api/templates/pump",
        &json!({ "colour": 1 }),
        StatusCode::UNPROCESSABLE_ENTITY,
    )
    .await;
    assert_eq!((&told["field"], &told["code"]), (&json!("colour"), &json!("unknown_field")));

    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(hub.json(path).await["enabled"], false, "whoever switched it off");
    send(&hub, Method::DELETE, "/api/templates/pump?force=true", &Value::Null, StatusCode::OK).await;
    assert_eq!(hub.get(path).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_devices_status_knows_what_is_expected_of_its_readings() {
    let hub = Installation::new().start().await;
    let limits = json!({
        "t": { "min": -10, "max": 40, "unit": "°C" }, "p": { "unit": "bar" }, "h": { "max": 100 }, "s": { "interval": "1ms" },
    });
    send(&hub, Method::POST, TEMPLATES, &json!({ "id": "station", "limits": limits }), StatusCode::CREATED)
        .await;
    register(&hub, "a").await;
    let own = json!({ "template": "station", "limits": { "h": { "max": 60 } } });
    send(&hub, Method::PUT, "/api/devices/a", &own, StatusCode::OK).await;
    let readings = json!({ "sensor_readings": [
        { "sensor_type": "t", "value": 41.5, "unit": "°C" }, { "sensor_type": "p", "value": 3, "unit": "psi" },
        { "sensor_type": "h", "value": 70 },
    ] });
    report(&hub, "a", &readings).await;
    let health = eventually("a reading is overdue", async || {
        let health = hub.json("/api/devices/a/status").await["health"].clone();
        (health["unhealthy"]["overdue"] == 1).then_some(health)
    })
    .await;
    assert_eq!(health["unhealthy"], json!({ "out_of_range": 2, "wrong_unit": 1, "overdue": 1 }));
    let lines: Vec<String> = health["readings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let flaws =
                ["out_of_range", "wrong_unit", "overdue"].into_iter().filter(|flaw| line[*flaw] == true);
            format!("{} {}", line["reading"].as_str().unwrap(), flaws.collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(lines, ["h out_of_range", "p wrong_unit", "s overdue", "t out_of_range"]);
    assert_eq!(
        (&health["readings"][0]["limits"], &health["readings"][3]["value"]),
        (&json!({ "max": 60 }), &json!(41.5))
    );
    let wrong = json!({ "limits": { "t": { "min": 50 } } });
    let told = send(&hub, Method::PATCH, "/api/devices/a", &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["field"], "limits.t.min");
}

async fn register(hub: &HubProcess, device: &str) {
    crate::support::pump::register(hub, device).await;
}

async fn twin(hub: &HubProcess, device: &str) -> Value {
    hub.json(&format!("/api/devices/{device}/twin")).await
}

async fn ids(hub: &HubProcess, path: &str) -> Vec<String> {
    let devices = hub.json(path).await;
    devices.as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
}

async fn has_version(hub: &HubProcess, device: &str, version: u64) {
    eventually(&format!("{device} has version {version}"), async || {
        (twin(hub, device).await["template"]["version"] == version).then_some(())
    })
    .await;
}

/// Waits until the device is told this configuration.
async fn told_configuration(device: &mut MqttDevice, expected: &Value) {
    use crate::support::mqtt::BrokerMessage;
    crate::support::within("it is told its configuration", async {
        loop {
            if let BrokerMessage::Message { topic, payload } = device.next().await.unwrap()
                && topic.ends_with("/configuration")
                && serde_json::from_slice::<Value>(&payload).unwrap() == *expected
            {
                return;
            }
        }
    })
    .await;
}

async fn send(hub: &HubProcess, method: Method, path: &str, body: &Value, expected: StatusCode) -> Value {
    let response = hub.request(method, path).json(body).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}
