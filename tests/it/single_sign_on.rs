//! Single sign-on by OpenID Connect, at a provider that the test starts.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run};
use crate::support::people::{PASSWORD, Person, told};
use crate::support::provider::{CLIENT, IdentityProvider, SECRET, Twist};
use crate::support::within;

/// A browser as far as cookies and navigations go.
#[derive(Default)]
pub struct Tab {
    /// Name, value, and whether they come along from another site.
    cookies: BTreeMap<String, (String, bool)>,
}

/// The page that a sign-in ended at.
#[derive(Debug)]
pub struct Landed {
    pub status: u16,
    pub page: String,
    /// The address that the provider has sent the browser to.
    pub url: String,
}

impl Tab {
    /// Opens an address of the hub, from a page of its own or of the provider's.
    async fn open(&mut self, url: &str, is_from_elsewhere: bool) -> Response {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let sent = self.cookies.iter().filter(|(_, (_, is_lax))| *is_lax || !is_from_elsewhere);
        let cookies: Vec<_> = sent.map(|(name, (value, _))| format!("{name}={value}")).collect();
        let site = if is_from_elsewhere { "cross-site" } else { "same-origin" };
        let asked = client.get(url).header("Cookie", cookies.join("; ")).header("Sec-Fetch-Site", site);
        let asked = asked.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "document");
        let answer = within("an answer", asked.header("Accept", "text/html").send()).await.unwrap();
        self.keep(answer.headers());
        answer
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => {
                    let kept = (value.to_owned(), cookie.contains("; SameSite=Lax"));
                    self.cookies.insert(name.to_owned(), kept)
                }
            };
        }
    }

    /// As far as the provider's answer, which the browser has not brought back yet.
    async fn begin(&mut self, hub: &HubProcess, next: &str) -> String {
        let url = format!("http://{}/api/auth/oidc/login?next={next}", hub.http);
        let begun = self.open(&url, false).await;
        assert_eq!(begun.status(), 303);
        let provider = begun.headers()[LOCATION].to_str().unwrap().to_owned();
        let sent_back = self.open(&provider, false).await;
        assert_eq!(sent_back.status(), 303, "{provider}");
        sent_back.headers()[LOCATION].to_str().unwrap().to_owned()
    }

    async fn land(&mut self, url: String) -> Landed {
        let landed = self.open(&url, true).await;
        Landed { status: landed.status().as_u16(), page: landed.text().await.unwrap(), url }
    }

    pub async fn sign_on(&mut self, hub: &HubProcess) -> Landed {
        let url = self.begin(hub, "%2F").await;
        self.land(url).await
    }

    /// The caller that the hub takes it for.
    async fn caller(&mut self, hub: &HubProcess) -> (u16, Value) {
        let answer = self.open(&format!("http://{}/api/auth/user", hub.http), false).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn has_session(&self, hub: &HubProcess) -> bool {
        self.cookies.contains_key(&format!("twinhub_{}", hub.http.port()))
    }
}

fn installation(provider: &IdentityProvider) -> Installation {
    with_provider(Installation::new(), provider)
}

/// An installation that takes in whom this provider knows.
pub fn with_provider(installation: Installation, provider: &IdentityProvider) -> Installation {
    installation
        .with("--oidc-issuer", &provider.issuer())
        .with("--oidc-client-id", CLIENT)
        .with("--oidc-client-secret", SECRET)
        .with("--oidc-roles", "chiefs=admin,plant=operator,guests=viewer")
}

#[tokio::test]
async fn who_the_provider_knows_has_the_role_of_their_groups_at_each_sign_in() {
    let provider = IdentityProvider::start().await;
    let hub = installation(&provider).with("--oidc-name", "the <house>").start().await;
    let ann = Person::first(&hub, "ann").await;
    let page = hub.get("/login?next=%2Fdocs%2F").await.text().await.unwrap();
    let link =
        r#"<a class="main" href="/api/auth/oidc/login?next=%2Fdocs%2F">Sign in with the &lt;house&gt;</a>"#;
    assert!(page.contains(link), "{page}");

    provider.is_signed_in("s-1", "bob", &["other", "plant"]);
    let mut bob = Tab::default();
    let url = bob.begin(&hub, "%2Fdocs%2F%3Fa%3Db%26c").await;
    let landed = bob.land(url).await;
    assert_eq!(landed.status, 200, "{landed:?}");
    assert!(landed.page.contains(r#"content="0;url=/docs/?a=b&amp;c""#), "{landed:?}");
    let (status, caller) = bob.caller(&hub).await;
    assert_eq!((status, &caller["caller"], &caller["role"]), (200, &json!("user:bob"), &json!("operator")));
    let user = &caller["user"];
    assert_eq!((&user["source"], &user["has_password"]), (&json!("single_sign_on"), &json!(false)));
    let id = user["id"].clone();
    let by_password = hub.post("/api/auth/login", &json!({ "name": "bob", "password": PASSWORD })).await;
    assert_eq!(told(by_password).await, (401, "wrong_credentials".into()));

    // More rights: another session, and the one before is over. By another name, it is the same person.
    provider.is_signed_in("s-1", "robert", &["chiefs"]);
    let mut phone = Tab::default();
    assert_eq!(phone.sign_on(&hub).await.status, 200);
    let (_, caller) = phone.caller(&hub).await;
    assert_eq!((&caller["role"], &caller["user"]["id"]), (&json!("admin"), &id));
    assert_eq!(bob.caller(&hub).await.0, 401);

    // Less rights hold for all sessions at once.
    provider.is_signed_in("s-1", "bob", &["guests"]);
    assert_eq!(bob.sign_on(&hub).await.status, 200);
    for tab in [&mut bob, &mut phone] {
        assert_eq!(tab.caller(&hub).await.1["role"], "viewer");
    }
    // Without any group they are out.
    provider.is_signed_in("s-1", "bob", &["other"]);
    let refused = Tab::default().sign_on(&hub).await;
    assert!(refused.status == 403 && refused.page.contains("oidc-roles"), "{refused:?}");
    assert_eq!((bob.caller(&hub).await.0, phone.caller(&hub).await.0), (401, 401));

    let audit = ann.json(&hub, "/api/audit?limit=100").await;
    let entries: Vec<_> = audit.as_array().unwrap().iter().rev().collect();
    let of = |action: &str| entries.iter().filter(|entry| entry["action"] == action).collect::<Vec<_>>();
    assert_eq!(of("user.role_changed").len(), 3, "{audit}");
    let refused = entries.iter().find(|entry| entry["detail"]["reason"] == "no_rights").unwrap();
    assert_eq!(refused["target"], "user:bob");
    assert_eq!(ann.json(&hub, "/api/users").await.as_array().unwrap().len(), 2);

    // A disabled user stays out, whatever the provider says.
    provider.is_signed_in("s-1", "bob", &["plant"]);
    let disabled = ann.send(&hub, Method::PATCH, "/api/users/bob", &json!({ "disabled": true })).await;
    assert_eq!(disabled.status(), 200);
    assert_eq!(bob.sign_on(&hub).await.status, 403);
}

/// RSA, a secret in a file, groups deep in an answer that is asked for, and everybody else a viewer.
#[tokio::test]
async fn providers_differ_in_what_they_tell_and_how() {
    let provider = IdentityProvider::start_rsa().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let installation = Installation::new()
        .with("--oidc-issuer", &provider.issuer())
        .with("--oidc-client-id", CLIENT)
        .with("--oidc-client-secret-file", file.to_str().unwrap())
        .with("--oidc-scopes", "openid,roles")
        .with("--oidc-groups-claim", "realm_access.roles")
        .with("--oidc-roles", "hub=operator@hall,*=viewer");
    let hub = installation.start().await;
    Person::first(&hub, "ann").await;
    provider.has(json!({ "sub": "s-1" }));
    provider
        .tells(json!({ "realm_access": { "roles": ["hub"] }, "email": "Bob@Example.com", "name": "Bob B." }));
    let mut bob = Tab::default();
    let begun = bob.open(&format!("http://{}/api/auth/oidc/login", hub.http), false).await;
    let asked = begun.headers()[LOCATION].to_str().unwrap().to_owned();
    assert!(asked.contains("scope=openid+roles&") || asked.ends_with("scope=openid+roles"), "{asked}");
    let landed = bob.sign_on(&hub).await;
    assert_eq!(landed.status, 200, "{landed:?}");
    let (_, caller) = bob.caller(&hub).await;
    let user = &caller["user"];
    assert_eq!((&user["name"], &user["display_name"]), (&json!("Bob"), &json!("Bob B.")), "{user}");
    assert_eq!((&user["email"], &caller["role"]), (&json!("Bob@Example.com"), &json!("operator")));

    provider.tells(json!({ "preferred_username": "eve" }));
    provider.has(json!({ "sub": "s-2" }));
    let mut eve = Tab::default();
    assert_eq!(eve.sign_on(&hub).await.status, 200);
    assert_eq!(eve.caller(&hub).await.1["role"], "viewer");
}

#[tokio::test]
async fn a_token_that_is_not_the_providers_for_this_sign_in_lets_nobody_in() {
    let provider = IdentityProvider::start().await;
    let hub = installation(&provider).start().await;
    let ann = Person::first(&hub, "ann").await;
    provider.is_signed_in("s-1", "bob", &["plant"]);
    for twist in [
        Twist::Nonce,
        Twist::Audience,
        Twist::Issuer,
        Twist::Expired,
        Twist::Unsigned,
        Twist::BySecret,
        Twist::ForeignKey,
        Twist::Changed,
        Twist::Missing,
    ] {
        provider.twist(twist);
        let mut tab = Tab::default();
        let landed = tab.sign_on(&hub).await;
        assert!(landed.status == 403 && landed.page.contains("cannot be trusted"), "{twist:?}: {landed:?}");
        assert!(!tab.has_session(&hub), "{twist:?}");
    }
    assert_eq!(ann.json(&hub, "/api/users").await.as_array().unwrap().len(), 1, "and makes no user");
    provider.twist(Twist::Nothing);
    provider.rotate();
    assert_eq!(Tab::default().sign_on(&hub).await.status, 200, "a new key of the provider's is found");
}

#[tokio::test]
async fn a_sign_in_ends_once_and_in_the_browser_that_began_it() {
    let provider = IdentityProvider::start().await;
    let hub = installation(&provider).start().await;
    Person::first(&hub, "ann").await;
    provider.is_signed_in("s-1", "bob", &["plant"]);
    let stale =
        |landed: &Landed| landed.status == 403 && landed.page.contains("has not begun in this browser");

    let mut bob = Tab::default();
    let landed = bob.sign_on(&hub).await;
    assert_eq!(landed.status, 200);
    let again = bob.land(landed.url.clone()).await;
    assert!(stale(&again), "the same address once more: {again:?}");

    // An attacker's answer in the browser of somebody else, who would work in the attacker's name.
    let mut eve = Tab::default();
    let url = eve.begin(&hub, "%2F").await;
    let mut victim = Tab::default();
    let landed = victim.land(url.clone()).await;
    assert!(stale(&landed) && !victim.has_session(&hub), "{landed:?}");
    let _ = victim.begin(&hub, "%2F").await;
    let landed = victim.land(url).await;
    assert!(stale(&landed) && !victim.has_session(&hub), "with a sign-in of their own under way: {landed:?}");

    // A code that was taken already, with another sign-in's state.
    let used = again.url.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let mut tab = Tab::default();
    let url = tab.begin(&hub, "%2F").await;
    let fresh = url.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let landed = tab.land(url.replace(&fresh, &used)).await;
    assert!(landed.status == 403 && !tab.has_session(&hub), "{landed:?}");

    let url = tab.begin(&hub, "%2F").await;
    let landed = tab.land(format!("{url}&iss=https%3A%2F%2Fid.example")).await;
    assert!(
        landed.status == 403 && landed.page.contains("cannot be trusted"),
        "another provider: {landed:?}"
    );
    provider.has(json!({}));
    let denied = tab.sign_on(&hub).await;
    assert!(denied.status == 403 && denied.page.contains("access_denied"), "{denied:?}");
}

#[tokio::test]
async fn nobody_takes_over_a_user_who_was_made_here() {
    let provider = IdentityProvider::start().await;
    let hub = installation(&provider).start().await;
    let ann = Person::first(&hub, "ann").await;
    let carl = json!({ "name": "carl", "role": "admin", "password": PASSWORD, "email": "carl@example.com" });
    assert_eq!(ann.send(&hub, Method::POST, "/api/users", &carl).await.status(), 201);
    provider.is_signed_in("s-1", "Ann", &["guests"]);
    let mut tab = Tab::default();
    let landed = tab.sign_on(&hub).await;
    assert!(landed.status == 403 && landed.page.contains("there is a user `Ann`"), "{landed:?}");
    assert!(!tab.has_session(&hub));
    let person = json!({ "sub": "s-2", "preferred_username": "c", "groups": ["guests"],
        "email": "carl@example.com", "email_verified": true });
    provider.has(person);
    assert_eq!(tab.sign_on(&hub).await.status, 200);
    let (_, caller) = tab.caller(&hub).await;
    assert_eq!((&caller["caller"], &caller["user"]["email"]), (&json!("user:c"), &json!(null)));
    assert_eq!(ann.json(&hub, "/api/users/carl").await["role"], "admin");
    // They have no password: neither to set one nor for a second factor.
    let c = Person::with_session(&hub, &tab.cookies[&format!("twinhub_{}", hub.http.port())].0);
    let begun = c.send(&hub, Method::POST, "/api/auth/totp", &json!({ "password": PASSWORD })).await;
    assert_eq!(told(begun).await, (409, "no_password".into()));
    let set = json!({ "old": PASSWORD, "new": "blue horses swim" });
    assert_eq!(told(c.send(&hub, Method::PUT, "/api/auth/password", &set).await).await.1, "no_password");
}

#[tokio::test]
async fn a_provider_that_is_away_leaves_the_hub_as_it_is() {
    let provider = IdentityProvider::start().await;
    let installation = installation(&provider);
    provider.stop();
    drop(provider);
    let hub = installation.start().await;
    Person::first(&hub, "ann").await;
    let mut tab = Tab::default();
    let refused = tab.open(&format!("http://{}/api/auth/oidc/login", hub.http), false).await;
    assert_eq!(refused.status(), 503);
    let page = refused.text().await.unwrap();
    assert!(page.contains("does not answer") && page.contains(r#"<a href="/login">"#), "{page}");
    Person::sign_in(&hub, "ann").await;
    let none = Installation::new().start().await;
    assert_eq!(told(none.get("/api/auth/oidc/login").await).await, (404, "no_such_route".into()));
    assert!(!none.get("/login").await.text().await.unwrap().contains("oidc"));
}

/// Wherever the address says that it goes on, it stays at the hub, and in one header.
#[tokio::test]
async fn a_sign_in_leads_to_pages_of_this_hub_alone() {
    let provider = IdentityProvider::start().await;
    let hub = installation(&provider).start().await;
    Person::first(&hub, "ann").await;
    provider.is_signed_in("s-1", "bob", &["plant"]);
    for next in [
        "%2F%2Fevil.example",
        "https%3A%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2F.%2F%2Fevil.example",
        "javascript%3Aalert(1)",
        "%2F%0D%0ASet-Cookie%3A%20a%3Db",
        "%2F%09%2Fevil.example",
        "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ] {
        let mut tab = Tab::default();
        let url = tab.begin(&hub, next).await;
        let landed = tab.land(url).await;
        assert!(landed.page.contains(r#"content="0;url=/""#), "{next}: {landed:?}");
        assert_eq!(tab.cookies.len(), 1, "{next}: {:?}", tab.cookies);
    }
}

#[tokio::test]
async fn a_secret_that_is_given_counts_rather_than_one_in_a_file() {
    let provider = IdentityProvider::start().await;
    provider.is_signed_in("s-1", "bob", &["plant"]);
    let installation = |secret| {
        Installation::new()
            .with("--oidc-issuer", &provider.issuer())
            .with("--oidc-client-id", CLIENT)
            .with("--oidc-roles", "*=admin")
            .with("--oidc-client-secret", secret)
            .with("--oidc-client-secret-file", "/no/such/file")
    };
    let hub = installation(SECRET).start().await;
    assert_eq!(Tab::default().sign_on(&hub).await.status, 200, "the first user comes by it, an admin");
    assert_eq!(hub.get("/api/devices").await.status(), 401, "and ends the open mode");
    let hub = installation("another").start().await;
    let landed = Tab::default().sign_on(&hub).await;
    assert!(landed.status == 403 && landed.page.contains("cannot be trusted"), "{landed:?}");
}

#[tokio::test]
async fn a_configuration_of_single_sign_on_that_lets_nobody_in_is_told() {
    let refused = async |more: &[&str]| {
        let output = run(&[&["config", "--oidc-issuer", "https://id.example"], more].concat(), &[]).await;
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&[]).await.contains("--oidc-client-id"));
    let roles = refused(&["--oidc-client-id", "hub"]).await;
    assert!(roles.contains("--oidc-roles") && roles.contains("hub-admins=admin"), "{roles}");
    let role = refused(&["--oidc-client-id", "hub", "--oidc-roles", "a=boss"]).await;
    assert!(role.contains("GROUP=ROLE"), "{role}");
}
