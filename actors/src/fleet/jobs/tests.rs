//! Jobs in a hub, over a store that outlives it.

mod crash;
mod failing;
mod pages;
mod rollout;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;

use super::*;
use crate::hub::{Hub, Settings};
use crate::messages::archive::Replay;
use crate::messages::feed::Subscribe;
use crate::messages::jobs::Steer;
use crate::messages::supervisor::IfUnknown;
use crate::post::post;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::{JobAction, JobSignal, Step, StepState};
use twinhub_domain::{
    CommandId, CommandRequest, CommandResult, CommandResultStatus, DeviceId, DeviceNumber, EventBody, Input,
    Json, Object, Recorded, Timestamp,
};
use twinhub_store::{Batch, Fleet, JobDevice, JobDeviceQuery, MemoryStore, Store};
use twinhub_testkit::{FailingStore, Fault, ManualClock, ask, until, until_found, within};

const NOON: i64 = 1_767_268_800_000;

struct House {
    hub: Arc<Hub>,
    memory: Arc<MemoryStore>,
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
    live: Receiver<Arc<[Arc<Recorded>]>>,
}

impl House {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryStore::default())).await
    }

    async fn over(memory: Arc<MemoryStore>) -> Self {
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        let clock = ManualClock::at(Timestamp::from_millis(NOON));
        // What the store needs on a busy machine is no part of any of these tests.
        let settings = Settings { longest_rest: Duration::ZERO, ..Settings::default() };
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        let live = ask(&hub.feed, Subscribe).await.events;
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
    ) -> oneshot::Receiver<JobTold> {
        let ((reply, told), (prepared, _)) = (oneshot::channel(), oneshot::channel());
        let make = MakeJob {
            action: serde_json::from_str(action).unwrap(),
            description: "".into(),
            rate,
            devices: devices.to_vec(),
            skipped: Vec::new(),
            unknown: Vec::new(),
            cause: Cause::new(Source::Rest, "user:ann"),
            reply,
            prepared,
        };
        post(&self.hub.jobs, make).unwrap();
        told
    }

    async fn show(&self, id: JobId) -> Option<JobTold> {
        let (reply, told) = oneshot::channel();
        post(&self.hub.jobs, ShowJob { id, reply }).unwrap();
        within("the job", told).await.unwrap()
    }

    async fn list(&self, status: &[JobStatus], kinds: &[&str]) -> Vec<JobId> {
        let (reply, told) = oneshot::channel();
        let kinds = kinds.iter().map(|kind| (*kind).into()).collect();
        let list = ListJobs { status: status.to_vec(), kinds, offset: 0, limit: usize::MAX, reply };
        post(&self.hub.jobs, list).unwrap();
        within("the jobs", told).await.unwrap().jobs.into_iter().map(|told| told.job.id).collect()
    }

    async fn steer(&self, id: JobId, steer: Steer) -> Result<JobTold, JobRefusal> {
        within("what became of the job's steering", self.steering(id, steer)).await.unwrap()
    }

    fn steering(&self, id: JobId, steer: Steer) -> oneshot::Receiver<Result<JobTold, JobRefusal>> {
        let (reply, told) = oneshot::channel();
        let cause = Cause::new(Source::Rest, "user:ann");
        post(&self.hub.jobs, SteerJob { id, steer, cause, reply }).unwrap();
        told
    }

    /// Waits until the job stands so, as its events tell.
    async fn until(&mut self, id: JobId, status: JobStatus) -> JobTold {
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

    /// Lets time pass, so many ms again and again, until the job is done.
    async fn pass_until_done(&self, job: JobId, millis: i64) {
        until_found("the job is done", async || {
            let is_done = self.show(job).await.unwrap().job.status == JobStatus::Done;
            self.clock.advance(if is_done { 0 } else { millis });
            is_done.then_some(())
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
            let Step { state, detail, .. } = device.step;
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

fn counts(told: &JobTold) -> Vec<(&'static str, u64)> {
    told.progress.counts.iter().map(|(state, count)| (state.as_str(), *count)).collect()
}

fn reboot() -> String {
    let request = CommandRequest::new("reboot", Object::default());
    format!(r#"{{"command":{}}}"#, serde_json::to_string(&request).unwrap())
}

const ON: &str = r#"{"desired":{"power":"on"}}"#;

#[actix::test]
async fn every_device_has_its_turn_once() {
    let mut house = House::new().await;
    let devices = house.devices(150).await;
    let job = house.make(ON, &devices, None).await;
    let told = house.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 150)]);
    assert_eq!((told.progress.percent(), told.job.ended_at.is_some()), (100, true));
    let turns = house.turns(job).await;
    assert!(turns.len() == 150 && turns.values().all(|turns| *turns == 1), "{turns:?}");
    let twin = house.hub.read(&id("d149")).await.unwrap().unwrap();
    assert_eq!(twin.desired.get("power").unwrap().value, Json::from("on"));
    let nobody = house.make(ON, &[], None).await;
    let told = house.until(nobody, JobStatus::Failed).await;
    assert_eq!(told.job.reason.as_deref(), Some("no device matched: nothing was done"));
    assert_eq!((told.progress.percent(), told.job.sweeping), (0, None));
}

#[actix::test]
async fn a_job_cut_short_by_a_crash_goes_on_with_those_who_had_no_turn() {
    let mut house = House::new().await;
    let devices = house.devices(120).await;
    let job = house.make(ON, &devices, Some(100.0)).await;
    let other = house.make(r#"{"tags":{"a":"b"}}"#, &devices, Some(100.0)).await;
    for _ in 0..4 {
        house.clock.advance(100);
        house.until_turns(job, 5).await;
    }
    let mut house = house.again().await;
    let before = house.turns(job).await.len();
    assert!((20..120).contains(&before), "{before}");
    for job in [job, other] {
        house.pass_until_done(job, 100).await;
        assert_eq!(counts(&house.until(job, JobStatus::Done).await), [("done", 120)]);
        let turns = house.turns(job).await;
        assert!(turns.len() == 120 && turns.values().all(|turns| *turns == 1), "{turns:?}");
    }
}

#[actix::test]
async fn who_would_not_or_is_gone_failed_with_the_reason() {
    let mut house = House::new().await;
    let devices = house.devices(4).await;
    house.deliver("d1", Input::Delete, IfUnknown::Refuse).await;
    house.deliver("d2", Input::Delete, IfUnknown::Refuse).await;
    house.register("d2").await; // another device, of the same name
    let past = r#"{"mode":{"mode":"manual","until":"2020-01-01T00:00:00.000Z"}}"#;
    let job = house.make(past, &devices[3..], None).await;
    house.until(job, JobStatus::Done).await;
    assert_eq!(house.steps(job, &[]).await, ["d3 failed `until`: lies in the past"]);
    let job = house.make(ON, &devices, None).await;
    let told = house.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 2), ("failed", 2)]);
    let failed = house.steps(job, &[StepState::Failed]).await;
    assert_eq!(failed, ["d1 failed there is no device `d1`", "d2 failed there is no device `d2`"]);
    let other = house.hub.read(&id("d2")).await.unwrap().unwrap();
    assert!(other.desired.get("power").is_none());

    // Nor is what is counted of the other one forgotten when the first is to go.
    house.hub.counters.out_of_service.note(other.number);
    let job = house.make(r#"{"delete":true}"#, &devices[1..3], None).await;
    house.until(job, JobStatus::Done).await;
    assert_eq!(house.steps(job, &[StepState::Failed]).await, failed);
    assert_eq!(house.hub.counters.out_of_service.of(other.number), 1);
}

#[actix::test]
async fn a_job_is_paused_resumed_and_canceled_halfway() {
    let mut house = House::new().await;
    let devices = house.devices(9).await;
    // The clock stands still, so there are as many turns as it is moved for.
    let job = house.make(ON, &devices, Some(10.0)).await;
    house.until_turns(job, 1).await;
    house.clock.advance(100);
    house.until_turns(job, 1).await;
    assert_eq!(house.steer(job, Steer::Pause).await.unwrap().job.status, JobStatus::Paused);
    house.clock.advance(60_000);
    let again = house.steer(job, Steer::Pause).await.unwrap_err();
    assert_eq!(again.to_string(), "the job is paused: it cannot be paused");
    assert_eq!(house.turns(job).await.len(), 2, "nobody has a turn while it is paused");

    let mut house = house.again().await;
    assert_eq!(house.show(job).await.unwrap().job.status, JobStatus::Paused, "a restart does not resume it");
    house.steer(job, Steer::Resume).await.unwrap();
    house.until_turns(job, 1).await;
    house.clock.advance(100);
    house.until_turns(job, 1).await;
    let told = house.steer(job, Steer::Cancel).await.unwrap();
    assert_eq!(
        (told.job.status, &*counts(&told)),
        (JobStatus::Canceled, &[("done", 4), ("canceled", 5)][..])
    );
    house.clock.advance(60_000);
    assert_eq!(house.turns(job).await.len(), 4);
    assert_eq!(house.steps(job, &[StepState::Canceled]).await.len(), 5);
    for steer in [Steer::Pause, Steer::Resume, Steer::Cancel] {
        assert!(matches!(house.steer(job, steer).await, Err(JobRefusal::Status { .. })), "{steer:?}");
    }
    assert_eq!(house.steer(job, Steer::Retry).await.unwrap_err(), JobRefusal::NothingFailed);
}

#[actix::test]
async fn a_command_jobs_end_is_the_end_of_its_commands() {
    let mut house = House::new().await;
    let devices = house.devices(3).await;
    let job = house.make(&reboot(), &devices, None).await;
    house.until_turns(job, 3).await;
    let asked = house.memory.job_devices(&JobDeviceQuery::of(job)).await.unwrap().devices;
    let commands: Vec<CommandId> = asked.iter().map(|device| device.step.command.unwrap()).collect();
    for (n, status) in [(0, CommandResultStatus::Executed), (1, CommandResultStatus::Failed)] {
        let answer = Box::new(CommandResult { status, response: None, reason: Some("so".into()) });
        let answer = Input::CommandResult { id: commands[n], answer, known: None };
        house.deliver(&format!("d{n}"), answer, IfUnknown::Refuse).await;
    }
    house.clock.advance(1_000);
    within("the job looks at its commands", house.live.recv()).await.unwrap();
    assert_eq!(house.show(job).await.unwrap().job.status, JobStatus::Running, "one has not answered");
    house.deliver("d2", Input::Delete, IfUnknown::Refuse).await;
    house.clock.advance(1_000);
    let told = house.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("failed", 2)]);
    let all = ["d0 done", "d1 failed failed: so", "d2 failed canceled: the device was removed"];
    assert_eq!(house.steps(job, &[]).await, all);

    // Those that failed get another command; the one that was removed has no twin to ask.
    let told = house.steer(job, Steer::Retry).await.unwrap();
    assert_eq!((told.job.round, told.job.status), (2, JobStatus::Running));
    house.until_turns(job, 1).await;
    let again = JobDeviceQuery { device: Some(devices[1].1), ..JobDeviceQuery::of(job) };
    let again = house.memory.job_devices(&again).await.unwrap().devices[0].step.command.unwrap();
    assert!(!commands.contains(&again));
    let answer =
        Box::new(CommandResult { status: CommandResultStatus::Executed, response: None, reason: None });
    house.deliver("d1", Input::CommandResult { id: again, answer, known: None }, IfUnknown::Refuse).await;
    house.clock.advance(1_000);
    assert_eq!(counts(&house.until(job, JobStatus::Done).await), [("done", 2), ("failed", 1)]);
    assert_eq!(house.turns(job).await, [("d0".to_owned(), 1), ("d1".to_owned(), 2)].into());
}

#[actix::test]
async fn a_large_job_is_written_down_and_canceled_in_parts() {
    let mut house = House::new().await;
    let unknown: Vec<_> = (0..1_300).map(|n| (id(&format!("x{n}")), DeviceNumber(n + 1_000_000))).collect();
    let job = house.make(ON, &unknown, Some(10.0)).await;
    house.until(job, JobStatus::Running).await;
    let told = house.steer(job, Steer::Cancel).await.unwrap();
    assert_eq!(told.job.status, JobStatus::Canceled);
    let canceled = house.steps(job, &[StepState::Canceled]).await;
    assert!(canceled.len() >= 1_298, "{}", canceled.len());
    assert_eq!(&*canceled[canceled.len() - 1], "x1299 canceled the job was canceled");
}

#[actix::test]
async fn jobs_at_once_take_turns() {
    let mut house = House::new().await;
    let devices = house.devices(300).await;
    house.store.block();
    let jobs = [house.making(ON, &devices, None), house.making(ON, &devices, None)];
    house.store.unblock();
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(within("the job is made", job).await.unwrap().job.id);
    }
    for id in &ids {
        house.until(*id, JobStatus::Done).await;
    }
    let all = Replay { after: 0, up_to: u64::MAX, limit: usize::MAX };
    let events = ask(&house.hub.archive, all).await.unwrap().events;
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
    let mut fleet = Fleet::default();
    for job in [&preparing, &canceled, &over] {
        let (id, body) = (job.id.to_string().into(), Some(job.to_object()));
        fleet.records.push(Record { kind: RecordKind::Job, id, body, updated_at: now });
        let row = |place| JobDevice {
            device: id_of(place),
            number: DeviceNumber(900 + i64::try_from(place).unwrap()),
            place,
            step: Step::new(job.id, StepState::Queued),
            at: now,
        };
        fleet.jobs.push(JobOp::Devices((0..3).map(row).collect()));
    }
    memory.commit(&batch(now, fleet)).await.unwrap();
    let mut house = House::over(memory).await;
    let told = house.until(preparing.id, JobStatus::Failed).await;
    assert_eq!(
        told.job.reason.as_deref(),
        Some("the hub stopped while the job was being made: nothing was done")
    );
    for job in [preparing.id, canceled.id] {
        while !house.steps(job, &[StepState::Queued]).await.is_empty() {
            within("no device is queued", house.live.recv()).await.unwrap();
        }
    }
    assert_eq!(house.steps(canceled.id, &[StepState::Canceled]).await.len(), 3);
    assert_eq!(counts(&house.show(over.id).await.unwrap()), [("done", 3)]);
    assert!(house.turns(preparing.id).await.is_empty());
    assert_eq!(house.list(&[], &[]).await, [over.id, canceled.id, preparing.id]);
    assert_eq!(house.list(&[JobStatus::Done], &["desired"]).await, [over.id]);
    assert_eq!(house.list(&[], &["delete"]).await, []);
    house.steer(over.id, Steer::Remove).await.unwrap();
    assert!(house.show(over.id).await.is_none());
    assert_eq!(house.steer(over.id, Steer::Remove).await.unwrap_err(), JobRefusal::Unknown(over.id));
}

#[actix::test]
async fn the_oldest_jobs_are_forgotten() {
    let memory = Arc::new(MemoryStore::default());
    let now = Timestamp::from_millis(NOON);
    let mut fleet = Fleet::default();
    for n in 0..1_005 {
        let action: JobAction = serde_json::from_str(ON).unwrap();
        let mut job = Job::new(JobId(uuid::Uuid::from_u128(n)), action, "user:ann", 0, now);
        job.status = JobStatus::Done;
        job.ended_at = Some(now.plus_millis(i64::try_from(n).unwrap() - 5_000));
        let (id, body) = (job.id.to_string().into(), Some(job.to_object()));
        fleet.records.push(Record { kind: RecordKind::Job, id, body, updated_at: now });
    }
    memory.commit(&batch(now, fleet)).await.unwrap();
    let mut house = House::over(memory).await;
    let job = house.make(ON, &[], None).await;
    house.until(job, JobStatus::Failed).await;
    while house.list(&[], &[]).await.len() > 1_000 {
        // They go once the job's devices are written down.
        within("the oldest jobs are forgotten", house.live.recv()).await.unwrap();
    }
    let left = house.list(&[], &[]).await;
    assert_eq!((left.len(), left[0]), (1_000, job));
    assert_eq!(left[999], JobId(uuid::Uuid::from_u128(6)));
    assert_eq!(house.memory.records(RecordKind::Job).await.unwrap().len(), 1_000);
}

fn id_of(place: u64) -> DeviceId {
    id(&format!("gone{place}"))
}

fn batch(at: Timestamp, fleet: Fleet) -> Batch {
    Batch { fleet, ..Batch::empty(at) }
}
