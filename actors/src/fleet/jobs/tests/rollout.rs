//! Roll-outs of firmware, over a store that outlives the hub.

use super::*;
use twinhub_domain::clock::Clock as _;
use twinhub_domain::fleet::{FirmwareReport, Lifecycle};
use twinhub_domain::twin::SilenceRule;
use twinhub_domain::twin::presence::FIRST_SILENCE_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Everything to version 2 by these stages; broken off when a third has failed, of three at least.
fn to_two(stages: &[u8], devices: u64) -> String {
    let places = twinhub_domain::fleet::rollout::places(stages, devices);
    let expires = Timestamp::from_millis(NOON + DAY_MS);
    format!(
        r#"{{"firmware":{{"image":"i","version":"2","url":"http://hub/f","sha256":"00","size":9,"stages":{stages:?},
            "places":{places:?},"abort":{{"rate":0.34,"min":3}},"timeout_ms":3600000,"expires":"{expires}","life_ms":{DAY_MS}}}}}"#
    )
}

impl JobsFixture {
    async fn say(&self, device: &str, input: Input) {
        let cause = Cause::new(Source::Mqtt, "iot/devices/x/firmware");
        self.hub.deliver(id(device), input, cause, IfUnknown::Refuse, false).await.unwrap();
    }

    /// The time has come for whatever waits in the twin.
    async fn wake(&self, device: &str) {
        let first_id = CommandId(uuid::Uuid::nil());
        self.say(
            device,
            Input::Wake {
                hearing: SilenceRule { since: Timestamp::default(), first_silence_ms: FIRST_SILENCE_MS },
                first_id,
            },
        )
        .await;
    }

    /// The device comes, with what it runs.
    async fn come(&self, device: &str, version: &str) {
        let details = [("firmware_version", Json::from(version))].into_iter().collect();
        self.say(device, Input::Presence { online: true, details }).await;
    }

    async fn report(&self, device: &str, state: &str) {
        let report = FirmwareReport::read(format!(r#"{{"state": "{state}"}}"#).as_bytes()).unwrap();
        self.say(device, Input::Firmware(Box::new(report))).await;
    }

    /// The device's progress by its twin.
    async fn firmware(&self, device: &str) -> String {
        let twin = self.hub.read(&id(device)).await.unwrap().unwrap();
        twin.firmware().map_or("none", |task| task.state.as_str()).into()
    }

    /// Lets time pass until the job stands so.
    async fn until_so(&self, job: JobId, is_so: impl Fn(&JobView) -> bool) -> JobView {
        until_found_in_time("the job stands as it should", &self.clock, async || {
            let told = self.show(job).await.unwrap();
            is_so(&told).then_some(told)
        })
        .await
    }

    /// Lets time pass until the device is to come to something.
    async fn until_task(&self, device: &str) {
        until_found_in_time("the device is to come to something", &self.clock, async || {
            (self.firmware(device).await != "none").then_some(())
        })
        .await;
    }

    async fn until_stage(&self, job: JobId, stage: u32) -> JobView {
        self.until_so(job, |told| told.job.stage == Some(stage)).await
    }

    /// Waits until so many of its devices are in this state.
    async fn until_count(&self, job: JobId, state: StepState, count: u64) -> JobView {
        self.until_so(job, |told| told.progress.count(state) == count).await
    }
}

#[actix::test]
async fn it_goes_by_stages_and_finishes_with_devices_away() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(20).await;
    for n in 0..20 {
        if n % 4 != 2 {
            fixture.come(&format!("d{n}"), "1").await; // every fourth is away
        }
    }
    let job = fixture.make(&to_two(&[5, 25, 100], 20), &devices, None).await;
    let told = fixture.until_count(job, StepState::Notified, 1).await;
    assert_eq!((counts(&told), told.job.stage), (vec![("queued", 19), ("notified", 1)], Some(1)));
    assert_eq!(
        (fixture.firmware("d0").await, fixture.firmware("d1").await),
        ("notified".into(), "none".into())
    );
    fixture.report("d0", "downloading").await;
    fixture.until_count(job, StepState::Downloading, 1).await;
    assert_eq!(fixture.show(job).await.unwrap().job.stage, Some(1), "it is under way");
    fixture.come("d0", "2").await;

    fixture.until_stage(job, 2).await;
    fixture.until_count(job, StepState::Notified, 3).await;
    assert_eq!(fixture.firmware("d2").await, "queued", "it has its task, and is away");
    assert_eq!(fixture.firmware("d5").await, "none");
    // A crash makes nobody's turn come twice, and the stage is where it was.
    let mut fixture = fixture.again().await;
    for device in ["d1", "d3"] {
        fixture.come(device, "2").await;
    }
    fixture.until_count(job, StepState::Done, 3).await;
    assert_eq!(fixture.show(job).await.unwrap().job.stage, Some(2), "one is under way");
    fixture.report("d4", "failed").await;

    fixture.until_stage(job, 3).await;
    fixture.until_count(job, StepState::Notified, 11).await;
    for n in (5..20).filter(|n| n % 4 != 2) {
        fixture.come(&format!("d{n}"), "2").await;
    }
    fixture.come("d4", "v2.0").await; // though it said that it failed
    fixture.until_count(job, StepState::Done, 15).await;
    fixture.come("d2", "1").await;
    assert_eq!(fixture.firmware("d2").await, "notified", "it returns, and is updated");
    fixture.come("d2", "2").await;
    let told = fixture.until_count(job, StepState::Done, 16).await;
    assert_eq!((counts(&told), told.job.status), (vec![("queued", 4), ("done", 16)], JobStatus::Running));

    fixture.clock.advance(DAY_MS);
    for device in ["d6", "d10", "d14", "d18"] {
        fixture.wake(device).await;
    }
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 16), ("failed", 4)]);
    assert_eq!(fixture.steps(job, &[StepState::Failed]).await[0], "d6 failed away: it was not there in time");
    drop(fixture.until(job, JobStatus::Done).await);
}

#[actix::test]
async fn it_is_broken_off_at_its_failure_rate_and_calls_back_what_has_not_begun() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(20).await;
    for n in 0..6 {
        fixture.come(&format!("d{n}"), "1").await; // d6 to d9 are away
    }
    let job = fixture.make(&to_two(&[50, 100], 20), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 6).await;
    fixture.report("d3", "downloading").await;
    fixture.come("d0", "2").await;
    fixture.report("d1", "failed").await;
    fixture.until_count(job, StepState::Failed, 1).await;
    assert_eq!(fixture.show(job).await.unwrap().job.status, JobStatus::Running, "two are too few to say");
    fixture.report("d2", "failed").await;
    let told = fixture.until_so(job, |told| told.progress.count(StepState::Canceled) == 16).await;
    assert_eq!(told.job.status, JobStatus::Failed);
    let why = "aborted: 2 of 3 devices failed: 67 %, and 34 % end it";
    assert_eq!(told.job.reason.as_deref(), Some(why));
    assert_eq!(counts(&told), [("downloading", 1), ("done", 1), ("failed", 2), ("canceled", 16)]);
    for device in ["d4", "d5", "d6", "d9"] {
        assert_eq!(fixture.firmware(device).await, "none", "{device}");
        fixture.come(device, "1").await;
        assert_eq!(fixture.firmware(device).await, "none", "{device} is not told when it returns");
    }
    assert_eq!(fixture.steps(job, &[StepState::Canceled]).await[15], format!("d19 canceled {why}"));
    fixture.come("d3", "2").await;
    let told = fixture.until_so(job, |told| told.progress.under_way() == 0).await;
    assert_eq!(counts(&told), [("done", 2), ("failed", 2), ("canceled", 16)], "what had begun went on");
    assert_eq!(fixture.until(job, JobStatus::Failed).await.job.stage, Some(1));
}

#[actix::test]
async fn it_is_canceled_and_what_failed_is_tried_again() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(3).await;
    fixture.come("d0", "1").await;
    fixture.come("d1", "1").await;
    let job = fixture.make(&to_two(&[100], 3), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 2).await;
    fixture.report("d0", "failed").await;
    let told = fixture.steer(job, Steer::Cancel).await.unwrap();
    assert_eq!((counts(&told), told.job.status), (vec![("failed", 1), ("canceled", 2)], JobStatus::Canceled));
    assert_eq!((fixture.firmware("d1").await, fixture.firmware("d2").await), ("none".into(), "none".into()));
    fixture.steer(job, Steer::Retry).await.unwrap();
    fixture.until_count(job, StepState::Notified, 1).await;
    assert_eq!(fixture.firmware("d0").await, "notified");
    fixture.come("d0", "2").await;
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("canceled", 2)]);
}

#[actix::test]
async fn a_paused_job_sends_nothing() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(4).await;
    for device in ["d0", "d1", "d2"] {
        fixture.come(device, "1").await;
    }
    let job = fixture.make(&to_two(&[100], 4), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 3).await;
    fixture.until_task("d3").await;
    fixture.report("d0", "downloading").await;
    assert_eq!(fixture.steer(job, Steer::Pause).await.unwrap().job.status, JobStatus::Paused);
    let told = fixture.until_count(job, StepState::Queued, 3).await;
    assert_eq!(
        (counts(&told), told.job.status),
        (vec![("queued", 3), ("downloading", 1)], JobStatus::Paused)
    );
    let why = "queued the roll-out is paused";
    let called_back = ["d1", "d2", "d3"].map(|device| format!("{device} {why}"));
    until_found("three devices are called back", async || {
        (fixture.steps(job, &[StepState::Queued]).await == called_back).then_some(())
    })
    .await;
    let fixture = fixture.again().await;
    for device in ["d1", "d3"] {
        fixture.come(device, "1").await;
        assert_eq!(fixture.firmware(device).await, "none", "{device}");
    }
    fixture.come("d0", "2").await; // what has begun goes on
    fixture.steer(job, Steer::Resume).await.unwrap();
    fixture.until_count(job, StepState::Notified, 3).await;
    for device in ["d1", "d2", "d3"] {
        fixture.come(device, "2").await;
    }
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 4)]);
}

#[actix::test]
async fn it_is_broken_off_also_while_it_is_paused() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(4).await;
    for device in ["d0", "d1", "d2"] {
        fixture.come(device, "1").await;
    }
    let job = fixture.make(&to_two(&[100], 4), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 3).await;
    for device in ["d0", "d1", "d2"] {
        fixture.report(device, "downloading").await;
    }
    fixture.steer(job, Steer::Pause).await.unwrap();
    fixture.come("d0", "2").await;
    for device in ["d1", "d2"] {
        fixture.report(device, "failed").await;
    }
    let told = fixture.until_so(job, |told| told.progress.count(StepState::Canceled) == 1).await;
    assert_eq!(told.job.status, JobStatus::Failed);
    let why = "aborted: 2 of 3 devices failed: 67 %, and 34 % end it";
    assert_eq!(told.job.reason.as_deref(), Some(why));
}

/// Nothing more comes of these devices, so nothing else would have it looked at.
#[actix::test]
async fn it_is_broken_off_for_what_failed_while_its_tasks_were_called_back() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(4).await;
    for device in ["d0", "d1", "d2"] {
        fixture.come(device, "1").await;
    }
    let job = fixture.make(&to_two(&[100], 4), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 3).await;
    for device in ["d0", "d1", "d2"] {
        fixture.report(device, "downloading").await;
    }
    fixture.store.block_job_devices(); // so the tasks are not called back yet
    fixture.steer(job, Steer::Pause).await.unwrap();
    fixture.come("d0", "2").await;
    for device in ["d1", "d2"] {
        fixture.report(device, "failed").await;
    }
    fixture.store.unblock();
    let told = fixture.until_so(job, |told| told.progress.count(StepState::Canceled) == 1).await;
    assert_eq!(told.job.status, JobStatus::Failed);
}

#[actix::test]
async fn what_had_no_turn_in_time_has_failed_and_what_is_tried_again_has_as_long_as_before() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(5).await;
    let job = fixture.make(&to_two(&[100], 5), &devices, Some(0.0001)).await;
    fixture.until_task("d0").await; // and no other: the next one has its turn in hours
    fixture.clock.advance(DAY_MS);
    fixture.wake("d0").await;
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("failed", 5)]);
    let failed = fixture.steps(job, &[]).await;
    assert_eq!(failed[0], "d0 failed away: it was not there in time");
    assert_eq!(failed[4], "d4 failed the roll-out's time was over before its turn came");

    fixture.come("d0", "1").await;
    let again = fixture.clock.now();
    fixture.steer(job, Steer::Retry).await.unwrap();
    fixture.until_count(job, StepState::Notified, 1).await;
    let twin = fixture.hub.read(&id("d0")).await.unwrap().unwrap();
    let task = twin.firmware().unwrap();
    assert_eq!((task.state.as_str(), task.expires), ("notified", Some(again.plus_millis(DAY_MS))));
}

#[actix::test]
async fn devices_still_queued_at_expiry_have_failed() {
    let fixture = JobsFixture::new().await;
    let nobody: Vec<_> = (0..1_300).map(|n| (id(&format!("x{n}")), DeviceNumber(n + 1_000_000))).collect();
    let job = fixture.make(&to_two(&[1, 100], 1_300), &nobody, Some(0.0001)).await;
    fixture.clock.advance(DAY_MS);
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    // Its clock stands still then: few of the first stage had a turn.
    let (failed, skipped) = (told.progress.count(StepState::Failed), told.progress.count(StepState::Skipped));
    assert!(failed >= 1_287 && failed + skipped == 1_300, "{failed} failed, {skipped} skipped");
    let last = fixture.steps(job, &[StepState::Failed]).await.pop();
    let why = "x1299 failed the roll-out's time was over before its turn came";
    assert_eq!(last.as_deref(), Some(why));
}

#[actix::test]
async fn a_device_that_is_done_after_all_counts_when_the_roll_out_is_over() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(2).await;
    fixture.come("d0", "1").await;
    fixture.come("d1", "1").await;
    let job = fixture.make(&to_two(&[100], 2), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 2).await;
    fixture.report("d0", "failed").await;
    fixture.come("d1", "2").await;
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("failed", 1)]);

    fixture.come("d0", "2").await;
    assert_eq!(fixture.steer(job, Steer::Retry).await.unwrap_err(), JobRefusal::NothingFailed);
    assert_eq!(counts(&fixture.show(job).await.unwrap()), [("done", 2)]);
    let fixture = fixture.again().await;
    assert_eq!(counts(&fixture.show(job).await.unwrap()), [("done", 2)]);
    assert_eq!(fixture.list(&[JobStatus::Done], &["firmware"]).await, [job]);
}

#[actix::test]
async fn what_a_crash_left_uncalled_is_called_back() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(3).await;
    fixture.come("d0", "1").await;
    let job = fixture.make(&to_two(&[100], 3), &devices, None).await;
    fixture.until_count(job, StepState::Notified, 1).await;
    // That it is canceled is the last that becomes durable.
    let is_canceled = |record: &FleetRecord| {
        Job::parse(record.body.as_ref().unwrap()).unwrap().status == JobStatus::Canceled
    };
    fixture.store.break_after(move |batch| batch.fleet.records.iter().any(is_canceled));
    drop(fixture.steering(job, Steer::Cancel));
    until_found("the store has the job as canceled", async || {
        (fixture.memory.records(RecordKind::Job).await.unwrap().iter().any(is_canceled)).then_some(())
    })
    .await;

    let fixture = fixture.again().await;
    let told = fixture.until_count(job, StepState::Canceled, 3).await;
    assert_eq!(told.job.status, JobStatus::Canceled);
    for device in ["d0", "d1", "d2"] {
        assert_eq!(fixture.firmware(device).await, "none", "{device}");
    }
}

#[actix::test]
async fn who_is_not_to_be_updated_by_then_is_passed_over() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(4).await;
    for device in ["d0", "d1", "d2"] {
        fixture.come(device, "1").await;
    }
    let suspend = Input::SetLifecycle { state: Lifecycle::Suspended, reason: "".into() };
    fixture.deliver("d1", suspend, IfUnknown::Refuse).await;
    fixture.come("d2", "3").await;
    let job = fixture.make(&to_two(&[100], 4), &devices, None).await;
    fixture.until_count(job, StepState::Skipped, 2).await;
    let why = "d1 skipped the device is suspended: it is neither heard nor driven until it is made active";
    assert_eq!(
        fixture.steps(job, &[StepState::Skipped]).await,
        [why, "d2 skipped it runs 3, which is newer than 2"]
    );
    assert_eq!(fixture.firmware("d2").await, "none");
    // One that comes back with something newer still.
    assert_eq!(fixture.firmware("d3").await, "queued");
    fixture.come("d3", "2.1").await;
    assert_eq!(fixture.firmware("d3").await, "none");
    fixture.come("d0", "2").await;
    let told = fixture.until_so(job, |told| told.job.status == JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("skipped", 3)]);
}

#[actix::test]
async fn a_stage_of_absent_devices_is_joined_by_others() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(20).await;
    let made = fixture.clock.now();
    let patience = to_two(&[10, 25, 100], 20).replace("3600000", "60000");
    let job = fixture.make(&patience, &devices, None).await;
    fixture.until_task("d1").await;
    fixture.until_task("d3").await;
    assert!(fixture.clock.now() >= made.plus_millis(60_000), "one of the first two might have come");
    let stage = fixture.show(job).await.unwrap().job.stage;
    assert_eq!(
        (fixture.firmware("d4").await, stage),
        ("none".into(), Some(1)),
        "no more than there was to be"
    );
    fixture.come("d2", "1").await;
    fixture.come("d2", "2").await;
    fixture.until_task("d19").await;
    assert_eq!(fixture.show(job).await.unwrap().job.stage, Some(3), "it works: who is away holds nobody up");
}
