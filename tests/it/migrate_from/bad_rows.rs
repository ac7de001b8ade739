//! Files that are wrong in parts, or as a whole, and migrations that are broken off.

use serde_json::{Value, json};

use super::{OldSystem, everything, migrate};
use crate::support::eventually;
use crate::support::hub::{Installation, run, start};

const READINGS: &str =
    "CREATE TABLE sensor_data (id INTEGER NOT NULL PRIMARY KEY, sensor_type VARCHAR, value FLOAT,
    unit VARCHAR, timestamp DATETIME);";

#[tokio::test]
async fn rows_at_fault_are_named_and_the_others_come_in() {
    let old = OldSystem::new(
        "controller.db",
        "CREATE TABLE devices (id TEXT PRIMARY KEY, name TEXT, mac_address TEXT, ip_address TEXT, auth_token TEXT,
             configuration TEXT, colour TEXT);
         CREATE TABLE sensor_data (id TEXT PRIMARY KEY, device_id TEXT, sensor_type TEXT, value DECIMAL, timestamp TIMESTAMP);
         CREATE TABLE automation_rules (id TEXT PRIMARY KEY, name TEXT, trigger_conditions TEXT, actions TEXT, is_enabled BOOLEAN);
         CREATE TABLE notes (text TEXT);
         INSERT INTO devices VALUES ('a', 'A', 'no mac', 'no ip', 'short', '{', 'red'), ('b', 'B', NULL, NULL, NULL, NULL, NULL);
         INSERT INTO sensor_data VALUES ('1', 'a', 't', 1, '2026-01-01 00:00:00'), ('2', 'a', 't', 2, 'soon'),
             ('3', NULL, 't', 3, '2026-01-01 00:00:00'), ('4', 'b', 't', 4, '2999-01-01 00:00:00');
         INSERT INTO automation_rules VALUES ('r', 'R', '{\"operator\": \"?\"}', '[]', 1);",
    );
    let hub = Installation::new().start().await;
    let report = old.path.with_file_name("rows.jsonl");
    let (code, told) = migrate(&hub, &old.path, &["--report", report.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{told}");
    let faults: Vec<Value> = std::fs::read_to_string(&report)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let places: Vec<String> = faults
        .iter()
        .map(|fault| {
            let text = |name: &str| fault[name].as_str().unwrap();
            assert!(told.contains(text("error")), "{fault}: {told}");
            format!("{} {} {}", text("table"), fault["rowid"], text("column"))
        })
        .collect();
    for place in [
        "devices 1 configuration",
        "devices 1 mac_address",
        "devices 1 ip_address",
        "devices 1 auth_token",
        "sensor_data 2 timestamp",
        "sensor_data 3 device_id",
        "sensor_data 4 timestamp",
        "automation_rules 1 ",
    ] {
        assert!(places.iter().any(|known| known == place), "{place}: {places:?}");
    }
    assert_eq!(places.len(), 8, "{places:?}");
    for line in [
        "not taken over: devices.colour: ",
        "not taken over: notes (0 rows): ",
        "8 cells or rows are at fault",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(hub.json("/api/devices/a").await["name"], "A", "it comes in without what was wrong");
    assert_eq!(hub.json("/api/devices/a/data").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_says_what_would_come() {
    let old = OldSystem::new("old.db", READINGS);
    old.sql("INSERT INTO sensor_data VALUES (1, 't', 1, '', '2026-01-01 00:00:00'), (2, 't', 'warm', '', '2026-01-01 00:00:01')");
    let hub = Installation::new().start().await;
    let before = everything(&hub).await;
    let (code, told) = migrate(&hub, &old.path, &["--dry-run"]).await;
    assert_eq!(code, 1, "{told}");
    for line in [
        "is of 001",
        "sensor_data 2: value: expected a number, found the text `warm`",
        "devices: 1 would be sent",
        "readings: 3 would be sent",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(everything(&hub).await, before);
}

#[tokio::test]
async fn files_that_are_none_are_told() {
    let old = OldSystem::new("old.db", READINGS);
    let text = old.path.with_file_name("notes.txt");
    std::fs::write(&text, "nothing of the kind").unwrap();
    let none = old.path.with_file_name("none.db");
    let other = OldSystem::new("other.db", "CREATE TABLE notes (text TEXT)");
    for (file, seed, part) in [
        (text.to_str().unwrap(), None, "is no SQLite database"),
        (none.to_str().unwrap(), None, "cannot be opened"),
        (other.file(), None, "no known system has such tables: notes"),
        (old.file(), Some("003"), "it has not the tables of 003, but sensor_data; 001 has such"),
        (old.file(), Some("007"), "invalid value '007'"),
    ] {
        let seed = seed.map(|seed| ["--seed", seed]);
        let args: Vec<&str> =
            ["migrate-from", file, "--dry-run"].into_iter().chain(seed.into_iter().flatten()).collect();
        let output = run(&args, &[]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(part), "{args:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert!(!none.exists());
    old.sql("INSERT INTO sensor_data VALUES (1, 't', 1, '', '2026-01-01 00:00:00')");
    let away = run(&["migrate-from", old.file(), "--url", "http://127.0.0.1:1"], &[]).await;
    let told = String::from_utf8(away.stderr).unwrap();
    assert!(away.status.code() == Some(1) && told.contains("no hub answers at http://127.0.0.1:1"), "{told}");
}

/// They would stand in the history, and the route of the original would never come to them.
#[tokio::test]
async fn readings_with_numbers_do_not_come_behind_those_of_the_hub() {
    let old = OldSystem::new("old.db", READINGS);
    old.sql("INSERT INTO sensor_data VALUES (1, 't', 1, '', '2026-01-01 00:00:00')");
    let hub = Installation::new().start().await;
    hub.post("/sensor-data/", &json!({ "sensor_type": "t", "value": 2, "unit": "x" })).await;
    let before = everything(&hub).await;
    let (code, told) = migrate(&hub, &old.path, &[]).await;
    assert!(code == 1 && told.contains("--sensor-data-device"), "{told}");
    assert_eq!(everything(&hub).await, before);
    let (code, told) = migrate(&hub, &old.path, &["--sensor-data-device", "before"]).await;
    assert_eq!(code, 0, "{told}");
    assert_eq!(hub.json("/api/devices/before/data?sensor_type=t").await[0]["value"], json!(1.0));

    // A device that somebody made, and that nobody has heard, takes them.
    hub.post("/api/devices", &json!({ "device_id": "made", "name": "Made" })).await;
    for _ in 0..2 {
        let (code, told) = migrate(&hub, &old.path, &["--sensor-data-device", "made"]).await;
        assert_eq!(code, 0, "{told}");
    }
    assert_eq!(hub.json("/api/devices/made").await["name"], "Made");
}

#[tokio::test]
async fn a_migration_that_is_broken_off_goes_on() {
    let old = OldSystem::new("old.db", READINGS);
    old.sql(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000)
         INSERT INTO sensor_data SELECT n, CASE n % 7 WHEN 0 THEN 'co2' ELSE 't' END, n * 0.1, 'x',
             datetime('2026-01-01', '+' || n || ' seconds') FROM n;",
    );
    let hub = Installation::new().start().await;
    let url = format!("http://{}", hub.http);
    let broken = start(&["migrate-from", old.file(), "--url", &url]);
    eventually("some of it is in", async || {
        let list = hub.json("/sensor-data/t/?limit=1").await;
        list.as_array().is_some_and(|list| !list.is_empty()).then_some(())
    })
    .await;
    broken.kill().await;
    let (code, told) = migrate(&hub, &old.path, &[]).await;
    assert_eq!(code, 0, "{told}");
    let text = hub.get("/api/data/export?sensor_type=t,co2").await.text().await.unwrap();
    let values: Vec<f64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].as_f64().unwrap())
        .collect();
    let expected: Vec<f64> = (1..=30_000).map(|n| f64::from(n) * 0.1).collect();
    assert_eq!(values.len(), expected.len(), "each once");
    assert!(values.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-9));
    let newest = hub.json("/sensor-data/co2/?limit=1").await;
    assert_eq!(newest[0]["id"], json!(29_995), "{newest}");
}
