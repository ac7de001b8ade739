//! Links that are given to people: invitations and share links.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person, get_with, told};
use crate::support::{Browser, eventually};

/// Makes a link; the answer, and the secret in it.
async fn make(by: &Person, hub: &HubProcess, path: &str, body: Value) -> (Value, String) {
    let made = by.send(hub, Method::POST, path, &body).await;
    let (status, made) = (made.status(), made.json::<Value>().await.unwrap());
    assert_eq!(status, 201, "{made}");
    let secret = made["link"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    (made, secret)
}

async fn join(hub: &HubProcess, name: &str, invitation: &str) -> (u16, Value) {
    let body = json!({ "name": name, "password": PASSWORD, "invitation": invitation });
    let answer = hub.post("/api/auth/register", &body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_invitation_makes_one_account_of_its_role() {
    let hub = Installation::new().with("--registration", "invite").start().await;
    let ann = Person::first(&hub, "ann").await;
    let without = hub.post("/api/auth/register", &json!({ "name": "eve", "password": PASSWORD })).await;
    assert_eq!(told(without).await, (403, "invitation_needed".into()));

    let invite = async |name: &str, role: &str| {
        make(&ann, &hub, "/api/users/invitations", json!({ "name": name, "role": role })).await
    };
    let (made, for_bob) = invite("bob", "viewer").await;
    let link = format!("http://{}/join#twh_inv_", hub.http);
    assert!(made["link"].as_str().unwrap().starts_with(&link), "{made}");
    assert_eq!(
        (&made["kind"], &made["role"], &made["name"]),
        (&json!("invitation"), &json!("viewer"), &json!("bob"))
    );
    let listed = ann.json(&hub, "/api/users/invitations").await;
    assert_eq!(listed[0]["id"], made["id"]);
    assert!(!listed.to_string().contains(&for_bob), "its secret was shown once");
    assert_eq!(ann.json(&hub, "/api/auth/keys?of=all").await, json!([]), "it is no key");
    assert_eq!(get_with(&hub, &for_bob, "/api/devices").await.0, 401, "and opens nothing");

    let (status, joined) = join(&hub, "bob", &for_bob).await;
    assert_eq!(status, 201, "{joined}");
    assert_eq!(
        (&joined["user"]["role"], &joined["user"]["source"]),
        (&json!("viewer"), &json!("invitation"))
    );
    let again = join(&hub, "carl", &for_bob).await;
    assert_eq!((again.0, &again.1["code"]), (403, &json!("bad_invitation")), "it works once");
    assert_eq!(ann.json(&hub, "/api/users/invitations").await, json!([]));

    let (taken_back, secret) = invite("carl", "admin").await;
    let path = format!("/api/users/invitations/{}", taken_back["id"].as_str().unwrap());
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    for wrong in [&*secret, "", "twh_inv_x", &for_bob.replace("inv", "shl")] {
        assert_eq!(join(&hub, "carl", wrong).await.1["code"], "bad_invitation", "{wrong}");
    }
    let bob = Person::sign_in(&hub, "bob").await;
    let own = bob
        .send(&hub, Method::POST, "/api/users/invitations", &json!({ "name": "x", "role": "viewer" }))
        .await;
    assert_eq!(own.status(), 403, "admins invite");
    let audit = ann.json(&hub, "/api/audit?action=invitation.created").await;
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert!(!ann.json(&hub, "/api/audit?limit=100").await.to_string().contains(&secret));
}

/// Two who have the same link, at once.
#[tokio::test]
async fn of_two_with_one_invitation_one_gets_in() {
    let hub = Installation::new().with("--registration", "invite").start().await;
    let ann = Person::first(&hub, "ann").await;
    let (_, secret) =
        make(&ann, &hub, "/api/users/invitations", json!({ "name": "x", "role": "operator" })).await;
    let (one, other) = tokio::join!(join(&hub, "bob", &secret), join(&hub, "carl", &secret));
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{one:?} {other:?}");
    assert_eq!(ann.json(&hub, "/api/users").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_closed_hub_has_no_invitations() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let body = json!({ "name": "x", "role": "viewer" });
    let refused = ann.send(&hub, Method::POST, "/api/users/invitations", &body).await;
    assert_eq!(told(refused).await, (409, "invitations_off".into()));
}

#[tokio::test]
async fn a_share_link_shows_and_changes_nothing_until_it_is_revoked() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let (made, secret) = make(&ann, &hub, "/api/auth/shares", json!({ "name": "lobby" })).await;
    assert_eq!((&made["kind"], &made["role"]), (&json!("share"), &json!("viewer")));
    assert_eq!(ann.json(&hub, "/api/auth/shares").await[0]["id"], made["id"]);
    assert_eq!(get_with(&hub, &secret, "/api/devices").await.0, 401, "it is no key for programs");

    let opened = hub.post("/api/auth/shares/open", &json!({ "token": secret })).await;
    assert_eq!(opened.status(), 200);
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    let caller: Value = opened.json().await.unwrap();
    assert_eq!(caller["permissions"], json!(["public", "read"]), "{caller}");
    let guest = Person::with_session(&hub, &secret);
    assert_eq!(guest.get(&hub, "/api/devices").await.status(), 200);
    for path in ["/api/devices/export", "/api/users", "/api/audit", "/api/auth/keys", "/api/auth/sessions"] {
        assert_eq!(guest.get(&hub, path).await.status(), 403, "{path}");
    }
    let device = guest.send(&hub, Method::POST, "/api/devices", &json!({ "name": "x" })).await;
    assert_eq!(device.status(), 403);
    let socket = super::sockets::of(&hub, &guest).await;

    let (share, (_, key)) = (made["id"].as_str().unwrap(), ann.make_key(&hub, "viewer").await);
    for other in [
        format!("/api/auth/keys/{share}"),
        format!("/api/users/invitations/{share}"),
        format!("/api/auth/shares/{key}"),
        format!("/api/users/invitations/{key}"),
    ] {
        let refused = ann.request(&hub, Method::DELETE, &other).send().await.unwrap();
        assert_eq!(told(refused).await, (404, "key_not_found".into()), "{other} is of another kind");
    }
    let path = format!("/api/auth/shares/{share}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    assert_eq!(guest.get(&hub, "/api/devices").await.status(), 401);
    assert_eq!(super::sockets::closed(socket).await, 4401);
    let login = json!({ "name": "ann", "password": PASSWORD });
    let signed_in = guest.send(&hub, Method::POST, "/api/auth/login", &login).await;
    assert_eq!(signed_in.status(), 200, "the dead link in the cookie is in nobody's way");
    let again = hub.post("/api/auth/shares/open", &json!({ "token": secret })).await;
    assert_eq!(told(again).await.0, 401);
    let (key, _) = ann.make_key(&hub, "viewer").await;
    assert_eq!(
        told(hub.post("/api/auth/shares/open", &json!({ "token": key })).await).await.0,
        401,
        "no key is one"
    );
}

#[tokio::test]
async fn a_browser_keeps_a_share_link_as_long_as_it_counts() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    for days in [7_u64, 300] {
        let body = json!({ "name": "lobby", "expires_in": format!("{days}d") });
        let (_, secret) = make(&ann, &hub, "/api/auth/shares", body).await;
        let opened = hub.post("/api/auth/shares/open", &json!({ "token": secret })).await;
        let cookie = opened.headers()["set-cookie"].to_str().unwrap();
        let life = cookie.split("; ").find_map(|part| part.strip_prefix("Max-Age=")).unwrap();
        let (life, whole) = (life.parse::<u64>().unwrap(), days * 86_400);
        assert!((whole - 600..=whole).contains(&life), "{cookie}");
    }
}

#[tokio::test]
async fn who_has_signed_in_stays_so_with_a_share_link() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let (_, secret) = make(&ann, &hub, "/api/auth/shares", json!({ "name": "lobby" })).await;
    let open = async |by: &Person| {
        let body = json!({ "token": secret });
        let opened = by.send(&hub, Method::POST, "/api/auth/shares/open", &body).await;
        assert_eq!(opened.status(), 200);
        let has_cookie = opened.headers().contains_key("set-cookie");
        (has_cookie, opened.json::<Value>().await.unwrap()["caller"].clone())
    };
    assert_eq!(open(&ann).await, (false, json!("user:ann")));
    assert!(open(&Person::with_session(&hub, &secret)).await.0, "another link's place is taken");

    let mut page = Browser::open(&format!("http://{}/login", hub.http)).await;
    page.fill("name", "ann").await;
    page.fill("password", PASSWORD).await;
    page.press("#submit").await;
    page.shows(&["ann", "Sign out"]).await;
    page.load(&format!("http://{}/share#{secret}", hub.http)).await;
    page.shows(&["No devices yet", "ann", "Sign out"]).await;
}

#[tokio::test]
async fn who_has_a_link_opens_it_in_a_browser() {
    let hub = Installation::new().with("--registration", "invite").start().await;
    let ann = Person::first(&hub, "ann").await;
    let (made, _) = make(&ann, &hub, "/api/auth/shares", json!({ "name": "lobby" })).await;
    let mut page = Browser::open(made["link"].as_str().unwrap()).await;
    page.shows(&["No devices yet", "live"]).await;
    assert_eq!(page.evaluate("location.pathname + location.hash").await, "/");

    let (made, _) =
        make(&ann, &hub, "/api/users/invitations", json!({ "name": "bob", "role": "viewer" })).await;
    let mut page = Browser::open(&format!("http://{}/join", hub.http)).await;
    page.shows(&["An invitation is missing"]).await;
    page.load("about:blank").await;
    page.load(made["link"].as_str().unwrap()).await;
    page.shows(&["Make your account", "At least 8 characters"]).await;
    assert_eq!(page.evaluate("location.hash").await, "", "the secret does not stay in the address");
    page.fill("name", "bob").await;
    page.fill("password", PASSWORD).await;
    page.press("#submit").await;
    page.shows(&["No devices yet", "bob", "Sign out"]).await;
    eventually("the account", async || {
        let users = ann.json(&hub, "/api/users").await;
        (users.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
}
