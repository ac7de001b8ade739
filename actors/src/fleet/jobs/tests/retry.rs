//! Jobs for devices that nobody knew when the job was made.

use super::*;

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
            cause: Cause::new(Source::Rest, "user:ann"),
            reply,
            prepared,
        };
        try_send_unbounded(&self.hub.jobs, make).unwrap();
        within("the job is made", told).await.unwrap().job.id
    }
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
