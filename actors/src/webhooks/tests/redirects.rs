//! The targets to which receivers may redirect.

use super::*;

async fn redirected_to(
    fixture: &WebhooksFixture,
    number: u128,
    status: &str,
    location: &str,
) -> DeliveryRecord {
    let mut receiver = WebhookReceiver::start().await;
    fixture.send(delivery(number, &receiver.url("/first")));
    let headers = format!("Location: {location}\r\n");
    receiver.next().await.answer(status, &headers, "").await;
    let done = fixture.ended(Uuid::from_u128(number)).await;
    assert!(receiver.is_quiet(), "{location}");
    done
}

fn anywhere() -> Settings {
    let settings = to_this_machine();
    Settings { webhooks: WebhookDestinations { private_redirects: true, ..settings.webhooks }, ..settings }
}

#[actix::test]
async fn redirects_never_lead_to_internal_addresses() {
    let fixture = WebhooksFixture::new().await;
    let mut inside = WebhookReceiver::start().await;
    let port = inside.address.port();
    for (number, host, shown) in [
        (1, "127.0.0.1", "127.0.0.1"),
        (2, "localhost", "localhost"),
        (3, "2130706433", "127.0.0.1"),
        (4, "0x7f.1", "127.0.0.1"),
        (5, "[::1]", "[::1]"),
        (6, "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        (7, "169.254.169.254", "169.254.169.254"),
        (8, "0.0.0.0", "0.0.0.0"),
    ] {
        let status = if number % 2 == 0 { "307 Temporary Redirect" } else { "302 Found" };
        let done = redirected_to(&fixture, number, status, &format!("http://{host}:{port}/")).await;
        assert_eq!((done.status, done.attempts), (DeliveryStatus::Failed, 1), "{host}");
        assert!(
            done.detail.starts_with(&format!("`{shown}` is an address of this machine")),
            "{}",
            done.detail
        );
    }
    let done = redirected_to(&fixture, 20, "301 Moved Permanently", "/second").await;
    assert_eq!(done.status, DeliveryStatus::Failed, "not even on the same host");
    let done = redirected_to(&fixture, 21, "308 Permanent Redirect", "ftp://example.com/").await;
    assert_eq!(&*done.detail, "`ftp:` is neither http nor https");
    let done = redirected_to(&fixture, 22, "308 Permanent Redirect", "http://").await;
    assert_eq!(&*done.detail, "redirected: empty host");
    assert!(inside.is_quiet());
}

#[actix::test]
async fn are_followed_with_method_and_body_where_they_may_be() {
    let fixture = WebhooksFixture::with(anywhere()).await;
    let (mut one, mut other) = (WebhookReceiver::start().await, WebhookReceiver::start().await);
    fixture.send(delivery(1, &one.url("/a")));
    one.next().await.answer("301 Moved Permanently", "Location: b\r\n", "").await;
    let second = one.next().await;
    assert_eq!((&*second.line, &*second.body), ("POST /b", r#"{"t":23.50}"#));
    assert_eq!(second.header("authorization"), Some("Bearer s3cret"));
    second.answer("307 Temporary Redirect", &format!("Location: {}\r\n", other.url("/c")), "").await;
    let third = other.next().await;
    assert_eq!((&*third.line, &*third.body), ("POST /c", r#"{"t":23.50}"#));
    let kept =
        ["authorization", "x-room", "content-type", "x-twinhub-delivery"].map(|name| third.header(name));
    let id = Uuid::from_u128(1).to_string();
    assert_eq!(
        kept,
        [None, None, Some("application/json"), Some(&*id)],
        "keys are for the receiver that the rule names"
    );
    third.answer("303 See Other", "Location: /d\r\n", "").await;
    let fourth = other.next().await;
    assert_eq!((&*fourth.line, &*fourth.body, fourth.header("content-type")), ("GET /d", "", None));
    fourth.answer("200 OK", "", "seen").await;
    assert_eq!(&*fixture.ended(Uuid::from_u128(1)).await.detail, "200 OK: seen");
}

#[actix::test]
async fn come_to_an_end() {
    let fixture = WebhooksFixture::with(anywhere()).await;
    let mut receiver = WebhookReceiver::start().await;
    fixture.send(delivery(1, &receiver.url("/0")));
    for nth in 1..=6 {
        let location = format!("Location: /{nth}\r\n");
        receiver.next().await.answer("302 Found", &location, "").await;
    }
    let done = fixture.ended(Uuid::from_u128(1)).await;
    assert_eq!((done.status, &*done.detail), (DeliveryStatus::Failed, "redirected more than 5 times"));
    assert!(receiver.is_quiet());
}
