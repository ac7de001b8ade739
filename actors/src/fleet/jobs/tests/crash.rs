//! The hub goes down between the parts in which many of a job's devices are changed.

use super::*;
use twinhub_store::StepSweep;

/// As many devices as are written down in three parts; nobody knows them, so each fails at its turn.
const MANY: i64 = 1_300;
const PART: usize = 500;

fn nobody() -> Vec<(DeviceId, DeviceNumber)> {
    (0..MANY).map(|n| (id(&format!("x{n}")), DeviceNumber(n + 1_000_000))).collect()
}

impl House {
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
    let house = House::new().await;
    let job = house.make(ON, &nobody(), Some(10.0)).await;
    // The clock stands still: one turn, and no more.
    house.until_stored(job, StepState::Failed, 1).await;
    house.steer_into_crash(job, Steer::Cancel);
    house.until_stored(job, StepState::Canceled, PART - 1).await;

    let house = house.again().await;
    assert_eq!(house.show(job).await.unwrap().job.status, JobStatus::Canceled);
    house.until_stored(job, StepState::Canceled, 1_299).await;
    let told = house.steer(job, Steer::Retry).await.unwrap();
    assert_eq!(counts(&told), [("queued", 1), ("canceled", 1_299)], "what was canceled stays so");
}

#[actix::test]
async fn a_retry_that_was_cut_short_is_gone_on_with() {
    let house = House::new().await;
    let job = house.make(ON, &nobody(), Some(5_000.0)).await;
    house.pass_until_done(job).await;
    house.until_stored(job, StepState::Failed, 1_300).await;
    house.steer_into_crash(job, Steer::Retry);
    house.until_stored(job, StepState::Queued, PART).await;

    // Its clock stands still again: one has its turn, and all the others are to have it.
    let house = house.again().await;
    house.until_stored(job, StepState::Failed, 1).await;
    assert_eq!(house.steps(job, &[StepState::Queued]).await.len(), 1_299);
    let told = house.show(job).await.unwrap();
    assert_eq!((told.job.status, told.job.round), (JobStatus::Running, 2));
}

#[actix::test]
async fn a_large_job_that_was_not_whole_is_broken_off_in_parts() {
    let house = House::new().await;
    house.store.break_after(|batch| {
        let holds =
            |op: &JobOp| matches!(op, JobOp::Devices(rows) if rows.iter().any(|row| row.place == 999));
        batch.fleet.jobs.iter().any(holds)
    });
    let job = house.make(ON, &nobody(), Some(10.0)).await;
    house.until_stored(job, StepState::Queued, 2 * PART).await;

    let mut house = house.again().await;
    let told = house.until(job, JobStatus::Failed).await;
    let why = "the hub stopped while the job was being made: nothing was done";
    assert_eq!(told.job.reason.as_deref(), Some(why));
    house.until_stored(job, StepState::Canceled, 2 * PART).await;
    assert_eq!(house.steps(job, &[]).await[999], format!("x999 canceled {why}"));
    assert!(house.store.commits_tried() >= 3, "one alone would have held up all others");
}

#[actix::test]
async fn a_large_job_is_removed_in_parts() {
    let house = House::new().await;
    let job = house.make(ON, &nobody(), Some(10.0)).await;
    house.steer(job, Steer::Cancel).await.unwrap();
    house.steer_into_crash(job, Steer::Remove);
    until_found("the first part of the job is gone", async || {
        (house.steps(job, &[]).await.len() == 800).then_some(())
    })
    .await;

    let house = house.again().await;
    let tried = house.store.commits_tried();
    house.steer(job, Steer::Remove).await.unwrap();
    assert!(house.store.commits_tried() >= tried + 3, "one alone would have held up all others");
    assert!(house.steps(job, &[]).await.is_empty() && house.show(job).await.is_none());
    assert!(house.again().await.show(job).await.is_none());
}

#[actix::test]
async fn what_a_removal_that_was_cut_short_has_left_can_be_tried_again_and_ends() {
    let house = House::new().await;
    let job = house.make(ON, &nobody(), Some(5_000.0)).await;
    house.pass_until_done(job).await;
    house.steer_into_crash(job, Steer::Remove);
    until_found("the first part of the job is gone", async || {
        (house.steps(job, &[]).await.len() == 800).then_some(())
    })
    .await;

    let house = house.again().await;
    house.steer(job, Steer::Retry).await.unwrap();
    house.pass_until_done(job).await;
    assert_eq!(counts(&house.show(job).await.unwrap()), [("failed", 800)]);
}
