//! Frames of WebSocket clients: texts, whole or in parts, of a megabyte at most. And those of the hub: all of a commit at
//! once.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::hub::Installation;
use crate::support::{HubProcess, WebSocketSession, within};

fn part(text: String, of: Data, is_last: bool) -> Message {
    Message::Frame(Frame::message(text.into_bytes(), OpCode::Data(of), is_last))
}

/// The close code that these messages are answered with.
async fn refused(hub: &HubProcess, messages: Vec<Message>) -> u16 {
    let mut client = WebSocketSession::connect(hub.http).await;
    for message in messages {
        client.send_raw(message).await;
    }
    client.closed().await.expect("a close frame").code.into()
}

#[tokio::test]
async fn a_text_may_come_in_parts() {
    let hub = Installation::new().start().await;
    let mut client = WebSocketSession::connect(hub.http).await;
    for id in ["a", "b"] {
        client.send_raw(part(r#"{"type": "#.into(), Data::Text, false)).await;
        client.send_raw(Message::Ping("are you there".into())).await;
        client.send_raw(part(r#""ping", "id": "#.into(), Data::Continue, false)).await;
        client.send_raw(part(format!(r#""{id}"}}"#), Data::Continue, true)).await;
        let answer = within("an answer", client.next()).await.unwrap();
        assert_eq!((&answer["type"], &answer["id"]), (&"pong".into(), &id.into()), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_text_or_too_long_ends_the_session() {
    const UNSUPPORTED: u16 = 1003;
    const TOO_LONG: u16 = 1009;
    let hub = Installation::new().start().await;
    let half = || " ".repeat(600 * 1024);
    assert_eq!(refused(&hub, vec![Message::binary("{}")]).await, UNSUPPORTED);
    assert_eq!(refused(&hub, vec![part("{".into(), Data::Binary, false)]).await, UNSUPPORTED);
    assert_eq!(refused(&hub, vec![Message::text(half() + &half())]).await, TOO_LONG);
    let parts = vec![part(half(), Data::Text, false), part(half(), Data::Continue, false)];
    assert_eq!(refused(&hub, parts).await, TOO_LONG);
}

/// The events of a commit are a frame each for clients that asked for no bundles, however they are written.
#[tokio::test]
async fn events_of_a_commit_are_a_frame_each() {
    const EVENTS: usize = 50;
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    let mut client = WebSocketSession::of_readings(hub.http, None).await;
    client.send(&json!({ "type": "ping", "id": "p" })).await;
    assert_eq!(client.next().await.unwrap()["type"], "pong"); // the first ping of the hub is read with it
    let readings: Vec<_> = (0..EVENTS).map(|n| json!({ "n": n })).collect();
    let stored = hub.post("/api/devices/a/data", &json!(readings)).await;
    assert_eq!(stored.status(), 201);
    let (mut bytes, mut frames) = (Vec::new(), 0);
    while frames < EVENTS {
        let more = client.read_once().await;
        assert!(!more.is_empty(), "{frames} of {EVENTS} came");
        bytes.extend(more);
        frames = bytes.windows(15).filter(|bytes| bytes == br#"{"type":"event""#).count();
    }
    assert_eq!(frames, EVENTS);
}

#[tokio::test]
async fn bundle_has_the_newest_readings_alone_and_leads_on() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    for n in 0..5 {
        hub.post("/api/devices/a/data", &json!({ "n": n, "m": 1 })).await;
    }
    let mut client = WebSocketSession::connect(hub.http).await;
    let subscribe = |id: &str, since: &serde_json::Value| {
        json!({ "type": "subscribe", "id": id, "kinds": ["telemetry"], "since": since, "every": "1m",
            "latest": true })
    };
    client.send(&subscribe("s", &json!(0))).await;
    assert_eq!(client.next().await.unwrap()["type"], "subscribed");
    let bundle = client.next().await.unwrap();
    assert_eq!((&bundle["type"], &bundle["sub"]), (&json!("events"), &json!(["s"])), "{bundle}");
    assert_eq!(bundle["events"].as_array().unwrap().len(), 1, "{bundle}");
    assert_eq!(bundle["events"][0]["data"], json!({ "m": 1, "n": 4 }));
    hub.post("/api/devices/a/data", &json!({ "n": 9 })).await;
    let mut other = WebSocketSession::connect(hub.http).await;
    other.send(&subscribe("o", &bundle["cursor"])).await;
    assert_eq!(other.next().await.unwrap()["type"], "subscribed");
    let rest = other.next().await.unwrap();
    assert_eq!(rest["events"][0]["data"], json!({ "n": 9 }), "{rest}");
    for wrong in [json!({ "every": "2m" }), json!({ "latest": true }), json!({ "since": "yesterday" })] {
        let mut frame = json!({ "type": "subscribe", "id": "w" });
        frame.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        client.send(&frame).await;
        let answer = client.next().await.unwrap();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_field")), "{answer}");
    }
}
