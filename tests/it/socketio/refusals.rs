//! Refusals, word by word, and the bounds of strangers.

use super::{BEGIN, EngineSocket, PolledSession, get, post, publish, request};
use crate::support::hub::Installation;

const VERSION: &str =
    "\"The client is using an unsupported version of the Socket.IO or Engine.IO protocols\"";

#[tokio::test]
async fn requests_are_refused_in_words_that_clients_know() {
    let hub = Installation::new().start().await;
    let check = async |method: &str, query: &str, expected: &str| {
        let answer = request(hub.http, method, &format!("/socket.io/?{query}"), &[], "").await;
        assert_eq!((answer.status, &*answer.body), (400, expected), "{method} {query}");
    };
    for query in [
        "EIO=3&transport=polling",
        "transport=polling",
        "EIO=abc&transport=polling",
        "EIO=3&transport=websocket",
    ] {
        check("GET", query, VERSION).await;
    }
    check("GET", "EIO=4&transport=abc", "\"Invalid transport\"").await;
    check("GET", "EIO=4&transport=websocket", "\"Invalid websocket upgrade\"").await;
    check("GET", "EIO=4&transport=polling&sid=nobody", "\"Invalid session nobody\"").await;
    check("POST", "EIO=4&transport=polling&sid=nobody", "\"Invalid session nobody\"").await;
    check("POST", "EIO=4&transport=polling", "\"Invalid session None\"").await;
    assert_eq!(get(hub.http, "/socket.io?EIO=4&transport=polling", &[]).await.status, 404);
    assert_eq!(request(hub.http, "PUT", BEGIN, &[], "").await.status, 405);
    let session = PolledSession::begin(hub.http).await;
    let target = session.target().replace("polling", "websocket");
    let answer = get(hub.http, &target, &[]).await;
    assert_eq!((answer.status, &*answer.body), (400, "\"Invalid transport\""));
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_listed() {
    const LISTED: &str = "http://localhost:5173";
    let hub = Installation::new().with("--cors", LISTED).start().await;
    let own = format!("http://{}", hub.http);
    let origin = |origin: &str| format!("Origin: {origin}");
    for target in [BEGIN, "/socket.io/?EIO=3"] {
        let foreign = get(hub.http, target, &[&origin("http://evil.example")]).await;
        assert_eq!((foreign.status, &*foreign.body), (400, "\"Not an accepted origin.\""));
        assert_eq!(foreign.header("access-control-allow-origin"), None);
        assert_eq!(foreign.header("access-control-allow-credentials"), None);
    }
    let foreign = get(hub.http, BEGIN, &["Sec-Fetch-Site: cross-site"]).await;
    assert_eq!((foreign.status, &*foreign.body), (400, "\"Not an accepted origin.\""));
    let listed = get(hub.http, BEGIN, &[&origin(LISTED)]).await;
    assert_eq!(listed.status, 200);
    assert_eq!(listed.header("access-control-allow-origin"), Some(LISTED));
    assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(get(hub.http, BEGIN, &[&origin(&own)]).await.status, 200);

    let plain = request(hub.http, "OPTIONS", "/socket.io/", &[], "").await;
    assert_eq!((plain.status, &*plain.body), (200, "OK"));
    assert_eq!(plain.header("access-control-allow-methods"), Some("OPTIONS, GET, POST"));
    let headers =
        [&*origin(LISTED), "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-own"];
    let preflight = request(hub.http, "OPTIONS", "/socket.io/", &headers, "").await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(LISTED));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
}

#[tokio::test]
async fn strangers_send_little() {
    let hub = Installation::new().start().await;
    let long = format!("42[\"x\",\"{}\"]", "y".repeat(16_384));
    let session = PolledSession::begin(hub.http).await;
    let answer = session.post(&long).await;
    assert_eq!((answer.status, &*answer.body), (400, "\"Bad Request: a payload has 16384 bytes at most\""));
    assert_eq!(session.poll().await.status, 400, "the session has ended");
    let mut socket = EngineSocket::open(hub.http, "").await;
    socket.next().await.unwrap();
    socket.send(&long).await;
    assert_eq!(socket.next().await, None);

    let session = PolledSession::joined(hub.http).await;
    assert_eq!(session.post(&long).await.status, 200, "who has joined sends more");
    let answer = session.post(&format!("42[\"x\",\"{}\"]", "y".repeat(1_000_000))).await;
    assert_eq!(answer.status, 400);
    let mut socket = EngineSocket::joined(hub.http).await;
    socket.send(&long).await;
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert!(socket.next().await.unwrap().contains("\"n\":1"));
}

/// Each session takes room for as long as it has not joined: so there are not more of them than of connections.
#[tokio::test]
async fn sessions_are_bounded() {
    let hub = Installation::new().with("--http-connections", "64").start().await;
    let mut begun = 0;
    let refused = loop {
        let answer = get(hub.http, BEGIN, &["Connection: close"]).await;
        if answer.status != 200 {
            break answer;
        }
        begun += 1;
        assert!(begun <= 64, "there is no limit");
    };
    assert_eq!((begun, refused.status), (56, 503), "{}", refused.body);
    let unknown = post(hub.http, &format!("{BEGIN}&sid=x"), "40").await;
    assert_eq!(unknown.status, 400, "and others are answered");
}
