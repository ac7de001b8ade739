//! The sign-in of seeds 002 and 004, as their clients know it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use crate::support::hub::{HubProcess, Installation, run};
use crate::support::people::{PASSWORD, Person, told};
use crate::support::{MqttDevice, within};

const SECRET: &str = "a secret of several programs, long enough";

/// A token that another program makes.
fn jwt(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn now() -> i64 {
    SystemClock.now().millis() / 1_000
}

/// The claims of a token of this hub.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn get(hub: &HubProcess, path: &str, authorization: Option<&str>) -> Response {
    let request = hub.request(Method::GET, path);
    let request = match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    };
    request.send().await.unwrap()
}

/// The status, `WWW-Authenticate` and the body of `GET /v1/auth/me` with a token.
async fn me(hub: &HubProcess, authorization: Option<&str>) -> (u16, Option<String>, Value) {
    let answer = get(hub, "/v1/auth/me", authorization).await;
    let asks = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), asks, answer.json().await.unwrap())
}

async fn login(hub: &HubProcess, body: &Value) -> (u16, Value) {
    let answer = hub.post("/v1/auth/login", body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn token(hub: &HubProcess, name: &str) -> String {
    let (status, answer) = login(hub, &json!({ "username": name, "password": PASSWORD })).await;
    assert_eq!(status, 200, "{answer}");
    let expected =
        json!({ "access_token": answer["access_token"], "token_type": "bearer", "expires_in": 86_400 });
    assert_eq!(answer, expected);
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn cloud_backend_gives_tokens_that_die_with_their_session() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let first = token(&hub, "ann").await;
    let claimed = claims(&first);
    assert_eq!(
        (&claimed["sub"], claimed["exp"].as_i64().unwrap() / 100),
        (&json!("ann"), (now() + 86_400) / 100)
    );
    let (status, _, user) = me(&hub, Some(&format!("Bearer {first}"))).await;
    assert_eq!(status, 200);
    let members: Vec<&String> = user.as_object().unwrap().keys().collect();
    assert_eq!(members, ["created_at", "id", "is_active", "username"]);
    assert_eq!((&user["username"], &user["is_active"]), (&json!("ann"), &json!(true)));
    assert!(user["id"].as_u64().is_some() && user["created_at"].as_str().unwrap().ends_with('Z'), "{user}");

    let refreshed = hub.request(Method::POST, "/v1/auth/refresh").bearer_auth(&first).send().await.unwrap();
    assert_eq!(refreshed.status(), 200);
    let second: Value = refreshed.json().await.unwrap();
    assert_eq!((&second["token_type"], &second["expires_in"]), (&json!("bearer"), &json!(86_400)));
    let second = second["access_token"].as_str().unwrap().to_owned();
    for token in [&first, &second] {
        assert_eq!(me(&hub, Some(&format!("bearer {token}"))).await.0, 200, "a new one does not end the old");
    }
    // It is a credential of this dialect alone.
    assert_eq!(told(get(&hub, "/api/devices", Some(&format!("Bearer {first}"))).await).await.0, 401);

    let ended = ann.request(&hub, Method::DELETE, "/api/auth/sessions").send().await.unwrap();
    assert_eq!(ended.status(), 200);
    for token in [&first, &second] {
        let (status, asks, answer) = me(&hub, Some(&format!("Bearer {token}"))).await;
        assert_eq!((status, asks.as_deref()), (401, Some("Bearer")));
        assert_eq!(answer, json!({ "detail": "Could not validate credentials" }));
    }
}

#[tokio::test]
async fn cloud_backend_refuses_in_the_words_of_the_original() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    for name in ["ann", "nobody"] {
        let answer =
            hub.post("/v1/auth/login", &json!({ "username": name, "password": "wrong horses" })).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(answer.status(), 401);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer, json!({ "detail": "Incorrect username or password" }));
    }
    let (status, answer) = login(&hub, &json!({ "username": 5 })).await;
    assert_eq!(status, 422);
    let faults: Vec<_> =
        answer["detail"].as_array().unwrap().iter().map(|one| (&one["type"], &one["loc"])).collect();
    let expected = [
        (&json!("string_type"), &json!(["body", "username"])),
        (&json!("missing"), &json!(["body", "password"])),
    ];
    assert_eq!(faults, expected, "{answer}");
    let broken =
        hub.request(Method::POST, "/v1/auth/login").header("Content-Type", "application/json").body("{");
    let broken: Value = broken.send().await.unwrap().json().await.unwrap();
    assert_eq!(broken["detail"][0]["type"], "json_invalid", "{broken}");
    for (authorization, expected) in
        [(None, "Not authenticated"), (Some("Basic YTpi"), "Invalid authentication credentials")]
    {
        let (status, _, answer) = me(&hub, authorization).await;
        assert_eq!((status, answer), (403, json!({ "detail": expected })), "{authorization:?}");
    }
    let (_, _, answer) = me(&hub, Some("Bearer x.y.z")).await;
    assert_eq!(answer["detail"], "Could not validate credentials");
}

#[tokio::test]
async fn cloud_backend_takes_the_tokens_of_others_under_a_shared_secret_alone() {
    let hub = Installation::new().in_environment("JWT_SECRET", SECRET).start().await;
    let ann = Person::first(&hub, "ann").await;
    ann.add(&hub, "bob", "viewer").await;
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let of = |name: &str| json!({ "sub": name, "exp": now() + 60 });
    let status = async |token: String| me(&hub, Some(&format!("Bearer {token}"))).await.0;
    let (code, _, user) =
        me(&hub, Some(&format!("Bearer {}", jwt(&header, &of("bob"), SECRET.as_bytes())))).await;
    assert_eq!((code, &user["username"]), (200, &json!("bob")));
    let expired = json!({ "sub": "bob", "exp": now() - 1 });
    for (header, claims, secret, expected) in [
        (&header, of("nobody"), SECRET, 404),
        (&header, of("bob"), "another secret, which is as long as it", 401),
        (&header, of("bob"), "", 401),
        (&header, expired, SECRET, 401),
        (&header, json!({ "sub": "bob" }), SECRET, 401),
        (&json!({ "alg": "none" }), of("bob"), SECRET, 401),
        (&json!({ "alg": "HS384" }), of("bob"), SECRET, 401),
        (&json!({ "alg": "RS256" }), of("bob"), SECRET, 401),
    ] {
        assert_eq!(status(jwt(header, &claims, secret.as_bytes())).await, expected, "{header} {claims}");
    }
    // A page sends what it has with everything, also where it signs in anew.
    for stale in ["Bearer a.b.c", "Bearer none", "Basic eDp5"] {
        let sign_in = hub.request(Method::POST, "/v1/auth/login").header("Authorization", stale);
        let signed_in =
            sign_in.json(&json!({ "username": "bob", "password": PASSWORD })).send().await.unwrap();
        assert_eq!(signed_in.status(), 200, "{stale}");
    }
    // A socket ends with the token that it was opened by.
    let soon = jwt(&header, &json!({ "sub": "bob", "exp": now() + 3 }), SECRET.as_bytes());
    let mut request = format!("ws://{}/ws", hub.http).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", format!("Bearer {soon}").parse().unwrap());
    let stream = TcpStream::connect(hub.http).await.unwrap();
    let (socket, _) = client_async(request, stream).await.unwrap();
    assert_eq!(crate::sign_in::sockets::closed(socket).await, 4401);
    let unsigned = jwt(&json!({ "alg": "none" }), &of("bob"), b"");
    let unsigned = unsigned.rsplit_once('.').unwrap().0.to_owned() + ".";
    assert_eq!(status(unsigned).await, 401);

    // Ours say what the original's say, so that other programs read them; and they die with their session still.
    let own = token(&hub, "bob").await;
    let members: Vec<String> = claims(&own).as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["exp", "iat", "sid", "sub"]);
    assert_eq!(status(own.clone()).await, 200);
    let foreign = jwt(&header, &of("bob"), SECRET.as_bytes());
    // A token without a session begets none: it would go on without an end.
    let refresh = hub.request(Method::POST, "/v1/auth/refresh").bearer_auth(&foreign).send().await.unwrap();
    assert_eq!(refresh.status(), 401);
    assert_eq!(refresh.json::<Value>().await.unwrap(), json!({ "detail": "Could not validate credentials" }));
    let disabled = ann.send(&hub, Method::PATCH, "/api/users/bob", &json!({ "disabled": true })).await;
    assert_eq!(disabled.status(), 200);
    assert_eq!((status(own).await, status(foreign).await), (401, 404));
}

/// The secret of before counts no more, and the hub's own outlives a restart.
#[tokio::test]
async fn cloud_backend_tokens_outlive_a_restart_and_not_their_secret() {
    let installation = Installation::new();
    let hub = installation.start().await;
    Person::first(&hub, "ann").await;
    let own = token(&hub, "ann").await;
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(me(&hub, Some(&format!("Bearer {own}"))).await.0, 200);
    hub.terminate().await;

    let old = installation.clone().in_environment("JWT_SECRET", SECRET);
    let hub = old.start().await;
    assert_eq!(me(&hub, Some(&format!("Bearer {own}"))).await.0, 200, "ours is good beside it");
    let shared = token(&hub, "ann").await;
    hub.terminate().await;
    let hub =
        installation.clone().in_environment("JWT_SECRET", &SECRET.replace("several", "other")).start().await;
    assert_eq!(me(&hub, Some(&format!("Bearer {shared}"))).await.0, 401);
}

#[tokio::test]
async fn cloud_backend_has_the_demo_user_of_the_environment() {
    let installation =
        Installation::new().in_environment("DEMO_USER", "admin").in_environment("DEMO_PASS", "admin123");
    let hub = installation.start().await;
    assert_eq!(hub.get("/api/devices").await.status(), 401, "there is a user");
    assert!(!hub.banner.contains("/setup#"), "{}", hub.banner);
    let (status, answer) = login(&hub, &json!({ "username": "admin", "password": "admin123" })).await;
    assert_eq!(status, 200, "{answer}");
    hub.terminate().await;
    let hub = installation.clone().in_environment("DEMO_PASS", "another").start().await;
    let again = login(&hub, &json!({ "username": "admin", "password": "admin123" })).await;
    assert_eq!(again.0, 200, "a user that there is stays as it is");
    let admin = hub.post("/api/auth/login", &json!({ "name": "admin", "password": "admin123" })).await;
    let cookie = admin.headers()["set-cookie"].to_str().unwrap().split([';', '=']).nth(1).unwrap().to_owned();
    let bob = Person::with_session(&hub, &cookie).add(&hub, "bob", "admin").await;
    let removed = bob.request(&hub, Method::DELETE, "/api/users/admin").send().await.unwrap();
    assert_eq!(removed.status(), 200);
    hub.terminate().await;
    let hub = installation.start().await;
    let gone = login(&hub, &json!({ "username": "admin", "password": "admin123" })).await;
    assert_eq!(gone.0, 401, "one that was removed does not come again");
    let half = Installation::new().in_environment("DEMO_USER", "admin").start().await;
    assert_eq!(half.get("/api/devices").await.status(), 200, "both, or none");
}

/// What anybody knows is refused where other machines reach the hub.
#[tokio::test]
async fn what_everybody_knows_of_the_original_is_refused_beyond_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let place = ["--data-dir", data, "--listen", "0.0.0.0:0", "--mqtt-listen", "127.0.0.1:0"];
    for (environment, expected) in [
        (&[("DEMO_USER", "admin"), ("DEMO_PASS", "admin123")][..], "set DEMO_PASS to another"),
        (&[("JWT_SECRET", "your-secret-key")], "JWT_SECRET"),
    ] {
        let refused = run(&[&["serve"], &place[..]].concat(), environment).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains(expected), "{told}");
    }
}

/// The sessions with devices that a sign-out ends are those that go by the session. A fleet must not fall silent because a
/// person goes home.
#[tokio::test]
async fn iot_controller_logout_ends_what_the_session_has_open_and_no_device() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let device = json!({ "device_id": "pump-1", "name": "Pump", "auth_token": "a token of the pump" });
    assert_eq!(ann.send(&hub, Method::POST, "/api/devices", &device).await.status(), 201);
    let (key, _) = ann.make_key(&hub, "viewer").await;
    const HERE: [u8; 4] = [127, 0, 0, 1];
    let broker = hub.mqtt.unwrap();
    let mut pump =
        MqttDevice::connect_as(broker, HERE, "p", ("pump-1", "a token of the pump")).await.unwrap();
    let mut app = MqttDevice::connect_as(broker, HERE, "app", ("ann", &key)).await.unwrap();
    app.subscribe("iot/devices/+/data").await.unwrap();
    let events = ann.request(&hub, Method::GET, "/api/events").header("Accept", "text/event-stream");
    let mut events = events.send().await.unwrap();
    let waits = ann.request(&hub, Method::GET, "/api/devices/pump-1/commands?status=pending&wait=60s").send();
    let waits = tokio::spawn(waits);
    assert_eq!(events.status(), 200);

    assert_eq!(ann.send(&hub, Method::POST, "/api/auth/logout", &json!({})).await.status(), 200);
    within("the stream ends", async { while events.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} })
        .await;
    let waited = within("what waits is answered", waits).await.unwrap().unwrap();
    assert_eq!(waited.status(), 401);
    pump.say("iot/devices/pump-1/data", r#"{"flow": 1}"#).await;
    let heard = within("the program with a key hears it", app.next()).await.unwrap();
    assert!(format!("{heard:?}").contains("iot/devices/pump-1/data"), "{heard:?}");
}

#[tokio::test]
async fn iot_controller_registers_signs_in_and_out() {
    let hub = Installation::new().with("--registration", "open").start().await;
    Person::first(&hub, "ann").await;
    let registration = json!({ "username": "bob", "email": "bob@example.com", "password": PASSWORD });
    let registered = hub.post("/api/auth/register", &registration).await;
    assert_eq!(registered.status(), 201);
    let cookie = registered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let registered: Value = registered.json().await.unwrap();
    let user = &registered["user"];
    for (member, expected) in [
        ("username", json!("bob")),
        ("email", json!("bob@example.com")),
        ("device_quota", json!(50)),
        ("quota", json!(50)),
    ] {
        assert_eq!(user[member], expected, "{registered}");
    }
    assert!(user["id"].is_string() && user["created_at"].is_string() && registered["session"].is_object());
    let key = registered["api_key"].as_str().unwrap();
    let devices = get(&hub, "/api/devices", Some(&format!("Bearer {key}"))).await;
    assert_eq!(devices.status(), 200);
    let with_cookie =
        hub.request(Method::GET, "/api/auth/user").header("Cookie", &cookie).send().await.unwrap();
    let caller: Value = with_cookie.json().await.unwrap();
    assert_eq!((&caller["user"]["username"], &caller["user"]["device_quota"]), (&json!("bob"), &json!(50)));
    assert!(caller["permissions"].as_array().unwrap().contains(&json!("manage")), "{caller}");

    for body in [
        json!({ "username": "bob", "password": PASSWORD }),
        json!({ "email": "bob@example.com", "password": PASSWORD }),
        json!({ "username": "bob@example.com", "password": PASSWORD }),
    ] {
        let signed_in = hub.post("/api/auth/login", &body).await;
        assert_eq!(signed_in.status(), 200, "{body}");
        let signed_in: Value = signed_in.json().await.unwrap();
        assert!(signed_in["permissions"].as_array().unwrap().contains(&json!("operate")), "{signed_in}");
        assert_eq!((&signed_in["user"]["username"], &signed_in["api_key"]), (&json!("bob"), &json!(null)));
    }
    for body in
        [json!({ "password": PASSWORD }), json!({ "name": "bob", "email": "b@c.d", "password": PASSWORD })]
    {
        assert_eq!(hub.post("/api/auth/login", &body).await.status(), 422, "{body}");
    }
    let bob = Person::sign_in(&hub, "bob").await;
    let out = bob.send(&hub, Method::POST, "/api/auth/logout", &json!({})).await;
    assert_eq!(out.status(), 200);
    assert_eq!(out.json::<Value>().await.unwrap()["message"], "signed out");
    assert_eq!(bob.get(&hub, "/api/auth/user").await.status(), 401);
}
