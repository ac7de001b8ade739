//! Jobs over a real database, and over twins that die.

use super::*;
use crate::messages::archive::ListJobDevices;
use crate::messages::jobs::{JobView, JobViewer, MakeJob, ShowJob, Steer, SteerJob};
use twinhub_domain::fleet::{JobId, JobStatus};
use twinhub_store::JobDeviceQuery;

impl HubFixture {
    async fn job(&self, devices: &[&str]) -> JobId {
        let mut known = Vec::new();
        for device in devices {
            let twin = self.hub.read(&id(device)).await.unwrap().unwrap();
            known.push((twin.id.clone(), twin.number));
        }
        let ((reply, told), (prepared, _)) = (oneshot::channel(), oneshot::channel());
        let make = MakeJob {
            action: serde_json::from_str(r#"{"desired":{"power":"on"}}"#).unwrap(),
            description: "".into(),
            rate: None,
            devices: known,
            skipped: Vec::new(),
            unknown: vec![id("nobody")],
            author: None,
            cause: Cause::new(Source::Rest, ""),
            reply,
            prepared,
        };
        try_send_unbounded(&self.hub.jobs, make).unwrap();
        within("what an actor tells", told).await.unwrap().job.id
    }

    async fn done(&self, id: JobId) -> JobView {
        until_found("the job is done", async || {
            let (reply, told) = oneshot::channel();
            try_send_unbounded(&self.hub.jobs, ShowJob { id, viewer: JobViewer::default(), reply }).unwrap();
            within("what an actor tells", told)
                .await
                .unwrap()
                .filter(|told| told.job.status == JobStatus::Done)
        })
        .await
    }

    async fn told(&self, job: JobId) -> Vec<String> {
        let page = ask(&self.hub.archive, ListJobDevices(JobDeviceQuery::of(job))).await.unwrap();
        let word = |device: &twinhub_store::JobDevice| {
            format!("{} {} {}", device.device, device.step.state.as_str(), device.step.detail)
        };
        page.devices.iter().map(word).collect()
    }
}

#[actix::test]
async fn a_device_whose_twin_dies_of_its_turn_is_left_out() {
    let fixture =
        HubFixture::with(Settings { arbiters: 1, longest_rest: Duration::ZERO, ..Settings::default() }).await;
    fixture.taken("b", r#"{"t": 1}"#).await;
    let others = [*fixture.clock.spared.lock().unwrap(), Some(std::thread::current().id())];
    // Twins have one thread, and it asks for each message; automation may ask at the same time, and not each time.
    let twins = loop {
        fixture.clock.askers.lock().unwrap().clear();
        fixture.taken("a", r#"{"t": 1}"#).await;
        let askers = fixture.clock.askers.lock().unwrap().clone();
        let mut askers = askers.into_iter().filter(|thread| !others.contains(&Some(*thread)));
        if let (Some(twins), None) = (askers.next(), askers.next()) {
            break twins;
        }
    };

    // Once is no harm.
    fixture.clock.kill_next_on(twins, 1);
    let job = fixture.job(&["a"]).await;
    fixture.done(job).await;
    assert_eq!(fixture.told(job).await, ["a done ", "nobody failed there is no device `nobody`"]);

    fixture.clock.kill_next_on(twins, 4);
    let job = fixture.job(&["a"]).await;
    fixture.done(job).await;
    assert_eq!(fixture.told(job).await[0], "a failed its twin died of it 4 times: see the log");
    assert_eq!(fixture.hub.counters.twins_restarted.load(Ordering::Relaxed), 5);

    let (reply, told) = oneshot::channel();
    let cause = Cause::new(Source::Rest, "");
    try_send_unbounded(
        &fixture.hub.jobs,
        SteerJob { id: job, viewer: JobViewer::default(), steer: Steer::Retry, cause, reply },
    )
    .unwrap();
    assert_eq!(within("what an actor tells", told).await.unwrap().unwrap().job.round, 2);
    fixture.done(job).await;
    assert_eq!(fixture.told(job).await[0], "a done ");
}

/// While the store fails nothing is done and nothing is lost; when it is back, each has had its turn once.
#[actix::test]
async fn a_store_that_fails_holds_a_job_up() {
    for fault in [CommitFault::Failed, CommitFault::UnknownDone, CommitFault::UnknownNotDone] {
        let fixture = HubFixture::new().await;
        let devices: Vec<String> = (0..50).map(|n| format!("d{n}")).collect();
        for device in &devices {
            fixture.taken(device, r#"{"t": 1}"#).await;
        }
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        fixture.store.fail_next(3, fault);
        let job = fixture.job(&devices).await;
        fixture.store.fail_next(3, fault);
        let told = fixture.done(job).await;
        assert_eq!((told.progress.total, told.progress.ended()), (51, 51));
        let turns = fixture.events().await;
        let turns: Vec<_> = turns
            .iter()
            .filter(|event| !event.event.device.is_none() && event.event.cause.job() == Some(job))
            .map(|event| event.event.device.as_str().to_owned())
            .collect();
        assert_eq!(turns.len(), 50, "{fault:?}");
        assert_eq!(turns.into_iter().collect::<HashSet<_>>().len(), 50, "{fault:?}");
    }
}
