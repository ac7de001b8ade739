//! Jobs while the store takes nothing in, or is slow.

use super::*;

#[actix::test]
async fn while_commits_fail_jobs_are_shown_as_they_are_durable() {
    let mut fixture = JobsFixture::new().await;
    let devices = fixture.devices(3).await;
    let job = fixture.make(ON, &devices, None).await;
    fixture.until(job, JobStatus::Done).await;
    fixture.store.break_commits(CommitFault::Failed);
    let making = fixture.making(ON, &devices, None);
    until("the hub knows that its store fails", async || get(&fixture.hub.counters.store_failing) != 0).await;
    assert_eq!(fixture.list(&[], &[]).await, [job]);
    assert_eq!(counts(&fixture.show(job).await.unwrap()), [("done", 3)]);
    fixture.store.heal();
    let made = within("the job is made", making).await.unwrap().job.id;
    assert_eq!(fixture.list(&[], &[]).await, [made, job]);
}

#[actix::test]
async fn a_job_that_takes_long_to_count_comes_to_its_end() {
    let fixture = JobsFixture::new().await;
    let devices = fixture.devices(3).await;
    // Longer than it is waited before it is counted again.
    fixture.store.slow_counts(Duration::from_millis(200));
    let job = fixture.make(&reboot(), &devices, None).await;
    let mut answer = fixture.steering(job, Steer::Cancel);
    let canceled = until_found_in_time("the job is canceled", &fixture.clock, async || {
        answer.try_recv().ok().map(Result::unwrap)
    })
    .await;
    assert_eq!(canceled.job.status, JobStatus::Canceled);
    let job = fixture.make(ON, &devices, None).await;
    fixture.pass_until_done(job).await;
}
