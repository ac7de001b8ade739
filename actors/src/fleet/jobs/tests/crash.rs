//! The hub stops between the parts in which many of a job's devices are changed.

use super::*;
use twinhub_store::StepSweep;

/// As many devices as are written down in three parts; nobody knows them, so each fails at its turn.
const MANY: i64 = 1_300;
const PART: usize = 500;

fn nobody() -> Vec<(DeviceId, DeviceNumber)> {
    (0..MANY).map(|n| (id(&format!("x{n}")), DeviceNumber(n + 1_000_000))).collect()
}

impl JobsFixture {
    /// Steers, and what comes after the first part of it is not durable.
    fn steer_into_crash(&self, id: JobId, steer: Steer) {
        self.store.break_after(|batch| batch.fleet.jobs.iter().any(is_first_part));
        drop(self.steering(id, steer));
    }

    /// Waits until so many of the job's devices are in this state by the store.
    async fn until_stored(&self, job: JobId, state: StepState, count: usize) {
        until_found("so many devices are in this state", async || {
            (self.steps(job, &[state]).await.len() == count).then_some(())
        })
        .await;
    }
}

fn is_first_part(op: &JobOp) -> bool {
    let (JobOp::Sweep(StepSweep { places, .. }) | JobOp::Forget { places, .. }) = op else { return false };
    *places == (0, 500)
}

#[actix::test]
async fn a_cancel_that_was_cut_short_is_gone_on_with() {
    let fixture = JobsFixture::new().await;
    let job = fixture.make(ON, &nobody(), Some(10.0)).await;
    // The clock stands still: one turn, and no more.
    fixture.until_stored(job, StepState::Failed, 1).await;
    fixture.steer_into_crash(job, Steer::Cancel);
    fixture.until_stored(job, StepState::Canceled, PART - 1).await;

    let fixture = fixture.again().await;
    assert_eq!(fixture.show(job).await.unwrap().job.status, JobStatus::Canceled);
    fixture.until_stored(job, StepState::Canceled, 1_299).await;
    let told = fixture.steer(job, Steer::Retry).await.unwrap();
    assert_eq!(counts(&told), [("queued", 1), ("canceled", 1_299)], "what was canceled stays so");
}

#[actix::test]
async fn a_retry_that_was_cut_short_is_gone_on_with() {
    let fixture = JobsFixture::new().await;
    let job = fixture.make(ON, &nobody(), Some(5_000.0)).await;
    fixture.pass_until_done(job).await;
    fixture.until_stored(job, StepState::Failed, 1_300).await;
    fixture.steer_into_crash(job, Steer::Retry);
    fixture.until_stored(job, StepState::Queued, PART).await;

    // Its clock stands still again: one has its turn, and all the others are to have it.
    let fixture = fixture.again().await;
    fixture.until_stored(job, StepState::Failed, 1).await;
    assert_eq!(fixture.steps(job, &[StepState::Queued]).await.len(), 1_299);
    let told = fixture.show(job).await.unwrap();
    assert_eq!((told.job.status, told.job.round), (JobStatus::Running, 2));
}

#[actix::test]
async fn a_large_job_that_was_not_whole_is_broken_off_in_parts() {
    let fixture = JobsFixture::new().await;
    fixture.store.break_after(|batch| {
        let holds =
            |op: &JobOp| matches!(op, JobOp::Devices(rows) if rows.iter().any(|row| row.place == 999));
        batch.fleet.jobs.iter().any(holds)
    });
    let job = fixture.make(ON, &nobody(), Some(10.0)).await;
    fixture.until_stored(job, StepState::Queued, 2 * PART).await;

    let mut fixture = fixture.again().await;
    let told = fixture.until(job, JobStatus::Failed).await;
    let why = "the hub stopped while the job was being made: nothing was done";
    assert_eq!(told.job.reason.as_deref(), Some(why));
    fixture.until_stored(job, StepState::Canceled, 2 * PART).await;
    assert_eq!(fixture.steps(job, &[]).await[999], format!("x999 canceled {why}"));
    assert!(fixture.store.commits_tried() >= 3, "one alone would have held up all others");
}

#[actix::test]
async fn a_large_job_is_removed_in_parts() {
    let fixture = JobsFixture::new().await;
    let job = fixture.make(ON, &nobody(), Some(10.0)).await;
    fixture.steer(job, Steer::Cancel).await.unwrap();
    fixture.steer_into_crash(job, Steer::Remove);
    until_found("the first part of the job is gone", async || {
        (fixture.steps(job, &[]).await.len() == 800).then_some(())
    })
    .await;

    let fixture = fixture.again().await;
    let tried = fixture.store.commits_tried();
    fixture.steer(job, Steer::Remove).await.unwrap();
    assert!(fixture.store.commits_tried() >= tried + 3, "one alone would have held up all others");
    assert!(fixture.steps(job, &[]).await.is_empty() && fixture.show(job).await.is_none());
    assert!(fixture.again().await.show(job).await.is_none());
}

#[actix::test]
async fn what_a_removal_that_was_cut_short_has_left_can_be_tried_again_and_ends() {
    let fixture = JobsFixture::new().await;
    let job = fixture.make(ON, &nobody(), Some(5_000.0)).await;
    fixture.pass_until_done(job).await;
    fixture.steer_into_crash(job, Steer::Remove);
    until_found("the first part of the job is gone", async || {
        (fixture.steps(job, &[]).await.len() == 800).then_some(())
    })
    .await;

    let fixture = fixture.again().await;
    fixture.steer(job, Steer::Retry).await.unwrap();
    fixture.pass_until_done(job).await;
    assert_eq!(counts(&fixture.show(job).await.unwrap()), [("failed", 800)]);
}
