//! Jobs while the store takes nothing in, or is slow.

use super::*;

#[actix::test]
async fn while_commits_fail_jobs_are_shown_as_they_are_durable() {
    let mut house = House::new().await;
    let devices = house.devices(3).await;
    let job = house.make(ON, &devices, None).await;
    house.until(job, JobStatus::Done).await;
    house.store.break_commits(CommitFault::Failed);
    let making = house.making(ON, &devices, None);
    until("the hub knows that its store fails", async || get(&house.hub.counters.store_failing) != 0).await;
    assert_eq!(house.list(&[], &[]).await, [job]);
    assert_eq!(counts(&house.show(job).await.unwrap()), [("done", 3)]);
    house.store.heal();
    let made = within("the job is made", making).await.unwrap().job.id;
    assert_eq!(house.list(&[], &[]).await, [made, job]);
}

#[actix::test]
async fn a_job_that_takes_long_to_count_comes_to_its_end() {
    let house = House::new().await;
    let devices = house.devices(3).await;
    // Longer than it is waited before it is counted again.
    house.store.slow_counts(Duration::from_millis(200));
    let job = house.make(&reboot(), &devices, None).await;
    let mut answer = house.steering(job, Steer::Cancel);
    let canceled = until_found_in_time("the job is canceled", &house.clock, async || {
        answer.try_recv().ok().map(Result::unwrap)
    })
    .await;
    assert_eq!(canceled.job.status, JobStatus::Canceled);
    let job = house.make(ON, &devices, None).await;
    house.pass_until_done(job).await;
}
