//! Keys for programs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::ask;
use crate::support::hub::Installation;
use crate::support::people::{Person, get_with, told};

#[tokio::test]
async fn a_key_lets_in_until_it_is_revoked() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let (secret, id) = ann.make_key(&hub, "viewer").await;
    assert!(secret.starts_with("twh_pat_"), "{secret}");
    assert_eq!(get_with(&hub, &secret, "/api/devices").await.0, 200);
    let made = hub.request(Method::POST, "/api/devices").bearer_auth(&secret).json(&json!({ "name": "x" }));
    assert_eq!(told(made.send().await.unwrap()).await, (403, "forbidden".into()), "a viewer's");
    assert_eq!(get_with(&hub, &secret, "/api/auth/keys").await.0, 403, "accounts are for people");
    let caller = hub.request(Method::GET, "/api/auth/user").bearer_auth(&secret).send().await.unwrap();
    let caller: Value = caller.json().await.unwrap();
    assert_eq!((&caller["caller"], &caller["user"]), (&json!("key:ann/k"), &json!(null)));

    let listed = ann.json(&hub, "/api/auth/keys").await;
    assert_eq!(listed[0]["id"], id);
    assert!(!listed.to_string().contains(&secret), "{listed}");
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(get_with(&hub, &secret, "/api/devices").await.0, 200, "it outlives the program");
    let ann = Person::sign_in(&hub, "ann").await;
    let path = format!("/api/auth/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    assert_eq!(get_with(&hub, &secret, "/api/devices").await, (401, "bad_credential".into()));
    let text = hub.log().join("\n");
    assert!(!text.contains(&secret), "no log has it");
}

#[tokio::test]
async fn a_key_stands_in_one_header_and_in_no_address() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let (secret, _) = ann.make_key(&hub, "viewer").await;
    let answer = async |path: &str, more: &[&str]| {
        let (line, host) = (format!("GET {path} HTTP/1.1"), format!("Host: {}", hub.http));
        let answer = ask(hub.http, &[&[&*line, &*host], more].concat(), "").await;
        (answer.status, answer.code())
    };
    let bearer = format!("Authorization: Bearer {secret}");
    let cookie = format!("Cookie: {}", ann.cookie);
    assert_eq!(answer("/api/devices", &[&bearer]).await.0, 200);
    let repeated = (400, "repeated_header".to_owned());
    assert_eq!(answer("/api/devices", &[&bearer, &bearer]).await, repeated);
    for query in [format!("token={secret}"), "access_token=x".into(), format!("q={secret}")] {
        let refused = answer(&format!("/api/devices?{query}"), &[&bearer]).await;
        assert_eq!(refused, (400, "token_in_query".into()), "{query}");
    }
    let another = if bearer.ends_with('x') { 'y' } else { 'x' };
    let broken = format!("{}{another}", &bearer[..bearer.len() - 1]);
    for wrong in [&*broken, "Authorization: Bearer x", "Authorization: Bearer twh_pat_"] {
        assert_eq!(answer("/api/devices", &[wrong]).await, (401, "bad_credential".into()), "{wrong}");
        let both = answer("/api/devices", &[wrong, &cookie]).await;
        assert_eq!(both.0, 401, "the cookie is not read where there is a token");
    }
    assert_eq!(answer("/api/devices", &["Authorization: Bearer"]).await, (400, "bad_authorization".into()));
    assert_eq!(answer("/api/devices", &["Authorization: Basic YTpi", &cookie]).await.0, 200, "a proxy's own");
}

#[tokio::test]
async fn the_key_in_the_data_folder_counts_while_the_hub_runs() {
    let installation = Installation::new();
    let hub = installation.start().await;
    Person::first(&hub, "ann").await;
    let path = installation.data.join("local.key");
    let token = || std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    let first = token();
    assert_eq!(get_with(&hub, &first, "/api/users").await.0, 200);
    hub.terminate().await;
    assert!(!path.exists(), "removed at the end");
    let hub = installation.start().await;
    assert_ne!(token(), first);
    assert_eq!(get_with(&hub, &first, "/api/users").await.0, 401);
}
