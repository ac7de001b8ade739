//! The outbox by itself, in virtual time.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use tokio::time::Instant;
use twinhub_domain::Timestamp;
use twinhub_mqtt::LinkState;
use twinhub_testkit::{ManualClock, within};

use super::*;

/// A link that fails as often as it is told, and then takes all.
#[derive(Default)]
struct FailingLink {
    failures: AtomicU32,
    taken: Mutex<Vec<u64>>,
    has_taken: tokio::sync::Notify,
}

#[async_trait]
impl Link for FailingLink {
    async fn publish(&self, message: &Outgoing, _: Option<Duration>) -> Result<Published, LinkError> {
        let fails = |left: u32| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(LinkError("the test says so".into()));
        }
        self.taken.lock().unwrap().push(message.id);
        self.has_taken.notify_one();
        Ok(Published::Taken)
    }

    fn state(&self) -> LinkState {
        LinkState::default()
    }

    async fn stop_intake(&self) {}

    async fn close(&self) {}
}

/// The journal and the supervisor, of which nothing is asked here.
struct Listener;

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<OutgoingDelivered> for Listener {
    type Result = ();

    fn handle(&mut self, _: OutgoingDelivered, _: &mut Context<Self>) {}
}

impl Handler<Deliver> for Listener {
    type Result = ();

    fn handle(&mut self, _: Deliver, _: &mut Context<Self>) {}
}

/// The waits get longer from failure to failure, up to five seconds; once something was acknowledged the next failure
/// is the first again.
#[actix::test]
async fn an_acknowledgement_ends_a_row_of_failures() {
    tokio::time::pause();
    let link = Arc::new(FailingLink::default());
    let listener = Listener.start();
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let outbox = Outbox::new(Vec::new(), clock, Arc::default()).start();
    let (journal, supervisor) = (listener.clone().recipient(), listener.recipient());
    outbox.send(Connect { link: link.clone(), journal, supervisor }).await.unwrap();
    for (id, failures, expected) in [(1, 3, 700), (2, 1, 100), (3, 8, 16_300), (4, 0, 0), (5, 2, 300)] {
        link.failures.store(failures, Ordering::SeqCst);
        let message = Outgoing {
            id,
            topic: "t".into(),
            payload: "x".into(),
            retain: false,
            until: None,
            purpose: None,
        };
        let began = Instant::now();
        outbox.send(PublishAll { outgoing: vec![message], over: Vec::new() }).await.unwrap();
        within("the message goes out", link.has_taken.notified()).await;
        let took = began.elapsed().as_millis();
        assert!((expected..expected + 50).contains(&took), "{failures} failures took {took} ms");
    }
    assert_eq!(*link.taken.lock().unwrap(), [1, 2, 3, 4, 5]);
}
