//! A field of a device stands in one table, and from there it is in all places where people meet it. Who adds one to
//! the table and forgets a place is told here.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use twinhub_domain::twin::fields::{FIELDS, Field, SetBy, Shown};

use crate::support::HubProcess;
use crate::support::hub::Installation;

/// A value that the field can have.
fn value_of(field: &Field) -> String {
    match field.name {
        "ip_address" => "10.0.0.7".into(),
        "mac_address" => "aa:bb:cc:dd:ee:ff".into(),
        "group_id" => "hall".into(),
        other => format!("{other} of a device"),
    }
}

async fn send(hub: &HubProcess, method: Method, path: &str, body: &Value) -> StatusCode {
    hub.request(method, path).json(body).send().await.unwrap().status()
}

#[tokio::test]
async fn a_field_of_the_table_is_in_all_places() {
    let hub = Installation::new().start().await;
    assert!(
        hub.post("/api/groups", &json!({ "id": "hall", "name": "The hall" })).await.status().is_success()
    );
    let described = hub.json("/api/openapi.json").await;
    let has = |schema: &str, field: &Field| {
        described["components"]["schemas"][schema]["properties"].get(field.name).is_some()
    };
    for field in FIELDS {
        let (name, value) = (field.name, value_of(field));
        let id = name.replace('_', "-");
        let path = format!("/api/devices/{id}");
        let may_set = field.set_by == SetBy::Anybody;
        // Registered without it, and changed; or registered with it.
        let bare = json!({ "device_id": id, "name": "A device" });
        assert_eq!(send(&hub, Method::POST, "/api/devices", &bare).await, StatusCode::CREATED, "{name}");
        let changed = send(&hub, Method::PUT, &path, &json!({ name: value })).await;
        assert_eq!(changed.is_success(), may_set, "{name} in a change: {changed}");
        for schema in ["NewDevice", "DeviceChange", "Claim"] {
            assert_eq!(has(schema, field), may_set, "{name} in {schema}");
        }
        for schema in ["DeviceItem", "TwinDocument"] {
            assert_eq!(has(schema, field), field.shown != Shown::Hidden, "{name} in {schema}");
        }
        if !may_set {
            continue;
        }
        assert_eq!(hub.json(&path).await[name], value, "{name} in the document");
        let filter =
            format!("{name} == \"{value}\"").replace(' ', "%20").replace('"', "%22").replace('=', "%3D");
        let found = hub.json(&format!("/api/devices?filter={filter}&sort={name}")).await;
        assert_eq!(found[0]["id"], id, "{name} in a filter: {found}");
        let export = hub.get("/api/devices/export").await.text().await.unwrap();
        let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let row = rows.iter().find(|row| row["device_id"] == *id).unwrap();
        assert_eq!(row[name], value, "{name} in an export");

        let gone = hub.request(Method::DELETE, &path).send().await.unwrap().status();
        assert_eq!(gone, StatusCode::OK);
        let import = hub.request(Method::POST, "/api/devices/import?format=jsonl");
        let told = import.body(row.to_string()).send().await.unwrap();
        assert!(told.status().is_success(), "{name} in an import: {}", told.text().await.unwrap());
        assert_eq!(hub.json(&path).await[name], value, "{name} after an import");
        let gone = hub.request(Method::DELETE, &path).send().await.unwrap().status();
        assert_eq!(gone, StatusCode::OK);
        let whole = json!({ "device_id": id, "name": "A device", name: value });
        assert_eq!(send(&hub, Method::POST, "/api/devices", &whole).await, StatusCode::CREATED, "{name}");
        assert_eq!(hub.json(&path).await[name], value, "{name} in a registration");
    }
}
