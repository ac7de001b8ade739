//! The outbox by itself, in virtual time.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use actix::Addr;
use async_trait::async_trait;
use tokio::time::Instant;
use twinhub_domain::Timestamp;
use twinhub_mqtt::LinkState;
use twinhub_testkit::{ManualClock, within};

use super::*;
use crate::counters::get;

/// A link that fails as often as it is told, and then takes all.
#[derive(Default)]
struct FailingLink {
    failures: AtomicU32,
    /// The ids of messages, each with the time within which the broker is to deliver it.
    taken: Mutex<Vec<(u64, Option<Duration>)>>,
    has_taken: tokio::sync::Notify,
}

#[async_trait]
impl Link for FailingLink {
    async fn publish(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
    ) -> Result<Published, LinkError> {
        let fails = |left: u32| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(LinkError("the test says so".into()));
        }
        self.taken.lock().unwrap().push((message.id, expires_in));
        self.has_taken.notify_one();
        Ok(Published::Taken)
    }

    fn state(&self) -> LinkState {
        LinkState::default()
    }

    async fn stop_intake(&self) {}

    async fn close(&self) {}
}

/// The journal and the supervisor.
#[derive(Default)]
struct Listener(Arc<ForgottenMessages>);

/// The ids of messages that the store need not keep any more.
#[derive(Default)]
struct ForgottenMessages {
    ids: Mutex<Vec<u64>>,
    has_more: tokio::sync::Notify,
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<OutgoingDelivered> for Listener {
    type Result = ();

    fn handle(&mut self, OutgoingDelivered { ids }: OutgoingDelivered, _: &mut Context<Self>) {
        self.0.ids.lock().unwrap().extend(ids);
        self.0.has_more.notify_one();
    }
}

impl Handler<Deliver> for Listener {
    type Result = ();

    fn handle(&mut self, _: Deliver, _: &mut Context<Self>) {}
}

/// An outbox with its link.
struct OutboxFixture {
    link: Arc<FailingLink>,
    clock: Arc<ManualClock>,
    counters: Arc<Counters>,
    forgotten: Arc<ForgottenMessages>,
    outbox: Addr<Outbox>,
}

impl OutboxFixture {
    async fn new() -> Self {
        tokio::time::pause();
        let (link, listener) = (Arc::new(FailingLink::default()), Listener::default());
        let (forgotten, listener) = (Arc::clone(&listener.0), listener.start());
        let (clock, counters) = (ManualClock::at(Timestamp::from_millis(0)), Arc::default());
        let outbox = Outbox::new(Vec::new(), clock.clone(), Arc::clone(&counters)).start();
        let (journal, supervisor) = (listener.clone().recipient(), listener.recipient());
        outbox.send(Connect { link: link.clone(), journal, supervisor }).await.unwrap();
        Self { link, clock, counters, forgotten, outbox }
    }

    async fn publish(&self, messages: impl IntoIterator<Item = (u64, Option<i64>)>) {
        let message = |(id, until): (u64, Option<i64>)| Outgoing {
            id,
            topic: "t".into(),
            payload: "x".into(),
            retain: false,
            until: until.map(Timestamp::from_millis),
            purpose: None,
        };
        let outgoing = messages.into_iter().map(message).collect();
        self.outbox.send(PublishAll { outgoing, over: Vec::new() }).await.unwrap();
    }

    /// Waits until the broker has taken so many.
    async fn has_taken(&self, count: usize) {
        let taken = async {
            while self.link.taken.lock().unwrap().len() < count {
                self.link.has_taken.notified().await;
            }
        };
        within("a message goes out", taken).await;
    }

    /// Waits until so many are forgotten.
    async fn has_forgotten(&self, count: usize) {
        let forgotten = async {
            while self.forgotten.ids.lock().unwrap().len() < count {
                self.forgotten.has_more.notified().await;
            }
        };
        within("the store need not keep them", forgotten).await;
    }
}

/// The waits get longer from failure to failure, up to five seconds; once something was acknowledged the next failure
/// is the first again.
#[actix::test]
async fn an_acknowledgement_ends_a_row_of_failures() {
    let fixture = OutboxFixture::new().await;
    for (id, failures, expected) in [(1, 3, 700), (2, 1, 100), (3, 8, 16_300), (4, 0, 0), (5, 2, 300)] {
        fixture.link.failures.store(failures, Ordering::SeqCst);
        let began = Instant::now();
        fixture.publish([(id, None)]).await;
        fixture.has_taken(usize::try_from(id).unwrap()).await;
        let took = began.elapsed().as_millis();
        assert!((expected..expected + 50).contains(&took), "{failures} failures took {took} ms");
    }
    assert_eq!(*fixture.link.taken.lock().unwrap(), [1, 2, 3, 4, 5].map(|id| (id, None)));
}

#[actix::test]
async fn a_message_whose_time_is_over_does_not_go_out_and_is_done_with() {
    let fixture = OutboxFixture::new().await;
    fixture.clock.advance(1_000);
    fixture.publish([(1, Some(999)), (2, Some(1_000)), (3, Some(1_001)), (4, None)]).await;
    // What waits for a broker that fails is looked at again before each try.
    fixture.link.failures.store(2, Ordering::SeqCst);
    fixture.publish([(5, Some(1_500)), (6, Some(9_000))]).await;
    fixture.clock.advance(500);
    fixture.has_taken(3).await;
    let went = [(3, Some(1)), (4, None), (6, Some(7_500))];
    let went = went.map(|(id, left)| (id, left.map(Duration::from_millis)));
    assert_eq!(*fixture.link.taken.lock().unwrap(), went);
    assert_eq!(get(&fixture.counters.messages_stale), 3);
    fixture.has_forgotten(6).await;
}
