//! Jobs in a hub, over a store that outlives it.

mod crash;
mod failing;
mod makers;
mod pages;
mod retry;
mod rollout;
mod seen;
mod steering;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;

use super::*;
use crate::hub::{Hub, Settings};
use crate::mailbox::try_send_unbounded;
use crate::messages::archive::Replay;
use crate::messages::feed::SubscribeFeed;
use crate::messages::jobs::{JobViewer, Steer};
use crate::messages::supervisor::IfUnknown;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::{JobAction, JobSignal, JobStep, StepState};
use twinhub_domain::{
    CommandId, CommandRequest, CommandResult, CommandResultStatus, DeviceId, DeviceNumber, EventBody, Input,
    Json, Object, Recorded, Timestamp,
};
use twinhub_store::{Batch, FleetChanges, JobDevice, JobDeviceQuery, MemoryStore, Store};
use twinhub_testkit::{
    CommitFault, FailingStore, ManualClock, ask, until, until_found, until_found_in_time, within,
};

const NOON: i64 = 1_767_268_800_000;

struct JobsFixture {
    hub: Arc<Hub>,
    memory: Arc<MemoryStore>,
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
    live: Receiver<Arc<[Arc<Recorded>]>>,
}

impl JobsFixture {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    async fn over(memory: Arc<MemoryStore>) -> Self {
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        let clock = ManualClock::at(Timestamp::from_millis(NOON));
        // The store's pace on a busy machine is no part of any of these tests.
        let settings = Settings { longest_rest: Duration::ZERO, ..Settings::default() };
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        let live = ask(&hub.feed, SubscribeFeed).await.events;
        Self { hub, memory, store, clock, live }
    }

    /// As after a crash: what was not committed is gone.
    async fn again(self) -> Self {
        self.store.die().await;
        Self::over(self.memory).await
    }

    /// Registers devices `d0`, `d1`, … and gives them.
    async fn devices(&self, count: usize) -> Vec<(DeviceId, DeviceNumber)> {
        let mut devices = Vec::new();
        for n in 0..count {
            devices.push(self.register(&format!("d{n}")).await);
        }
        devices
    }

    async fn register(&self, device: &str) -> (DeviceId, DeviceNumber) {
        let input = Input::Register(Box::default());
        self.deliver(device, input, IfUnknown::Begin).await;
        let twin = self.hub.read(&id(device)).await.unwrap().unwrap();
        (twin.id.clone(), twin.number)
    }

    async fn deliver(&self, device: &str, input: Input, if_unknown: IfUnknown) {
        let cause = Cause::new(Source::Rest, "user:ann");
        self.hub.deliver(id(device), input, cause, if_unknown, false).await.unwrap();
    }

    async fn make(&self, action: &str, devices: &[(DeviceId, DeviceNumber)], rate: Option<f64>) -> JobId {
        within("the job is made", self.making(action, devices, rate)).await.unwrap().job.id
    }

    fn making(
        &self,
        action: &str,
        devices: &[(DeviceId, DeviceNumber)],
        rate: Option<f64>,
    ) -> oneshot::Receiver<JobView> {
        let ((reply, told), (prepared, _)) = (oneshot::channel(), oneshot::channel());
        let make = MakeJob {
            action: serde_json::from_str(action).unwrap(),
            description: "".into(),
            rate,
            devices: devices.to_vec(),
            skipped: Vec::new(),
            unknown: Vec::new(),
            author: None,
            cause: Cause::new(Source::Rest, "user:ann"),
            reply,
            prepared,
        };
        try_send_unbounded(&self.hub.jobs, make).unwrap();
        told
    }

    async fn show(&self, id: JobId) -> Option<JobView> {
        let (reply, told) = oneshot::channel();
        try_send_unbounded(&self.hub.jobs, ShowJob { id, viewer: JobViewer::default(), reply }).unwrap();
        within("the job", told).await.unwrap()
    }

    async fn list(&self, status: &[JobStatus], kinds: &[&str]) -> Vec<JobId> {
        let (reply, told) = oneshot::channel();
        let kinds = kinds.iter().map(|kind| (*kind).into()).collect();
        let list = ListJobs {
            status: status.to_vec(),
            kinds,
            viewer: JobViewer::default(),
            offset: 0,
            limit: usize::MAX,
            reply,
        };
        try_send_unbounded(&self.hub.jobs, list).unwrap();
        within("the jobs", told).await.unwrap().jobs.into_iter().map(|told| told.job.id).collect()
    }

    async fn steer(&self, id: JobId, steer: Steer) -> Result<JobView, JobRefusal> {
        within("what became of the job's steering", self.steering(id, steer)).await.unwrap()
    }

    fn steering(&self, id: JobId, steer: Steer) -> oneshot::Receiver<Result<JobView, JobRefusal>> {
        let (reply, told) = oneshot::channel();
        let cause = Cause::new(Source::Rest, "user:ann");
        try_send_unbounded(
            &self.hub.jobs,
            SteerJob { id, viewer: JobViewer::default(), steer, cause, reply },
        )
        .unwrap();
        told
    }

    /// Waits until the job stands so, as its events tell.
    async fn until(&mut self, id: JobId, status: JobStatus) -> JobView {
        let reached = async {
            loop {
                let told = self.show(id).await.unwrap();
                if told.job.status == status {
                    return told;
                }
                self.live.recv().await.unwrap();
            }
        };
        within(&format!("the job is {}", status.as_str()), reached).await
    }

    /// Lets time pass until the job is done.
    async fn pass_until_done(&self, job: JobId) {
        until_found_in_time("the job is done", &self.clock, async || {
            (self.show(job).await.unwrap().job.status == JobStatus::Done).then_some(())
        })
        .await;
    }

    /// Waits until so many events came of the job's turns, from now on.
    async fn until_turns(&mut self, id: JobId, count: usize) {
        let mut seen = 0;
        while seen < count {
            let batch = within("the next turns of the job", self.live.recv()).await.unwrap();
            seen += batch.iter().filter(|event| is_turn(event, id)).count();
        }
    }

    /// The number of events that came of the job's turns, by device.
    async fn turns(&self, id: JobId) -> BTreeMap<String, usize> {
        let all = Replay { after: 0, up_to: u64::MAX, limit: usize::MAX };
        let events = ask(&self.hub.archive, all).await.unwrap().events;
        let mut turns = BTreeMap::new();
        for event in events.iter().filter(|event| is_turn(event, id)) {
            *turns.entry(event.event.device.to_string()).or_default() += 1;
        }
        turns
    }

    /// The job's devices in these states, with what is said of them: `d1 failed why`.
    async fn steps(&self, id: JobId, states: &[StepState]) -> Vec<String> {
        let query = JobDeviceQuery { states: states.to_vec(), ..JobDeviceQuery::of(id) };
        let page = self.memory.job_devices(&query).await.unwrap();
        let word = |device: JobDevice| {
            let JobStep { state, detail, .. } = device.step;
            format!("{} {} {detail}", device.device, state.as_str()).trim_end().to_owned()
        };
        page.devices.into_iter().map(word).collect()
    }
}

fn id(device: &str) -> DeviceId {
    DeviceId::parse(device).unwrap()
}

fn is_turn(event: &Recorded, job: JobId) -> bool {
    let event = &event.event;
    !event.device.is_none() && event.cause.job() == Some(job) && !is_sent(&event.body)
}

/// That a command goes out when its device comes is no turn of its own.
fn is_sent(body: &EventBody) -> bool {
    matches!(body, EventBody::Command(change) if change.step.status() != twinhub_domain::CommandStatus::Pending)
}

fn counts(told: &JobView) -> Vec<(&'static str, u64)> {
    told.progress.counts.iter().map(|(state, count)| (state.as_str(), *count)).collect()
}

fn reboot() -> String {
    let request = CommandRequest::new("reboot", Object::default());
    format!(r#"{{"command":{}}}"#, serde_json::to_string(&request).unwrap())
}

const ON: &str = r#"{"desired":{"power":"on"}}"#;

#[actix::test]
async fn every_device_has_its_turn_once() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(150).await;
    let job = fixture.make(ON, &devices, None).await;
    let told = fixture.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 150)]);
    assert_eq!((told.progress.percent(), told.job.ended_at.is_some()), (100, true));
    let turns = fixture.turns(job).await;
    assert!(turns.len() == 150 && turns.values().all(|turns| *turns == 1), "{turns:?}");
    let twin = fixture.hub.read(&id("d149")).await.unwrap().unwrap();
    assert_eq!(twin.desired.get("power").unwrap().value, Json::from("on"));
    let nobody = fixture.make(ON, &[], None).await;
    let told = fixture.until(nobody, JobStatus::Failed).await;
    assert_eq!(told.job.reason.as_deref(), Some("no device matched: nothing was done"));
    assert_eq!((told.progress.percent(), told.job.sweeping), (0, None));
}

#[actix::test]
async fn a_job_cut_short_by_a_crash_goes_on_with_those_who_had_no_turn() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(120).await;
    let job = fixture.make(ON, &devices, Some(100.0)).await;
    let other = fixture.make(r#"{"tags":{"a":"b"}}"#, &devices, Some(100.0)).await;
    for _ in 0..4 {
        fixture.clock.advance(100);
        fixture.until_turns(job, 5).await;
    }
    let mut fixture = fixture.again().await;
    let before = fixture.turns(job).await.len();
    assert!((20..120).contains(&before), "{before}");
    for job in [job, other] {
        fixture.pass_until_done(job).await;
        assert_eq!(counts(&fixture.until(job, JobStatus::Done).await), [("done", 120)]);
        let turns = fixture.turns(job).await;
        assert!(turns.len() == 120 && turns.values().all(|turns| *turns == 1), "{turns:?}");
    }
}

#[actix::test]
async fn who_would_not_or_is_gone_failed_with_the_reason() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(4).await;
    fixture.deliver("d1", Input::Delete, IfUnknown::Refuse).await;
    fixture.deliver("d2", Input::Delete, IfUnknown::Refuse).await;
    fixture.register("d2").await; // another device, of the same name
    let past = r#"{"mode":{"mode":"manual","until":"2020-01-01T00:00:00.000Z"}}"#;
    let job = fixture.make(past, &devices[3..], None).await;
    fixture.until(job, JobStatus::Done).await;
    assert_eq!(fixture.steps(job, &[]).await, ["d3 failed `until`: lies in the past"]);
    let job = fixture.make(ON, &devices, None).await;
    let told = fixture.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 2), ("failed", 2)]);
    let failed = fixture.steps(job, &[StepState::Failed]).await;
    assert_eq!(failed, ["d1 failed there is no device `d1`", "d2 failed there is no device `d2`"]);
    let other = fixture.hub.read(&id("d2")).await.unwrap().unwrap();
    assert!(other.desired.get("power").is_none());

    // Nor is what is counted of the other one forgotten when the first is to go.
    fixture.hub.counters.out_of_service.note(other.number);
    let job = fixture.make(r#"{"delete":true}"#, &devices[1..3], None).await;
    fixture.until(job, JobStatus::Done).await;
    assert_eq!(fixture.steps(job, &[StepState::Failed]).await, failed);
    assert_eq!(fixture.hub.counters.out_of_service.of(other.number), 1);
}

#[actix::test]
async fn jobs_at_once_take_turns() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(300).await;
    fixture.store.block();
    let jobs = [fixture.making(ON, &devices, None), fixture.making(ON, &devices, None)];
    fixture.store.unblock();
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(within("the job is made", job).await.unwrap().job.id);
    }
    for id in &ids {
        fixture.until(*id, JobStatus::Done).await;
    }
    let all = Replay { after: 0, up_to: u64::MAX, limit: usize::MAX };
    let events = ask(&fixture.hub.archive, all).await.unwrap().events;
    let order: Vec<JobId> = events
        .iter()
        .filter(|event| !event.event.device.is_none())
        .filter_map(|event| event.event.cause.job())
        .collect();
    let first_is_through = order.iter().rposition(|job| *job == ids[0]).unwrap();
    let meanwhile = order[..first_is_through].iter().filter(|job| **job == ids[1]).count();
    assert!(meanwhile > 150, "the second job had {meanwhile} turns while the first had 300");
}

#[actix::test]
async fn what_a_crash_left_half_done_is_taken_up() {
    let memory = Arc::new(MemoryStore::default());
    let now = Timestamp::from_millis(NOON);
    let job = |n: u128, more: fn(&mut Job)| {
        let action = serde_json::from_str(ON).unwrap();
        let mut job = Job::new(JobId(uuid::Uuid::from_u128(n)), action, "user:ann", 3, now);
        more(&mut job);
        job
    };
    let preparing = job(1, |_| {});
    let canceled = job(2, |job| {
        for signal in [JobSignal::Prepared, JobSignal::Cancel] {
            assert!(job.take(signal, None, Timestamp::from_millis(NOON)));
        }
    });
    let over = job(3, |job| {
        job.status = JobStatus::Done;
        job.counts = [(StepState::Done, 3)].into();
    });
    let mut fleet = FleetChanges::default();
    for job in [&preparing, &canceled, &over] {
        let (id, body) = (job.id.to_string().into(), Some(job.to_object()));
        fleet.records.push(FleetRecord { kind: RecordKind::Job, id, body, updated_at: now });
        let row = |place| JobDevice {
            device: id_of(place),
            number: DeviceNumber(900 + i64::try_from(place).unwrap()),
            place,
            step: JobStep::new(job.id, StepState::Queued),
            at: now,
        };
        fleet.jobs.push(JobOp::Devices((0..3).map(row).collect()));
    }
    memory.commit(&mut batch(now, fleet)).await.unwrap();
    let mut fixture = JobsFixture::over(memory).await;
    let told = fixture.until(preparing.id, JobStatus::Failed).await;
    assert_eq!(
        told.job.reason.as_deref(),
        Some("the hub stopped while the job was being made: nothing was done")
    );
    for job in [preparing.id, canceled.id] {
        while !fixture.steps(job, &[StepState::Queued]).await.is_empty() {
            within("no device is queued", fixture.live.recv()).await.unwrap();
        }
    }
    assert_eq!(fixture.steps(canceled.id, &[StepState::Canceled]).await.len(), 3);
    assert_eq!(counts(&fixture.show(over.id).await.unwrap()), [("done", 3)]);
    assert!(fixture.turns(preparing.id).await.is_empty());
    assert_eq!(fixture.list(&[], &[]).await, [over.id, canceled.id, preparing.id]);
    assert_eq!(fixture.list(&[JobStatus::Done], &["desired"]).await, [over.id]);
    assert_eq!(fixture.list(&[], &["delete"]).await, []);
    fixture.steer(over.id, Steer::Remove).await.unwrap();
    assert!(fixture.show(over.id).await.is_none());
    assert_eq!(fixture.steer(over.id, Steer::Remove).await.unwrap_err(), JobRefusal::Unknown(over.id));
}

#[actix::test]
async fn the_oldest_jobs_are_forgotten() {
    let memory = Arc::new(MemoryStore::default());
    let now = Timestamp::from_millis(NOON);
    let mut fleet = FleetChanges::default();
    for n in 0..1_005 {
        let action: JobAction = serde_json::from_str(ON).unwrap();
        let mut job = Job::new(JobId(uuid::Uuid::from_u128(n)), action, "user:ann", 0, now);
        job.status = JobStatus::Done;
        job.ended_at = Some(now.plus_millis(i64::try_from(n).unwrap() - 5_000));
        let (id, body) = (job.id.to_string().into(), Some(job.to_object()));
        fleet.records.push(FleetRecord { kind: RecordKind::Job, id, body, updated_at: now });
    }
    memory.commit(&mut batch(now, fleet)).await.unwrap();
    let mut fixture = JobsFixture::over(memory).await;
    let job = fixture.make(ON, &[], None).await;
    fixture.until(job, JobStatus::Failed).await;
    while fixture.list(&[], &[]).await.len() > 1_000 {
        // They go once the job's devices are written down.
        within("the oldest jobs are forgotten", fixture.live.recv()).await.unwrap();
    }
    let left = fixture.list(&[], &[]).await;
    assert_eq!((left.len(), left[0]), (1_000, job));
    assert_eq!(left[999], JobId(uuid::Uuid::from_u128(6)));
    assert_eq!(fixture.memory.records(RecordKind::Job).await.unwrap().len(), 1_000);
}

fn id_of(place: u64) -> DeviceId {
    id(&format!("gone{place}"))
}

fn batch(at: Timestamp, fleet: FleetChanges) -> Batch {
    Batch { fleet, ..Batch::empty(at) }
}
