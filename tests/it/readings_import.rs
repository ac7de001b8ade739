//! Readings come in from a file, of any age, and are no word of a device.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use twinhub_actors::clock::SystemClock;
use twinhub_domain::Clock as _;

use crate::support::hub::{Installation, run};
use crate::support::people::{PASSWORD, Person};
use crate::support::pump::register;
use crate::support::rules::Rules;
use crate::support::{Dice, HubProcess, eventually};

/// The number of readings that move, where more than the usual are asked for.
const READINGS: &str = "TWINHUB_READINGS";
const USUAL: usize = 30_000;
/// Readings of a message at most.
const IN_A_MESSAGE: usize = 1_000;

const HOT: &str = r#"version: 1
rules:
  hot:
    triggers:
      - numeric: boiler.t
        above: 28
    actions:
      - log: "the boiler is hot"
"#;

/// Sends a file of readings.
async fn import(hub: &HubProcess, query: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Value {
    let request = hub.request(Method::POST, &format!("/api/data/import{query}"));
    let answer = request.header("Content-Type", media_type).body(body.into()).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// `3 stored, 1 known, 1 refused of 5`
fn counted(report: &Value) -> String {
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(report["broken_off"], Value::Null, "{report}");
    let (stored, known, refused) = (count("created"), count("skipped"), count("refused"));
    format!("{stored} stored, {known} known, {refused} refused of {}", count("lines"))
}

async fn exported(hub: &HubProcess, format: &str) -> String {
    hub.get(&format!("/api/data/export?format={format}")).await.text().await.unwrap()
}

/// A message of a device with readings of many kinds, of which some are of one moment and some come late.
fn message(dice: &mut Dice, from: usize, count: usize) -> Value {
    let readings = (from..from + count).map(|n| {
        let late = if dice.below(20) == 0 { 7_200_000_000_000 } else { 0 };
        let ns = 1_767_268_800_000_000_000 + (n as u64 / 3) * 250_000_001 - late;
        let value = match n % 5 {
            0 => json!(dice.below(1_000_000)),
            1 => json!(format!("x{}", dice.below(9))),
            2 => json!(dice.below(2) == 0),
            3 => serde_json::from_str(&format!("{}.{}0", dice.below(90), dice.below(90))).unwrap(),
            _ => json!(format!("=\"{},\n", dice.below(9))),
        };
        let mut reading = json!({ "sensor_type": format!("p{}", n % 5), "value": value, "timestamp": ns });
        if n % 4 == 0 {
            reading["unit"] = "°C".into();
        }
        if n % 7 == 0 {
            reading["quality_score"] = dice.below(101).into();
        }
        reading
    });
    json!({ "sensor_readings": readings.collect::<Vec<_>>() })
}

#[tokio::test]
async fn readings_move_to_another_hub() {
    let count = std::env::var(READINGS).map_or(USUAL, |count| count.parse().unwrap());
    let hub = Installation::new().start().await;
    let mut dice = Dice::new();
    for device in ["a", "b", "c"] {
        hub.post("/api/devices", &json!({ "device_id": device, "name": device })).await;
    }
    for from in (0..count).step_by(IN_A_MESSAGE) {
        let device = ["a", "b", "c"][from / IN_A_MESSAGE % 3];
        let body = message(&mut dice, from, IN_A_MESSAGE.min(count - from));
        let said = hub.post(&format!("/api/devices/{device}/data"), &body).await;
        assert_eq!(said.status(), 201, "{}", said.text().await.unwrap());
    }
    // A clock that nobody believes.
    hub.post("/api/devices/a/data", &json!({ "p0": 1, "timestamp": 5 })).await;
    let (jsonl, csv) = (exported(&hub, "jsonl").await, exported(&hub, "csv").await);
    assert!(jsonl.contains(r#""claimed_at":"1970-01-01T00:00:05.000Z"}"#), "{jsonl}");

    let by_json = Installation::new().start().await;
    let all = jsonl.lines().count();
    // Two readings of one time, name and value are one.
    let different: std::collections::HashSet<&str> = jsonl.lines().collect();
    let report = import(&by_json, "", "application/x-ndjson", jsonl.clone()).await;
    let repeated = usize::try_from(report["skipped"].as_u64().unwrap()).unwrap();
    assert!(repeated <= all - different.len(), "{report}");
    assert_eq!(counted(&report), format!("{} stored, {repeated} known, 0 refused of {all}", all - repeated));
    let moved = exported(&by_json, "jsonl").await;
    assert!(lines(&moved) == lines(&jsonl), "{} and {}", moved.len(), jsonl.len());
    let again = import(&by_json, "?format=csv", "text/plain", csv.clone()).await;
    assert_eq!(counted(&again), format!("0 stored, {all} known, 0 refused of {all}"));
    assert!(exported(&by_json, "jsonl").await == moved);

    let by_csv = Installation::new().start().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("readings.csv.gz");
    let mut packed = GzEncoder::new(std::fs::File::create(&file).unwrap(), Compression::fast());
    packed.write_all(csv.as_bytes()).unwrap();
    packed.finish().unwrap();
    let url = format!("http://{}", by_csv.http);
    let told = run(&["data", "import", file.to_str().unwrap(), "--url", &url], &[]).await;
    let said = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success() && said.starts_with(&format!("{all} lines: ")), "{said}");
    assert!(lines(&exported(&by_csv, "csv").await) == lines(&csv));
    // Out as columns, and in again.
    let by_parquet = Installation::new().start().await;
    let columns = folder.path().join("readings.parquet");
    for (action, hub) in [("export", &hub), ("import", &by_parquet)] {
        let url = format!("http://{}", hub.http);
        let done = run(&["data", action, columns.to_str().unwrap(), "--url", &url], &[]).await;
        assert!(done.status.success(), "{action}: {}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(lines(&exported(&by_parquet, "jsonl").await) == lines(&jsonl));
    let asked =
        hub.request(Method::GET, "/api/data/export").header("Accept", "application/vnd.apache.parquet");
    let told = asked.send().await.unwrap();
    assert_eq!(told.headers()["content-type"], "application/vnd.apache.parquet");
    let told = told.bytes().await.unwrap();
    assert_eq!((&told[..4], &told[told.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    assert!(told.len() < jsonl.len() / 3, "{} bytes of {}", told.len(), jsonl.len());
    // As clients that take gzip get it.
    let packed = by_csv.request(Method::GET, "/api/data/export?format=csv").header("Accept-Encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.unwrap();
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
    assert!(plain == exported(&by_csv, "csv").await);
}

/// The lines of a file, each once, by device and time; those of one time in any order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[tokio::test]
async fn an_import_is_no_word_of_the_device() {
    let rules = Rules::of("hot.yaml", HOT);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    register(&hub, "boiler").await;
    let now = SystemClock.now();
    let at = |seconds: i64| now.plus_millis(-1_000 * seconds).to_string();
    hub.post("/api/devices/boiler/data", &json!({ "t": 20, "timestamp": at(60) })).await;
    let before = hub.json("/api/devices/boiler/twin").await;

    let line = |device: &str, seconds: i64, value: i64| {
        json!({ "device_id": device, "timestamp": at(seconds), "sensor_type": "t", "value": value })
            .to_string()
    };
    let body = [line("boiler", 3_600, 40), line("boiler", 90_000, 41), line("new", 7_200, 50)].join("\n");
    let dry = import(&hub, "?dry_run=true", "application/x-ndjson", body.clone()).await;
    assert_eq!(
        (counted(&dry), dry["dry_run"].clone()),
        ("3 stored, 0 known, 0 refused of 3".into(), true.into())
    );
    assert_eq!(hub.get("/api/devices/new").await.status(), 404);
    let careful = import(&hub, "?unknown=refuse", "application/x-ndjson", line("new", 7_200, 50)).await;
    assert_eq!(careful["refusals"][0]["code"], "device_not_found", "{careful}");
    assert_eq!(
        counted(&import(&hub, "", "application/x-ndjson", body).await),
        "3 stored, 0 known, 0 refused of 3"
    );

    let after = hub.json("/api/devices/boiler/twin").await;
    assert_eq!(after["reported"], before["reported"]);
    assert_eq!((&after["status"], &after["last_seen"]), (&before["status"], &before["last_seen"]));
    let new = hub.json("/api/devices/new").await;
    assert_eq!((&new["claimed"], &new["last_seen"]), (&json!(false), &Value::Null), "{new}");
    assert_eq!(hub.json("/api/devices/new/twin").await["reported"]["t"], 50);
    let history = hub.json("/api/devices/boiler/data?order=asc").await;
    let values: Vec<_> =
        history.as_array().unwrap().iter().map(|reading| reading["value"].as_i64()).collect();
    assert_eq!(values, [Some(41), Some(40), Some(20)]);
    // A reading of now sets the rule off; those of the file, which came before it, did not.
    hub.post("/api/devices/boiler/data", &json!({ "t": 30 })).await;
    let runs = eventually("the rule's run", async || {
        let runs = hub.json("/api/automation/rules/hot/runs?outcome=done").await;
        runs.as_array().is_some_and(|runs| !runs.is_empty()).then_some(runs)
    });
    assert_eq!(runs.await.as_array().unwrap().len(), 1);
    let events = hub.json("/api/devices/boiler/events?kind=telemetry").await;
    let causes = events.to_string().matches(r#""source":"import""#).count();
    assert_eq!(causes, 2, "{events}");
}

#[tokio::test]
async fn lines_that_make_no_sense_are_named_and_cost_no_other() {
    let hub = Installation::new().start().await;
    let body = "device_id;timestamp;sensor_type;value;unit\n\
        a;2026-01-01T00:00:00Z;t;21,5;°C\n\
        a;2026-01-01 01:00:00;t;22,5;\n\
        a;2999-01-01T00:00:00Z;t;1;\n\
        ;2026-01-01T00:00:00Z;t;1;\n\
        a;yesterday;t;1;\n\
        a;2026-01-01T02:00:00Z;t;;\n\
        a;2026-01-01T03:00:00Z;t;on;\n";
    let report = import(&hub, "", "text/csv", body).await;
    assert_eq!(counted(&report), "2 stored, 0 known, 5 refused of 7");
    let said: Vec<String> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(
        said,
        [
            "3 timestamp bad_field",
            "4 timestamp bad_field",
            "5 device_id missing_field",
            "6 timestamp bad_timestamp",
            "7 value missing_field",
        ]
    );
    assert_eq!(report["decimal_commas"][0]["example"], "21,5", "{report}");
    let zoned = import(&hub, "?timezone=Europe/Madrid", "text/csv", body).await;
    assert_eq!(counted(&zoned), "1 stored, 2 known, 4 refused of 7");
    let history = hub.json("/api/devices/a/data?order=asc").await;
    let told: Vec<String> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|reading| format!("{} {}", reading["timestamp"].as_str().unwrap(), reading["value"]))
        .collect();
    let expected =
        ["2026-01-01T00:00:00.000Z 21.5", "2026-01-01T00:00:00.000Z 22.5", "2026-01-01T03:00:00.000Z \"on\""];
    assert_eq!(told, expected);
    let request = hub.request(Method::POST, "/api/data/import").header("Content-Type", "text/csv");
    let wrong = request.body("device_id,colour\na,red\n").send().await.unwrap();
    assert_eq!(wrong.status(), 422);
}

#[tokio::test]
async fn an_import_reaches_the_devices_that_its_caller_sees() {
    let hub = Installation::new().start().await;
    let admin = Person::first(&hub, "ann").await;
    for (device, group) in [("mine", "hall"), ("other", "yard")] {
        for (path, body) in [
            ("/api/groups", json!({ "id": group, "name": group })),
            ("/api/devices", json!({ "device_id": device, "name": device, "group_id": group })),
        ] {
            let made = admin.send(&hub, Method::POST, path, &body).await;
            assert!(made.status().is_success());
        }
    }
    let user =
        json!({ "name": "ula", "role": "operator", "password": PASSWORD, "scope": { "groups": ["hall"] } });
    admin.send(&hub, Method::POST, "/api/users", &user).await;
    let ula = Person::sign_in(&hub, "ula").await;
    let line = |device: &str| format!("{device},2026-01-01T00:00:00Z,t,1\n");
    let body =
        ["device_id,timestamp,sensor_type,value\n".into(), line("mine"), line("other"), line("no")].concat();
    let sent =
        ula.request(&hub, Method::POST, "/api/data/import").header("Content-Type", "text/csv").body(body);
    let report: Value = serde_json::from_str(&sent.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(counted(&report), "1 stored, 0 known, 2 refused of 3");
    let codes: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(codes, ["3 - device_not_found", "4 - device_not_found"]);
}

/// `17 name missing_field`
fn said(refused: &Value) -> String {
    let text = |name: &str| refused[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", refused["line"], text("field"), text("code"))
}

/// Dialects of other systems, which read messages back, find all of each in one event.
#[tokio::test]
async fn readings_of_a_moment_stay_together() {
    let hub = Installation::new().start().await;
    let mut lines = String::new();
    for message in 0..3_000_i64 {
        for name in 0..7 {
            let at = 1_767_268_800_000 + message;
            lines += &format!(
                "{{\"device_id\":\"a\",\"timestamp\":{at},\"sensor_type\":\"p{name}\",\"value\":1}}\n"
            );
        }
    }
    let report = import(&hub, "", "application/x-ndjson", lines).await;
    assert_eq!(counted(&report), "21000 stored, 0 known, 0 refused of 21000");
    let mut places: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for page in 1..=3 {
        let readings = hub.json(&format!("/api/devices/a/data?order=asc&limit=10000&page={page}")).await;
        for reading in readings.as_array().unwrap() {
            let at = reading["timestamp"].as_str().unwrap().to_owned();
            places.entry(at).or_default().insert(reading["seq"].as_u64().unwrap());
        }
    }
    assert_eq!(places.len(), 3_000);
    let parted: Vec<_> = places.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(parted.is_empty(), "{parted:?}");
}

#[tokio::test]
async fn a_text_is_another_value_than_what_it_looks_like() {
    let hub = Installation::new().start().await;
    let line = |value: Value| {
        json!({ "device_id": "a", "timestamp": 1_767_268_800, "sensor_type": "t", "value": value })
            .to_string()
    };
    for value in [json!(5), json!("5"), json!(true), json!("true")] {
        let report = import(&hub, "", "application/x-ndjson", line(value.clone())).await;
        assert_eq!(counted(&report), "1 stored, 0 known, 0 refused of 1", "{value}");
        let again = import(&hub, "", "application/x-ndjson", line(value.clone())).await;
        assert_eq!(counted(&again), "0 stored, 1 known, 0 refused of 1", "{value}");
    }
}
