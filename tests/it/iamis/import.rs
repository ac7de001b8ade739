//! The data of the old database, taken over by the lines in the README.

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::{ROOT, listed, reading};
use crate::support::hub::Installation;
use crate::support::within;

/// The Python in the README that has this in it.
fn lines_with(part: &str) -> String {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let mut blocks = readme.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(part)).unwrap().to_owned()
}

#[tokio::test]
async fn readings_come_along_with_their_numbers_and_times() {
    let folder = TempDir::with_prefix("twinhub-iamis-").unwrap();
    let database = folder.path().join("iot_dashboard.db");
    let old = Connection::open(&database).unwrap();
    old.execute_batch(
        "CREATE TABLE sensor_data (id INTEGER NOT NULL PRIMARY KEY, sensor_type VARCHAR, value FLOAT NOT NULL,
             unit VARCHAR NOT NULL, timestamp DATETIME);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 700)
         INSERT INTO sensor_data SELECT n, CASE WHEN n % 100 = 7 THEN 'co2' ELSE 'temperature' END, n * 0.5, '°C',
             strftime('%Y-%m-%d %H:%M:%f000', '2026-01-01', '+' || n || ' seconds') FROM n;",
    )
    .unwrap();
    drop(old);

    let hub = Installation::new().start().await;
    let script = lines_with("iot_dashboard.db");
    for _ in 0..2 {
        let mut python = Command::new("python3");
        python.args(["-c", &script]).arg(&database).arg(format!("http://{}", hub.http)).kill_on_drop(true);
        let output = within("it ends", python.env("no_proxy", "*").output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let temperatures = hub.json("/sensor-data/temperature/?limit=1").await;
    let expected = json!([{
        "id": 700, "sensor_type": "temperature", "value": 350.0, "unit": "°C", "timestamp": "2026-01-01T00:11:40.000Z",
    }]);
    assert_eq!(temperatures, expected);
    assert_eq!(listed(&hub, "/sensor-data/temperature/?limit=1000", "id").await.len(), 693);
    assert_eq!(listed(&hub, "/sensor-data/co2/?limit=1000", "id").await, [607, 507, 407, 307, 207, 107, 7]);

    // Whatever comes now goes on where they ended.
    let posted = hub.post("/sensor-data/", &reading("co2", 400.0)).await;
    assert_eq!(posted.json::<serde_json::Value>().await.unwrap()["id"], 701);
    assert_eq!(listed(&hub, "/sensor-data/co2/?limit=3", "id").await, [701, 607, 507]);
}
