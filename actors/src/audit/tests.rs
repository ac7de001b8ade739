use twinhub_access::{Action, AuditOutcome};
use twinhub_domain::Timestamp;
use twinhub_store::{AuditQuery, AuditStore as _, MemoryStore, Store as _};
use twinhub_testkit::{ManualClock, within};

use super::*;
use crate::mailbox::try_send_unbounded;

fn entry(who: &str) -> AuditEntry {
    AuditEntry::new(Timestamp::from_millis(1), who, Action::GroupRemoved)
}

async fn written(store: &MemoryStore) -> Vec<String> {
    let query = AuditQuery { limit: 100_000, ..AuditQuery::default() };
    let page = store.audit(&query).await.unwrap();
    page.records.into_iter().map(|record| record.entry.who.into()).collect()
}

fn start(store: &Arc<MemoryStore>) -> (Addr<AuditTrail>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let (access, clock) = (Arc::clone(store).access(), ManualClock::at(Timestamp::from_millis(0)));
    (AuditTrail::new(access, clock, Arc::clone(&counters)).start(), counters)
}

fn put<M>(trail: &Addr<AuditTrail>, message: M)
where
    M: Message<Result = ()> + Send + 'static,
    AuditTrail: Handler<M>,
{
    assert!(try_send_unbounded(trail, message).is_ok());
}

#[actix_rt::test]
async fn an_entry_is_durable_when_it_is_answered_and_all_are_at_the_end() {
    let store = Arc::new(MemoryStore::default());
    let (trail, _) = start(&store);
    let (reply, durable) = oneshot::channel();
    put(&trail, AppendAudit { entries: vec![entry("user:ann")], reply: Some(reply) });
    within("the first entry", durable).await.unwrap();
    assert_eq!(written(&store).await, ["user:ann"]);
    for n in 0..100 {
        put(&trail, AppendAudit { entries: vec![entry(&n.to_string())], reply: None });
    }
    put(&trail, NoteRefusal(entry("user:bob").with_outcome(AuditOutcome::Refused)));
    within("its end", close(&trail)).await;
    let all = written(&store).await;
    assert_eq!(all.len(), 102);
    assert_eq!((&*all[100], &*all[101]), ("99", "user:bob"));
    assert!(!trail.connected());
}

#[actix_rt::test]
async fn memory_is_bounded_while_the_store_takes_nothing() {
    let store = Arc::new(MemoryStore::default());
    let (trail, counters) = start(&store);
    put(&trail, AppendAudit { entries: vec![entry("user:ann"); MOST_WAITING + 7], reply: None });
    within("its end", close(&trail)).await;
    assert_eq!(counters.audit_dropped.load(Ordering::Relaxed), 7);
    assert_eq!(written(&store).await.len(), MOST_WAITING);
}
