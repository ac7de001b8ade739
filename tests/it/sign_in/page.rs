//! The pages to sign in, in a real browser.

use reqwest::Method;
use serde_json::json;

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person};
use crate::support::{Browser, eventually};

/// The link in the banner.
fn link(hub: &HubProcess) -> String {
    hub.banner
        .lines()
        .find_map(|line| line.trim().strip_prefix("http://").filter(|rest| rest.contains("/setup#")))
        .map(|rest| format!("http://{rest}"))
        .unwrap()
}

async fn is_at(page: &mut Browser, path: &str) {
    eventually(path, async || {
        (page.evaluate("location.pathname + location.search").await == path).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_first_start_from_the_link_to_a_session_that_is_ended_elsewhere() {
    let hub = Installation::new().start().await;
    let mut page = Browser::open(&format!("http://{}/setup", hub.http)).await;
    page.shows(&["There is no user yet", "twinhub user add NAME --role admin"]).await;
    // With the link's token. Another fragment alone would be no other document.
    page.load("about:blank").await;
    page.load(&link(&hub)).await;
    page.shows(&["Make the first user", "At least 8 characters"]).await;
    assert_eq!(page.evaluate("location.hash").await, "", "the token does not stay in the address");
    page.fill("name", "ann").await;
    page.fill("password", "1234567").await;
    page.press("#submit").await;
    page.shows(&["at least 8 characters"]).await;
    page.fill("password", PASSWORD).await;
    page.press("#submit").await;
    page.shows(&["No devices yet", "live", "ann", "Sign out"]).await;

    page.press("#sign-out").await;
    page.shows(&["Sign in", "Password"]).await;
    // A page that may not be seen leads to the sign-in page, and from there back.
    page.load(&format!("http://{}/docs/", hub.http)).await;
    is_at(&mut page, "/login?next=%2Fdocs%2F").await;
    page.fill("name", "ann").await;
    page.fill("password", "wrong horses jump").await;
    page.press("#submit").await;
    page.shows(&["The name or the password is wrong."]).await;
    page.fill("password", PASSWORD).await;
    page.press("#submit").await;
    page.shows(&["A live digital twin of every IoT device"]).await;

    page.load(&format!("http://{}/", hub.http)).await;
    page.shows(&["live", "Sign out"]).await;
    let ann = Person::sign_in(&hub, "ann").await;
    let ended = ann.request(&hub, Method::DELETE, "/api/auth/sessions").send().await.unwrap();
    assert_eq!(ended.status(), 200);
    // The page is told by its socket.
    page.shows(&["Sign in", "Password"]).await;
    is_at(&mut page, "/login?next=%2F").await;
}

#[tokio::test]
async fn a_page_leads_back_to_its_own_hub_alone() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let _ = ann.add(&hub, "bob", "viewer").await;
    for next in [
        "//evil.example/",
        "https://evil.example/",
        "/.//evil.example",
        "javascript:alert(1)",
        "%5C%5Cevil.example",
    ] {
        let mut page = Browser::open(&format!("http://{}/login?next={next}", hub.http)).await;
        page.shows(&["Sign in"]).await;
        page.fill("name", "bob").await;
        page.fill("password", PASSWORD).await;
        page.press("#submit").await;
        eventually("it has left", async || {
            (page.evaluate("location.pathname").await != "/login").then_some(())
        })
        .await;
        assert_eq!(page.evaluate("location.host").await, json!(hub.http.to_string()), "{next}");
    }
}
