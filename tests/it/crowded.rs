//! More connections than there are file handles for: idle connections are closed, and no client is locked out.

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::firmware::images;
use crate::support::http::{KeptConnection, ask};
use crate::support::hub::Installation;
use crate::support::people::Person;
use crate::support::{HubProcess, MqttDevice, WebSocketSession, eventually, within};

/// A request for a live session.
const WEBSOCKET: [&str; 6] = [
    "GET /api/ws HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Connections that have asked something and are kept for more.
async fn idle(hub: &HubProcess, count: usize) -> Vec<KeptConnection> {
    let ready = |_| async {
        let mut connection = KeptConnection::open(hub.http).await;
        let answer = connection.ask(&["GET /ready HTTP/1.1", "Host: localhost"], "").await;
        assert_eq!(answer.expect("an answer").status, 200);
        connection
    };
    within("all are answered", join_all((0..count).map(ready))).await
}

/// Requests by a new connection are answered, and devices are acknowledged.
async fn serves_everybody(hub: &HubProcess) {
    let mut connection = KeptConnection::open(hub.http).await;
    let answer = connection.ask(&["GET /health HTTP/1.1", "Host: localhost"], "").await;
    assert_eq!(answer.expect("an answer").status, 200);
    for name in ["a", "b", "c"] {
        let mut device = within("MQTT", MqttDevice::connect(hub.mqtt.unwrap(), name)).await.unwrap();
        device.say(&format!("iot/devices/{name}/data"), r#"{"temperature": 21.5}"#).await;
    }
}

/// This process holds the other ends.
fn enough_handles() {
    rlimit::increase_nofile_limit(4_096).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_lock_nobody_out_where_a_shell_gives_few_handles() {
    enough_handles();
    let hub = Installation::new().limited("ulimit -Sn 1024").start().await;
    let mut idle = idle(&hub, 520).await;
    serves_everybody(&hub).await;
    let still = idle[0].ask(&["GET /ready HTTP/1.1", "Host: localhost"], "").await;
    assert_eq!(still.map(|answer| answer.status), Some(200), "the limit was raised: nobody had to go");
    assert_eq!(hub.metric("twinhub_http_connections_closed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_go_where_there_are_no_more_handles() {
    enough_handles();
    let hub = Installation::new().limited("ulimit -n 700").start().await;
    let most = hub.json("/health").await["parts"]["http"]["most_connections"].as_u64().unwrap();
    assert!(most < 300, "{most}");
    let _first = idle(&hub, 300).await;
    let _second = idle(&hub, 300).await;
    serves_everybody(&hub).await;
    eventually("idle ones are closed until there is room", async || {
        let closed = hub.metric("twinhub_http_connections_closed_total").await;
        let there = hub.metric("twinhub_http_connections").await;
        (closed > 0 && there < most).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_not_idle_while_it_is_crowded() {
    enough_handles();
    let hub = Installation::new().with("--http-connections", "16").start().await;
    // More than lies in all buffers between the hub and a client that has not begun to read.
    let size = 24 << 20;
    let (status, image) = images::upload(&hub, "version=1&model=P", vec![7; size]).await;
    assert_eq!(status.as_u16(), 201, "{image}");
    let mut download = TcpStream::connect(hub.http).await.unwrap();
    let path = format!("/api/firmware/{}/file", image["id"].as_str().unwrap());
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    download.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    within("it begins", download.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");

    let _idle = idle(&hub, 15).await;
    eventually("others that are idle are closed", async || {
        (hub.metric("twinhub_http_connections_closed_total").await > 1).then_some(())
    })
    .await;
    let mut rest = Vec::new();
    within("it comes whole", download.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() >= size, "{} of {size} bytes", rest.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_leave_room_for_requests() {
    enough_handles();
    let hub = Installation::new().with("--http-connections", "64").start().await;
    let mut sessions = Vec::new();
    let refused = loop {
        let mut connection = KeptConnection::open(hub.http).await;
        let answer = connection.ask(&WEBSOCKET, "").await.expect("an answer");
        if answer.status != 101 {
            break answer;
        }
        sessions.push(connection);
        assert!(sessions.len() <= 64);
    };
    assert_eq!((refused.status, &*refused.code()), (503, "too_many_connections"));
    assert_eq!(sessions.len(), 56, "an eighth is for requests");
    let stream = ["GET /api/events HTTP/1.1", "Host: localhost", "Accept: text/event-stream"];
    let answer = KeptConnection::open(hub.http).await.ask(&stream, "").await.expect("an answer");
    assert_eq!(answer.status, 503);

    let _idle = idle(&hub, 100).await;
    serves_everybody(&hub).await;
    for session in &mut sessions {
        assert!(session.is_open(), "a session is not idle");
    }
    drop(sessions);
    eventually("the sessions have gone", async || {
        (hub.metric("twinhub_subscribers").await == 0).then_some(())
    })
    .await;
    let mut subscriber = WebSocketSession::of_readings(hub.http, None).await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    device.say("iot/devices/d/data", r#"{"temperature": 21.5}"#).await;
    assert!(within("an event", subscriber.next()).await.is_some());
}

/// The websockets and bodies that a hub for sixteen connections has at once: it closes none of them for others.
async fn at_work(hub: &HubProcess) -> Vec<KeptConnection> {
    // The tests' own client keeps no connection, which would be one of the sixteen. It may have several from the
    // start, one for each request that began before the connection of the one before was free again.
    eventually("none is left", async || {
        let last = hub.request(reqwest::Method::GET, "/ready").header("Connection", "close");
        assert_eq!(last.send().await.unwrap().status(), 200);
        (metric(hub, "twinhub_http_connections").await == 1).then_some(())
    })
    .await;
    let body = [
        "POST /api/devices HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Content-Length: 100",
        "Expect: 100-continue",
    ];
    let mut connections = Vec::new();
    for (count, request, status) in [(14, &WEBSOCKET[..], 101), (2, &body[..], 100)] {
        for _ in 0..count {
            let mut connection = KeptConnection::open(hub.http).await;
            assert_eq!(connection.ask(request, "").await.expect("an answer").status, status);
            connections.push(connection);
        }
    }
    connections
}

/// A number from `/metrics`, by a connection that is closed then.
async fn metric(hub: &HubProcess, name: &str) -> u64 {
    let answer = ask(hub.http, &["GET /metrics HTTP/1.1", "Host: localhost", "Connection: close"], "").await;
    let value = answer.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{}", answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_so_and_closed() {
    let hub = Installation::new().with("--http-connections", "16").start().await;
    let mut at_work = at_work(&hub).await;
    let list = ["GET /api/devices HTTP/1.1", "Host: localhost"];
    let refused = metric(&hub, "twinhub_http_connections_refused_total").await;
    for (path, status, code) in [
        ("/api/devices", 503, "too_many_connections"),
        ("/docs/", 503, "too_many_connections"),
        ("/no-such-route", 503, "too_many_connections"),
        ("/health", 200, ""),
        ("/ready", 200, ""),
    ] {
        let mut connection = KeptConnection::open(hub.http).await;
        let line = format!("GET {path} HTTP/1.1");
        let answer = connection.ask(&[&line, "Host: localhost"], "").await.expect("an answer");
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path}: {}", answer.body);
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
        assert!(connection.ask(&list, "").await.is_none(), "{path}: it is closed");
    }
    assert_eq!(metric(&hub, "twinhub_http_connections_refused_total").await, refused + 3);
    for connection in &at_work {
        assert!(connection.is_open(), "those that were there stay");
    }

    at_work.truncate(12);
    eventually("there is room again", async || {
        let mut connection = KeptConnection::open(hub.http).await;
        let served = connection.ask(&list, "").await?.status == 200;
        (served && connection.ask(&list, "").await?.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_places_are_kept_for_those_who_have_signed_in() {
    enough_handles();
    let hub = Installation::new().with("--http-connections", "80").start().await;
    let ann = Person::first(&hub, "ann").await;
    let (key, _) = ann.make_key(&hub, "viewer").await;
    // Requests of strangers that are under way, which nobody closes for being idle: the hub waits for the rest.
    let mut crowd = Vec::new();
    for _ in 0..72 {
        let mut connection = KeptConnection::open(hub.http).await;
        let lines = [
            "POST /api/auth/login HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            "Content-Length: 100",
            "Expect: 100-continue",
        ];
        assert_eq!(connection.ask(&lines, "").await.expect("an answer").status, 100);
        crowd.push(connection);
    }
    let asks = async |path: &str, credential: Option<&str>| {
        let line = format!("GET {path} HTTP/1.1");
        let lines = [&*line, "Host: localhost"].into_iter().chain(credential).collect::<Vec<_>>();
        let answer = KeptConnection::open(hub.http).await.ask(&lines, "").await.expect("an answer");
        (answer.status, answer.code())
    };
    let full = (503, "too_many_connections".to_owned());
    for path in ["/login", "/api/devices"] {
        assert_eq!(asks(path, None).await, full, "{path}");
    }
    let (cookie, bearer) = (format!("Cookie: {}", ann.cookie), format!("Authorization: Bearer {key}"));
    for credential in [&cookie, &bearer] {
        assert_eq!(asks("/api/devices", Some(credential)).await.0, 200);
    }
    let wrong = bearer.replace("twh_pat_", "twh_pat_0");
    assert_ne!(asks("/api/devices", Some(&wrong)).await.0, 200, "a credential is one that counts");
    assert_eq!(asks("/health", None).await.0, 200, "monitoring works above all");
    drop(crowd);
    eventually("strangers are served again", async || (asks("/login", None).await.0 == 200).then_some(()))
        .await;
}
