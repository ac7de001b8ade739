//! Counters that all parts add to and that health, metrics and tests read. Adding costs nanoseconds.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::slow_messages::SlowMessages;
use twinhub_domain::DeviceNumber;
use twinhub_domain::fleet::JobId;
use twinhub_mqtt::identity::ConnectRefusal;

/// Counts since the start. Each field only grows, but for those with `now` in their comment.
#[derive(Debug, Default)]
pub struct Counters {
    /// MQTT messages that came, whatever became of them.
    pub messages_in: AtomicU64,
    /// Inputs taken in and committed.
    pub inputs_committed: AtomicU64,
    /// Inputs known as repeats.
    pub inputs_repeated: AtomicU64,
    /// Inputs that a twin refused.
    pub inputs_refused: AtomicU64,
    /// Of these, messages of devices that are out of service.
    pub messages_out_of_service: AtomicU64,
    /// MQTT clients that were not let in, by the reason.
    pub clients_refused: RefusedClients,
    /// QoS 0 messages shed because too much was in flight.
    pub messages_shed: AtomicU64,
    /// Payloads that could not be read.
    pub messages_rejected: AtomicU64,
    /// Readings that made no sense, in messages of which others may have been taken in.
    pub readings_rejected: AtomicU64,
    /// Inputs in flight now.
    pub inputs_in_flight: AtomicU64,
    /// Events committed.
    pub events: AtomicU64,
    /// Commits done, and the time they took, in microseconds.
    pub commits: AtomicU64,
    pub commit_micros: AtomicU64,
    pub commits_failed: AtomicU64,
    /// Entries of the audit that were lost because the store did not take them in.
    pub audit_dropped: AtomicU64,
    /// 1 now while the store fails.
    pub store_failing: AtomicU64,
    /// Set when another program was found writing to the store.
    pub store_lost: StoreLost,
    /// The last `seq` committed.
    pub seq: AtomicU64,
    /// Twins in memory now.
    pub twins: AtomicU64,
    pub twins_restarted: AtomicU64,
    pub twins_put_away: AtomicU64,
    /// Messages published to devices.
    pub messages_out: AtomicU64,
    /// Outgoing messages that were not published because their time was over.
    pub messages_stale: AtomicU64,
    /// Outgoing messages that wait now.
    pub outbox_waiting: AtomicU64,
    /// Rules now.
    pub rules: AtomicU64,
    /// Times rules were taken in anew.
    pub rule_loads: AtomicU64,
    /// The present errors of rules.
    pub broken_rules: BrokenRules,
    /// Runs that came to an end, and evaluations that came to nothing.
    pub rule_runs: AtomicU64,
    pub rule_refusals: AtomicU64,
    /// Things that rules did.
    pub rule_acts: AtomicU64,
    /// 1 once the devices in groups are counted, after the start.
    pub groups_counted: AtomicU64,
    /// Times a job came further with a device.
    pub job_changes: AtomicU64,
    /// Live subscribers now.
    pub subscribers: AtomicU64,
    /// Frames sent to subscribers.
    pub frames_out: AtomicU64,
    /// Times a subscriber was notified that it lags.
    pub subscribers_lagged: AtomicU64,
    /// Alarms active now.
    pub alarms_active: AtomicU64,
    /// Webhooks that were delivered, and that were given up.
    pub webhooks_delivered: AtomicU64,
    pub webhooks_failed: AtomicU64,
    /// Attempts at webhooks, whatever became of them.
    pub webhook_attempts: AtomicU64,
    /// Webhooks that wait now.
    pub webhooks_waiting: AtomicU64,
    /// Certificates of devices that end soon, or have ended.
    pub certificates_ending: AtomicU64,
    /// The time of the last backup that the hub has written by itself, in ms since the epoch; 0 where there is none.
    pub backup_at: AtomicU64,
    /// Backups of its own that failed.
    pub backups_failed: AtomicU64,
    /// Where slow messages spend their time.
    pub slow: SlowMessages,
    /// By device, of those out of service that spoke all the same.
    pub out_of_service: OutOfService,
    /// By job, of those under way.
    pub changes_of_jobs: ChangesOfJobs,
}

/// The number of MQTT clients that were not let in, by the reason.
#[derive(Debug, Default)]
pub struct RefusedClients([AtomicU64; ConnectRefusal::ALL.len()]);

impl RefusedClients {
    /// Counts one.
    pub fn count(&self, refusal: ConnectRefusal) {
        let reasons = ConnectRefusal::ALL.iter().zip(&self.0);
        for (_, count) in reasons.filter(|(reason, _)| **reason == refusal) {
            up(count);
        }
    }

    /// The counts, with the stable word for each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ConnectRefusal::ALL.iter().zip(&self.0).map(|(reason, count)| (reason.reason(), get(count)))
    }
}

/// The interval at which a failing store is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Counters {
    /// Returns when commits fail, after the first moment at the earliest: an answer that is durable already comes
    /// within that.
    pub async fn store_fails(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.store_failing.load(Ordering::Acquire) == 1 {
                return;
            }
        }
    }
}

/// Another program writes to our store: nothing more is committed, and the hub is to end. Set once, for good.
#[derive(Debug, Default)]
pub struct StoreLost {
    is_set: AtomicBool,
    changed: Notify,
}

impl StoreLost {
    /// From now on it is so.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Is it so?
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Returns when it is so.
    pub async fn wait(&self) {
        let changed = self.changed.notified(); // made before the look, so that it misses nothing
        if !self.is_set() {
            changed.await;
        }
    }
}

/// The first error of each rule file that does not check out, as `hall.yaml:7:9: …`.
#[derive(Debug, Default)]
pub struct BrokenRules(Mutex<Vec<String>>);

impl BrokenRules {
    /// From now on it is these.
    pub fn set(&self, broken: Vec<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = broken; // it is whole whatever happens
    }

    /// The errors that there are now.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The number of refused messages of devices that are out of service, by device, since the start or since the device
/// went out of service. As large as the number of such devices that send.
#[derive(Debug, Default)]
pub struct OutOfService(Mutex<HashMap<DeviceNumber, u64>>);

impl OutOfService {
    /// Counts one.
    pub fn note(&self, device: DeviceNumber) {
        *self.counts().entry(device).or_default() += 1;
    }

    /// The number of refused messages.
    #[must_use]
    pub fn of(&self, device: DeviceNumber) -> u64 {
        self.counts().get(&device).copied().unwrap_or_default()
    }

    /// The device is in service again, or gone.
    pub fn forget(&self, device: DeviceNumber) {
        self.counts().remove(&device);
    }

    /// No code in here can panic half way through a change.
    fn counts(&self) -> MutexGuard<'_, HashMap<DeviceNumber, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of steps of each watched job with a device.
#[derive(Debug, Default)]
pub struct ChangesOfJobs(Mutex<HashMap<JobId, u64>>);

impl ChangesOfJobs {
    /// From now on its changes are counted, if they are not already.
    pub fn watch(&self, job: JobId) {
        self.counts().entry(job).or_default();
    }

    /// Counts one step of each; jobs that are not watched are ignored.
    pub fn note(&self, jobs: impl Iterator<Item = JobId>) {
        let mut counts = self.counts();
        for job in jobs {
            if let Some(count) = counts.get_mut(&job) {
                *count += 1;
            }
        }
    }

    /// The number of steps.
    #[must_use]
    pub fn of(&self, job: JobId) -> u64 {
        self.counts().get(&job).copied().unwrap_or_default()
    }

    /// Stops watching the job.
    pub fn forget(&self, job: JobId) {
        self.counts().remove(&job);
    }

    /// No code in here can panic half way through a change.
    fn counts(&self) -> MutexGuard<'_, HashMap<JobId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one.
pub fn up(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds `n`.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

/// Takes one away.
pub fn down(counter: &AtomicU64) {
    counter.fetch_sub(1, Relaxed);
}

/// Reads.
#[must_use]
pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_jobs_changes_are_its_own() {
        let [busy, idle, unknown] = [1, 2, 3].map(|n| JobId(Uuid::from_u128(n)));
        let changes = ChangesOfJobs::default();
        changes.watch(busy);
        changes.watch(idle);
        changes.note([busy, unknown, busy].into_iter());
        assert_eq!([busy, idle, unknown].map(|job| changes.of(job)), [2, 0, 0]);
        changes.watch(busy);
        assert_eq!(changes.of(busy), 2, "it is watched already");
        changes.forget(busy);
        changes.note([busy].into_iter());
        assert_eq!(changes.of(busy), 0);
    }
}
