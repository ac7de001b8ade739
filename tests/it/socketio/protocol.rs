//! The protocol, packet by packet: the public conformance cases of Engine.IO 4 and Socket.IO 5, and the events.

use serde_json::Value;

use super::{BEGIN, EngineSocket, PolledSession, get, publish};
use crate::support::hub::Installation;
use crate::support::pump::register;

#[tokio::test]
async fn a_session_begins_by_a_poll_or_by_a_websocket() {
    let hub = Installation::new().start().await;
    let answer = get(hub.http, BEGIN, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=UTF-8")));
    let (first, rest) = answer.body.split_at(1);
    let open: Value = serde_json::from_str(rest).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let expected = format!(
        r#"{{"sid":"{sid}","upgrades":["websocket"],"pingTimeout":20000,"pingInterval":25000,"maxPayload":1000000}}"#
    );
    assert_eq!((first, rest), ("0", &*expected));

    let mut socket = EngineSocket::open(hub.http, "").await;
    let open: Value = serde_json::from_str(&socket.next().await.unwrap()[1..]).unwrap();
    assert_eq!(open["upgrades"], Value::Array(Vec::new()));
    assert_ne!(open["sid"].as_str(), Some(sid));
}

#[tokio::test]
async fn a_client_joins_and_gets_the_members_of_messages_as_they_came() {
    let hub = Installation::new().start().await;
    let session = PolledSession::begin(hub.http).await;
    publish(&hub, "early", r#"{"t":0}"#).await;
    assert_eq!(session.post("40").await.body, "OK");
    let joined = session.next().await;
    let name: Value = serde_json::from_str(joined.strip_prefix("40").unwrap()).unwrap();
    assert_ne!(name["sid"].as_str(), Some(&*session.sid), "it has another name in the namespace");
    let mut socket = EngineSocket::joined(hub.http).await;

    let told = async |payload: &str, expected: &str, socket: &mut EngineSocket| {
        publish(&hub, "test_device", payload).await;
        let expected = format!(r#"42["sensor_data",{{"device_id":"test_device",{expected}}}]"#);
        assert_eq!(session.next().await, expected);
        assert_eq!(socket.next().await.unwrap(), expected);
    };
    let as_it_came = r#""temperature":23.50,"humidity":55,"pressure":1013.25,"nested":{"a":[1.0,null]},"ok":true,"gone":null,"timestamp":"2026-11-29T12:00:00Z""#;
    told(&format!("{{{as_it_came}}}"), as_it_came, &mut socket).await;
    told("\u{feff}{ \"t\" : 1.10 }\0rest", r#""t":1.10"#, &mut socket).await;
    told(r#"{"device_id":"another","t":2,"devic\u0065_id":"x"}"#, r#""t":2"#, &mut socket).await;
    told(r#"{"id":7,"name":"n","status":"s"}"#, r#""id":7,"name":"n","status":"s""#, &mut socket).await;
    told(r#"[{"t":3,"message_id":"a"}]"#, r#""t":3"#, &mut socket).await;
}

#[tokio::test]
async fn readings_of_every_door_are_events() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let mut socket = EngineSocket::joined(hub.http).await;
    let body = serde_json::json!({ "temperature": 4.5, "motor": { "rpm": 7 } });
    assert!(hub.post("/api/devices/pump-1/data", &body).await.status().is_success());
    let told = socket.next().await.unwrap();
    assert!(told.starts_with(r#"42["sensor_data",{"device_id":"pump-1","#), "{told}");
    let told: Value = serde_json::from_str(&told[2..]).unwrap();
    assert_eq!((&told[1]["temperature"], &told[1]["motor"]["rpm"]), (&4.5.into(), &7.into()), "{told}");
}

#[tokio::test]
async fn two_polls_of_one_session_may_hang() {
    let hub = Installation::new().start().await;
    let session = PolledSession::joined(hub.http).await;
    let (one, other) = (session.poll(), session.poll());
    let publishing = async {
        publish(&hub, "a", r#"{"n":1}"#).await;
        publish(&hub, "a", r#"{"n":2}"#).await;
    };
    let (one, other, ()) = tokio::join!(one, other, publishing);
    let mut told = [one.body, other.body].join("\u{1e}");
    if !told.contains("\"n\":2") {
        told.push_str(&session.next().await);
    }
    for n in [1, 2] {
        assert_eq!(told.matches(&format!("\"n\":{n}")).count(), 1, "{told}");
    }
}

#[tokio::test]
async fn namespaces_that_are_none_are_refused_and_the_connection_stays() {
    let hub = Installation::new().start().await;
    let mut socket = EngineSocket::open(hub.http, "").await;
    socket.next().await.unwrap();
    socket.send("40/x,").await;
    assert_eq!(socket.next().await.unwrap(), r#"44/x,"Unable to connect""#);
    socket.send("40").await;
    assert!(socket.next().await.unwrap().starts_with("40{"));
    socket.send(r#"42["anything",{"a":1}]"#).await;
    socket.send(r#"4217["anything"]"#).await;
    socket.send(r#"451-["bytes",{"_placeholder":true,"num":0}]"#).await;
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert!(socket.next().await.unwrap().starts_with("42[\"sensor_data\""), "events are not answered");
    socket.send("41").await;
    socket.send("40/y,").await;
    assert_eq!(socket.next().await.unwrap(), r#"44/y,"Unable to connect""#);
    publish(&hub, "a", r#"{"n":2}"#).await;
    socket.send("40").await;
    assert!(socket.next().await.unwrap().starts_with("40{"), "it has left, and may come back");
    publish(&hub, "a", r#"{"n":3}"#).await;
    assert!(socket.next().await.unwrap().contains("\"n\":3"));
}

#[tokio::test]
async fn sessions_end_by_the_clients_word_and_by_what_is_no_packet() {
    let hub = Installation::new().start().await;
    let session = PolledSession::begin(hub.http).await;
    let (polled, posted) = tokio::join!(session.poll(), session.post("1"));
    assert_eq!((posted.status, &*posted.body), (200, "OK"));
    if polled.status == 200 {
        assert_eq!(polled.body, "6");
    }
    assert_eq!(session.poll().await.status, 400);

    for wrong in ["abc", "4", "4abc", "42{}", "40[]"] {
        let session = PolledSession::begin(hub.http).await;
        assert_eq!((session.post(wrong).await.status, wrong), (400, wrong));
        assert_eq!((session.poll().await.status, wrong), (400, wrong));
        let mut socket = EngineSocket::open(hub.http, "").await;
        socket.next().await.unwrap();
        socket.send(wrong).await;
        assert_eq!(socket.next().await, None, "{wrong}");
    }
    let mut socket = EngineSocket::joined(hub.http).await;
    socket.send("1").await;
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn the_hub_says_that_it_shuts_down() {
    let hub = Installation::new().start().await;
    let mut socket = EngineSocket::joined(hub.http).await;
    let session = PolledSession::joined(hub.http).await;
    let polled = tokio::spawn(async move { session.poll().await.body });
    // The poll has to have come.
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert!(socket.next().await.unwrap().contains("\"n\":1"));
    assert!(polled.await.unwrap().contains("\"n\":1"));
    assert!(hub.terminate().await.success());
    assert_eq!(socket.next().await.as_deref(), Some("1"));
    assert_eq!(socket.next().await, None);
}
