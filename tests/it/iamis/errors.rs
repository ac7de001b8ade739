//! Requests that make no sense, refused as FastAPI refuses them.

use reqwest::Method;
use serde_json::{Value, json};

use super::reading;
use crate::support::HubProcess;
use crate::support::hub::Installation;

/// A request that is refused: the method, the path, the body, the status and the `detail`.
type RefusedRequest = (Method, &'static str, &'static str, u16, Value);

async fn check(hub: &HubProcess, (method, path, body, status, detail): RefusedRequest) {
    let request = hub.request(method.clone(), path).header("Content-Type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    let (found, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((found, &told), (status, &json!({ "detail": detail })), "{method} {path} {body}");
}

fn fault(kind: &str, place: Value, message: &str, input: Value) -> Value {
    json!({ "type": kind, "loc": place, "msg": message, "input": input })
}

#[tokio::test]
async fn each_field_that_is_wrong_is_named() {
    let hub = Installation::new().start().await;
    let missing =
        |field: &str, input: Value| fault("missing", json!(["body", field]), "Field required", input);
    let no_number = "Input should be a valid number, unable to parse string as a number";
    let no_whole = "Input should be a valid integer, unable to parse string as an integer";
    let post = |body: &'static str, detail: Value| (Method::POST, "/sensor-data/", body, 422, detail);
    let refused: Vec<RefusedRequest> = vec![
        post(
            "{}",
            json!([
                missing("sensor_type", json!({})),
                missing("value", json!({})),
                missing("unit", json!({})),
            ]),
        ),
        post(
            r#"{"sensor_type": "t", "value": 1}"#,
            json!([missing("unit", json!({ "sensor_type": "t", "value": 1 }))]),
        ),
        post(
            r#"{"sensor_type": "t", "value": "warm", "unit": "x"}"#,
            json!([fault("float_parsing", json!(["body", "value"]), no_number, json!("warm")),]),
        ),
        post(
            r#"{"sensor_type": 5, "value": null, "unit": []}"#,
            json!([
                fault(
                    "string_type",
                    json!(["body", "sensor_type"]),
                    "Input should be a valid string",
                    json!(5)
                ),
                fault("float_type", json!(["body", "value"]), "Input should be a valid number", json!(null)),
                fault("string_type", json!(["body", "unit"]), "Input should be a valid string", json!([])),
            ]),
        ),
        post(
            "[]",
            json!([fault(
                "model_attributes_type",
                json!(["body"]),
                "Input should be a valid dictionary or object to extract fields from",
                json!([]),
            )]),
        ),
        (
            Method::GET,
            "/sensor-data/t/?page=one&limit=5",
            "",
            422,
            json!([fault("int_parsing", json!(["query", "page"]), no_whole, json!("one")),]),
        ),
        (Method::GET, "/sensor-data/t/?page=0", "", 400, json!("Invalid pagination params.")),
        (Method::GET, "/sensor-data/t/?limit=-5", "", 400, json!("Invalid pagination params.")),
        (Method::GET, "/sensor-data/", "", 405, json!("Method Not Allowed")),
        (
            Method::POST,
            "/api/layout",
            r#"{"tiles": 5}"#,
            422,
            json!([fault("list_type", json!(["body", "tiles"]), "Input should be a valid list", json!(5)),]),
        ),
    ];
    for request in refused {
        check(&hub, request).await;
    }
    let broken =
        hub.request(Method::POST, "/sensor-data/").header("Content-Type", "application/json").body("{");
    let answer = broken.send().await.unwrap();
    assert_eq!(answer.status(), 422);
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["detail"][0]["type"], "json_invalid", "{told}");
    assert_eq!(hub.json("/sensor-data/t/").await, json!([]), "nothing of all that was stored");
}

#[tokio::test]
async fn a_type_that_would_hide_the_hubs_own_is_refused() {
    let hub = Installation::new().start().await;
    for sensor_type in ["", "t#id", "t#gap", &"t".repeat(300)] {
        let answer = hub.post("/sensor-data/", &reading(sensor_type, 1.0)).await;
        assert_eq!(answer.status(), 422, "{sensor_type}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["detail"][0]["loc"], json!(["body", "sensor_type"]), "{told}");
    }
    // Numbers in a text are numbers.
    let body = json!({ "sensor_type": "t", "value": " 22.50 ", "unit": "" });
    let posted: Value = hub.post("/sensor-data/", &body).await.json().await.unwrap();
    assert_eq!((&posted["value"], &posted["unit"]), (&json!(22.50), &json!("")), "{posted}");
}
