//! Jobs that people pause, resume and cancel.

use super::*;

#[actix::test]
async fn a_job_is_paused_resumed_and_canceled_halfway() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(9).await;
    // The clock stands still, so there are as many turns as it is moved for.
    let job = fixture.make(ON, &devices, Some(10.0)).await;
    fixture.until_turns(job, 1).await;
    fixture.clock.advance(100);
    fixture.until_turns(job, 1).await;
    assert_eq!(fixture.steer(job, Steer::Pause).await.unwrap().job.status, JobStatus::Paused);
    fixture.clock.advance(60_000);
    let again = fixture.steer(job, Steer::Pause).await.unwrap_err();
    assert_eq!(again.to_string(), "the job is paused: it cannot be paused");
    assert_eq!(fixture.turns(job).await.len(), 2, "nobody has a turn while it is paused");

    let mut fixture = fixture.again().await;
    assert_eq!(
        fixture.show(job).await.unwrap().job.status,
        JobStatus::Paused,
        "a restart does not resume it"
    );
    fixture.steer(job, Steer::Resume).await.unwrap();
    fixture.until_turns(job, 1).await;
    fixture.clock.advance(100);
    fixture.until_turns(job, 1).await;
    let told = fixture.steer(job, Steer::Cancel).await.unwrap();
    assert_eq!(
        (told.job.status, &*counts(&told)),
        (JobStatus::Canceled, &[("done", 4), ("canceled", 5)][..])
    );
    fixture.clock.advance(60_000);
    assert_eq!(fixture.turns(job).await.len(), 4);
    assert_eq!(fixture.steps(job, &[StepState::Canceled]).await.len(), 5);
    for steer in [Steer::Pause, Steer::Resume, Steer::Cancel] {
        assert!(matches!(fixture.steer(job, steer).await, Err(JobRefusal::Status { .. })), "{steer:?}");
    }
    assert_eq!(fixture.steer(job, Steer::Retry).await.unwrap_err(), JobRefusal::NothingFailed);
}

#[actix::test]
async fn a_command_jobs_end_is_the_end_of_its_commands() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(3).await;
    let job = fixture.make(&reboot(), &devices, None).await;
    fixture.until_turns(job, 3).await;
    let asked = fixture.memory.job_devices(&JobDeviceQuery::of(job)).await.unwrap().devices;
    let commands: Vec<CommandId> = asked.iter().map(|device| device.step.command.unwrap()).collect();
    for (n, status) in [(0, CommandResultStatus::Executed), (1, CommandResultStatus::Failed)] {
        let answer = Box::new(CommandResult { status, response: None, reason: Some("so".into()) });
        let answer = Input::CommandResult { id: commands[n], answer, known: None };
        fixture.deliver(&format!("d{n}"), answer, IfUnknown::Refuse).await;
    }
    fixture.clock.advance(1_000);
    within("the job looks at its commands", fixture.live.recv()).await.unwrap();
    assert_eq!(fixture.show(job).await.unwrap().job.status, JobStatus::Running, "one has not answered");
    fixture.deliver("d2", Input::Delete, IfUnknown::Refuse).await;
    fixture.clock.advance(1_000);
    let told = fixture.until(job, JobStatus::Done).await;
    assert_eq!(counts(&told), [("done", 1), ("failed", 2)]);
    let all = ["d0 done", "d1 failed failed: so", "d2 failed canceled: the device was removed"];
    assert_eq!(fixture.steps(job, &[]).await, all);

    // Devices that failed get another command; the one that was removed has no twin to ask.
    let told = fixture.steer(job, Steer::Retry).await.unwrap();
    assert_eq!((told.job.round, told.job.status), (2, JobStatus::Running));
    fixture.until_turns(job, 1).await;
    let again = JobDeviceQuery { device: Some(devices[1].1), ..JobDeviceQuery::of(job) };
    let again = fixture.memory.job_devices(&again).await.unwrap().devices[0].step.command.unwrap();
    assert!(!commands.contains(&again));
    let answer =
        Box::new(CommandResult { status: CommandResultStatus::Executed, response: None, reason: None });
    fixture.deliver("d1", Input::CommandResult { id: again, answer, known: None }, IfUnknown::Refuse).await;
    fixture.clock.advance(1_000);
    assert_eq!(counts(&fixture.until(job, JobStatus::Done).await), [("done", 2), ("failed", 1)]);
    assert_eq!(fixture.turns(job).await, [("d0".to_owned(), 1), ("d1".to_owned(), 2)].into());
}

#[actix::test]
async fn a_large_job_is_written_down_and_canceled_in_parts() {
    let mut fixture = JobsFixture::new().await;
    let unknown: Vec<_> = (0..1_300).map(|n| (id(&format!("x{n}")), DeviceNumber(n + 1_000_000))).collect();
    let job = fixture.make(ON, &unknown, Some(10.0)).await;
    fixture.until(job, JobStatus::Running).await;
    let told = fixture.steer(job, Steer::Cancel).await.unwrap();
    assert_eq!(told.job.status, JobStatus::Canceled);
    let canceled = fixture.steps(job, &[StepState::Canceled]).await;
    assert!(canceled.len() >= 1_298, "{}", canceled.len());
    assert_eq!(&*canceled[canceled.len() - 1], "x1299 canceled the job was canceled");
}
