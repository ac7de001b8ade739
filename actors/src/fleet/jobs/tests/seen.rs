//! Jobs as a caller sees them who does not reach all devices.

use super::*;
use twinhub_access::{Scope, Scopes};
use twinhub_domain::fleet::GroupTree;

/// Asks for the jobs of these kinds that a caller sees who reaches these devices.
fn listing(fixture: &JobsFixture, devices: &[&str], kinds: &[&str]) -> oneshot::Receiver<JobPage> {
    let scope = Scope::Devices(devices.iter().map(|device| id(device)).collect());
    let reach = Reach::of(&Scopes::from(&scope), &GroupTree::default());
    let (reply, listed) = oneshot::channel();
    let list = ListJobs {
        status: vec![JobStatus::Done],
        kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        viewer: JobViewer { reach, name: "user:bob".into(), author: None },
        offset: 0,
        limit: usize::MAX,
        reply,
    };
    try_send_unbounded(&fixture.hub.jobs, list).unwrap();
    listed
}

#[actix::test]
async fn jobs_are_listed_by_kind_and_by_reach() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(2).await;
    let tags = r#"{"tags":{"a":"b"}}"#;
    let mut jobs = Vec::new();
    for (action, of) in [(ON, &devices[..1]), (tags, &devices[..1]), (ON, &devices[..])] {
        let job = fixture.make(action, of, None).await;
        fixture.until(job, JobStatus::Done).await;
        jobs.push(job);
    }
    let cases: [(&[&str], &[&str], Vec<JobId>); 4] = [
        (&["d0"], &[], vec![jobs[1], jobs[0]]),
        (&["d0"], &["desired"], vec![jobs[0]]),
        (&["d0", "d1"], &["desired"], vec![jobs[2], jobs[0]]),
        (&["d1"], &[], vec![]),
    ];
    for (reached, kinds, expected) in cases {
        let page = within("the jobs", listing(&fixture, reached, kinds)).await.unwrap();
        let found: Vec<JobId> = page.jobs.iter().map(|told| told.job.id).collect();
        assert_eq!((&found, page.total), (&expected, expected.len()), "{reached:?} {kinds:?}");
    }
}

#[actix::test]
async fn the_store_is_not_asked_for_a_caller_who_has_gone() {
    const CALLERS: usize = 20; // more than there are reads of the hub's own at once
    let fixture = JobsFixture::new().await;
    assert_eq!(fixture.list(&[], &[]).await, [], "the jobs are read");
    fixture.store.break_reads();
    // Each question that is not answered yet holds the store, and is asked again.
    let before = Arc::strong_count(&fixture.store);
    let listed: Vec<_> = (0..CALLERS).map(|_| listing(&fixture, &["d0"], &[])).collect();
    let are_many = || Arc::strong_count(&fixture.store) > before + CALLERS / 2;
    until("the store is asked", async || are_many()).await;
    drop(listed);
    until("it is asked no more", async || !are_many()).await;
}
