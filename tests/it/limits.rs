//! Limits on callers, and reverse proxies, which name the callers behind them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::http::{HttpAnswer, KeptConnection, ask};
use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person, get_with};

#[tokio::test]
async fn a_caller_that_sends_too_much_is_told_to_wait() {
    let installation = Installation::new().with("--rate-limit", "5");
    let hub = installation.start().await;
    for _ in 0..100 {
        assert_eq!(hub.get("/api/devices").await.status(), 200, "scripts on the machine of an open hub");
    }
    let ann = Person::first(&hub, "ann").await;
    let (key, _) = ann.make_key(&hub, "viewer").await;
    let (mut left, mut refused) = (Vec::new(), None);
    for _ in 0..200 {
        let answer = hub.request(Method::GET, "/api/devices").bearer_auth(&key).send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("RateLimit-Policy").unwrap(), "\"caller\";q=20;w=4");
        let quota = header("RateLimit").unwrap();
        let quota = quota.strip_prefix("\"caller\";r=").unwrap().split_once(";t=").unwrap();
        left.push(quota.0.parse::<u32>().unwrap());
        assert!((1..=4).contains(&quota.1.parse::<u32>().unwrap()), "{quota:?}");
        if answer.status() == 429 {
            assert_eq!(header("Retry-After").unwrap(), "1");
            refused = Some(answer.text().await.unwrap());
            break;
        }
    }
    let problem: Value = serde_json::from_str(&refused.expect("a limit")).unwrap();
    assert_eq!(problem["code"], "too_many_requests");
    assert_eq!((left[0], left.last()), (19, Some(&0)));
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 200, "others have their own");
    let program = std::fs::read_to_string(installation.data.join("local.key")).unwrap();
    for _ in 0..50 {
        assert_eq!(get_with(&hub, program.lines().next().unwrap(), "/api/users").await.0, 200);
    }
    eventually("its turn comes again", async || {
        (get_with(&hub, &key, "/api/devices").await.0 == 200).then_some(())
    })
    .await;
}

/// A request as a proxy on this machine hands it on.
async fn handed_on(hub: &HubProcess, line: &str, headers: &[&str], body: &Value) -> HttpAnswer {
    let host = "Host: 192.0.2.80";
    let lines = [&[line, host, "Content-Type: application/json"], headers].concat();
    ask(hub.http, &lines, &if body.is_null() { String::new() } else { body.to_string() }).await
}

#[tokio::test]
async fn a_trusted_proxy_names_its_clients() {
    let hub = Installation::new().with("--trusted-proxies", "127.0.0.1,10.0.0.0/8").start().await;
    let ann = Person::first(&hub, "ann").await;
    let wrong = json!({ "name": "ann", "password": "wrong horses jump" });
    let client = "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.0.0.9";
    let refused =
        async |client: &str| handed_on(&hub, "POST /api/auth/login HTTP/1.1", &[client], &wrong).await.status;
    for _ in 0..10 {
        assert!(matches!(refused(client).await, 401 | 429));
    }
    assert_eq!(refused(client).await, 429, "ten in a minute");
    assert_eq!(
        refused("X-Forwarded-For: 6.6.6.6, 198.51.100.8").await,
        401,
        "another client of the same proxy"
    );
    let entries = ann.json(&hub, "/api/audit?action=user.signed_in").await;
    let told = |address: &str| entries.as_array().unwrap().iter().any(|entry| entry["address"] == address);
    assert!(told("198.51.100.7") && told("198.51.100.8") && !told("6.6.6.6"), "{entries}");

    let right = json!({ "name": "ann", "password": PASSWORD });
    let https = ["X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: https", "Origin: https://192.0.2.80"];
    let signed_in = handed_on(&hub, "POST /api/auth/login HTTP/1.1", &https, &right).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    let cookie = signed_in.header("Set-Cookie").unwrap();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let make = async |headers: &[&str], id: &str| {
        let headers = [&[&*cookie], headers].concat();
        handed_on(&hub, "POST /api/groups HTTP/1.1", &headers, &json!({ "id": id, "name": id })).await.status
    };
    assert_eq!(make(&https, "a").await, 201);
    let plain = ["X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: http", "Origin: https://192.0.2.80"];
    assert_eq!(make(&plain, "b").await, 403, "a page of another scheme");
    let both = ["X-Forwarded-For: 198.51.100.9", "Forwarded: for=6.6.6.6"];
    let contradicts = handed_on(&hub, "GET /api/devices HTTP/1.1", &both, &Value::Null).await;
    assert_eq!((contradicts.status, contradicts.code()), (400, "bad_forwarded".into()));
    let foreign = ["X-Forwarded-For: 198.51.100.9", "X-Forwarded-Host: evil.example"];
    assert_eq!(handed_on(&hub, "GET /health HTTP/1.1", &foreign, &Value::Null).await.status, 421);
}

#[tokio::test]
async fn what_others_say_of_themselves_is_not_believed() {
    let hub = Installation::new().start().await;
    let here = ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https"];
    let refused = handed_on(&hub, "GET /api/devices HTTP/1.1", &here, &Value::Null).await;
    assert_eq!(refused.status, 401, "whoever is handed on is not on this machine");
    let ann = Person::first(&hub, "ann").await;
    let wrong = json!({ "name": "ann", "password": "wrong horses jump" });
    let forged = ["X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: evil.example"];
    assert_eq!(handed_on(&hub, "POST /api/auth/login HTTP/1.1", &forged, &wrong).await.status, 401);
    let entries = ann.json(&hub, "/api/audit?action=user.signed_in&limit=1").await;
    assert_eq!(entries[0]["address"], "127.0.0.1");
}

#[tokio::test]
async fn a_stranger_sends_little() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let large = json!({ "name": "ann", "password": "x".repeat(17_000) });
    assert_eq!(hub.post("/api/auth/login", &large).await.status(), 413);
    let group = json!({ "id": "g", "name": "G", "description": "", "tags": { "long": "x".repeat(17_000) } });
    let made = ann.send(&hub, Method::POST, "/api/groups", &group).await.status();
    assert_ne!(made, 413, "whoever has signed in has more");
}

/// Devices whose list is more than a connection's buffers take.
async fn many_devices(hub: &HubProcess, ann: &Person) {
    let lines: String = (0..12_000)
        .map(|n| {
            format!("{{\"device_id\":\"d-{n}\",\"name\":\"D\",\"description\":\"{}\"}}\n", "x".repeat(900))
        })
        .collect();
    let import =
        ann.request(hub, Method::POST, "/api/devices/import").header("Content-Type", "application/x-ndjson");
    assert_eq!(import.body(lines).send().await.unwrap().status(), 200);
}

/// A request whose answer the client does not read.
async fn left_unread(hub: &HubProcess, person: &Person, path: &str) -> KeptConnection {
    let mut slow = KeptConnection::open(hub.http).await;
    let lines =
        [format!("GET {path} HTTP/1.1"), format!("Host: {}", hub.http), format!("Cookie: {}", person.cookie)];
    slow.send(&lines.each_ref().map(String::as_str)).await;
    slow
}

/// Asks until `status` is answered; until then it is 200.
async fn answers_with(hub: &HubProcess, person: &Person, path: &str, status: u16) {
    eventually(&format!("{path} answers {status}"), async || {
        let answer = person.get(hub, path).await;
        match answer.status().as_u16() {
            found if found == status => {
                assert!(status != 429 || answer.headers()["Retry-After"] == "1");
                Some(())
            }
            other => {
                assert_eq!(other.min(status), 200);
                None
            }
        }
    })
    .await;
}

#[tokio::test]
async fn exports_of_a_caller_go_on_one_at_a_time() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "viewer").await;
    many_devices(&hub, &ann).await;
    let path = "/api/devices/export";
    let slow = left_unread(&hub, &bob, path).await;
    answers_with(&hub, &bob, path, 429).await;
    assert_eq!(ann.get(&hub, path).await.status(), 200, "another caller");
    drop(slow);
    answers_with(&hub, &bob, path, 200).await;
}

#[tokio::test]
async fn lists_of_all_devices_of_a_caller_go_on_two_at_a_time() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "viewer").await;
    many_devices(&hub, &ann).await;
    let slow = [
        left_unread(&hub, &bob, "/api/devices").await,
        left_unread(&hub, &bob, "/api/devices?sort=-reported.t").await,
    ];
    answers_with(&hub, &bob, "/api/devices", 429).await;
    assert_eq!(bob.get(&hub, "/api/devices?limit=5").await.status(), 200, "a page");
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 200, "another caller");
    drop(slow);
    answers_with(&hub, &bob, "/api/devices", 200).await;
}
