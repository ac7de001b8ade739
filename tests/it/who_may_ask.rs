//! The requests that come in at all: those for a host that is ours, from pages that are ours or were named.

use serde_json::json;

use crate::support::HubProcess;
use crate::support::http::{HttpAnswer, ask};
use crate::support::hub::Installation;
use crate::support::pump::register;

const WEBSOCKET: [&str; 4] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const JSON: &str = "Content-Type: application/json";
const DEVICE: &str = r#"{"name":"x","device_id":"r"}"#;

async fn with_host(hub: &HubProcess, line: &str, host: &str, more: &[&str], body: &str) -> HttpAnswer {
    let host = format!("Host: {host}");
    ask(hub.http, &[&[line, &*host], more].concat(), body).await
}

async fn get(hub: &HubProcess, path: &str, more: &[&str]) -> HttpAnswer {
    with_host(hub, &format!("GET {path} HTTP/1.1"), &hub.http.to_string(), more, "").await
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_before_anything_else() {
    let hub = Installation::new().with("--cors", "http://friend.example").start().await;
    register(&hub, "pump-1").await;
    let host = format!("evil.example:{}", hub.http.port());
    let origin = format!("Origin: http://{host}");
    let stream = "Accept: text/event-stream";
    let preflight = ["Origin: http://friend.example", "Access-Control-Request-Method: DELETE"];
    let websocket = [&WEBSOCKET[..], &[&*origin]].concat();
    let cases: [(&str, &[&str], &str); 12] = [
        ("GET /", &[], ""),
        ("GET /docs/", &[], ""),
        ("GET /health", &[], ""),
        ("GET /api/devices", &[], ""),
        ("GET /dispositivos", &[], ""),
        ("GET /no/such/route", &[], ""),
        ("POST /api/devices", &[JSON, &origin], DEVICE),
        ("DELETE /api/devices/pump-1", &[&origin], ""),
        ("OPTIONS /api/devices", &preflight, ""),
        ("GET /api/events", &[stream], ""),
        ("GET /stream/dispositivos", &[stream], ""),
        ("GET /api/ws", &websocket, ""),
    ];
    for (line, more, body) in cases {
        let answer = with_host(&hub, &format!("{line} HTTP/1.1"), &host, more, body).await;
        assert_eq!((answer.status, &*answer.code()), (421, "host_not_allowed"), "{line}: {answer:?}");
    }
    assert_eq!(hub.get("/api/devices/r").await.status(), 404, "nothing was made");
    assert_eq!(hub.get("/api/devices/pump-1").await.status(), 200, "nothing was removed");
}

#[tokio::test]
async fn a_hub_is_asked_by_address_by_its_names_and_by_those_that_were_listed() {
    let installation = Installation::new().with("--public-url", "https://hub.example.org/x");
    let hub = installation.with("--hosts", "twins.example.com,*.lab.example").start().await;
    let port = hub.http.port();
    let machine = gethostname::gethostname().into_string().unwrap();
    let short = machine.split('.').next().unwrap();
    for host in [
        &*hub.http.to_string(),
        "127.0.0.1",
        "192.168.1.5:80",
        "[::1]:8080",
        "localhost",
        &*format!("LocalHost:{port}"),
        "twinhub.localhost.",
        &*machine,
        &*format!("{short}.local:{port}"),
        "hub.example.org",
        "twins.example.com:443",
        "a.lab.example",
    ] {
        assert_eq!(with_host(&hub, "GET /ready HTTP/1.1", host, &[], "").await.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "a@127.0.0.1",
        "lab.example",
        "0x7f.1",
        "[::1",
        "127.0.0.1:99999",
        "127.0.0.1:80:80",
        "127.0.0.1, evil.example",
        "",
    ] {
        let answer = with_host(&hub, "GET /ready HTTP/1.1", host, &[], "").await;
        assert_eq!((answer.status, &*answer.code()), (421, "host_not_allowed"), "{host}");
    }
}

#[tokio::test]
async fn the_target_of_a_request_names_a_host_too_and_old_clients_name_none() {
    let hub = Installation::new().start().await;
    let own = hub.http.to_string();
    let check = async |line: &str, host: Option<&str>, expected: u16| {
        let host = host.map(|host| format!("Host: {host}"));
        let lines: Vec<&str> = [Some(line), host.as_deref()].into_iter().flatten().collect();
        assert_eq!(ask(hub.http, &lines, "").await.status, expected, "{line} {host:?}");
    };
    check(&format!("GET http://{own}/ready HTTP/1.1"), Some(&own), 200).await;
    check("GET http://evil.example/ready HTTP/1.1", Some(&own), 421).await;
    check("GET http://127.0.0.1@evil.example/ready HTTP/1.1", Some(&own), 421).await;
    check(&format!("GET http://{own}/ready HTTP/1.1"), Some("evil.example"), 421).await;
    check("CONNECT evil.example:443 HTTP/1.1", Some(&own), 421).await;
    check("GET /ready HTTP/1.0", None, 200).await;
    check("GET /ready HTTP/1.0", Some("evil.example"), 421).await;
    check("GET http://evil.example/ready HTTP/1.0", None, 421).await;
    check("GET /ready HTTP/1.1", None, 400).await;
}

#[tokio::test]
async fn a_request_has_one_host_and_one_origin() {
    let hub = Installation::new().start().await;
    let (host, origin) = (format!("Host: {}", hub.http), format!("Origin: http://{}", hub.http));
    let post = async |more: &[&str]| {
        let lines = [&["POST /api/devices HTTP/1.1", JSON, &host], more].concat();
        ask(hub.http, &lines, DEVICE).await
    };
    assert_eq!(post(&["Host: evil.example"]).await.status, 400);
    assert_eq!(post(&[&host]).await.status, 400);
    for more in [
        [&*origin, "Origin: http://evil.example"],
        ["Origin: http://evil.example", &origin],
        [&origin, &origin],
    ] {
        let answer = post(&more).await;
        assert_eq!((answer.status, &*answer.code()), (400, "repeated_header"), "{more:?}");
    }
    assert_eq!(hub.get("/api/devices/r").await.status(), 404);
    assert_eq!(post(&[&origin]).await.status, 201);
}

#[tokio::test]
async fn an_image_on_another_site_takes_no_commands_of_a_device() {
    let hub = Installation::new().with("--cors", "http://friend.example").start().await;
    register(&hub, "pump-1").await;
    let asked = hub.post("/api/devices/pump-1/commands", &json!({ "command_type": "reboot" })).await;
    assert_eq!(asked.status(), 202);
    let poll = "/api/devices/pump-1/commands?status=pending&wait=1s";
    let image = |site: &'static str| [site, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"];
    for site in ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"] {
        let answer = get(&hub, poll, &image(site)).await;
        assert_eq!((answer.status, &*answer.code()), (403, "cross_site"), "{site}");
        let link = [site, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"];
        assert_eq!(get(&hub, poll, &link).await.status, 403, "a link is no better");
    }
    let page = ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"];
    assert_eq!(get(&hub, poll, &page).await.code(), "origin_not_allowed");

    // To a plain address in the network a browser sends neither header.
    let browser =
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36";
    for line in [format!("GET {poll} HTTP/1.1"), format!("HEAD {poll} HTTP/1.1")] {
        let answer = with_host(&hub, &line, "192.168.1.5:8080", &[browser], "").await;
        assert_eq!(answer.status, 403, "{line}");
    }
    assert_eq!(
        with_host(&hub, &format!("GET {poll} HTTP/1.1"), "192.168.1.5", &[browser], "").await.code(),
        "page_not_told"
    );

    let commands = hub.json("/api/devices/pump-1/commands").await;
    assert_eq!(commands[0]["status"], "pending", "it waits for its device");
    assert_ne!(hub.json("/api/devices/pump-1").await["status"], "online", "the device was not heard");

    let page = ["Origin: http://friend.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"];
    let answer = get(&hub, "/api/devices", &page).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("http://friend.example"))
    );
    let taken = get(&hub, poll, &[]).await;
    assert!(
        taken.status == 200 && taken.body.contains("reboot"),
        "who is no browser is the device: {taken:?}"
    );
}

#[tokio::test]
async fn links_of_other_sites_lead_to_the_page_and_to_the_docs() {
    let hub = Installation::new().start().await;
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    for (path, expected) in
        [("/", 200), ("/docs", 308), ("/docs/", 200), ("/api/devices", 403), ("/health", 403)]
    {
        assert_eq!(get(&hub, path, &link).await.status, expected, "{path}");
    }
    let frame = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"];
    assert_eq!(get(&hub, "/", &frame).await.status, 403);
    for site in ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"] {
        assert_eq!(get(&hub, "/api/devices", &[site]).await.status, 200, "{site}");
    }
}

#[tokio::test]
async fn pages_open_sockets_where_their_origin_is_let_in() {
    let hub = Installation::new().with("--cors", "http://friend.example").start().await;
    let own = format!("Origin: http://{}", hub.http);
    for (origin, site, expected) in [
        (&*own, "same-origin", 101),
        ("Origin: http://friend.example", "cross-site", 101),
        ("Origin: http://evil.example", "cross-site", 403),
        ("Origin: http://localhost:3000", "same-site", 403),
        ("Origin: null", "cross-site", 403),
    ] {
        let site = format!("Sec-Fetch-Site: {site}");
        let answer = get(&hub, "/api/ws", &[&WEBSOCKET[..], &[origin, &*site]].concat()).await;
        assert_eq!(answer.status, expected, "{origin}");
    }
}

#[tokio::test]
async fn pages_that_are_let_in_may_do_what_the_api_does_and_no_more() {
    let hub = Installation::new().with("--cors", "*").start().await;
    let origin = "Origin: http://anyone.example";
    let preflight = async |method: &str| {
        let wanted = format!("Access-Control-Request-Method: {method}");
        with_host(&hub, "OPTIONS /api/devices HTTP/1.1", "localhost", &[origin, &wanted], "").await
    };
    let allowed = preflight("DELETE").await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    let methods = allowed.header("access-control-allow-methods").unwrap().to_owned();
    assert!(
        !methods.contains("TRACE") && !methods.contains("CONNECT") && methods.contains("PATCH"),
        "{methods}"
    );
    for method in ["TRACE", "CONNECT"] {
        let answer = preflight(method).await;
        assert!(answer.status >= 400, "{method}: {answer:?}");
    }
    let answer = get(&hub, "/api/devices", &[origin]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    let answer = get(&hub, "/api/devices", &["Origin: null"]).await;
    assert_eq!(
        (answer.status, &*answer.code()),
        (403, "origin_not_allowed"),
        "a page without an origin is no one"
    );
}
