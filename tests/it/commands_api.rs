//! Commands, as people and programs ask for them and as devices answer: over REST, MQTT, HTTP and WebSocket.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::{HubProcess, PumpDevice, WebSocketSession, eventually, within};

const COMMANDS: &str = "/api/devices/pump-1/commands";

#[tokio::test]
async fn a_command_goes_to_the_device_and_its_answer_comes_back() {
    let hub = Installation::new().start().await;
    let mut pump = PumpDevice::join(&hub, "pump-1").await;
    let body = r#"{"command_type": "set_speed", "parameters": {"rpm": 1200.50}, "priority": 7, "ttl": "1h"}"#;
    let asked = hub.request(Method::POST, COMMANDS).body(body).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    let location = asked.headers()["location"].to_str().unwrap().to_owned();
    let asked: Value = asked.json().await.unwrap();
    assert_eq!(location, format!("/api/commands/{}", asked["id"].as_str().unwrap()));
    assert_eq!((&asked["device_id"], &asked["repeated"]), (&json!("pump-1"), &json!(false)));
    assert_eq!(
        (&asked["status"], &asked["ttl"], &asked["timeout"]),
        (&json!("sent"), &json!("1h"), &json!("30s"))
    );

    let text = pump.next_text().await;
    assert!(text.contains(r#""parameters":{"rpm":1200.50}"#), "numbers keep their digits: {text}");
    let command: Value = serde_json::from_str(&text).unwrap();
    let told = ["id", "type", "priority", "attempt", "expires_at"].map(|field| &command[field]);
    assert_eq!(told, [&asked["id"], &json!("set_speed"), &json!(7), &json!(1), &asked["expires_at"]]);

    pump.answer(&command, &json!({ "status": "delivered" })).await;
    pump.say(
        &format!("commands/{}", command["id"].as_str().unwrap()),
        r#"{"status":"executed","response":1200.50}"#,
    )
    .await;
    let text = hub.get(&location).await.text().await.unwrap();
    assert!(text.contains(r#""response":1200.50"#), "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&found["status"], &found["attempts"]), (&json!("executed"), &json!(1)));
    assert_eq!(statuses(&found), ["pending", "sent", "delivered", "executed"]);
    let causes: Vec<_> =
        found["history"].as_array().unwrap().iter().map(|line| &line["cause"]["source"]).collect();
    assert_eq!(causes, ["rest", "rest", "mqtt", "mqtt"]);

    for list in ["/api/commands?device=pump-1&type=set_speed", &format!("{COMMANDS}?status=failed,executed")]
    {
        assert_eq!(hub.json(list).await[0]["id"], asked["id"], "{list}");
    }
    assert_eq!(hub.json("/api/commands?status=pending,sent").await, json!([]));
    let recent = hub.json("/api/devices/pump-1").await["recent_commands"].clone();
    assert_eq!((&recent[0]["id"], &recent[0]["status"]), (&asked["id"], &json!("executed")));
    assert!(recent[0].get("history").is_none());
}

#[tokio::test]
async fn a_waiting_caller_gets_the_result() {
    let hub = Installation::new().start().await;
    let mut pump = PumpDevice::join(&hub, "pump-1").await;
    let reboot = json!({ "command_type": "reboot" });
    let waiting = hub.post("/api/devices/pump-1/commands?wait=60s", &reboot);
    let answering = async {
        let command = pump.next_command().await;
        pump.answer(&command, &json!({ "status": "rejected", "reason": "not now" })).await;
        command["id"].clone()
    };
    let (waited, id) = tokio::join!(waiting, answering);
    assert_eq!(waited.status(), StatusCode::OK);
    let told: Value = waited.json().await.unwrap();
    assert_eq!((&told["id"], &told["status"], &told["reason"]), (&id, &json!("rejected"), &json!("not now")));
    assert_eq!(statuses(&told), ["pending", "sent", "rejected"]);

    // Two who wait for the same one are both told, whether the second comes before its answer or after.
    let wait = async || {
        let request = hub.request(Method::POST, "/api/devices/pump-1/commands?wait=60");
        let request = request.header("Idempotency-Key", "k1").json(&json!({ "command_type": "stop" }));
        json_of(request.send().await.unwrap(), StatusCode::OK).await
    };
    let answering = async {
        let command = pump.next_command().await;
        pump.answer(&command, &json!({ "status": "executed" })).await;
    };
    let (ann, bob, ()) = tokio::join!(wait(), wait(), answering);
    assert_eq!((&ann["id"], &ann["status"]), (&bob["id"], &json!("executed")));
    assert_ne!(ann["repeated"], bob["repeated"]);
}

#[tokio::test]
async fn a_caller_that_waited_in_vain_gets_the_location() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await; // and is not there
    let late = hub.post("/api/devices/pump-1/commands?wait=50ms", &json!({ "command_type": "reboot" })).await;
    let location = late.headers()["location"].to_str().unwrap().to_owned();
    let problem = json_of(late, StatusCode::GATEWAY_TIMEOUT).await;
    assert_eq!(
        (&problem["code"], &problem["command_status"]),
        (&json!("command_not_finished"), &json!("pending"))
    );
    let id = problem["command_id"].as_str().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(id), "{problem}");
    assert_eq!(hub.json(&location).await["status"], "pending");

    // It goes on: the device gets it when it comes.
    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    assert_eq!(pump.next_command().await["id"], id);

    for wrong in ["61s", "soon", "-1"] {
        let refused =
            hub.post(&format!("{COMMANDS}?wait={wrong}"), &json!({ "command_type": "reboot" })).await;
        assert_eq!(json_of(refused, StatusCode::UNPROCESSABLE_ENTITY).await["field"], "wait");
    }
}

#[tokio::test]
async fn the_same_key_and_body_are_the_same_command() {
    let hub = Installation::new().start().await;
    let mut pump = PumpDevice::join(&hub, "pump-1").await;
    let ask = async |key: &str, body: &str| {
        let request = hub.request(Method::POST, COMMANDS).header("Idempotency-Key", key);
        request.body(body.to_owned()).send().await.unwrap()
    };
    let body = r#"{"command_type": "dose", "parameters": {"ml": 1.0}}"#;
    let first = json_of(ask("k1", body).await, StatusCode::ACCEPTED).await;
    assert_eq!(first["idempotency_key"], "k1");
    // The same value is the same number, and the order of fields says nothing.
    let same = r#"{"parameters": {"ml": 1.00}, "command_type": "dose"}"#;
    let again = json_of(ask("k1", same).await, StatusCode::OK).await;
    assert_eq!((&again["id"], &again["repeated"]), (&first["id"], &json!(true)));

    let command = pump.next_command().await;
    pump.answer(&command, &json!({ "status": "executed" })).await;
    let again = json_of(ask("k1", body).await, StatusCode::OK).await;
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("executed")));

    let other = json_of(ask("k1", r#"{"command_type": "dose"}"#).await, StatusCode::CONFLICT).await;
    assert_eq!((&other["code"], &other["command_id"]), (&json!("idempotency_key_taken"), &first["id"]));
    let other = json_of(ask("k2", body).await, StatusCode::ACCEPTED).await;
    assert_ne!(other["id"], first["id"]);
    assert_eq!(pump.next_command().await["id"], other["id"], "the first one was given once");

    for wrong in ["", "a b", &"k".repeat(256)] {
        let refused = json_of(ask(wrong, body).await, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(refused["field"], "Idempotency-Key", "{wrong}");
    }
}

#[tokio::test]
async fn a_command_can_be_called_back() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let first = asked(&hub, &json!({ "command_type": "open" })).await;
    let second = asked(&hub, &json!({ "command_type": "close" })).await;
    let path = format!("/api/commands/{}", first.as_str().unwrap());
    let delete = async |path: &str| hub.request(Method::DELETE, path).send().await.unwrap();

    let canceled = json_of(delete(&path).await, StatusCode::OK).await;
    assert_eq!((&canceled["status"], &canceled["reason"]), (&json!("canceled"), &json!("called back")));
    assert_eq!(statuses(&canceled), ["pending", "canceled"]);
    let again = json_of(delete(&path).await, StatusCode::CONFLICT).await;
    assert_eq!((&again["code"], &again["command_status"]), (&json!("command_final"), &json!("canceled")));
    for unknown in ["01890a5d-ac96-774b-bcce-b302099a8057", "nonsense"] {
        let path = format!("/api/commands/{unknown}");
        for response in [delete(&path).await, hub.get(&path).await] {
            assert_eq!(
                json_of(response, StatusCode::NOT_FOUND).await["code"],
                "command_not_found",
                "{unknown}"
            );
        }
    }
    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    assert_eq!(pump.next_command().await["id"], second, "what was called back does not go out");
}

#[tokio::test]
async fn a_device_without_mqtt_takes_its_commands_by_long_poll() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let poll = async |wait: &str| hub.json(&format!("{COMMANDS}?status=pending&wait={wait}")).await;
    let answer = async |id: &Value, answer: Value| {
        hub.post(&format!("{COMMANDS}/{}", id.as_str().unwrap()), &answer).await
    };
    assert_eq!(poll("20ms").await, json!([]), "nothing in time");
    let status = hub.json("/api/devices/pump-1/status").await;
    assert_eq!(
        (&status["connection"]["via"], &status["connection"]["connected"]),
        (&json!("http poll"), &json!(true))
    );

    // A command that is asked for while the device waits goes out at once.
    let asking = async {
        let low = asked(&hub, &json!({ "command_type": "open", "parameters": { "to": 0.5 } })).await;
        (low, asked(&hub, &json!({ "command_type": "stop", "priority": 9 })).await)
    };
    let (got, (low, high)) = tokio::join!(poll("60s"), asking);
    assert_eq!(got.as_array().unwrap().len(), 1, "one at a time: {got}");
    let first = got[0].clone();
    assert!(first["id"] == low || first["id"] == high);
    assert_eq!(first["attempt"], 1);
    assert_eq!(poll("0").await, json!([first]), "what it has not answered it gets again");

    let told = json_of(answer(&first["id"], json!({ "status": "delivered" })).await, StatusCode::OK).await;
    assert_eq!(
        (&told["status"], &told["late"], &told["repeated"]),
        (&json!("delivered"), &json!(false), &json!(false))
    );
    assert_eq!(poll("0").await, json!([]), "it has the one, and the other is for later");
    let executed = json!({ "status": "executed", "response": { "to": 0.5 } });
    let told = json_of(answer(&first["id"], executed.clone()).await, StatusCode::OK).await;
    assert_eq!(statuses(&told), ["pending", "sent", "delivered", "executed"]);
    let told = json_of(answer(&first["id"], executed).await, StatusCode::OK).await;
    assert_eq!((&told["repeated"], &told["late"]), (&json!(true), &json!(false)));

    // The answer to one that was called back meanwhile is kept.
    let second = poll("60s").await[0]["id"].clone();
    hub.request(Method::DELETE, &format!("/api/commands/{}", second.as_str().unwrap())).send().await.unwrap();
    let told = json_of(answer(&second, json!({ "status": "executed" })).await, StatusCode::OK).await;
    assert_eq!((&told["status"], &told["late"]), (&json!("canceled"), &json!(true)));
    assert_eq!(told["history"].as_array().unwrap().last().unwrap()["late"], true);

    register(&hub, "pump-2").await;
    for (device, id, body, status, named) in [
        (
            "pump-1",
            "01890a5d-ac96-774b-bcce-b302099a8057",
            json!({ "status": "executed" }),
            404,
            "command_not_found",
        ),
        ("pump-2", second.as_str().unwrap(), json!({ "status": "executed" }), 404, "command_not_found"),
        ("nobody", second.as_str().unwrap(), json!({ "status": "executed" }), 404, "device_not_found"),
        ("pump-1", second.as_str().unwrap(), json!({ "status": "done" }), 422, "bad_value"),
        ("pump-1", second.as_str().unwrap(), json!({ "statsu": "executed" }), 422, "unknown_field"),
    ] {
        let refused = hub.post(&format!("/api/devices/{device}/commands/{id}"), &body).await;
        assert_eq!(refused.status().as_u16(), status, "{device} {body}");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], named, "{device} {body}");
    }
    for (query, field) in
        [("wait=1s", "status"), ("status=failed&wait=1s", "status"), ("status=pending&wait=1h", "wait")]
    {
        let refused = hub.get(&format!("{COMMANDS}?{query}")).await;
        assert_eq!(json_of(refused, StatusCode::UNPROCESSABLE_ENTITY).await["field"], field, "{query}");
    }
}

#[tokio::test]
async fn a_device_that_hung_up_gets_it_with_its_next_poll() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let path = format!("{COMMANDS}?status=pending&wait=60s");
    let polls = async || {
        let status = hub.json("/api/devices/pump-1/status").await;
        (status["connection"]["via"] == "http poll").then_some(())
    };
    tokio::select! {
        _ = hub.get(&path) => panic!("there was nothing to do"),
        () = eventually("it waits", polls) => {} // and hangs up
    }
    let first = asked(&hub, &json!({ "command_type": "open" })).await;
    assert_eq!(hub.json(&path).await[0]["id"], first);
}

#[tokio::test]
async fn who_waits_is_let_go_when_the_hub_goes_down() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    register(&hub, "pump-2").await;
    let url = format!("http://{}/api/devices", hub.http);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let poll = client.get(format!("{url}/pump-1/commands?status=pending&wait=60s")).send();
    let order = client
        .post(format!("{url}/pump-2/commands?wait=60s"))
        .json(&json!({ "command_type": "open" }))
        .send();
    let (poll, order) = (tokio::spawn(poll), tokio::spawn(order));
    eventually("both wait", async || {
        let status = hub.json("/api/devices/pump-1/status").await;
        let commands = hub.json("/api/devices/pump-2/commands").await;
        (status["connection"]["connected"] == true && commands[0]["status"] == "pending").then_some(())
    })
    .await;
    assert!(hub.terminate().await.success());
    assert_eq!(json_of(poll.await.unwrap().unwrap(), StatusCode::OK).await, json!([]));
    let problem = json_of(order.await.unwrap().unwrap(), StatusCode::GATEWAY_TIMEOUT).await;
    assert_eq!(problem["code"], "command_not_finished");
}

#[tokio::test]
async fn a_device_that_polls_and_then_speaks_mqtt_is_published_to() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    hub.json(&format!("{COMMANDS}?status=pending&wait=0")).await;
    let waiting = asked(&hub, &json!({ "command_type": "open" })).await;
    assert_eq!(hub.json(COMMANDS).await[0]["status"], "pending", "nothing is published to who polls");
    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    assert_eq!(pump.next_command().await["id"], waiting);
    assert_eq!(hub.json("/api/devices/pump-1/status").await["connection"]["via"], "mqtt");
}

#[tokio::test]
async fn lists_come_in_pages_and_either_order() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(asked(&hub, &json!({ "command_type": format!("step-{n}") })).await);
    }
    let page = hub.get(&format!("{COMMANDS}?limit=2&page=2&order=asc")).await;
    assert_eq!(page.headers()["x-total-count"], "5");
    let link = page.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.contains(r#"page=3&limit=2>; rel="next""#) && link.contains("order=asc"), "{link}");
    let page: Value = page.json().await.unwrap();
    assert_eq!([&page[0]["id"], &page[1]["id"]], [&ids[2], &ids[3]]);
    let newest = hub.json("/api/commands?limit=2").await;
    assert_eq!([&newest[0]["id"], &newest[1]["id"]], [&ids[4], &ids[3]]);
    let created = newest[1]["created_at"].as_str().unwrap();
    let later = hub.json(&format!("{COMMANDS}?from={created}&order=asc&type=step-4")).await;
    assert_eq!((later.as_array().unwrap().len(), &later[0]["id"]), (1, &ids[4]));
    for (path, status, named) in [
        ("/api/commands?status=done", 422, "status"),
        ("/api/commands?colour=red", 422, "colour"),
        ("/api/commands?from=soon", 422, "from"),
        ("/api/commands?device=a/b", 422, "device_id"),
    ] {
        let refused = hub.get(path).await;
        assert_eq!(refused.status().as_u16(), status, "{path}");
        assert_eq!(refused.json::<Value>().await.unwrap()["field"], named, "{path}");
    }
    assert_eq!(hub.get("/api/commands?device=nobody").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/api/devices/nobody/commands").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_websocket_asks_and_hears_what_becomes_of_it() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let mut live = WebSocketSession::connect(hub.http).await;
    live.send(&json!({ "type": "subscribe", "id": "s", "kinds": ["command", "presence"] })).await;
    assert_eq!(next(&mut live).await["type"], "subscribed");

    let frame = json!({
        "type": "command", "id": "c1", "device_id": "pump-1", "command_type": "open", "parameters": { "to": 1 },
        "priority": 9, "ttl": "1h", "timeout": "20s", "max_attempts": 2, "supersedes": "valve", "idempotency_key": "k",
    });
    live.send(&frame).await;
    let (result, event) = two(&mut live).await;
    assert_eq!((&result["status"], &result["command_status"]), (&json!("accepted"), &json!("pending")));
    assert_eq!((&event["kind"], &event["data"]["status"]), (&json!("command"), &json!("pending")));
    assert_eq!(event["data"]["command_id"], result["command_id"]);
    assert_eq!(event["cause"]["source"], "websocket");
    live.send(&frame).await;
    let again = next(&mut live).await;
    assert_eq!((&again["command_id"], &again["repeated"]), (&result["command_id"], &json!(true)));

    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    // It gets the command as it subscribes, and says after that that it is there.
    assert_eq!(next(&mut live).await["data"]["status"], "sent");
    let came = next(&mut live).await;
    assert_eq!((&came["kind"], &came["data"]["status"]), (&json!("presence"), &json!("online")));
    let command = pump.next_command().await;
    pump.answer(&command, &json!({ "status": "failed", "reason": "stuck" })).await;
    let ended = next(&mut live).await;
    assert_eq!((&ended["data"]["status"], &ended["data"]["reason"]), (&json!("failed"), &json!("stuck")));
    pump.say("status", "offline").await;
    let went = next(&mut live).await;
    assert_eq!((&went["kind"], &went["data"]["status"]), (&json!("presence"), &json!("offline")));

    for (change, code, named) in [
        (json!({ "device_id": "nobody" }), "device_not_found", "nobody"),
        (json!({ "priority": 10 }), "bad_field", "`priority`"),
        (json!({ "colour": "red" }), "unknown_field", "`colour`"),
        (json!({ "command_type": "close" }), "idempotency_key_taken", "`k`"),
    ] {
        let mut frame = frame.clone();
        frame.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        live.send(&frame).await;
        let error = next(&mut live).await;
        assert_eq!(
            (&error["type"], &error["id"], &error["code"]),
            (&json!("error"), &json!("c1"), &json!(code))
        );
        assert!(error["error"].as_str().unwrap().contains(named), "{error}");
    }
}

/// Asks pump-1 for something; the command's id.
async fn asked(hub: &HubProcess, body: &Value) -> Value {
    json_of(hub.post(COMMANDS, body).await, StatusCode::ACCEPTED).await["id"].clone()
}

async fn json_of(response: Response, expected: StatusCode) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn statuses(command: &Value) -> Vec<&str> {
    command["history"].as_array().unwrap().iter().map(|line| line["status"].as_str().unwrap()).collect()
}

async fn next(live: &mut WebSocketSession) -> Value {
    within("a frame", live.next()).await.unwrap()
}

/// The next result and the next event, whichever comes first.
async fn two(live: &mut WebSocketSession) -> (Value, Value) {
    let (one, other) = (next(live).await, next(live).await);
    if one["type"] == "result" { (one, other) } else { (other, one) }
}
