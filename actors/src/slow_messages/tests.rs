//! The times of messages, by a clock that the test moves.

use actix::Actor as _;
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::InputOutcome;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, EventBody, Json, Timestamp};
use twinhub_mqtt::receipt;
use twinhub_store::{MemoryStore, Store as _};
use twinhub_testkit::{FailingStore, ManualClock};

use super::*;
use crate::counters::Counters;
use crate::feed::Feed;
use crate::journal::{Journal, JournalDeps};
use crate::mailbox::try_send_unbounded;
use crate::messages::journal::Append;
use crate::outbox::Outbox;
use crate::places::Places;

fn counted(times: &TimeHistogram) -> Vec<(u64, u64)> {
    times.counts().1.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn times_lie_in_the_bucket_whose_bound_they_do_not_exceed() {
    let times = TimeHistogram::default();
    for us in [0, 125, 126, 1_000, 8_192_000, 8_192_001, u64::MAX / 2] {
        times.add(us);
    }
    assert_eq!(counted(&times), [(125, 2), (250, 1), (1_000, 1), (8_192_000, 1), (u64::MAX, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_live_subscriber_is_slow_by_the_commit_of_its_last_event() {
    let slow = SlowMessages::default();
    let live = || counted(&slow.stages[SlowStage::Live as usize]);
    slow.moment(7).at_us.store(slow.now(), Ordering::Relaxed);
    slow.moment(7).last_seq.store(7, Ordering::Relaxed);
    slow.live(7);
    assert_eq!(live(), [], "it was not slow");
    tokio::time::advance(Duration::from_millis(3)).await;
    slow.live(6);
    slow.live(7 + REMEMBERED as u64);
    assert_eq!(live(), [], "nobody knows when these were committed");
    slow.live(7);
    assert_eq!(live(), [(4_000, 1)]);
}

/// As a device's message comes to the journal.
fn append(journal: &actix::Addr<Journal>, slow: &SlowMessages) -> impl Future<Output = InputOutcome> {
    let at = Timestamp::from_millis(0);
    let signal = AutomationSignal::Mqtt { topic: "t".into(), payload: Json::Null };
    let event = Event {
        device: DeviceId::parse("pump-1").unwrap(),
        number: DeviceNumber::default(),
        at: at.into(),
        received_at: at,
        body: EventBody::Signal(Box::new(signal)),
        cause: Cause::new(Source::Mqtt, "t"),
    };
    let (mut receipt, settled) = receipt::channel();
    slow.came(&mut receipt);
    slow.taken_up(&mut receipt);
    try_send_unbounded(journal, Append::beside_twins(vec![event], receipt)).unwrap();
    async { settled.await.unwrap() }
}

#[actix::test]
async fn a_slow_store_shows_as_the_commit_and_as_the_wait_for_it() {
    tokio::time::pause();
    let store = FailingStore::around(Arc::new(MemoryStore::default()));
    let (counters, clock) = (Arc::new(Counters::default()), ManualClock::at(Timestamp::from_millis(0)));
    let deps = JournalDeps {
        store: store.clone(),
        clock: clock.clone(),
        feed: Feed::new(0, 8).start(),
        outbox: Outbox::new(Vec::new(), clock, Arc::clone(&counters)).start(),
        places: Arc::new(Places::load(&*store).await.unwrap()),
        counters: Arc::clone(&counters),
    };
    let journal = Journal::new(deps, &store.head().await.unwrap(), 100).start();
    store.slow_commits(Duration::from_millis(50));
    // The first is committed at once; the second comes 20 ms later and waits for that.
    let first = append(&journal, &counters.slow);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = append(&journal, &counters.slow);
    first.await.unwrap();
    second.await.unwrap();
    let of = |stage: SlowStage| counted(&counters.slow.stages[stage as usize]);
    assert_eq!(of(SlowStage::ToJournal).iter().map(|(_, count)| count).sum::<u64>(), 2);
    assert_eq!(of(SlowStage::Group), [(125, 1), (32_000, 1)]);
    assert_eq!(of(SlowStage::Commit), [(64_000, 2)]);
    assert_eq!(counted(counters.slow.to_commit()), [(64_000, 1), (128_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn stages_are_of_slow_messages_alone() {
    let slow = SlowMessages::default();
    let events: Arc<[Arc<Recorded>]> = Arc::from([]);
    let pass = async |to_twin, to_journal| {
        let (mut receipt, _settled) = receipt::channel();
        slow.came(&mut receipt);
        tokio::time::advance(Duration::from_millis(to_twin)).await;
        slow.taken_up(&mut receipt);
        tokio::time::advance(Duration::from_millis(to_journal)).await;
        slow.handed_over(&mut receipt);
        let mut group = slow.committed(slow.now(), &events);
        group.add(&mut receipt, None);
        group.add(&mut receipt::channel().0, None); // nobody looked when it came
        group.settled();
    };
    pass(0, 0).await;
    assert_eq!(counted(slow.to_commit()), [(125, 1)]);
    assert!(slow.stages().all(|(_, times)| counted(times).is_empty()), "it was not slow");
    pass(7, 3).await;
    assert_eq!(counted(slow.to_commit()), [(125, 1), (16_000, 1)]);
    let stages: Vec<_> = slow.stages().map(|(stage, times)| (stage.word(), counted(times))).collect();
    let short = vec![(125, 1)];
    let expected = [
        ("to_twin", vec![(8_000, 1)]),
        ("to_journal", vec![(4_000, 1)]),
        ("group", short.clone()),
        ("commit", short.clone()),
        ("acknowledge", short),
        ("live", Vec::new()),
    ];
    assert_eq!(stages, expected);
}
