//! Jobs while the store takes nothing in.

use super::*;

#[actix::test]
async fn while_commits_fail_jobs_are_shown_as_they_are_durable() {
    let mut house = House::new().await;
    let devices = house.devices(3).await;
    let job = house.make(ON, &devices, None).await;
    house.until(job, JobStatus::Done).await;
    house.store.break_commits(Fault::Failed);
    let making = house.making(ON, &devices, None);
    while get(&house.hub.counters.store_failing) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.list(&[], &[]).await, [job]);
    assert_eq!(counts(&house.show(job).await.unwrap()), [("done", 3)]);
    house.store.heal();
    let made = making.await.unwrap().job.id;
    assert_eq!(house.list(&[], &[]).await, [made, job]);
}
