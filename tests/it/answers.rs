//! Headers of every response, and requests that are refused on every route: compressed bodies, malformed ones.

use crate::support::http::{KeptConnection, ask};
use crate::support::hub::Installation;
use crate::support::pump::register;

#[tokio::test]
async fn compressed_bodies_are_refused_on_every_route_that_takes_one() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let host = format!("Host: {}", hub.http);
    for line in [
        "POST /api/devices",
        "PUT /api/devices/pump-1",
        "PATCH /api/devices/pump-1/twin",
        "POST /api/devices/pump-1/data",
        "POST /api/devices/pump-1/commands",
        "POST /api/devices/import",
        "POST /api/groups/import",
        "POST /api/templates/import",
        "POST /api/devices/bulk",
        "POST /api/firmware/upload?version=1.0.0&model=P1",
        "POST /api/automation/check",
        "POST /api/automation/webhooks/door",
        "POST /dispositivos",
        "PUT /dispositivos/1",
        "POST /dispositivos/reclamar",
    ] {
        for coding in ["gzip", "br", "identity, deflate"] {
            let (line, coding) = (format!("{line} HTTP/1.1"), format!("Content-Encoding: {coding}"));
            let lines = [&*line, &host, "Content-Type: application/json", &coding];
            let answer = ask(hub.http, &lines, "not what it says").await;
            assert_eq!(
                (answer.status, &*answer.code()),
                (415, "unsupported_content_encoding"),
                "{line} {coding}: {answer:?}"
            );
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
    }
    let lines = ["POST /api/devices/pump-1/data HTTP/1.1", &host, "Content-Encoding: identity"];
    assert_eq!(ask(hub.http, &lines, r#"{"flow": 1}"#).await.status, 201);
}

#[tokio::test]
async fn every_response_carries_security_headers() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let host = format!("Host: {}", hub.http);
    let cases = [
        ("GET /", &*host, 200, "no-cache"),
        ("GET /assets/app.js", &host, 200, "no-cache"),
        ("GET /docs/", &host, 200, "no-cache"),
        ("GET /docs", &host, 308, "no-store"),
        ("GET /api/devices/pump-1", &host, 200, "no-store"),
        ("HEAD /api/devices", &host, 200, "no-store"),
        ("GET /api/devices/export", &host, 200, "no-store"),
        ("GET /api/openapi.json", &host, 200, "no-store"),
        ("GET /dispositivos", &host, 200, "no-store"),
        ("GET /metrics", &host, 200, "no-store"),
        ("GET /api/devices/nobody", &host, 404, "no-store"),
        ("GET /no/such/route", &host, 404, "no-store"),
        ("TRACE /", &host, 405, "no-store"),
        ("TRACE /api/devices", &host, 405, "no-store"),
        ("GET /api/devices?page=x", &host, 422, "no-store"),
        ("GET /api/ws", &host, 400, "no-store"),
        ("GET /", "Host: evil.example", 421, "no-store"),
    ];
    for (line, host, status, cache) in cases {
        let answer = ask(hub.http, &[&format!("{line} HTTP/1.1"), host], "").await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
        assert_eq!(answer.header("cache-control"), Some(cache), "{line}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{line}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{line}: {policy}");
    }
}

#[tokio::test]
async fn malformed_requests_are_answered_and_counted() {
    let hub = Installation::new().start().await;
    for line in ["GET / HTTP/9.9", "\u{1}\u{2}\u{3}", "GET /\u{7f} HTTP/1.1", "GARBAGE"] {
        let mut connection = KeptConnection::open(hub.http).await;
        let answer = connection.ask(&[line, "Host: localhost"], "").await.expect("an answer");
        assert_eq!(answer.status, 400, "{line:?}");
        assert!(
            connection.ask(&["GET /ready HTTP/1.1", "Host: localhost"], "").await.is_none(),
            "and closed"
        );
    }
    assert_eq!(hub.metric("twinhub_http_malformed_total").await, 4);
}

/// The answer to a request that failed leads to what the log says of it, and the other way round.
#[tokio::test]
async fn a_request_is_known_by_its_id_in_the_answer_the_problem_and_the_log() {
    let hub = Installation::new().with("--log", "info,twinhub::http=debug").start().await;
    let host = format!("Host: {}", hub.http);
    let own = ask(hub.http, &["GET /api/devices/nobody HTTP/1.1", &host, "X-Request-Id: my-1"], "").await;
    assert_eq!((own.status, own.header("x-request-id")), (404, Some("my-1")));
    assert!(own.body.contains(r#""request_id":"my-1""#), "{own:?}");
    let line = hub.logs("my-1").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["status"], &line["path"]), (&404.into(), &"/api/devices/nobody".into()));
    let span = &line["span"];
    assert_eq!(
        (&span["id"], &span["route"], &span["caller"], &span["method"]),
        (&"my-1".into(), &"/api/devices/{id}".into(), &"anonymous".into(), &"GET".into()),
    );

    let made = ask(hub.http, &["GET /api/devices HTTP/1.1", &host, "X-Request-Id: not an id"], "").await;
    let id = made.header("x-request-id").unwrap();
    assert_eq!((id.len(), made.status), (32, 200));
    // One that is refused before it is routed has one too.
    let foreign =
        ask(hub.http, &["GET /api/devices HTTP/1.1", "Host: evil.example", "X-Request-Id: my-2"], "").await;
    assert_eq!((foreign.status, foreign.header("x-request-id")), (421, Some("my-2")));
    assert!(foreign.body.contains(r#""request_id":"my-2""#), "{foreign:?}");
}
