//! Deliveries whose callers go away, or are told that it is not known what became of them.

use std::time::Duration;

use twinhub_access::AuditRecord;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Registration;
use twinhub_store::{AuditQuery, AuditStore as _, MemoryStore, Store};
use twinhub_testkit::{FailingStore, ManualClock, until_found, within};

use super::*;
use crate::caller::Caller;
use crate::hub::{Hub, Settings};

/// A hub with a device, and a person who may do everything with it.
struct DeliveryFixture {
    memory: Arc<MemoryStore>,
    store: Arc<FailingStore>,
    grant: Grant,
    device: DeviceId,
}

impl DeliveryFixture {
    async fn with(settings: Settings) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        let clock = ManualClock::at(Timestamp::from_millis(1_767_268_800_000));
        let hub = Hub::start(store.clone(), clock, settings).await.unwrap();
        let grant = hub.of(Caller::Person("ann".into()), Source::Rest);
        let device = DeviceId::parse("pump").unwrap();
        let input = Input::Register(Box::new(Registration { patch: Object::default() }));
        let request = InputRequest::new(device.clone(), input).if_unknown(IfUnknown::Begin);
        within("it is registered", grant.deliver(request)).await.unwrap();
        Self { memory, store, grant, device }
    }

    fn deletion(&self) -> InputRequest {
        InputRequest::new(self.device.clone(), Input::Delete)
    }

    /// The entry of the deletion with this outcome, once it is there.
    async fn entry(&self, outcome: AuditOutcome) -> AuditEntry {
        until_found("an entry of the audit", async || {
            let query = AuditQuery { limit: 100, ..AuditQuery::default() };
            let records = self.memory.audit(&query).await.unwrap().records;
            let fits = |record: &AuditRecord| {
                record.entry.action == Action::DeviceRemoved && record.entry.outcome == outcome
            };
            records.into_iter().find(fits).map(|record| record.entry)
        })
        .await
    }
}

#[actix::test]
async fn a_deletion_whose_caller_goes_away_leaves_its_entry() {
    let fixture = DeliveryFixture::with(Settings::default()).await;
    fixture.store.block();
    {
        let deletion = fixture.grant.deliver(fixture.deletion());
        tokio::pin!(deletion);
        assert!(futures_util::poll!(deletion.as_mut()).is_pending());
    }
    fixture.store.unblock();
    let entry = fixture.entry(AuditOutcome::Done).await;
    assert_eq!((&*entry.who, &*entry.target), ("user:ann", "device:pump"));
}

#[actix::test]
async fn a_deletion_that_may_be_made_later_has_an_entry_at_once_and_another_then() {
    let settings = Settings { patience: Duration::from_secs(1), ..Settings::default() };
    let fixture = DeliveryFixture::with(settings).await;
    fixture.store.block();
    let told = within("what the caller is told", fixture.grant.deliver(fixture.deletion())).await;
    assert!(matches!(told, Err(HubError::Unavailable(LATE))), "{told:?}");
    let entry = fixture.entry(AuditOutcome::Failed).await;
    assert_eq!(entry.detail.get("known"), Some(&Json::from(false)));
    fixture.store.unblock();
    let entry = fixture.entry(AuditOutcome::Done).await;
    assert_eq!(entry.detail.get("known"), None);
}

#[actix::test]
async fn work_that_is_seen_through_goes_on_without_its_caller() {
    let (told, hears) = oneshot::channel();
    {
        let work = Grant::see_through(async move {
            tokio::task::yield_now().await;
            send_reply(told, 7);
        });
        tokio::pin!(work);
        assert!(futures_util::poll!(work.as_mut()).is_pending());
    }
    assert_eq!(within("its end", hears).await.unwrap(), 7);
}
