//! The ground that tests stand on: a clock moved by hand, a store that fails on demand, and waits that come to an end.

mod access;
mod clock;
mod patience;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{RwLock, RwLockReadGuard, watch};

use access::FailingAccess;
pub use clock::ManualClock;
pub use patience::{PATIENCE, ask, until, until_found, until_found_in_time, within};

use twinhub_access::Reach;
use twinhub_domain::Outgoing;
use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::fleet::{JobId, RecordKind};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::series::{Bucket, HistoryQuery, SeriesByName, StatisticsQuery, StoredReading};
use twinhub_domain::{CommandId, DeviceId, DeviceNumber, ReadingTime, Recorded, Timestamp, Twin};
use twinhub_store::{
    AccessStore, AlarmPage, AlarmQuery, AutomationState, Batch, BatchPlace, CertificateEnd, ClockDoubt,
    CommandPage, CommandQuery, CommandRecord, Deadline, DeliveryPage, DeliveryQuery, DeviceDataCounts,
    DevicePage, DevicePlace, DeviceQuery, EventQuery, FleetRecord, Head, JobCounts, JobDevicePage,
    JobDeviceQuery, JobPlace, Replayed, RunPage, RunQuery, Store, StoreError,
};

/// The ways in which a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// [`StoreError::Failed`]: nothing was done.
    Failed,
    /// [`StoreError::Unknown`], and it was done.
    UnknownDone,
    /// [`StoreError::Unknown`], and nothing was done.
    UnknownNotDone,
}

/// A store that fails on demand, around one that does not.
pub struct FailingStore {
    inner: Arc<dyn Store>,
    plan: Mutex<FaultPlan>,
    blocked: watch::Sender<bool>,
    lists_blocked: watch::Sender<bool>,
    job_devices_blocked: watch::Sender<bool>,
    /// Read by whatever writes, for as long as it does.
    dead: RwLock<bool>,
}

/// Says whether a commit is the last that does not fail.
type IsLastCommit = dyn Fn(&Batch) -> bool + Send;

#[derive(Default)]
struct FaultPlan {
    /// The failures of the next commits, in order.
    next: Vec<CommitFault>,
    /// The failure of all commits until it is healed.
    broken: Option<CommitFault>,
    /// After which commit it breaks.
    is_last: Option<Box<IsLastCommit>>,
    reads_fail: bool,
    /// The duration of a count of a job's devices.
    counting: Duration,
    /// The duration of a commit.
    committing: Duration,
    commits: u64,
}

impl FailingStore {
    /// Wraps `inner`, and does not fail yet.
    #[must_use]
    pub fn around(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::default(),
            blocked: watch::Sender::new(false),
            lists_blocked: watch::Sender::new(false),
            job_devices_blocked: watch::Sender::new(false),
            dead: RwLock::default(),
        })
    }

    /// The next `count` commits fail so.
    pub fn fail_next(&self, count: usize, fault: CommitFault) {
        self.plan().next.extend(std::iter::repeat_n(fault, count));
    }

    /// All commits fail after the first one of which `is_last` is true, until [`FailingStore::heal`].
    pub fn break_after(&self, is_last: impl Fn(&Batch) -> bool + Send + 'static) {
        self.plan().is_last = Some(Box::new(is_last));
    }

    /// All commits fail so, until [`FailingStore::heal`].
    pub fn break_commits(&self, fault: CommitFault) {
        self.plan().broken = Some(fault);
    }

    /// As when the program is killed: once this returns, nothing that its hub still does is written, be it on its way
    /// already.
    pub async fn die(&self) {
        *self.dead.write().await = true;
    }

    /// Another around the same store, as after a kill: whoever still has this one writes nothing any more.
    pub async fn cut_off(&self) -> Arc<Self> {
        self.die().await;
        Self::around(Arc::clone(&self.inner))
    }

    /// All reads and `maintain` fail too, until [`FailingStore::heal`].
    pub fn break_reads(&self) {
        self.plan().reads_fail = true;
    }

    /// Each commit takes so long from now on.
    pub fn slow_commits(&self, takes: Duration) {
        self.plan().committing = takes;
    }

    /// Each count of a job's devices takes so long from now on.
    pub fn slow_counts(&self, takes: Duration) {
        self.plan().counting = takes;
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.next.clear();
        plan.broken = None;
        plan.is_last = None;
        plan.reads_fail = false;
    }

    /// Commits wait until [`FailingStore::unblock`].
    pub fn block(&self) {
        self.blocked.send_replace(true);
    }

    /// Lists of devices wait until [`FailingStore::unblock`].
    pub fn block_lists(&self) {
        self.lists_blocked.send_replace(true);
    }

    /// Lists of a job's devices wait until [`FailingStore::unblock`].
    pub fn block_job_devices(&self) {
        self.job_devices_blocked.send_replace(true);
    }

    /// Lets go on all that waits.
    pub fn unblock(&self) {
        self.blocked.send_replace(false);
        self.lists_blocked.send_replace(false);
        self.job_devices_blocked.send_replace(false);
    }

    /// The number of commits tried.
    #[must_use]
    pub fn commits_tried(&self) -> u64 {
        self.plan().commits
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self, batch: &Batch) -> Option<CommitFault> {
        let mut plan = self.plan();
        plan.commits += 1;
        if plan.is_last.as_ref().is_some_and(|is_last| is_last(batch)) {
            (plan.is_last, plan.broken) = (None, Some(CommitFault::Failed));
            return None;
        }
        if plan.next.is_empty() { plan.broken } else { Some(plan.next.remove(0)) }
    }

    /// Leave to write while it is held.
    async fn may_write(&self, operation: &'static str) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let dead = self.dead.read().await;
        if *dead { Err(failed(operation)) } else { Ok(dead) }
    }

    fn may_read(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.plan().reads_fail { Err(failed(operation)) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for FailingStore {
    fn access(self: Arc<Self>) -> Arc<dyn AccessStore> {
        FailingAccess::of(self)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.may_read("head")?;
        self.inner.head().await
    }

    async fn commit(&self, batch: &mut Batch) -> Result<BatchPlace, StoreError> {
        let fault = self.next_fault(batch);
        // The sender lives in `self`, so the wait ends with an unblock.
        let _ = self.blocked.subscribe().wait_for(|blocked| !blocked).await;
        let committing = self.plan().committing;
        if committing > Duration::ZERO {
            tokio::time::sleep(committing).await;
        }
        let _alive = self.may_write("commit").await?;
        match fault {
            None => self.inner.commit(batch).await,
            Some(CommitFault::Failed) => Err(failed("commit")),
            Some(CommitFault::UnknownNotDone) => Err(unknown("commit")),
            Some(CommitFault::UnknownDone) => {
                self.inner.commit(batch).await?;
                Err(unknown("commit"))
            }
        }
    }

    async fn load(&self, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError> {
        self.may_read("load")?;
        self.inner.load(ids).await
    }

    async fn devices(&self, query: &DeviceQuery) -> Result<DevicePage, StoreError> {
        self.may_read("devices")?;
        let _ = self.lists_blocked.subscribe().wait_for(|blocked| !blocked).await; // as for commits
        self.inner.devices(query).await
    }

    async fn numbers(&self, query: &DeviceQuery) -> Result<Vec<DeviceNumber>, StoreError> {
        self.may_read("numbers")?;
        self.inner.numbers(query).await
    }

    async fn twins(&self, numbers: &[DeviceNumber]) -> Result<Vec<Twin>, StoreError> {
        self.may_read("twins")?;
        self.inner.twins(numbers).await
    }

    async fn places(&self) -> Result<Vec<DevicePlace>, StoreError> {
        self.may_read("places")?;
        self.inner.places().await
    }

    async fn find_serial(&self, serial: &str) -> Result<Option<Twin>, StoreError> {
        self.may_read("find serial")?;
        self.inner.find_serial(serial).await
    }

    async fn find_token(&self, hash: &str) -> Result<Option<DeviceId>, StoreError> {
        self.may_read("find token")?;
        self.inner.find_token(hash).await
    }

    async fn find_certificate(&self, fingerprint: &str) -> Result<Option<DeviceId>, StoreError> {
        self.may_read("find certificate")?;
        self.inner.find_certificate(fingerprint).await
    }

    async fn certificates_ending(
        &self,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<CertificateEnd>, StoreError> {
        self.may_read("certificates")?;
        self.inner.certificates_ending(before, limit).await
    }

    async fn raw_history(&self, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError> {
        self.may_read("history")?;
        self.inner.raw_history(query).await
    }

    async fn statistics(&self, query: &StatisticsQuery) -> Result<SeriesByName, StoreError> {
        self.may_read("statistics")?;
        self.inner.statistics(query).await
    }

    async fn bucket_history(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError> {
        self.may_read("history")?;
        self.inner.bucket_history(query).await
    }

    async fn has_messages(
        &self,
        device: DeviceNumber,
        messages: &[(ReadingTime, u64)],
    ) -> Result<HashSet<u64>, StoreError> {
        self.may_read("has messages")?;
        self.inner.has_messages(device, messages).await
    }

    async fn extent(&self, device: DeviceNumber) -> Result<DeviceDataCounts, StoreError> {
        self.may_read("extent")?;
        self.inner.extent(device).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.may_read("events")?;
        self.inner.events(query).await
    }

    async fn replay(&self, after: u64, up_to: u64, limit: usize) -> Result<Replayed, StoreError> {
        self.may_read("replay")?;
        self.inner.replay(after, up_to, limit).await
    }

    async fn commands(&self, query: &CommandQuery) -> Result<CommandPage, StoreError> {
        self.may_read("commands")?;
        self.inner.commands(query).await
    }

    async fn command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        self.may_read("command")?;
        self.inner.command(id).await
    }

    async fn command_with_key(
        &self,
        device: DeviceNumber,
        key: &str,
    ) -> Result<Option<CommandRecord>, StoreError> {
        self.may_read("command with key")?;
        self.inner.command_with_key(device, key).await
    }

    async fn deadlines(&self, after: DeviceNumber, limit: u64) -> Result<Vec<Deadline>, StoreError> {
        self.may_read("deadlines")?;
        self.inner.deadlines(after, limit).await
    }

    async fn automation(&self) -> Result<AutomationState, StoreError> {
        self.may_read("automation")?;
        self.inner.automation().await
    }

    async fn past(
        &self,
        devices: Option<&[DeviceNumber]>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.may_read("past")?;
        self.inner.past(devices, after, limit).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        self.may_read("runs")?;
        self.inner.runs(query).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunEntry>, StoreError> {
        self.may_read("run")?;
        self.inner.run(id).await
    }

    async fn last_runs(&self, rules: &[RuleId]) -> Result<Vec<RunEntry>, StoreError> {
        self.may_read("last_runs")?;
        self.inner.last_runs(rules).await
    }

    async fn alarms(&self, query: &AlarmQuery) -> Result<AlarmPage, StoreError> {
        self.may_read("alarms")?;
        self.inner.alarms(query).await
    }

    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, StoreError> {
        self.may_read("alarm")?;
        self.inner.alarm(id).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        self.may_read("deliveries")?;
        self.inner.deliveries(query).await
    }

    async fn records(&self, kind: RecordKind) -> Result<Vec<FleetRecord>, StoreError> {
        self.may_read("records")?;
        self.inner.records(kind).await
    }

    async fn job_devices(&self, query: &JobDeviceQuery) -> Result<JobDevicePage, StoreError> {
        self.may_read("job_devices")?;
        let _ = self.job_devices_blocked.subscribe().wait_for(|blocked| !blocked).await; // as for commits
        self.inner.job_devices(query).await
    }

    async fn job_counts(&self, job: JobId, places: Option<(u64, u64)>) -> Result<JobCounts, StoreError> {
        self.may_read("job_counts")?;
        let takes = self.plan().counting;
        tokio::time::sleep(takes).await;
        self.inner.job_counts(job, places).await
    }

    async fn job_places(
        &self,
        jobs: &[JobId],
        reach: &Reach,
    ) -> Result<HashMap<JobId, JobPlace>, StoreError> {
        self.may_read("job places")?;
        self.inner.job_places(jobs, reach).await
    }

    async fn outgoing(&self) -> Result<Vec<Outgoing>, StoreError> {
        self.may_read("outgoing")?;
        self.inner.outgoing().await
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        self.may_read("maintain")?;
        let _alive = self.may_write("maintain").await?;
        self.inner.maintain(now).await
    }

    async fn doubt(&self, doubt: ClockDoubt) -> Result<(), StoreError> {
        self.may_read("doubt")?;
        let _alive = self.may_write("doubt").await?;
        self.inner.doubt(doubt).await
    }
}

fn failed(operation: &'static str) -> StoreError {
    StoreError::Failed { operation, detail: "the test says so".into() }
}

fn unknown(operation: &'static str) -> StoreError {
    StoreError::Unknown { operation, detail: "the test says so".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_store::MemoryStore;

    fn empty() -> Batch {
        Batch {
            outgoing: vec![Outgoing {
                id: 1,
                topic: "t".into(),
                payload: "p".into(),
                retain: false,
                until: None,
                purpose: None,
            }],
            ..Batch::empty(Timestamp::default())
        }
    }

    #[tokio::test]
    async fn fails_as_it_is_told() {
        let memory = Arc::new(MemoryStore::default());
        let store = FailingStore::around(Arc::clone(&memory) as Arc<dyn Store>);
        store.fail_next(1, CommitFault::Failed);
        store.fail_next(1, CommitFault::UnknownNotDone);
        assert!(matches!(store.commit(&mut empty()).await, Err(StoreError::Failed { .. })));
        assert!(matches!(store.commit(&mut empty()).await, Err(StoreError::Unknown { .. })));
        assert!(memory.outgoing().await.unwrap().is_empty());
        store.break_commits(CommitFault::UnknownDone);
        store.break_reads();
        assert!(matches!(store.commit(&mut empty()).await, Err(StoreError::Unknown { .. })));
        assert_eq!(memory.outgoing().await.unwrap().len(), 1);
        assert!(store.outgoing().await.is_err());
        store.heal();
        assert!(store.commit(&mut empty()).await.is_ok());
        assert_eq!(store.commits_tried(), 4);
    }

    #[tokio::test]
    async fn blocks_until_it_is_let_go() {
        let store = FailingStore::around(Arc::new(MemoryStore::default()));
        store.block();
        let mut batch = empty();
        let mut commit = std::pin::pin!(store.commit(&mut batch));
        assert!(futures_util::poll!(&mut commit).is_pending());
        store.unblock();
        assert!(commit.await.is_ok());
    }
}
