//! Jobs as far as their makers reach.

use super::*;
use crate::accounts::directory::DialectAccount;
use twinhub_access::{Role, Scope};
use twinhub_domain::fleet::GroupId;
use twinhub_domain::twin::Change;
use twinhub_store::RuleAuthor;

/// A hub with an account for the devices of the group `hall`.
async fn with_account() -> JobsFixture {
    let memory = Arc::new(MemoryStore::default());
    let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
    let clock = ManualClock::at(Timestamp::from_millis(NOON));
    let scope = Scope::Groups([GroupId::parse("hall").unwrap()].into());
    let dialect_accounts = vec![DialectAccount::new("line", Role::Operator, &scope)];
    let settings = Settings { longest_rest: Duration::ZERO, dialect_accounts, ..Settings::default() };
    let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
    let live = ask(&hub.feed, SubscribeFeed).await.events;
    JobsFixture { hub, memory, store, clock, live }
}

async fn place(fixture: &JobsFixture, device: &str, group: &str) {
    let patch = [("group_id", group.into())].into_iter().collect();
    fixture.deliver(device, Input::Change(Box::new(Change { patch })), IfUnknown::Refuse).await;
}

/// Makes a job of the account's, a device a second.
async fn make(fixture: &JobsFixture, devices: &[(DeviceId, DeviceNumber)]) -> JobId {
    let ((reply, told), (prepared, _)) = (oneshot::channel(), oneshot::channel());
    let make = MakeJob {
        action: serde_json::from_str(ON).unwrap(),
        description: "".into(),
        rate: Some(1.0),
        devices: devices.to_vec(),
        skipped: Vec::new(),
        unknown: Vec::new(),
        author: Some(RuleAuthor::Dialect("line".into())),
        cause: Cause::new(Source::Rest, "dialect:line"),
        reply,
        prepared,
    };
    try_send_unbounded(&fixture.hub.jobs, make).unwrap();
    within("the job is made", told).await.unwrap().job.id
}

#[actix::test]
async fn a_job_stops_before_a_device_that_its_maker_reaches_no_more() {
    let mut fixture = with_account().await;
    let devices = fixture.devices(3).await;
    for (device, _) in &devices {
        place(&fixture, device.as_str(), "hall").await;
    }
    let job = make(&fixture, &devices).await;
    let is_done = async || fixture.steps(job, &[StepState::Done]).await == ["d0 done"];
    until("the first had its turn", is_done).await;
    place(&fixture, "d1", "yard").await;
    fixture.clock.advance(1_000);
    let told = fixture.until(job, JobStatus::Canceled).await;
    let reason = told.job.reason.unwrap();
    assert!(reason.contains("not in the scope any more of the one who made it"), "{reason}");
    assert!(fixture.turns(job).await.keys().eq(["d0"]), "the others had no turn");
}
