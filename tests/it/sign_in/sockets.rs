//! Open connections end with the rights by which they were opened.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person};
use crate::support::pump::register;
use crate::support::{WebSocketSession, within};

/// Far more than a second of the hub's, on a machine that is busy with other tests.
const SOON: std::time::Duration = std::time::Duration::from_secs(10);

/// A session over WebSocket with these headers in its handshake.
async fn open(hub: &HubProcess, headers: &[(&'static str, String)]) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{}/api/ws", hub.http).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(hub.http).await.unwrap();
    within("a WebSocket", client_async(request, stream)).await.unwrap().0
}

async fn of(hub: &HubProcess, person: &Person) -> WebSocketStream<TcpStream> {
    let origin = format!("http://{}", hub.http);
    let mut socket = open(hub, &[("cookie", person.cookie.clone()), ("origin", origin)]).await;
    assert_eq!(next(&mut socket).await["type"], "hello");
    socket
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        match within("a frame", socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code by which the hub closes.
async fn closed(mut socket: WebSocketStream<TcpStream>) -> u16 {
    let closed = async {
        loop {
            match socket.next().await.expect("a close frame").unwrap() {
                Message::Close(Some(CloseFrame { code, .. })) => return code.into(),
                Message::Text(_) | Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(SOON, closed).await.expect("it is closed soon")
}

#[tokio::test]
async fn a_socket_ends_with_its_session_its_key_and_its_role() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;

    let socket = of(&hub, &bob).await;
    assert_eq!(bob.send(&hub, Method::POST, "/api/auth/logout", &json!({})).await.status(), 204);
    assert_eq!(closed(socket).await, 4401, "signed out");

    let bob = Person::sign_in(&hub, "bob").await;
    let socket = of(&hub, &bob).await;
    let narrower = json!({ "role": "viewer" });
    assert_eq!(ann.send(&hub, Method::PATCH, "/api/users/bob", &narrower).await.status(), 200);
    assert_eq!(closed(socket).await, 4403, "another role");
    let socket = of(&hub, &bob).await;

    let (secret, id) = ann.make_key(&hub, "viewer").await;
    let mut by_key = open(&hub, &[("authorization", format!("Bearer {secret}"))]).await;
    assert_eq!(next(&mut by_key).await["type"], "hello");
    let path = format!("/api/auth/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    assert_eq!(closed(by_key).await, 4401, "revoked");

    assert_eq!(ann.request(&hub, Method::DELETE, "/api/users/bob").send().await.unwrap().status(), 200);
    assert_eq!(closed(socket).await, 4401, "removed");
}

#[tokio::test]
async fn who_can_send_no_header_says_in_the_first_frame_who_they_are() {
    let hub = Installation::new().start().await;
    let mut before = WebSocketSession::connect(hub.http).await;
    let ann = Person::first(&hub, "ann").await;
    // The open mode has ended, and what was open by it.
    before.send(&json!({ "type": "ping", "id": "p" })).await;
    assert_eq!(before.closed().await.map(|frame| u16::from(frame.code)), Some(4401));

    let (secret, id) = ann.make_key(&hub, "viewer").await;
    let say = async |frame: Value| {
        let mut socket = open(&hub, &[]).await;
        socket.send(Message::text(frame.to_string())).await.unwrap();
        socket
    };
    let mut socket = say(json!({ "type": "auth", "token": secret })).await;
    assert_eq!(next(&mut socket).await["type"], "hello");
    socket
        .send(Message::text(json!({ "type": "auth", "id": "x", "token": secret }).to_string()))
        .await
        .unwrap();
    let again = next(&mut socket).await;
    assert_eq!((&again["id"], &again["code"]), (&json!("x"), &json!("signed_in")));
    for wrong in [
        json!({ "type": "auth", "token": "twh_pat_x" }),
        json!({ "type": "subscribe", "id": "s" }),
        json!({ "type": "desired", "device_id": "a", "patch": {} }),
    ] {
        assert_eq!(closed(say(wrong.clone()).await).await, 4401, "{wrong}");
    }
    let path = format!("/api/auth/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    assert_eq!(closed(socket).await, 4401, "revoked");
}

#[tokio::test]
async fn a_handshake_with_a_cookie_comes_from_our_page_and_one_that_has_ended_is_refused() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let handshake = async |headers: &[(&'static str, &str)]| {
        let mut request = format!("ws://{}/api/ws", hub.http).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(hub.http).await.unwrap();
        match within("an answer", client_async(request, stream)).await {
            Ok(_) => 101,
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    let origin = format!("http://{}", hub.http);
    assert_eq!(handshake(&[("cookie", &ann.cookie)]).await, 403, "it names no page");
    assert_eq!(handshake(&[("cookie", &ann.cookie), ("origin", "http://evil.example")]).await, 403);
    assert_eq!(handshake(&[("cookie", &ann.cookie), ("origin", &origin)]).await, 101);
    let key = [("authorization", "Bearer twh_pat_x")];
    assert_eq!(handshake(&key).await, 401);
    ann.send(&hub, Method::POST, "/api/auth/logout", &json!({})).await;
    assert_eq!(handshake(&[("cookie", &ann.cookie), ("origin", &origin)]).await, 401);
}

#[tokio::test]
async fn streams_and_requests_that_wait_end_too() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let stream = async |path: &str| {
        let request = bob.request(&hub, Method::GET, path).header("Accept", "text/event-stream");
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200, "{path}");
        assert!(within("it is open", stream.chunk()).await.unwrap().is_some());
        stream
    };
    let streams = [stream("/api/events").await, stream("/stream/dispositivos").await];
    let wait = "/api/devices/pump-1/commands?status=pending&w%61it=60s"; // however it is written
    let waiting = bob.request(&hub, Method::GET, wait).header("Sec-Fetch-Site", "same-origin").send();
    let waiting = tokio::spawn(waiting);
    // It waits: a poll shows that the device is there.
    crate::support::eventually("the poll has begun", async || {
        let device = ann.json(&hub, "/api/devices/pump-1").await;
        (device["status"] == "online").then_some(())
    })
    .await;
    let set = json!({ "password": format!("{PASSWORD} again") });
    assert_eq!(ann.send(&hub, Method::PUT, "/api/users/bob/password", &set).await.status(), 204);
    for mut stream in streams {
        let ended = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(SOON, ended).await.expect("the stream ends");
    }
    let answer = tokio::time::timeout(SOON, waiting).await.expect("it waits no more").unwrap().unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn the_audit_comes_to_admins_alone() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let mut of_ann = of(&hub, &ann).await;
    let watch = Message::text(r#"{"type":"watch_audit","id":"a"}"#);
    of_ann.send(watch.clone()).await.unwrap();
    assert_eq!(next(&mut of_ann).await["type"], "subscribed");
    let mut of_bob = of(&hub, &bob).await;
    of_bob.send(watch).await.unwrap();
    let refused = next(&mut of_bob).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("forbidden")));
    let group = json!({ "id": "g", "name": "G" });
    assert_eq!(bob.send(&hub, Method::POST, "/api/groups", &group).await.status(), 201);
    assert_eq!(bob.request(&hub, Method::DELETE, "/api/groups/g").send().await.unwrap().status(), 200);
    let told = next(&mut of_ann).await;
    assert_eq!((&told["entry"]["who"], &told["entry"]["target"]), (&json!("user:bob"), &json!("group:g")));
    // With the role goes the audit.
    let carl = ann.add(&hub, "carl", "admin").await;
    let narrower = json!({ "role": "operator" });
    assert_eq!(carl.send(&hub, Method::PATCH, "/api/users/ann", &narrower).await.status(), 200);
    assert_eq!(closed(of_ann).await, 4403);
}
