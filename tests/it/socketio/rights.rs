//! The rights of Socket.IO's clients, as every other door's.

use reqwest::Method;
use serde_json::{Value, json};

use super::{BEGIN, EngineSocket, PolledSession, get};
use crate::support::hub::Installation;
use crate::support::people::{PASSWORD, Person};
use crate::support::{HubProcess, within};

const REFUSED: &str = r#"44{"message":"Not authenticated"}"#;

async fn done(hub: &HubProcess, person: &Person, method: Method, path: &str, body: &Value) -> Value {
    let answer = person.send(hub, method.clone(), path, body).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{method} {path} {body}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn measure(hub: &HubProcess, person: &Person, device: &str, n: u64) {
    done(hub, person, Method::POST, &format!("/api/devices/{device}/data"), &json!({ "n": n })).await;
}

/// The answer to a client that joins over a new WebSocket, and that.
async fn join(hub: &HubProcess, packet: &str) -> (String, EngineSocket) {
    let mut socket = EngineSocket::open(hub.http, "").await;
    socket.next().await.unwrap();
    socket.send(packet).await;
    (socket.next().await.unwrap(), socket)
}

#[tokio::test]
async fn clients_say_who_they_are_by_a_header_a_cookie_or_a_token() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    done(&hub, &ann, Method::POST, "/api/devices", &json!({ "device_id": "p", "name": "p" })).await;
    let (key, _) = ann.make_key(&hub, "viewer").await;

    for packet in ["40", "40{}", r#"40{"token":"wrong"}"#, r#"40{"token":7}"#, r#"40{"token":"twh_pat_x"}"#] {
        let (answer, mut socket) = join(&hub, packet).await;
        assert_eq!(answer, REFUSED, "{packet}");
        measure(&hub, &ann, "p", 1).await;
        socket.send("40/x,").await;
        assert!(socket.next().await.unwrap().starts_with("44/x,"), "the connection stays, and tells nothing");
    }
    let by_token = format!(r#"40{{"token":"{key}"}}"#);
    let (answer, mut socket) = join(&hub, &by_token).await;
    assert!(answer.starts_with("40{"), "{answer}");
    measure(&hub, &ann, "p", 2).await;
    assert!(socket.next().await.unwrap().contains("\"n\":2"));

    let session = PolledSession::begin(hub.http).await;
    session.post("40").await;
    assert_eq!(session.next().await, REFUSED);
    session.post(&by_token).await;
    assert!(session.next().await.starts_with("40{"), "it may say so later");

    let cookie = format!("Cookie: {}", ann.cookie);
    for header in [&*format!("Authorization: Bearer {key}"), &*cookie] {
        let begun = get(hub.http, BEGIN, &[header]).await;
        let session = PolledSession::of(hub.http, &begun);
        session.post("40").await;
        assert!(session.next().await.starts_with("40{"), "{header}");
    }
    let wrong = get(hub.http, BEGIN, &["Authorization: Bearer wrong"]).await;
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let shown = get(hub.http, &format!("{BEGIN}&token={key}"), &[]).await;
    assert_eq!(shown.status, 400, "a token does not belong in an address");
}

#[tokio::test]
async fn one_that_guesses_is_closed() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    let (_, mut socket) = join(&hub, "40").await;
    for _ in 0..4 {
        socket.send(r#"40{"token":"guess"}"#).await;
        assert_eq!(socket.next().await.unwrap(), REFUSED);
    }
    assert_eq!(socket.next().await.as_deref(), Some("1"));
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn rights_that_end_close_the_socket() {
    let hub = Installation::new().start().await;
    let (answer, mut of_anybody) = join(&hub, "40").await;
    assert!(answer.starts_with("40{"), "an open hub asks nobody");
    let ann = Person::first(&hub, "ann").await;
    let closed = async |socket: &mut EngineSocket| {
        let told =
            within("it is closed", async { [socket.next().await, socket.next().await, socket.next().await] });
        assert_eq!(told.await.map(Option::unwrap_or_default), ["41", "1", ""]);
    };
    closed(&mut of_anybody).await;

    let (key, id) = ann.make_key(&hub, "viewer").await;
    let (answer, mut of_key) = join(&hub, &format!(r#"40{{"token":"{key}"}}"#)).await;
    assert!(answer.starts_with("40{"), "{answer}");
    let session = PolledSession::begin(hub.http).await;
    session.post(&format!(r#"40{{"token":"{key}"}}"#)).await;
    assert!(session.next().await.starts_with("40{"));
    let since = std::time::Instant::now();
    let ended =
        async { done(&hub, &ann, Method::DELETE, &format!("/api/auth/keys/{id}"), &Value::Null).await };
    let (polled, _) = tokio::join!(session.poll(), ended);
    assert!(polled.body == "41\u{1e}1" || polled.status == 400, "{polled:?}");
    closed(&mut of_key).await;
    println!("closed after {:?}", since.elapsed());
}

#[tokio::test]
async fn events_are_filtered_by_scope() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    for word in ["alpha", "beta"] {
        done(&hub, &ann, Method::POST, "/api/groups", &json!({ "id": word, "name": word })).await;
        let device = json!({ "device_id": word, "name": word, "group_id": word });
        done(&hub, &ann, Method::POST, "/api/devices", &device).await;
    }
    let user =
        json!({ "name": "ula", "role": "viewer", "password": PASSWORD, "scope": { "groups": ["alpha"] } });
    done(&hub, &ann, Method::POST, "/api/users", &user).await;
    let ula = Person::sign_in(&hub, "ula").await;
    let begun = get(hub.http, BEGIN, &[&format!("Cookie: {}", ula.cookie)]).await;
    let session = PolledSession::of(hub.http, &begun);
    session.post("40").await;
    assert!(session.next().await.starts_with("40{"));
    measure(&hub, &ann, "beta", 1).await;
    measure(&hub, &ann, "alpha", 2).await;
    assert_eq!(session.next().await, r#"42["sensor_data",{"device_id":"alpha","n":2}]"#);
}

/// The clients of the dashboard and of the controller have no credential.
#[tokio::test]
async fn a_dialect_that_was_given_access_lets_its_clients_in() {
    for (access, is_let_in) in [("000=viewer", true), ("004=viewer", true), ("002=viewer", false)] {
        let hub = Installation::new().with("--dialect-access", access).start().await;
        Person::first(&hub, "ann").await;
        let (answer, _) = join(&hub, "40").await;
        assert_eq!(answer.starts_with("40{"), is_let_in, "{access}: {answer}");
    }
}
