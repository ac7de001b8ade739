//! Webhooks over a real hub, to receivers on this machine; time is moved by hand.

mod receiver;
mod redirects;

use std::sync::Mutex;

use super::*;
use crate::counters::get;
use crate::hub::{Hub, Settings};
use crate::messages::archive::ListDeliveries;
use crate::testkit::close;
use receiver::WebhookReceiver;
use twinhub_domain::run::RunId;
use twinhub_domain::{Json, payload};
use twinhub_rules::engine::Delivery;
use twinhub_store::MemoryStore;
use twinhub_testkit::{FailingStore, ManualClock, ask, until, until_found, within};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// Receivers are on this machine, which an operator has to allow.
fn to_this_machine() -> Settings {
    let allow = ["127.0.0.0/8", "::1"].map(|text| text.parse().unwrap()).into();
    Settings {
        webhooks: WebhookDestinations { allow, ..WebhookDestinations::default() },
        ..Settings::default()
    }
}

struct WebhooksFixture {
    hub: Arc<Hub>,
    webhooks: Addr<Webhooks>,
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
}

impl WebhooksFixture {
    async fn new() -> Self {
        Self::with(to_this_machine()).await
    }

    async fn with(settings: Settings) -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
        Self::over(FailingStore::around(Arc::new(MemoryStore::default())), clock, settings).await
    }

    async fn over(store: Arc<FailingStore>, clock: Arc<ManualClock>, settings: Settings) -> Self {
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        Self { webhooks: hub.webhooks.clone(), hub, store, clock }
    }

    /// With another sender, whose keys come from there.
    fn with_keys(mut self, keys: SigningKeys) -> Self {
        let hub = &self.hub;
        let (store, clock, journal) = (self.store.clone(), self.clock.clone(), hub.journal.clone());
        let counters = Arc::clone(&hub.counters);
        self.webhooks =
            Webhooks::new(store, clock, journal, counters, keys, to_this_machine().webhooks).start();
        self
    }

    fn send(&self, delivery: DeliveryRecord) {
        try_send_unbounded(&self.webhooks, SendWebhook { delivery }).unwrap();
    }

    /// Lets time pass, and has the sender look at the clock.
    async fn pass(&self, millis: i64) {
        self.clock.advance(millis);
        ask(&self.webhooks, Tick).await;
    }

    /// The delivery as it is stored, once `is_so`.
    async fn until(&self, id: Uuid, is_so: impl Fn(&DeliveryRecord) -> bool) -> DeliveryRecord {
        until_found("the delivery stands so", async || {
            let query = DeliveryQuery { limit: 100, ..DeliveryQuery::default() };
            let page = ask(&self.hub.archive, ListDeliveries(query)).await.unwrap();
            page.deliveries.into_iter().find(|record| record.id == id && is_so(record))
        })
        .await
    }

    async fn ended(&self, id: Uuid) -> DeliveryRecord {
        self.until(id, |record| record.status != DeliveryStatus::Waiting).await
    }
}

fn delivery(number: u128, url: &str) -> DeliveryRecord {
    let now = Timestamp::from_millis(NEW_YEAR);
    DeliveryRecord {
        id: Uuid::from_u128(number),
        rule: RuleId::parse("cool").unwrap(),
        run: RunId(Uuid::nil()),
        delivery: Delivery {
            url: url.into(),
            method: "POST".into(),
            headers: vec![
                ("X-Room".into(), " hall ".into()),
                ("Authorization".into(), "Bearer s3cret".into()),
            ],
            body: Json::Object(payload::object(br#"{"t": 23.50}"#).unwrap()),
            signed_by: None,
            step: 3,
            timeout_ms: 30_000,
            max_attempts: 5,
        },
        status: DeliveryStatus::Waiting,
        attempts: 0,
        next_at: now,
        detail: "".into(),
        created_at: now,
        ended_at: None,
    }
}

#[actix::test]
async fn is_tried_again_until_it_is_taken() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    let record = delivery(1, &receiver.url("/hook?room=1"));
    let id = record.id;
    fixture.send(record);
    let first = receiver.next().await;
    assert_eq!(
        (&*first.line, &*first.body),
        ("POST /hook?room=1", r#"{"t":23.50}"#),
        "numbers keep their digits"
    );
    let told = ["content-type", "user-agent", "x-twinhub-delivery", "x-twinhub-timestamp", "x-room"];
    let version = concat!("twinhub/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        told.map(|name| first.header(name).unwrap()),
        ["application/json", version, &id.to_string(), "1767225600", "hall"]
    );
    assert_eq!(first.header("x-twinhub-signature"), None);
    first.answer("503 Service Unavailable", "", "come\nback").await;
    let tried = fixture.until(id, |record| record.attempts == 1).await;
    assert_eq!(&*tried.detail, "503 Service Unavailable: come back");
    let wait = tried.next_at.millis() - NEW_YEAR;
    assert!((1_000..=1_500).contains(&wait), "{wait}");

    fixture.pass(wait).await;
    let second = receiver.next().await;
    assert_eq!(
        second.header("x-twinhub-delivery"),
        Some(&*id.to_string()),
        "the same: a repeat can be known"
    );
    assert_eq!(second.header("x-twinhub-timestamp"), Some("1767225601"));
    drop(second); // the connection breaks
    let tried = fixture.until(id, |record| record.attempts == 2).await;
    assert!(!tried.detail.is_empty() && !tried.detail.contains("/hook"), "{}", tried.detail);

    fixture.pass(3_000).await;
    receiver.next().await.answer("201 Created", "", "thanks").await;
    let done = fixture.ended(id).await;
    assert_eq!(
        (done.status, done.attempts, &*done.detail),
        (DeliveryStatus::Delivered, 3, "201 Created: thanks")
    );
    assert_eq!(done.ended_at, Some(fixture.clock.now()));
    assert_eq!(get(&fixture.hub.counters.webhook_attempts), 3);
    assert_eq!(get(&fixture.hub.counters.webhooks_delivered), 1);
}

#[actix::test]
async fn waits_for_as_long_as_it_is_asked_to() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    let record = delivery(1, &receiver.url("/"));
    let id = record.id;
    fixture.send(record);
    receiver.next().await.answer("429 Too Many Requests", "Retry-After: 90\r\n", "").await;
    let tried = fixture.until(id, |record| record.attempts == 1).await;
    assert_eq!((tried.next_at.millis(), &*tried.detail), (NEW_YEAR + 90_000, "429 Too Many Requests"));
    fixture.pass(89_999).await;
    assert_eq!(get(&fixture.hub.counters.webhook_attempts), 1);
    fixture.pass(1).await;
    receiver.next().await.answer("204 No Content", "", "").await;
    assert_eq!(fixture.ended(id).await.status, DeliveryStatus::Delivered);
    assert!(receiver.is_quiet());
}

#[actix::test]
async fn fails_at_once_where_trying_again_would_be_of_no_use() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    for (number, status) in
        [(1, "400 Bad Request"), (2, "404 Not Found"), (3, "410 Gone"), (4, "304 Not Modified")]
    {
        let record = delivery(number, &receiver.url("/"));
        let id = record.id;
        fixture.send(record);
        receiver.next().await.answer(status, "", "").await;
        let done = fixture.ended(id).await;
        assert_eq!((done.status, done.attempts, &*done.detail), (DeliveryStatus::Failed, 1, status));
    }
    let with = |change: &dyn Fn(&mut Delivery)| {
        let mut record = delivery(5, &receiver.url("/"));
        change(&mut record.delivery);
        record
    };
    for (number, record, why) in [
        (5, with(&|d| d.url = "not a url".into()), "the address is no URL: relative URL without a base"),
        (6, with(&|d| d.url = "file:///etc/passwd".into()), "`file:` is neither http nor https"),
        (7, with(&|d| d.method = "PO ST".into()), "invalid HTTP method"),
        (
            8,
            with(&|d| d.headers = vec![("X A".into(), "b".into())]),
            "header `X A`: invalid HTTP header name",
        ),
        (
            9,
            with(&|d| d.headers = vec![("A".into(), "b\r\nC: d".into())]),
            "header `A`: failed to parse header value",
        ),
    ] {
        let record = DeliveryRecord { id: Uuid::from_u128(number), ..record };
        let id = record.id;
        fixture.send(record);
        let done = fixture.ended(id).await;
        assert_eq!((done.status, &*done.detail), (DeliveryStatus::Failed, why));
    }
    assert!(receiver.is_quiet());
    assert_eq!(get(&fixture.hub.counters.webhooks_failed), 9);
}

#[actix::test]
async fn is_given_up_after_as_many_attempts_as_the_rule_says() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    let mut record = delivery(1, &receiver.url("/"));
    record.delivery.max_attempts = 2;
    let id = record.id;
    fixture.send(record);
    receiver.next().await.answer("500 Internal Server Error", "", "").await;
    fixture.until(id, |record| record.attempts == 1).await;
    fixture.pass(1_500).await;
    receiver.next().await.answer("502 Bad Gateway", "", "no upstream").await;
    let done = fixture.ended(id).await;
    assert_eq!(
        (done.status, done.attempts, &*done.detail),
        (DeliveryStatus::Failed, 2, "502 Bad Gateway: no upstream")
    );
    // Nobody listens there.
    drop(receiver);
    let gone = WebhookReceiver::start().await.address;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_ne!(gone, free);
    let mut record = delivery(2, &format!("http://{free}/s3cret"));
    record.delivery.max_attempts = 1;
    let id = record.id;
    fixture.send(record);
    let done = fixture.ended(id).await;
    assert_eq!(done.status, DeliveryStatus::Failed);
    assert!(
        done.detail.to_lowercase().contains("refused") && !done.detail.contains("s3cret"),
        "{}",
        done.detail
    );
}

#[actix::test]
async fn an_answer_that_does_not_come_is_none() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    let mut record = delivery(1, &receiver.url("/"));
    record.delivery.timeout_ms = 50;
    let id = record.id;
    fixture.send(record);
    let tried = fixture.until(id, |record| record.attempts == 1).await;
    assert_eq!((tried.status, &*tried.detail), (DeliveryStatus::Waiting, "no answer within 50ms"));

    // One that begins and does not end is one: the status says all.
    let record = delivery(2, &receiver.url("/long"));
    let id = record.id;
    fixture.send(record);
    let request = loop {
        let request = receiver.next().await; // the first one may have come, too
        if request.line == "POST /long" {
            break request;
        }
    };
    let long =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n".to_vec(), vec![b'x'; 8_000_000]].concat();
    let read = actix::spawn(async move { request.answer_raw(&long).await });
    let done = fixture.ended(id).await;
    assert_eq!((done.status, done.detail.len()), (DeliveryStatus::Delivered, "200 OK: ".len() + 200));
    assert!(within("the connection ends", read).await.unwrap() < 8_000_000, "not all of it was read");
}

#[actix::test]
async fn is_signed_where_the_rule_has_a_key_and_never_goes_without() {
    let known = Arc::new(Mutex::new(None::<String>));
    let asked = Arc::new(AtomicU32::new(0));
    let keys: SigningKeys = {
        let (known, asked) = (Arc::clone(&known), Arc::clone(&asked));
        Arc::new(move |rule, step| {
            assert_eq!((rule.as_str(), step), ("cool", 3));
            asked.fetch_add(1, Ordering::SeqCst);
            known.lock().unwrap().clone()
        })
    };
    let (fixture, mut receiver) =
        (WebhooksFixture::new().await.with_keys(keys), WebhookReceiver::start().await);
    let mut record = delivery(1, &receiver.url("/"));
    record.delivery.signed_by = RuleId::parse("cool").ok();
    record.delivery.max_attempts = 1;
    record.delivery.headers = vec![("X-Twinhub-Signature".into(), "sha256=forged".into())];
    let id = record.id;
    fixture.send(record.clone());
    // The rules are not read yet.
    until("the sender asks for the key", async || asked.load(Ordering::SeqCst) > 0).await;
    assert!(receiver.is_quiet());
    *known.lock().unwrap() = Some("s3cret".into());
    fixture.pass(1_500).await;
    let request = receiver.next().await;
    let signed = signature::signature("s3cret", 1_767_225_601, request.body.as_bytes());
    assert_eq!(request.header("x-twinhub-signature"), signed.as_deref());
    request.answer("200 OK", "", "").await;
    let done = fixture.ended(id).await;
    assert_eq!((done.status, done.attempts), (DeliveryStatus::Delivered, 1));

    // The key was taken away for good.
    *known.lock().unwrap() = None;
    let record = DeliveryRecord { id: Uuid::from_u128(2), ..record };
    fixture.send(record);
    for _ in 0..MOST_WITHOUT_KEY {
        fixture.pass(300_000).await;
    }
    let done = fixture.ended(Uuid::from_u128(2)).await;
    assert_eq!((done.status, &*done.detail), (DeliveryStatus::Failed, "its rule has no key to sign it with"));
    assert!(receiver.is_quiet());
}

#[actix::test]
async fn a_restart_goes_on_where_it_was() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    let record = delivery(1, &receiver.url("/"));
    let id = record.id;
    fixture.send(record);
    receiver.next().await.answer("503 Service Unavailable", "Retry-After: 600\r\n", "").await;
    fixture.until(id, |record| record.attempts == 1).await;
    assert!(close(&fixture.hub).await);
    let WebhooksFixture { store, clock, .. } = fixture;
    clock.advance(599_000);
    let fixture = WebhooksFixture::over(store, clock, to_this_machine()).await;
    fixture.pass(0).await;
    assert!(receiver.is_quiet());
    until("the sender tries again", async || {
        fixture.pass(1_000).await; // once what waits was read, it is due a second later
        get(&fixture.hub.counters.webhook_attempts) > 0
    })
    .await;
    let request = receiver.next().await;
    assert_eq!(request.header("x-twinhub-delivery"), Some(&*id.to_string()));
    request.answer("200 OK", "", "").await;
    let done = fixture.ended(id).await;
    assert_eq!((done.status, done.attempts), (DeliveryStatus::Delivered, 2));
}

#[actix::test]
async fn two_go_to_a_host_at_once_and_in_order() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    for number in 1..=5 {
        fixture.send(delivery(number, &receiver.url(&format!("/{number}"))));
        fixture.send(delivery(number, &receiver.url("/again"))); // known already
    }
    let (one, two) = (receiver.next().await, receiver.next().await);
    let mut lines = [one.line.clone(), two.line.clone()];
    lines.sort_unstable();
    assert_eq!(lines, ["POST /1", "POST /2"]);
    fixture.pass(0).await;
    assert_eq!(get(&fixture.hub.counters.webhook_attempts), 2);
    one.answer("200 OK", "", "").await;
    let three = receiver.next().await;
    assert_eq!(three.line, "POST /3");
    three.answer("200 OK", "", "").await;
    two.answer("200 OK", "", "").await;
    let (four, five) = (receiver.next().await, receiver.next().await);
    let mut lines = [four.line.clone(), five.line.clone()];
    lines.sort_unstable();
    assert_eq!(lines, ["POST /4", "POST /5"]);
}

/// All of 127.0.0.0/8 is this machine on Linux alone.
#[cfg(target_os = "linux")]
#[actix::test]
async fn eight_are_under_way_at_once() {
    let fixture = WebhooksFixture::new().await;
    let mut receivers = Vec::new();
    for host in 1..=5 {
        let receiver = WebhookReceiver::at(std::net::IpAddr::from([127, 0, 0, host])).await;
        for nth in 0..2 {
            fixture.send(delivery(u128::from(host) * 10 + nth, &receiver.url("/")));
        }
        receivers.push(receiver);
    }
    let mut waiting = Vec::new();
    for receiver in &mut receivers[..4] {
        waiting.extend([receiver.next().await, receiver.next().await]);
    }
    fixture.pass(0).await;
    assert_eq!(get(&fixture.hub.counters.webhook_attempts), 8);
    waiting.remove(0).answer("200 OK", "", "").await;
    receivers[4].next().await;
    assert_eq!(get(&fixture.hub.counters.webhook_attempts), 9);
}

#[actix::test]
async fn going_down_waits_for_the_answers_under_way_and_begins_nothing() {
    let (fixture, mut receiver) = (WebhooksFixture::new().await, WebhookReceiver::start().await);
    fixture.send(delivery(1, &receiver.url("/1")));
    let request = receiver.next().await;
    let (reply, mut rested) = oneshot::channel();
    try_send_unbounded(&fixture.webhooks, DrainWebhooks { reply }).unwrap();
    fixture.send(delivery(2, &receiver.url("/2")));
    fixture.pass(60_000).await;
    assert!(rested.try_recv().is_err());
    request.answer("200 OK", "", "").await;
    within("the sender rests", rested).await.unwrap();
    assert_eq!(fixture.ended(Uuid::from_u128(1)).await.status, DeliveryStatus::Delivered);
    assert!(receiver.is_quiet());
}
