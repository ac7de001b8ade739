//! Jobs for devices that nobody knew when the job was made.

use std::collections::BTreeSet;

use super::*;
use twinhub_access::{Reach, Scope, Scopes};
use twinhub_domain::fleet::GroupTree;

impl JobsFixture {
    /// Makes a job that is for devices which nobody knows, too.
    async fn make_for(&self, devices: &[(DeviceId, DeviceNumber)], unknown: &[&str]) -> JobId {
        let ((reply, told), (prepared, _)) = (oneshot::channel(), oneshot::channel());
        let make = MakeJob {
            action: serde_json::from_str(ON).unwrap(),
            description: "".into(),
            rate: None,
            devices: devices.to_vec(),
            skipped: Vec::new(),
            unknown: unknown.iter().map(|device| id(device)).collect(),
            author: None,
            cause: Cause::new(Source::Rest, "user:ann"),
            reply,
            prepared,
        };
        try_send_unbounded(&self.hub.jobs, make).unwrap();
        within("the job is made", told).await.unwrap().job.id
    }

    /// Has the job's maker try it again, who reaches these devices.
    async fn retry_within(&self, job: JobId, reach: &Reach) {
        let viewer = JobViewer { reach: reach.clone(), name: "user:ann".into(), author: None };
        let (cause, (reply, told)) = (Cause::new(Source::Rest, "user:ann"), oneshot::channel());
        let retry = SteerJob { id: job, viewer, steer: Steer::Retry, cause, reply };
        try_send_unbounded(&self.hub.jobs, retry).unwrap();
        within("the job is tried again", told).await.unwrap().unwrap();
    }
}

fn reach_of(devices: &[&str]) -> Reach {
    let devices: BTreeSet<DeviceId> = devices.iter().map(|device| id(device)).collect();
    Reach::of(&Scopes::from(&Scope::Devices(devices)), &GroupTree::default())
}

#[actix::test]
async fn a_retry_finds_devices_that_were_registered_since() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(1).await;
    let job = fixture.make_for(&devices, &["early", "late", "never"]).await;
    let told = fixture.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("failed", 3)]);
    fixture.register("late").await;
    fixture.register("early").await;

    // Each round does what it can, and what it did stays done.
    let mut fixture = fixture.again().await;
    for unknown in ["never", "never"] {
        fixture.steer(job, Steer::Retry).await.unwrap();
        let told = fixture.until(job, JobStatus::Done).await;
        assert_eq!((counts(&told), told.job.total), (vec![("done", 3), ("failed", 1)], 4));
        let all = fixture.steps(job, &[]).await;
        let failed = format!("{unknown} failed there is no device `{unknown}`");
        assert_eq!(all, ["d0 done", "early done", "late done", &failed]);
    }
    fixture.register("never").await;
    fixture.steer(job, Steer::Retry).await.unwrap();
    assert_eq!(counts(&fixture.until(job, JobStatus::Done).await), [("done", 4)]);
    for device in ["early", "late", "never"] {
        let twin = fixture.hub.read(&id(device)).await.unwrap().unwrap();
        assert_eq!(twin.desired.get("power").unwrap().value, Json::from("on"), "{device}");
    }
    let turns = fixture.turns(job).await;
    assert!(turns.len() == 4 && turns.values().all(|turns| *turns == 1), "{turns:?}");
    assert_eq!(fixture.steer(job, Steer::Retry).await.unwrap_err(), JobRefusal::NothingFailed);
}

#[actix::test]
async fn a_retry_finds_no_device_that_its_asker_or_the_jobs_maker_did_not_reach() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(1).await;
    fixture.register("foreign").await;
    fixture.clock.advance(1);
    // The maker names a device beyond their reach, which is as unknown to the job as one that there is not.
    let job = fixture.make_for(&devices, &["foreign", "late", "later"]).await;
    fixture.until(job, JobStatus::Done).await;
    fixture.register("late").await;
    fixture.register("later").await;
    let foreign = "foreign failed there is no device `foreign`";

    fixture.retry_within(job, &reach_of(&["d0", "late"])).await;
    assert_eq!(counts(&fixture.until(job, JobStatus::Done).await), [("done", 2), ("failed", 2)]);
    let later = "later failed there is no device `later`";
    assert_eq!(fixture.steps(job, &[]).await, ["d0 done", foreign, "late done", later]);

    // Not even where the one who tries again reaches it: it is older than the job.
    fixture.retry_within(job, &Reach::everywhere()).await;
    assert_eq!(counts(&fixture.until(job, JobStatus::Done).await), [("done", 3), ("failed", 1)]);
    assert_eq!(fixture.steps(job, &[]).await, ["d0 done", foreign, "late done", "later done"]);
    let twin = fixture.hub.read(&id("foreign")).await.unwrap().unwrap();
    assert!(twin.desired.get("power").is_none());
}
