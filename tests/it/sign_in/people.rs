//! People sign in and out, and admins manage them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::{HttpAnswer, ask};
use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person, told};

async fn login(hub: &HubProcess, name: &str, password: &str) -> reqwest::Response {
    hub.post("/api/auth/login", &json!({ "name": name, "password": password })).await
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same_and_slowed_down() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    let mut answers = Vec::new();
    for name in ["ann", "nobody"] {
        let answer = login(&hub, name, "wrong horses jump").await;
        let problem: Value = answer.json().await.unwrap();
        answers.push((problem["code"].clone(), problem["detail"].clone()));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, "wrong_credentials");
    for _ in 0..4 {
        assert_eq!(login(&hub, "ann", "wrong horses jump").await.status(), 401);
    }
    let limited = login(&hub, "ann", PASSWORD).await;
    let wait: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(told(limited).await, (429, "too_many_tries".into()), "even with the right one");
}

#[tokio::test]
async fn a_session_ends_at_sign_out_elsewhere_and_with_a_new_password() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let (phone, laptop) = (Person::sign_in(&hub, "ann").await, Person::sign_in(&hub, "ann").await);
    let sessions = ann.json(&hub, "/api/auth/sessions").await;
    assert_eq!(sessions.as_array().unwrap().len(), 3);
    assert_eq!(
        sessions.as_array().unwrap().iter().filter(|session| session["is_current"] == true).count(),
        1
    );

    let out = phone.send(&hub, Method::POST, "/api/auth/logout", &json!({})).await;
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(told(phone.get(&hub, "/api/devices").await).await, (401, "bad_credential".into()));

    let current = laptop.json(&hub, "/api/auth/sessions").await;
    let other = current.as_array().unwrap().iter().find(|session| session["is_current"] == false).unwrap();
    let path = format!("/api/auth/sessions/{}", other["id"].as_str().unwrap());
    assert_eq!(laptop.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 401, "ended elsewhere");
    let again = laptop.request(&hub, Method::DELETE, &path).send().await.unwrap();
    assert_eq!(told(again).await, (404, "session_not_found".into()));

    let ann = Person::sign_in(&hub, "ann").await;
    let change = |old: &str| json!({ "old": old, "new": "blue horses swim" });
    let wrong = laptop.send(&hub, Method::PUT, "/api/auth/password", &change("red horses")).await;
    assert_eq!(told(wrong).await, (403, "wrong_password".into()));
    let short = json!({ "old": PASSWORD, "new": "horses" });
    let short = laptop.send(&hub, Method::PUT, "/api/auth/password", &short).await;
    assert_eq!(told(short).await, (422, "bad_password".into()));
    let changed = laptop.send(&hub, Method::PUT, "/api/auth/password", &change(PASSWORD)).await;
    assert_eq!(changed.status(), 204);
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 401, "all other sessions have ended");
    assert_eq!(laptop.get(&hub, "/api/devices").await.status(), 200);
    assert_eq!(login(&hub, "ann", PASSWORD).await.status(), 401);
}

/// Another sign-in in the same browser begins another session, and ends the one before.
#[tokio::test]
async fn who_signs_in_gets_a_new_session() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let body = json!({ "name": "ann", "password": PASSWORD });
    let again = ann.send(&hub, Method::POST, "/api/auth/login", &body).await;
    assert_eq!(again.status(), 200);
    assert!(!again.headers()["set-cookie"].to_str().unwrap().starts_with(&ann.cookie));
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 401, "the one before has ended");
    // An old cookie hinders nobody from signing in.
    assert_eq!(ann.send(&hub, Method::POST, "/api/auth/login", &body).await.status(), 200);
}

async fn post(hub: &HubProcess, cookie: &str, more: &[&str], body: &str) -> HttpAnswer {
    let (host, cookie) = (format!("Host: {}", hub.http), format!("Cookie: {cookie}"));
    let lines = [&["POST /api/devices HTTP/1.1", &host, &cookie], more].concat();
    ask(hub.http, &lines, body).await
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing_whatever_the_content_type() {
    let hub = Installation::new().with("--cors", "http://friend.example").start().await;
    let ann = Person::first(&hub, "ann").await;
    let device = |id: &str| format!(r#"{{"device_id": "{id}", "name": "x"}}"#);
    for kind in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let kind = format!("Content-Type: {kind}");
        let answer = post(&hub, &ann.cookie, &[&kind], &device("a")).await;
        assert_eq!((answer.status, &*answer.code()), (403, "csrf"), "{kind}");
    }
    let json = "Content-Type: application/json";
    let scheme = format!("Origin: https://{}", hub.http);
    let answer = post(&hub, &ann.cookie, &[json, &scheme], &device("a")).await;
    assert_eq!((answer.status, &*answer.code()), (403, "csrf"), "another scheme is another origin");
    for site in ["cross-site", "same-site"] {
        let site = format!("Sec-Fetch-Site: {site}");
        assert_eq!(post(&hub, &ann.cookie, &[json, &site], &device("a")).await.status, 403, "{site}");
    }
    let own = format!("Origin: http://{}", hub.http);
    for (id, from) in [
        ("a", &*own),
        ("b", "Origin: http://friend.example"),
        ("c", "Sec-Fetch-Site: same-origin"),
        ("d", "Sec-Fetch-Site: none"),
    ] {
        let answer = post(&hub, &ann.cookie, &[json, from], &device(id)).await;
        assert_eq!(answer.status, 201, "{from}: {answer:?}");
    }
}

#[tokio::test]
async fn a_cookie_of_another_port_is_another_servers() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let value = ann.cookie.split_once('=').unwrap().1;
    let status = async |cookie: String| {
        let (host, cookie) = (format!("Host: {}", hub.http), format!("Cookie: {cookie}"));
        ask(hub.http, &["GET /api/devices HTTP/1.1", &host, &cookie], "").await.status
    };
    assert_eq!(status(format!("twinhub_1={value}")).await, 401);
    assert_eq!(status(format!("twinhub_1=x; {}", ann.cookie)).await, 200);
    assert_eq!(status(format!("{0}; {0}", ann.cookie)).await, 400, "one of them was planted");
}

/// Two hubs on one machine: a browser sends each the cookies of both.
#[tokio::test]
async fn two_hubs_on_one_host_keep_their_sessions_apart() {
    let (one, other) = (Installation::new().start().await, Installation::new().start().await);
    let (ann, eve) = (Person::first(&one, "ann").await, Person::first(&other, "eve").await);
    let both = format!("{}; {}", ann.cookie, eve.cookie);
    for (hub, expected) in [(&one, "user:ann"), (&other, "user:eve")] {
        let asked = hub.request(Method::GET, "/api/auth/user").header("Cookie", &both);
        let caller: Value = asked.send().await.unwrap().json().await.unwrap();
        assert_eq!(caller["caller"], expected);
    }
    let out = ann.send(&one, Method::POST, "/api/auth/logout", &json!({})).await;
    let taken = out.headers()["set-cookie"].to_str().unwrap();
    assert!(taken.starts_with(&format!("twinhub_{}=", one.http.port())), "{taken}");
    assert_eq!(eve.get(&other, "/api/devices").await.status(), 200);
}

/// A session that somebody else has put into a browser is not taken over by whoever signs in there.
#[tokio::test]
async fn a_planted_session_stays_nobodys() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    let eve = Person::sign_in(&hub, "ann").await;
    let made_up = Person::with_session(&hub, &"ab".repeat(32));
    for planted in [&made_up, &eve] {
        let body = json!({ "name": "ann", "password": PASSWORD });
        let signed_in = planted.send(&hub, Method::POST, "/api/auth/login", &body).await;
        assert_eq!(signed_in.status(), 200);
        let given = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert_ne!(given, planted.cookie);
        assert_eq!(planted.get(&hub, "/api/devices").await.status(), 401, "the planted one opens nothing");
    }
}

/// What an address has in it stands in headers encoded.
#[tokio::test]
async fn no_address_writes_a_header() {
    let hub = Installation::new().start().await;
    Person::first(&hub, "ann").await;
    let host = format!("Host: {}", hub.http);
    for path in ["/?a=%0d%0aSet-Cookie:%20a=b", "/?next=%0aX-Evil:%201", "/docs/?%0d%0a%0d%0a%3Cscript%3E"] {
        let answer = ask(hub.http, &[&format!("GET {path} HTTP/1.1"), &host, "Accept: text/html"], "").await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        assert!(answer.header("location").unwrap().starts_with("/login?next=%2F"), "{answer:?}");
        assert_eq!((answer.header("set-cookie"), answer.header("x-evil")), (None, None), "{path}");
        assert_eq!(answer.body, "", "{path}");
    }
    let page = ask(hub.http, &["GET /login?next=%0d%0aSet-Cookie:a=b HTTP/1.1", &host], "").await;
    assert_eq!((page.status, page.header("set-cookie")), (200, None));
    let body = json!({ "name": "ann\r\nX-Evil: 1", "password": PASSWORD });
    let refused = hub.post("/api/auth/login", &body).await;
    assert!(refused.headers().get("x-evil").is_none() && refused.status() == 401);
}

#[tokio::test]
async fn whoever_asks_makes_an_account_where_that_is_allowed() {
    let hub = Installation::new().with("--registration", "open").start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = hub.post("/api/auth/register", &json!({ "name": "bob", "password": PASSWORD })).await;
    let bob: Value = bob.json().await.unwrap();
    assert_eq!((&bob["user"]["role"], &bob["user"]["source"]), (&json!("operator"), &json!("registration")));
    let taken = hub.post("/api/auth/register", &json!({ "name": "Bob", "password": PASSWORD })).await;
    assert_eq!(told(taken).await, (409, "user_exists".into()));
    assert_eq!(ann.json(&hub, "/api/users").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn admins_manage_users_and_the_last_one_stays() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "viewer").await;
    assert_eq!(bob.get(&hub, "/api/devices").await.status(), 200);
    let refused = bob.send(&hub, Method::POST, "/api/devices", &json!({ "name": "x" })).await;
    let problem: Value = refused.json().await.unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(403), &json!("forbidden")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`manage`") && detail.contains("viewer"), "{detail}");
    assert_eq!(bob.get(&hub, "/api/users").await.status(), 403);

    let change = async |body: Value| ann.send(&hub, Method::PATCH, "/api/users/bob", &body).await;
    assert_eq!(change(json!({ "role": "boss" })).await.status(), 422);
    let changed: Value = change(json!({ "role": "operator", "email": "bob@example.com", "quota": 3 }))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!((&changed["role"], &changed["quota"]), (&json!("operator"), &json!(3)));
    Person::sign_in(&hub, "bob@example.com").await;
    assert_eq!(ann.json(&hub, "/api/users/bob").await, changed);

    for (method, body) in
        [(Method::PATCH, json!({ "role": "viewer" })), (Method::PATCH, json!({ "disabled": true }))]
    {
        let last = ann.send(&hub, method, "/api/users/ann", &body).await;
        assert_eq!(told(last).await, (409, "last_admin".into()), "{body}");
    }
    let last = ann.request(&hub, Method::DELETE, "/api/users/ann").send().await.unwrap();
    assert_eq!(told(last).await, (409, "last_admin".into()));

    let bob = Person::sign_in(&hub, "bob").await;
    let set = json!({ "password": "quiet rivers bend" });
    assert_eq!(ann.send(&hub, Method::PUT, "/api/users/bob/password", &set).await.status(), 204);
    assert_eq!(bob.get(&hub, "/api/devices").await.status(), 401, "his sessions have ended");
    assert_eq!(login(&hub, "bob", "quiet rivers bend").await.status(), 200);
    assert_eq!(ann.request(&hub, Method::DELETE, "/api/users/bob").send().await.unwrap().status(), 200);
    assert_eq!(told(ann.get(&hub, "/api/users/bob").await).await, (404, "user_not_found".into()));
}

#[tokio::test]
async fn the_audit_says_who_did_what_a_page_at_a_time_and_no_secret() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    ann.add(&hub, "bob", "viewer").await;
    login(&hub, "bob", "wrong horses jump").await;
    let (secret, _) = ann.make_key(&hub, "viewer").await;
    let all = ann.json(&hub, "/api/audit").await;
    let text = all.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("wrong horses") && !text.contains(&secret), "{text}");
    let places: Vec<u64> =
        all.as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(places.is_sorted_by(|one, other| one > other), "the newest first: {places:?}");
    let actions: Vec<&str> =
        all.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    for action in ["user.created", "user.signed_in", "key.created"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    let refused = all.as_array().unwrap().iter().find(|entry| entry["outcome"] == "refused").unwrap();
    assert_eq!(refused["address"], "127.0.0.1", "{refused}");

    let mut found = Vec::new();
    let mut path = "/api/audit?limit=2".to_owned();
    loop {
        let page = ann.get(&hub, &path).await;
        let next = page.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let entries: Vec<Value> = page.json().await.unwrap();
        found.extend(entries.iter().map(|entry| entry["seq"].as_u64().unwrap()));
        let Some(next) = next else { break };
        path = next.split(['<', '>']).nth(1).unwrap().to_owned();
    }
    assert_eq!(found, places);
    let created = ann.json(&hub, "/api/audit?action=user.created&who=user:ann").await;
    assert_eq!(created[0]["target"], "user:bob", "{created}");
}
