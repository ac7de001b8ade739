//! Groups, templates, images and jobs, in every store.

use uuid::Uuid;

use super::support::*;
use crate::{EventQuery, FleetRecord, JobDevice, JobDeviceQuery, JobOp, StepSweep};
use twinhub_domain::command::CommandId;
use twinhub_domain::fleet::{FleetChange, JobId, JobStep, RecordChange, RecordKind, StepState};
use twinhub_domain::{DeviceId, DeviceNumber, EventBody, EventKind, Timestamp};

const JOB: JobId = JobId(Uuid::from_u128(7));
const OTHER: JobId = JobId(Uuid::from_u128(8));
const COMMAND: CommandId = CommandId(Uuid::from_u128(9));

fn record(kind: RecordKind, id: &str, body: Option<&str>) -> FleetRecord {
    FleetRecord { kind, id: id.into(), body: body.map(object), updated_at: Timestamp::from_millis(NOON) }
}

fn device(job: JobId, place: u64) -> JobDevice {
    let number = DeviceNumber(i64::try_from(place).unwrap() + 100);
    let step = JobStep::new(job, StepState::Queued);
    let device = DeviceId::parse(&format!("d{place}")).unwrap();
    JobDevice { device, number, place, step, at: Timestamp::from_millis(NOON) }
}

fn step(place: i64, step: JobStep) -> JobOp {
    JobOp::Step { number: DeviceNumber(place + 100), at: Timestamp::from_millis(NOON + 1), step }
}

fn sweep(from: StepState, to: StepState, places: (u64, u64)) -> JobOp {
    let at = Timestamp::from_millis(NOON + 2);
    JobOp::Sweep(StepSweep { job: JOB, from: vec![from], places, to, detail: "swept".into(), at })
}

#[tokio::test]
async fn records_are_kept_changed_and_removed() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let (hall, yard) = (r#"{"name": "Hall"}"#, r#"{"name": "Yard", "n": 1.50}"#);
        world.fleet.records.extend([
            record(RecordKind::Group, "hall", Some(hall)),
            record(RecordKind::Group, "yard", Some("{}")),
            record(RecordKind::Group, "yard", Some(yard)),
            record(RecordKind::Template, "hall", Some("{}")),
        ]);
        fixture.commit(&mut world.batch()).await;
        let groups =
            [record(RecordKind::Group, "hall", Some(hall)), record(RecordKind::Group, "yard", Some(yard))];
        assert_eq!(fixture.store.records(RecordKind::Group).await.unwrap(), groups);
        fixture.reopen().await;
        assert_eq!(fixture.store.records(RecordKind::Group).await.unwrap(), groups);
        assert_eq!(fixture.store.records(RecordKind::Firmware).await.unwrap(), []);
        world.fleet.records.push(record(RecordKind::Group, "hall", None));
        fixture.commit(&mut world.batch()).await;
        assert_eq!(fixture.store.records(RecordKind::Group).await.unwrap(), groups[1..]);
        assert_eq!(fixture.store.records(RecordKind::Template).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_change_of_the_fleet_is_an_event_of_its_kind() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let change = |what| {
            let (change, body) = (RecordChange::Made, object(r#"{"name": "x", "n": 1.50}"#));
            EventBody::Fleet(Box::new(FleetChange { what, id: "x".into(), change, body }))
        };
        let group = world.happen(None, change(RecordKind::Group));
        let job = world.happen(None, change(RecordKind::Job));
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        fixture.reopen().await;
        for (kind, seq) in [(EventKind::Fleet, group), (EventKind::Job, job)] {
            let found = fixture.store.events(&EventQuery { kinds: vec![kind], ..log() }).await.unwrap();
            assert_eq!(seqs(&found), [seq]);
        }
        let told = fixture.store.replay(0, u64::MAX, 9).await.unwrap().events;
        assert!(told[0].json_members().contains(r#""data":{"change":"made","group":{"n":1.50,"name":"x"}}"#));
    }
}

#[tokio::test]
async fn a_jobs_devices_come_further_once() {
    use StepState::{Asked, Canceled, Done, Failed, Queued};
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.fleet.records.push(record(RecordKind::Job, &JOB.to_string(), Some("{}")));
        world.fleet.jobs.push(JobOp::Devices((0..1_200).map(|place| device(JOB, place)).collect()));
        world.fleet.jobs.push(JobOp::Devices((0..3).map(|place| device(OTHER, place)).collect()));
        fixture.commit(&mut world.batch()).await;

        let failed = JobStep::new(JOB, Failed).because("it is suspended");
        let asked = JobStep { command: Some(COMMAND), percent: Some(40), ..JobStep::new(JOB, Asked) };
        world.fleet.jobs.extend((0..600).map(|place| step(place, JobStep::new(JOB, Done))));
        world.fleet.jobs.extend([step(600, failed.clone()), step(601, JobStep::new(JOB, Asked))]);
        world.fleet.jobs.push(step(0, JobStep::new(JOB, Asked))); // late: it is done already
        // Within one commit the last counts, but nothing after the end.
        world.fleet.jobs.extend([step(1, JobStep::new(JOB, Failed)), step(601, JobStep::new(JOB, Asked))]);
        world.fleet.jobs.push(step(601, asked.clone()));
        let mut batch = world.batch();
        fixture.commit(&mut batch).await;
        fixture.commit(&mut batch).await;
        fixture.reopen().await;
        let counts = async |places| fixture.store.job_counts(JOB, places).await.unwrap();
        assert_eq!(counts(None).await, [(Queued, 598), (Asked, 1), (Done, 600), (Failed, 1)].into());
        assert_eq!(counts(Some((599, 603))).await, [(Queued, 1), (Asked, 1), (Done, 1), (Failed, 1)].into());
        let all = JobDeviceQuery::of(JOB);
        let some = JobDeviceQuery { states: vec![Failed, Asked], ..all.clone() };
        let page = fixture.store.job_devices(&some).await.unwrap();
        assert_eq!(page.total, 2);
        assert_eq!(page.devices.iter().map(|device| &device.step).collect::<Vec<_>>(), [&failed, &asked]);
        let page = JobDeviceQuery { offset: 1_195, limit: 3, ..all.clone() };
        let page = fixture.store.job_devices(&page).await.unwrap();
        assert_eq!(
            (page.total, page.devices),
            (1_200, vec![device(JOB, 1_195), device(JOB, 1_196), device(JOB, 1_197)])
        );
        let stretch = JobDeviceQuery::stretch(JOB, &[Queued], (1_195, 1_199), 2);
        let stretch = fixture.store.job_devices(&stretch).await.unwrap();
        assert_eq!((stretch.total, stretch.devices), (0, vec![device(JOB, 1_195), device(JOB, 1_196)]));

        world.fleet.jobs.extend([
            sweep(Failed, Queued, (0, u64::MAX)),
            step(600, JobStep::new(JOB, Done)),
            sweep(Queued, Canceled, (602, 700)),
        ]);
        fixture.commit(&mut world.batch()).await;
        let counts = fixture.store.job_counts(JOB, None).await.unwrap();
        assert_eq!(counts, [(Queued, 500), (Asked, 1), (Done, 601), (Canceled, 98)].into());
        // Nothing comes after an end that an earlier batch told of.
        world.fleet.jobs.extend([step(0, JobStep::new(JOB, Asked)), step(605, JobStep::new(JOB, Asked))]);
        fixture.commit(&mut world.batch()).await;
        assert_eq!(fixture.store.job_counts(JOB, None).await.unwrap(), counts);
        let one = JobDeviceQuery { device: Some(DeviceNumber(802)), ..all.clone() };
        let one = fixture.store.job_devices(&one).await.unwrap();
        assert_eq!((one.total, &*one.devices[0].step.detail), (1, ""));

        let gone = JobOp::Forget { job: JOB, places: (0, 602) };
        // A step that comes late of a place that is forgotten is nothing.
        world.fleet.jobs.extend([gone, step(601, JobStep::new(JOB, Done))]);
        fixture.commit(&mut world.batch()).await;
        let counts = fixture.store.job_counts(JOB, None).await.unwrap();
        assert_eq!(counts, [(Queued, 500), (Canceled, 98)].into());

        world.fleet.records.push(record(RecordKind::Job, &JOB.to_string(), None));
        fixture.commit(&mut world.batch()).await;
        assert_eq!(fixture.store.job_devices(&all).await.unwrap().total, 0, "they go with their job");
        assert_eq!(fixture.store.job_counts(OTHER, None).await.unwrap(), [(Queued, 3)].into());
    }
}

#[tokio::test]
async fn of_what_one_batch_says_of_a_device_the_last_counts_and_what_is_final() {
    use StepState::{Asked, Done, Downloading, Failed, Verified};
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.fleet.jobs.push(JobOp::Devices((0..4).map(|place| device(JOB, place)).collect()));
        let percent = |percent| JobStep { percent: Some(percent), ..JobStep::new(JOB, Downloading) };
        for state in [Asked, Downloading] {
            world.fleet.jobs.extend((0..4).map(|place| step(place, JobStep::new(JOB, state))));
        }
        world.fleet.jobs.extend((1..=99).map(|n| step(0, percent(n))));
        world.fleet.jobs.extend([step(1, JobStep::new(JOB, Failed)), step(1, JobStep::new(JOB, Asked))]);
        world.fleet.jobs.extend([step(2, JobStep::new(JOB, Failed)), step(2, JobStep::new(JOB, Done))]);
        world.fleet.jobs.extend([step(3, JobStep::new(JOB, Done)), step(3, JobStep::new(JOB, Failed))]);
        fixture.commit(&mut world.batch()).await;
        let found = fixture.store.job_devices(&JobDeviceQuery::of(JOB)).await.unwrap().devices;
        let steps: Vec<_> = found.iter().map(|device| (device.step.state, device.step.percent)).collect();
        assert_eq!(steps, [(Downloading, Some(99)), (Failed, None), (Done, None), (Done, None)]);

        world.fleet.jobs.extend([step(0, JobStep::new(JOB, Verified)), step(1, JobStep::new(JOB, Done))]);
        fixture.commit(&mut world.batch()).await;
        let counts = fixture.store.job_counts(JOB, None).await.unwrap();
        assert_eq!(counts, [(Verified, 1), (Done, 3)].into(), "what had failed is done after all");
    }
}
