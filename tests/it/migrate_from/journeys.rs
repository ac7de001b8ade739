//! Each system: its tables as its text has them, its program still running, and its own routes afterwards.

use serde_json::{Value, json};

use super::{OldSystem, ago, members, migrate, migrate_twice};
use crate::support::hub::Installation;

#[tokio::test]
async fn the_flask_dashboard_shows_its_devices() {
    let old = OldSystem::new(
        "dashboard.db",
        "CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY AUTOINCREMENT, device_id TEXT UNIQUE NOT NULL,
             name TEXT NOT NULL, status TEXT DEFAULT 'offline', last_seen TIMESTAMP);
         CREATE TABLE IF NOT EXISTS sensor_data (id INTEGER PRIMARY KEY AUTOINCREMENT, device_id TEXT NOT NULL,
             temperature REAL, humidity REAL, pressure REAL, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
             FOREIGN KEY (device_id) REFERENCES devices(device_id));",
    );
    old.sql(
        "INSERT INTO devices (device_id, name) VALUES ('kitchen', 'Kitchen'), ('hall 2', 'Hall'), ('new', 'New');
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)
         INSERT INTO sensor_data (device_id, temperature, humidity, pressure, timestamp)
             SELECT CASE n % 3 WHEN 0 THEN 'kitchen' WHEN 1 THEN 'hall 2' ELSE 'ghost' END, 20 + n * 0.001, 40,
             CASE WHEN n % 2 THEN NULL ELSE 1013.25 END, datetime('2026-01-01', '+' || (n / 10) || ' seconds') FROM n;
         BEGIN IMMEDIATE; INSERT INTO sensor_data (device_id, temperature) VALUES ('kitchen', 99);",
    );
    let hub = Installation::new().start().await;
    let told = migrate_twice(&hub, &old, &[], 0).await;
    for line in [
        "is of 000",
        "devices: 4 taken over",
        "readings: 30000 taken over",
        "the device `ghost` has readings and no row in devices: it is made",
        "not taken over: devices.last_seen: ",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let list = hub.json("/api/devices").await;
    let of = |name: &str| {
        let items = list.as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{list}")).clone()
    };
    let kitchen = of("Kitchen");
    assert_eq!((&kitchen["device_id"], &kitchen["temperature"]), (&json!("kitchen"), &json!(32.0)));
    assert_eq!(
        (&kitchen["pressure"], &kitchen["status"]),
        (&json!(1013.25), &json!("offline")),
        "it was not heard"
    );
    assert_eq!(of("Hall")["serial_number"], "hall 2");
    assert_eq!(of("New")["temperature"], Value::Null);
    // Ten messages have one second there, and keep their order here.
    let page = hub.json("/api/devices/ghost/data?sensor_type=temperature&order=asc&limit=3").await;
    let values: Vec<f64> = members(&page, "value").iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(values, [20.002, 20.005, 20.008]);
    assert_eq!(page[1]["timestamp"], "2026-01-01T00:00:00.000001Z");

    // The other program goes on, and so does the takeover.
    old.sql("COMMIT");
    let (code, told) = migrate(&hub, &old.path, &[]).await;
    assert!(code == 0 && told.contains("readings: 1 taken over, 30000 there already"), "{told}");
}

#[tokio::test]
async fn iamis_shows_its_readings_and_its_dashboard() {
    let old = OldSystem::new(
        "iot_dashboard.db",
        "CREATE TABLE sensor_data (id INTEGER NOT NULL PRIMARY KEY, sensor_type VARCHAR, value FLOAT NOT NULL,
             unit VARCHAR NOT NULL, timestamp DATETIME);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 700)
         INSERT INTO sensor_data SELECT n, CASE WHEN n % 100 = 7 THEN 'co2' ELSE 'temperature' END, n * 0.5, '°C',
             strftime('%Y-%m-%d %H:%M:%f250', '2026-01-01', '+' || (n / 2) || ' seconds') FROM n;",
    );
    let layout = json!({ "tiles": [{ "id": "tile-1", "title": "Température", "sensorType": "temperature",
        "layout": { "i": "tile-1", "x": 0, "y": 0, "w": 4, "h": 3 } }] });
    std::fs::write(old.path.with_file_name("layout.json"), layout.to_string()).unwrap();
    let hub = Installation::new().start().await;
    let told = migrate_twice(&hub, &old, &["--seed", "001"], 0).await;
    assert!(told.contains("readings: 2100 taken over") && told.contains("layouts: 1 taken over"), "{told}");
    assert_eq!(hub.json("/api/layout").await, layout);
    let expected = json!([{ "id": 700, "sensor_type": "temperature", "value": 350.0, "unit": "°C",
        "timestamp": "2026-01-01T00:05:50.000Z" }]);
    assert_eq!(hub.json("/sensor-data/temperature/?limit=1").await, expected);
    let all = hub.json("/sensor-data/temperature/?limit=1000").await;
    let ids: Vec<i64> = members(&all, "id").iter().map(|id| id.as_i64().unwrap()).collect();
    assert_eq!(
        ids,
        (1..=700).rev().filter(|n| n % 100 != 7).collect::<Vec<_>>(),
        "each once, the newest first"
    );
    let co2 = hub.json("/sensor-data/co2/?limit=1000").await;
    assert_eq!(json!(members(&co2, "id")), json!([607, 507, 407, 307, 207, 107, 7]));

    // Whatever comes now goes on where they ended, and a layout that was changed since stays.
    let reading = json!({ "sensor_type": "co2", "value": 400, "unit": "ppm" });
    assert_eq!(hub.post("/sensor-data/", &reading).await.json::<Value>().await.unwrap()["id"], 701);
    let co2 = hub.json("/sensor-data/co2/?limit=3").await;
    assert_eq!(json!(members(&co2, "id")), json!([701, 607, 507]));
    let (code, told) = migrate(&hub, &old.path, &[]).await;
    assert!(code == 0 && told.contains("layouts: 0 taken over, 1 there already"), "{told}");
}

#[tokio::test]
async fn the_cloud_backend_answers_for_its_sensors() {
    let old = OldSystem::new(
        "app.db",
        "CREATE TABLE sensor_readings (id INTEGER PRIMARY KEY, timestamp DATETIME, sensor_type VARCHAR(50),
             sensor_id VARCHAR(100), value FLOAT, unit VARCHAR(20), origin VARCHAR(20), source_protocol VARCHAR(20),
             anomaly BOOLEAN, raw_data TEXT);
         CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(50) UNIQUE, hashed_password VARCHAR(255),
             is_active BOOLEAN, created_at DATETIME);
         INSERT INTO users VALUES (1, 'admin', '$2b$12$x', 1, NULL);",
    );
    for n in 0..150_i64 {
        // One message has two types, of one moment.
        for (sensor_type, raw) in [("temperature", Some("{\"value\": 1}")), ("humidity", None)] {
            let row = (ago(600 - n), sensor_type, n, n % 50 == 0 && raw.is_some(), raw);
            let insert = "INSERT INTO sensor_readings (timestamp, sensor_type, sensor_id, value, unit, origin, source_protocol,
                anomaly, raw_data) VALUES (?1, ?2, 'node 1', ?3, '°C', 'edge', 'modbus', ?4, ?5)";
            old.program.execute(insert, row).unwrap();
        }
    }
    let hub = Installation::new().start().await;
    // The index of the sensors is there before, and has to hear of it.
    assert_eq!(hub.json("/v1/sensors/stats?hours=1").await["total_readings"], 0);
    let told = migrate_twice(&hub, &old, &[], 0).await;
    assert!(told.contains("not taken over: users (1 row): passwords"), "{told}");
    let stats = crate::support::eventually("all readings are counted", async || {
        let stats = hub.json("/v1/sensors/stats?hours=1").await;
        (stats["total_readings"].as_u64() >= Some(300)).then_some(stats)
    })
    .await;
    assert_eq!((&stats["total_readings"], &stats["anomaly_count"]), (&json!(300), &json!(3)), "{stats}");
    assert_eq!(stats["by_protocol"], json!([{ "protocol": "modbus", "count": 300 }]));
    let history = hub.json("/v1/sensors/history?sensor_id=node%201&limit=1000&hours=1").await;
    assert_eq!(history["count"], 300, "{history}");
    let newest = &history["readings"][0];
    assert_eq!((&newest["value"], &newest["origin"]), (&json!(149.0), &json!("edge")));
    assert!(newest["timestamp"].as_str().unwrap().ends_with(".250Z"), "{newest}");
    let latest = hub.json("/v1/sensors/latest").await;
    assert_eq!(latest["sensors"]["humidity"][0]["sensor_id"], "node 1", "{latest}");
    let anomalies = hub.json("/v1/sensors/anomalies?hours=1").await;
    assert_eq!(json!(members(&anomalies["anomalies"], "value")), json!([100.0, 50.0, 0.0]));
}

#[tokio::test]
async fn the_flask_iot_backend_lists_its_dispositivos() {
    let old = OldSystem::new(
        "iot.db",
        "CREATE TABLE dispositivo (id INTEGER PRIMARY KEY, serial_number VARCHAR(50) UNIQUE NOT NULL, nombre VARCHAR(100),
             tipo VARCHAR(50), modelo VARCHAR(50), descripcion TEXT, estado VARCHAR(20), parametros JSON,
             configuracion JSON, reclamado BOOLEAN);
         CREATE TABLE estado_log (id INTEGER PRIMARY KEY, dispositivo_id INTEGER, estado VARCHAR(20), parametros JSON,
             timestamp DATETIME, FOREIGN KEY (dispositivo_id) REFERENCES dispositivo(id));
         INSERT INTO dispositivo VALUES
             (1, 'TMP0603IF1WD', 'Sensor Temp', 'sensor', 'T-01', 'Termómetro', 'activo', '{\"temp\": 23.4}',
                 '{\"modo\": \"manual\", \"encendido\": true}', 1),
             (5, 'LUZ 7', NULL, NULL, NULL, NULL, 'inactivo', '{}', NULL, 0);
         INSERT INTO estado_log VALUES (1, 1, 'inactivo', '{\"temp\": 21.5}', '2026-01-01 12:00:00.000000'),
             (2, 1, 'activo', '{\"temp\": 23.4}', '2026-01-01 12:01:00.000000');",
    );
    let hub = Installation::new().start().await;
    let told = migrate_twice(&hub, &old, &[], 0).await;
    assert!(told.contains("the device with the id 5 has the id 2 here"), "{told}");
    let listed = hub.json("/dispositivos").await;
    let expected = json!({ "id": 1, "serial_number": "TMP0603IF1WD", "nombre": "Sensor Temp", "tipo": "sensor",
        "modelo": "T-01", "descripcion": "Termómetro", "estado": "activo", "parametros": { "temp": 23.4 },
        "configuracion": { "modo": "manual", "encendido": true }, "reclamado": true });
    assert_eq!(listed[0], expected);
    assert_eq!(
        json!(members(&hub.json("/dispositivos/no-reclamados").await, "serial_number")),
        json!(["LUZ 7"])
    );
    assert_eq!(listed[1]["estado"], "inactivo");
    let temps = hub.json("/api/devices/TMP0603IF1WD/data?sensor_type=temp,power&order=asc").await;
    assert_eq!(json!(members(&temps, "value")), json!([21.5, "off", 23.4, "on"]), "{temps}");
    assert_eq!(temps[0]["timestamp"], "2026-01-01T12:00:00.000Z");
}

#[tokio::test]
async fn the_iot_controller_has_its_devices_groups_and_rules() {
    let old = OldSystem::new(
        "controller.db",
        "CREATE TABLE Users (id TEXT PRIMARY KEY, username TEXT UNIQUE NOT NULL, email TEXT UNIQUE NOT NULL,
             password_hash TEXT NOT NULL, api_key TEXT UNIQUE, created_at TIMESTAMP, device_quota INTEGER DEFAULT 50);
         CREATE TABLE Devices (id TEXT PRIMARY KEY, user_id TEXT, name TEXT NOT NULL, device_type TEXT, description TEXT,
             ip_address TEXT, mac_address TEXT, auth_token TEXT UNIQUE, status TEXT DEFAULT 'offline', last_seen TIMESTAMP,
             firmware_version TEXT, group_id TEXT, configuration TEXT, created_at TIMESTAMP);
         CREATE TABLE Sensor_Data (id TEXT PRIMARY KEY, device_id TEXT, sensor_type TEXT, value DECIMAL, unit TEXT,
             timestamp TIMESTAMP, quality_score INTEGER);
         CREATE TABLE Commands (id TEXT PRIMARY KEY, device_id TEXT, user_id TEXT, command_type TEXT, parameters TEXT,
             status TEXT, created_at TIMESTAMP, executed_at TIMESTAMP, response TEXT);
         CREATE TABLE Automation_Rules (id TEXT PRIMARY KEY, user_id TEXT, name TEXT NOT NULL, description TEXT,
             trigger_conditions TEXT, actions TEXT, is_enabled BOOLEAN DEFAULT TRUE, last_triggered TIMESTAMP,
             created_at TIMESTAMP);
         CREATE TABLE Device_Groups (id TEXT PRIMARY KEY, user_id TEXT, name TEXT NOT NULL, description TEXT,
             parent_id TEXT, device_count INTEGER DEFAULT 0, created_at TIMESTAMP);
         CREATE TABLE Device_Logs (id TEXT PRIMARY KEY, device_id TEXT, event_type TEXT, message TEXT, severity TEXT,
             timestamp TIMESTAMP);",
    );
    old.sql(
        "INSERT INTO Device_Groups VALUES ('hall', NULL, 'Hall', NULL, 'plant', 0, NULL), ('plant', NULL, 'Plant', '', NULL, 0, NULL);
         INSERT INTO Devices (id, name, device_type, ip_address, auth_token, group_id, configuration) VALUES
             ('b1', 'Boiler', 'boiler', '10.0.0.7', 'boiler-token-of-its-own', 'hall', '{\"mode\": \"eco\"}');
         WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 99)
         INSERT INTO Sensor_Data SELECT 'r' || n, 'b1', CASE n % 2 WHEN 0 THEN 'temperature' ELSE 'pressure' END, 50 + n,
             '°C', datetime('2026-01-01', '+' || (n / 2) || ' minutes'), 90 FROM n;
         INSERT INTO Device_Logs VALUES ('l1', 'b1', 'connect', 'it came', 'info', '2026-01-01 00:00:00');
         INSERT INTO Commands (id, device_id, command_type, status) VALUES ('c1', 'b1', 'stop', 'pending');
         INSERT INTO Automation_Rules VALUES ('too-hot', NULL, 'too hot', '',
             '{\"device_id\": \"b1\", \"sensor_type\": \"temperature\", \"operator\": \">\", \"value\": 60}',
             '[{\"type\": \"command\", \"device_id\": \"b1\", \"command_type\": \"stop\"}]', 1, NULL, NULL),
             ('off', NULL, 'off', '', '{\"device_id\": \"b1\", \"sensor_type\": \"temperature\", \"operator\": \">\", \"value\": 1}',
             '[{\"type\": \"command\", \"device_id\": \"b1\", \"command_type\": \"stop\"}]', 0, NULL, NULL);",
    );
    let hub = Installation::new().start().await;
    let told = migrate_twice(&hub, &old, &["--timezone", "Europe/Berlin"], 0).await;
    for line in [
        "groups: 2 taken over",
        "readings: 103 taken over",
        "rules: 2 taken over",
        "not taken over: Commands (1 row)",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!told.contains("boiler-token"), "{told}");
    let device = hub.json("/api/devices/b1").await;
    assert_eq!((&device["name"], &device["group_id"]), (&json!("Boiler"), &json!("hall")), "{device}");
    assert_eq!((&device["configuration"]["mode"], &device["status"]), (&json!("eco"), &json!("offline")));
    assert_eq!(hub.json("/api/groups/hall").await["parent_group"], "plant");
    let data = hub.json("/api/devices/b1/data?sensor_type=temperature&order=asc&limit=2").await;
    assert_eq!((&data[1]["value"], &data[1]["quality_score"]), (&json!(52), &json!(90)), "{data}");
    assert_eq!(data[1]["timestamp"], "2025-12-31T23:01:00.000Z", "Berlin's clock");
    let log = hub.json("/api/devices/b1/data?sensor_type=log").await;
    assert_eq!(log[0]["value"], "it came");
    let rules = hub.json("/api/automation/rules").await;
    assert_eq!(json!(members(&rules, "id")), json!(["off", "too-hot"]), "{rules}");
    assert_eq!(json!(members(&hub.json("/api/commands").await, "id")), json!([]), "no rule acts on the past");
    // The device goes on with its token, and the rule acts on what comes now.
    let body = json!({ "sensor_readings": { "temperature": 55 } });
    let said = |value: i64| {
        let body = json!({ "sensor_readings": { "temperature": value } });
        hub.request(reqwest::Method::POST, "/api/devices/b1/data")
            .bearer_auth("boiler-token-of-its-own")
            .json(&body)
    };
    assert_eq!(
        said(body["sensor_readings"]["temperature"].as_i64().unwrap()).send().await.unwrap().status(),
        201
    );
    assert_eq!(said(95).send().await.unwrap().status(), 201);
    crate::support::eventually("the rule acts", async || {
        let commands = hub.json("/api/commands").await;
        (commands[0]["command_type"] == "stop").then_some(())
    })
    .await;
}
