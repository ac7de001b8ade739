//! Cursors of people with a part of the devices: they resume by them, and learn nothing of how much happens in all.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{TwoPeople, done, refused};
use crate::support::{WebSocketSession, within};

/// True where a member of this name stands anywhere in it.
fn has_member(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| key == name || has_member(value, name)),
        Value::Array(items) => items.iter().any(|item| has_member(item, name)),
        _ => false,
    }
}

async fn stream(people: &TwoPeople, query: &str, last: Option<&str>) -> Response {
    let path = format!("/api/events{query}");
    let mut request =
        people.alpha.request(&people.hub, Method::GET, &path).header("Accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

async fn until(stream: &mut Response, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let chunk = within(end, stream.chunk()).await.unwrap().expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

#[tokio::test]
async fn tell_no_number_and_lead_on() {
    let people = TwoPeople::start().await;
    let (hub, admin, alpha) = (&people.hub, &people.admin, &people.alpha);
    let path = "/api/devices/alpha-pump/data";
    let stored = done(hub, alpha, Method::POST, path, &json!({ "n": 1 })).await;
    assert!(stored["seq"].is_null() && stored["cursor"].is_string(), "{stored}");
    let all = done(hub, admin, Method::POST, path, &json!({ "n": 2 })).await;
    assert!(all["seq"].is_u64() && all["cursor"].is_string(), "who sees all sees it: {all}");

    let events = alpha.json(hub, "/api/events?since=0&limit=1000").await;
    let listed = events.as_array().unwrap();
    assert!(!has_member(&events, "seq"), "{events}");
    let readings = alpha.json(hub, &format!("{path}?limit=10")).await;
    assert!(!readings.as_array().unwrap().is_empty() && !has_member(&readings, "seq"), "{readings}");

    // Each leads to all that came after it.
    for (at, event) in listed.iter().enumerate() {
        let cursor = event["cursor"].as_str().unwrap();
        let rest = alpha.json(hub, &format!("/api/events?limit=1000&since={cursor}")).await;
        assert_eq!(rest.as_array().unwrap().len(), listed.len() - at - 1, "{event}");
        let before = alpha.json(hub, &format!("/api/events?limit=1000&before={cursor}")).await;
        assert_eq!(before.as_array().unwrap().len(), at, "{event}");
    }
    let after_first = alpha.json(hub, &format!("{path}?limit=1")).await;
    assert_eq!(after_first[0]["value"], 2);
    let since = stored["cursor"].as_str().unwrap();
    let rest = alpha.json(hub, &format!("/api/events?since={since}")).await;
    assert_eq!(rest.as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest[0]["data"], json!({ "n": 2 }));

    // A number would tell, by what comes after it, where one's own events stand.
    for (name, place) in [("since", "3"), ("before", "3"), ("since", all["cursor"].as_str().unwrap())] {
        let path = format!("/api/events?{name}={place}");
        let (status, code, said) = refused(hub, alpha, Method::GET, &path, &json!({})).await;
        assert_eq!((status, &*code), (422, "bad_parameter"), "{said}");
        assert!(said.contains("hand back a `cursor`"), "{said}");
        assert_eq!(admin.send(hub, Method::GET, &path, &json!({})).await.status(), 200);
    }
}

#[tokio::test]
async fn stream_resumes_by_them_and_begins_anew_by_a_number() {
    let people = TwoPeople::start().await;
    let mut all = stream(&people, "?since=0&kind=telemetry", None).await;
    let path = "/api/devices/alpha-pump/data";
    for n in 1..=3 {
        done(&people.hub, &people.admin, Method::POST, path, &json!({ "n": n })).await;
    }
    let told = until(&mut all, r#"{"n":3}"#).await;
    assert!(!told.contains("seq"), "{told}");
    let first = told.split("\n\n").find(|message| message.contains(r#"{"n":1}"#)).unwrap();
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let rest = until(&mut stream(&people, "?since=0&kind=telemetry", Some(id)).await, r#"{"n":3}"#).await;
    assert!(rest.contains(r#"{"n":2}"#) && !rest.contains(r#"{"n":1}"#), "{rest}");
    for last in ["3", "AQM"] {
        let mut anew = stream(&people, "?kind=telemetry", Some(last)).await;
        let told = until(&mut anew, "resync").await;
        assert!(told.contains("id: ") && !told.contains("seq"), "{told}");
    }
}

#[tokio::test]
async fn lead_on_over_a_websocket() {
    let people = TwoPeople::start().await;
    let path = "/api/devices/alpha-pump/data";
    let first = done(&people.hub, &people.alpha, Method::POST, path, &json!({ "n": 1 })).await;
    for (device, n) in [("alpha-pump", 2), ("beta-pump", 8), ("alpha-pump", 3)] {
        let path = format!("/api/devices/{device}/data");
        done(&people.hub, &people.admin, Method::POST, &path, &json!({ "n": n })).await;
    }
    let mut live = WebSocketSession::connect_as(people.hub.http, &people.alpha.cookie).await;
    live.send(&json!({ "type": "subscribe", "id": "s", "kinds": ["telemetry"], "since": first["cursor"] }))
        .await;
    for expected in [None, Some(2), Some(3)] {
        let frame = live.next().await.unwrap();
        assert!(!has_member(&frame, "seq"), "{frame}");
        match expected {
            None => assert_eq!(frame["type"], "subscribed"),
            Some(n) => {
                assert_eq!((&frame["data"]["n"], frame["cursor"].is_string()), (&json!(n), true), "{frame}");
            }
        }
    }
    // A number of the whole hub begins anew.
    live.send(&json!({ "type": "subscribe", "id": "n", "kinds": ["telemetry"], "since": 3 })).await;
    let frames = [live.next().await.unwrap(), live.next().await.unwrap()];
    assert!(frames.iter().any(|frame| frame["type"] == "resync"), "{frames:?}");
    assert!(!frames.iter().any(|frame| has_member(frame, "seq")), "{frames:?}");
}

#[tokio::test]
async fn are_all_that_a_backtest_has() {
    let people = TwoPeople::start().await;
    let path = "/api/devices/alpha-pump/data";
    done(&people.hub, &people.alpha, Method::POST, path, &json!({ "n": 1 })).await;
    let rule = json!({ "triggers": [{ "numeric": "alpha-pump.n", "above": 0 }],
        "actions": [{ "desired": "alpha-pump", "set": { "fan": "on" } }] });
    let backtest = json!({ "rule": rule });
    for (person, has_seq) in [(&people.alpha, false), (&people.admin, true)] {
        let found = done(&people.hub, person, Method::POST, "/api/automation/backtest", &backtest).await;
        assert_eq!(found["counts"], json!({ "done": 1 }), "{found}");
        assert_eq!(found["runs"][0]["trigger"]["seq"].is_u64(), has_seq, "{found}");
    }
}
