//! The callers of this system where there are users: with a token, without one, and with one that counts for nothing.

use serde_json::{Value, json};

use super::{PlainSocket, Sensor};
use crate::support::HubProcess;
use crate::support::hub::Installation;
use crate::support::people::{PASSWORD, Person};

const READS: [&str; 8] = [
    "/v1/sensors/latest",
    "/v1/sensors/anomalies",
    "/v1/sensors/stats",
    "/v1/sensors/live",
    "/v1/sensors/external/weather",
    "/v1/sensors/compare/weather",
    "/api/status",
    "/openapi.json",
];

async fn token(hub: &HubProcess, name: &str) -> String {
    let answer = hub.post("/v1/auth/login", &json!({ "username": name, "password": PASSWORD })).await;
    let answer: Value = answer.json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn asked(hub: &HubProcess, path: &str, authorization: Option<&str>) -> (u16, Value) {
    let request = hub.request(reqwest::Method::GET, path);
    let request = match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn reads_take_a_token_unless_the_dialect_was_given_access() {
    let installation = Installation::new();
    let hub = installation.start().await;
    Sensor::connect(&hub).await.say("sensors/temperature/t1", &json!({ "value": 20 })).await;
    Person::first(&hub, "ann").await;
    let good = token(&hub, "ann").await;
    for path in READS {
        assert_eq!(asked(&hub, path, None).await, (403, json!({ "detail": "Not authenticated" })), "{path}");
        let (status, answer) = asked(&hub, path, Some("Bearer a.b.c")).await;
        assert_eq!((status, &answer["detail"]), (401, &json!("Could not validate credentials")), "{path}");
        assert_eq!(asked(&hub, path, Some(&format!("Bearer {good}"))).await.0, 200, "{path}");
    }
    assert_eq!(PlainSocket::open(hub.http, None).await.err(), Some(403));
    assert_eq!(PlainSocket::open(hub.http, Some("a.b.c")).await.err(), Some(401));
    let mut socket = PlainSocket::open(hub.http, Some(&good)).await.unwrap();
    assert_eq!(socket.next().await.0, "connection");
    hub.terminate().await;

    let hub = installation.clone().with("--dialect-access", "002=viewer").start().await;
    for path in READS {
        assert_eq!(asked(&hub, path, None).await.0, 200, "{path}");
    }
    let latest = asked(&hub, "/v1/sensors/latest", None).await.1;
    assert_eq!(latest["total_count"], 1);
    // A page that was open over night sends the token of yesterday: nobody looks at it where it only reads.
    for path in READS {
        for stale in ["Bearer a.b.c", "Bearer none", "Basic eDp5"] {
            assert_eq!(asked(&hub, path, Some(stale)).await.0, 200, "{path} {stale}");
        }
    }
    PlainSocket::open(hub.http, Some("a.b.c")).await.unwrap();
    for path in ["/v1/auth/me", "/api/devices"] {
        assert_eq!(asked(&hub, path, Some("Bearer a.b.c")).await.0, 401, "{path}");
    }
    let key = asked(&hub, "/v1/sensors/latest", Some("Bearer twh_pat_0000000000000000")).await.0;
    assert_eq!(key, 401, "a key of the hub's own is always looked at");
    let (status, answer) = asked(&hub, "/v1/auth/me", None).await;
    assert_eq!((status, &answer["detail"]), (403, &json!("Not authenticated")));
    PlainSocket::greeted(hub.http).await;
}

#[tokio::test]
async fn a_user_who_is_disabled_is_told_so_by_the_right_password_alone() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    ann.add(&hub, "bob", "viewer").await;
    let disabled =
        ann.send(&hub, reqwest::Method::PATCH, "/api/users/bob", &json!({ "disabled": true })).await;
    assert_eq!(disabled.status(), 200, "{}", disabled.text().await.unwrap());
    let login = async |password: &str| {
        let answer = hub.post("/v1/auth/login", &json!({ "username": "bob", "password": password })).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(login(PASSWORD).await, (400, json!({ "detail": "Inactive user" })));
    let wrong = json!({ "detail": "Incorrect username or password" });
    assert_eq!(login("wrong horses jump").await, (401, wrong));
    let own = hub.post("/api/auth/login", &json!({ "name": "bob", "password": PASSWORD })).await;
    assert_eq!(own.status(), 401, "the hub's own sign-in says it to nobody");
}

#[tokio::test]
async fn answers_have_what_the_caller_reaches() {
    let hub = Installation::new().start().await;
    let mut sensor = Sensor::connect(&hub).await;
    for id in ["inside", "outside"] {
        sensor.say(&format!("sensors/temperature/{id}"), &json!({ "value": 20, "anomaly": true })).await;
    }
    let made = hub.post("/api/groups", &json!({ "name": "Hall", "id": "hall" })).await;
    assert!(made.status().is_success());
    let moved = hub.request(reqwest::Method::PUT, "/api/devices/inside").json(&json!({ "group_id": "hall" }));
    assert_eq!(moved.send().await.unwrap().status(), 200);
    let ann = Person::first(&hub, "ann").await;
    ann.add(&hub, "bob", "viewer").await;
    let scoped = json!({ "scope": { "groups": ["hall"] } });
    let scoped = ann.send(&hub, reqwest::Method::PATCH, "/api/users/bob", &scoped).await;
    assert_eq!(scoped.status(), 200, "{}", scoped.text().await.unwrap());
    let bearer = format!("Bearer {}", token(&hub, "bob").await);
    let get = async |path: &str| asked(&hub, path, Some(&bearer)).await;
    let latest = get("/v1/sensors/latest").await.1;
    assert_eq!(
        (&latest["total_count"], &latest["sensors"]["temperature"][0]["sensor_id"]),
        (&json!(1), &json!("inside"))
    );
    assert_eq!(get("/v1/sensors/stats").await.1["total_readings"], 1);
    assert_eq!(get("/v1/sensors/anomalies").await.1["count"], 1);
    assert_eq!(get("/v1/sensors/live").await.1["count"], 1);
    assert_eq!(get("/v1/sensors/history?sensor_id=inside").await.0, 200);
    assert_eq!(get("/v1/sensors/history?sensor_id=outside").await.0, 404);

    let mut socket =
        PlainSocket::open(hub.http, Some(bearer.strip_prefix("Bearer ").unwrap())).await.unwrap();
    assert_eq!(socket.next().await.0, "connection");
    for id in ["outside", "inside"] {
        sensor.say(&format!("sensors/temperature/{id}"), &json!({ "value": 21 })).await;
    }
    assert_eq!(socket.next().await.1["sensor_id"], "inside");
    let removed = ann.request(&hub, reqwest::Method::DELETE, "/api/users/bob").send().await.unwrap();
    assert_eq!(removed.status(), 200);
    let code = socket.closed().await.map(|frame| frame.code.into());
    assert_eq!(code, Some(4401_u16), "rights that end close the socket");
}

#[tokio::test]
async fn headers_tell_the_rate_and_keep_browsers_safe() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    let good = token(&hub, "ann").await;
    let answer =
        hub.request(reqwest::Method::GET, "/v1/sensors/latest").bearer_auth(&good).send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header("RateLimit").is_some() && header("RateLimit-Policy").is_some(), "{:?}", answer.headers());
    assert_eq!(header("X-Content-Type-Options").as_deref(), Some("nosniff"));
    assert!(header("Content-Security-Policy").unwrap().contains("frame-ancestors 'none'"));
}
