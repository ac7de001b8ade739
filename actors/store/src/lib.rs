//! The store: the hub's durable state, behind one trait. Entities and SQL stay in here.
//!
//! A twin's readings are the many, so a message's events go into the journal (one row a batch, whole) and nothing else
//! is written with it; by-device order and the twins' rows are made behind from the same events ([`Store::maintain`]).
//! Everything read is true to the last commit all the same: events that are not compacted yet are held in memory, and
//! are read again from the journal at start.

mod access;
mod automation;
mod batch;
pub mod codec;
#[cfg(test)]
mod contract;
mod fleet;
pub mod foreign;
pub mod history;
pub mod layers;
pub mod memory;
mod retained;
pub mod seal;
pub mod select;
pub mod sql;

pub use access::{
    AccessStore, AuditPage, AuditQuery, AuditStore, BoundKeyStore, KeyStore, KeyUse, SessionStore, UserStore,
    UserWrite,
};
pub use automation::{
    AlarmPage, AlarmQuery, AutomationChanges, AutomationState, DeliveryPage, DeliveryQuery, DeliveryRecord,
    DeliveryStatus, EngineProgress, RuleAuthor, RuleRecord, RunPage, RunPlace, RunQuery,
};
pub use batch::{Batch, BatchPlace, CommitAttempt};
pub use fleet::{
    FleetChanges, FleetRecord, JobCounts, JobDevice, JobDevicePage, JobDeviceQuery, JobOp, JobPlace,
    StepSweep,
};
pub use memory::MemoryStore;
pub use retained::RetainedStore;
pub use sql::{Keeping, MemtableLimits, SqlOptions, SqlStore};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;

use twinhub_access::Reach;
use twinhub_domain::Outgoing;
use twinhub_domain::alarm::{Alarm, AlarmId, Severity};
use twinhub_domain::fleet::{JobId, Lifecycle, RecordKind};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::series::{Bucket, HistoryQuery, SeriesByName, StatisticsQuery, StoredReading};
use twinhub_domain::{
    Command, CommandId, CommandStatus, DeviceId, DeviceNumber, EventKind, Mode, ReadingTime, Recorded,
    Status, Timestamp, Twin,
};

/// A command, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRecord {
    pub device: DeviceId,
    pub number: DeviceNumber,
    pub command: Command,
}

/// A query for commands. They come in the order in which they were requested, or backwards.
#[derive(Clone, Debug, Default)]
pub struct CommandQuery {
    /// Commands of devices within it alone.
    pub reach: Reach,
    pub device: Option<DeviceNumber>,
    /// Empty means all.
    pub status: Vec<CommandStatus>,
    pub command_type: Option<String>,
    /// By the time at which they were asked for: from here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    pub newest_first: bool,
    pub offset: u64,
    pub limit: u64,
}

/// A page of a list of commands.
#[derive(Clone, Debug, Default)]
pub struct CommandPage {
    pub commands: Vec<CommandRecord>,
    /// The number on all pages.
    pub total: u64,
}

/// The time at which to wake a twin, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub device: DeviceId,
    pub number: DeviceNumber,
    /// The next deadline of its own: [`Twin::wake_at`].
    pub wake_at: Option<Timestamp>,
    /// While it is online: when it was last heard, and after how many ms of silence it counts as offline.
    pub silence: Option<(Timestamp, i64)>,
}

/// The store's state at start.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The last `seq` given, 0 when none was.
    pub seq: u64,
    /// The largest device number given, 0 when none was.
    pub number: i64,
    /// The largest id of an outgoing message given, 0 when none was.
    pub outgoing: u64,
    /// The last moment that the store knows of; none where nothing was written.
    pub at: Option<Timestamp>,
    /// The last doubt about the clock.
    pub doubt: ClockDoubt,
}

/// A leap ahead of the clock that is not believed yet: nothing is deleted by it. Nothing, where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockDoubt {
    /// By how many ms the clock is ahead of the time that is believed.
    pub ahead_ms: i64,
    /// The uptime for which it has been doubted, in ms.
    pub for_ms: u64,
}

/// A query for devices: filters, order and page.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    /// Devices within it alone.
    pub reach: Reach,
    /// Their numbers: from this one up to and with that.
    pub numbers: Option<(DeviceNumber, DeviceNumber)>,
    /// Any of these; empty means all.
    pub status: Vec<Status>,
    /// Only devices that have differed from their desired state since this moment or longer.
    pub drifting_since: Option<Timestamp>,
    pub device_type: Option<String>,
    /// In any of these groups; empty means wherever.
    pub groups: Vec<String>,
    /// In some group, or in none.
    pub grouped: Option<bool>,
    pub claimed: Option<bool>,
    pub mode: Option<Mode>,
    /// Any of these; empty means all.
    pub lifecycle: Vec<Lifecycle>,
    /// Tags that must have exactly this text (numbers and booleans by their JSON text).
    pub tags: Vec<(String, String)>,
    /// Devices that have this template.
    pub template: Option<String>,
    /// Part of the id, name or serial number, whatever the case.
    pub q: Option<String>,
    pub sort: DeviceSort,
    pub descending: bool,
    pub offset: u64,
    pub limit: u64,
}

impl DeviceQuery {
    /// A search reads this many characters of a device's names: a longer query is part of none.
    pub const LONGEST_Q: usize = select::SEARCHED;
    /// More groups than this are not named in one question to a database.
    pub const MOST_GROUPS: usize = 1_000;

    /// Does a store's list answer it, true to the last commit? It may be behind in changes by readings alone, and does
    /// not take any number of groups.
    #[must_use]
    pub fn is_for_lists(&self) -> bool {
        self.drifting_since.is_none()
            && !matches!(self.sort, DeviceSort::LastSeen | DeviceSort::UpdatedAt)
            && self.groups.len() <= Self::MOST_GROUPS
    }

    /// Does it ask for all devices?
    #[must_use]
    pub fn is_all(&self) -> bool {
        let Self { reach, numbers, status, drifting_since, device_type, groups, grouped, .. } = self;
        let Self { claimed, mode, lifecycle, tags, template, q, .. } = self;
        reach.is_everywhere()
            && numbers.is_none()
            && status.is_empty()
            && drifting_since.is_none()
            && device_type.is_none()
            && groups.is_empty()
            && grouped.is_none()
            && claimed.is_none()
            && mode.is_none()
            && lifecycle.is_empty()
            && tags.is_empty()
            && template.is_none()
            && q.is_none()
    }
}

/// The order of a list of devices. Ties are broken by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceSort {
    #[default]
    Number,
    Id,
    Name,
    Type,
    Status,
    LastSeen,
    CreatedAt,
    UpdatedAt,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct DevicePage {
    pub twins: Vec<Twin>,
    /// The number on all pages.
    pub total: u64,
}

/// A query for events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Events of devices within it alone. Not looked at where one device is asked for.
    pub reach: Reach,
    pub device: Option<DeviceNumber>,
    /// Empty means all.
    pub kinds: Vec<EventKind>,
    /// Of alarms, those of this severity or worse alone; other events have none.
    pub at_least: Option<Severity>,
    /// By the event's `at`: from here on, inclusive.
    pub from: Option<ReadingTime>,
    /// Up to here, exclusive.
    pub to: Option<ReadingTime>,
    /// Only events after this `seq`.
    pub since: Option<u64>,
    /// Only events before this `seq`.
    pub before: Option<u64>,
    /// The number of events to skip first.
    pub offset: usize,
    pub limit: usize,
    pub newest_first: bool,
}

/// The amount of a device's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceDataCounts {
    pub readings: u64,
    /// Events of the log: all but telemetry.
    pub events: u64,
    pub commands: u64,
    pub alarms: u64,
}

/// A stretch of the sequence.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// In order, without a gap; all there is up to the `up_to` asked for, unless `limit` cut it.
    pub events: Vec<Arc<Recorded>>,
    /// The past asked for is gone: the first event still there has a `seq` above `after + 1`.
    pub pruned: bool,
}

/// The place of a device: what scopes ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    pub device: DeviceId,
    pub number: DeviceNumber,
    /// Empty where it has none.
    pub owner: Box<str>,
    /// Empty where it is in none.
    pub group: Box<str>,
}

/// The reason why the store did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing of the operation was done.
    #[error("{operation}: {detail}")]
    Failed { operation: &'static str, detail: String },
    /// The operation may have been done.
    #[error("{operation}, outcome unknown: {detail}")]
    Unknown { operation: &'static str, detail: String },
    /// The stored data does not make sense to this program.
    #[error("{operation}: the stored data are damaged: {detail}")]
    Damaged { operation: &'static str, detail: String },
    /// The journal has other events at this batch's places: another program writes to the same store. Nothing of the
    /// batch was done, and no later try can succeed.
    #[error("{operation}: another program has written to the same store: {detail}")]
    Conflict { operation: &'static str, detail: String },
}

/// The end of a certificate that is bound to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    pub device: DeviceId,
    pub number: DeviceNumber,
    pub at: Timestamp,
}

/// A durable store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The state for the start.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Gives `batch` its place in the sequences, and makes it durable there, whole. [`StoreError::Unknown`] is answered by
    /// trying again with the same batch: where it is there already, that does nothing but say where.
    async fn commit(&self, batch: &mut Batch) -> Result<BatchPlace, StoreError>;

    /// The twins with these ids, as of the last commit, in no order; unknown ones are left out.
    async fn load(&self, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError>;

    /// A page of devices, each as of the last commit. `last_seen`, `updated_at` and the drift in filters and orders may
    /// be behind by as much as [`Store::maintain`] is in changes by readings alone.
    async fn devices(&self, query: &DeviceQuery) -> Result<DevicePage, StoreError>;

    /// The numbers of all devices that match `query`, in its order; its page is ignored. The drift may be behind as it
    /// may in [`Store::devices`].
    async fn numbers(&self, query: &DeviceQuery) -> Result<Vec<DeviceNumber>, StoreError>;

    /// The twins with these numbers, as of the last commit, in no order; unknown ones are left out.
    async fn twins(&self, numbers: &[DeviceNumber]) -> Result<Vec<Twin>, StoreError>;

    /// The places of all devices, as of the last commit.
    async fn places(&self) -> Result<Vec<DevicePlace>, StoreError>;

    /// The device with this serial number, or with this id and no serial number.
    async fn find_serial(&self, serial: &str) -> Result<Option<Twin>, StoreError>;

    /// The device whose token has this hash.
    async fn find_token(&self, hash: &str) -> Result<Option<DeviceId>, StoreError>;

    /// The device to which the certificate with this fingerprint is bound.
    async fn find_certificate(&self, fingerprint: &str) -> Result<Option<DeviceId>, StoreError>;

    /// The certificates of devices that end before this moment, the first ones first, as of the last commit.
    async fn certificates_ending(
        &self,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<CertificateEnd>, StoreError>;

    /// Raw readings.
    async fn raw_history(&self, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError>;

    /// Readings by interval.
    async fn bucket_history(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError>;

    /// The statistics of a device's readings, by name. Costs a summary a chunk where no points are asked for.
    async fn statistics(&self, query: &StatisticsQuery) -> Result<SeriesByName, StoreError>;

    /// The identities of those `messages` (their own time and identity) that there are of this device.
    async fn has_messages(
        &self,
        device: DeviceNumber,
        messages: &[(ReadingTime, u64)],
    ) -> Result<HashSet<u64>, StoreError>;

    /// The amount of this device's data, by the summaries of its history.
    async fn extent(&self, device: DeviceNumber) -> Result<DeviceDataCounts, StoreError>;

    /// Events, filtered.
    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Recorded>>, StoreError>;

    /// Events with `after < seq <= up_to`, in order, `limit` at most.
    async fn replay(&self, after: u64, up_to: u64, limit: usize) -> Result<Replayed, StoreError>;

    /// A page of commands, each as of the last commit.
    async fn commands(&self, query: &CommandQuery) -> Result<CommandPage, StoreError>;

    /// The command with this id.
    async fn command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError>;

    /// The latest command of this device that carried this idempotency key.
    async fn command_with_key(
        &self,
        device: DeviceNumber,
        key: &str,
    ) -> Result<Option<CommandRecord>, StoreError>;

    /// Devices with a number after `after` that have a deadline, by number, `limit` at most. May be behind by as much
    /// as [`Store::maintain`] is in changes by readings alone.
    async fn deadlines(&self, after: DeviceNumber, limit: u64) -> Result<Vec<Deadline>, StoreError>;

    /// Automation's state as of its last commit.
    async fn automation(&self) -> Result<AutomationState, StoreError>;

    /// Events of these devices and those that are no device's, with `seq > after`, in order, for a backtest: `limit` of
    /// them, and fewer only where there are no more. Telemetry goes as far back as readings are kept. No devices: of
    /// all, telemetry as far back as the journal goes. A page of some devices reads a stretch of readings of each
    /// beyond its own events, so pages for many should be larger: 50,000 do for a hundred.
    async fn past(
        &self,
        devices: Option<&[DeviceNumber]>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Recorded>>, StoreError>;

    /// A page of runs.
    async fn runs(&self, query: &RunQuery) -> Result<RunPage, StoreError>;

    /// The run with this id.
    async fn run(&self, id: RunId) -> Result<Option<RunEntry>, StoreError>;

    /// Of each of these rules the last run that did not end in `not_run`, where there is one.
    async fn last_runs(&self, rules: &[RuleId]) -> Result<Vec<RunEntry>, StoreError>;

    /// A page of alarms.
    async fn alarms(&self, query: &AlarmQuery) -> Result<AlarmPage, StoreError>;

    /// The alarm with this id.
    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, StoreError>;

    /// A page of requests outward.
    async fn deliveries(&self, query: &DeliveryQuery) -> Result<DeliveryPage, StoreError>;

    /// All groups, templates, images or jobs, by their ids.
    async fn records(&self, kind: RecordKind) -> Result<Vec<FleetRecord>, StoreError>;

    /// A page of a job's devices.
    async fn job_devices(&self, query: &JobDeviceQuery) -> Result<JobDevicePage, StoreError>;

    /// The number of a job's devices in each state, from this place on up to that (exclusive; none: of all).
    async fn job_counts(&self, job: JobId, places: Option<(u64, u64)>) -> Result<JobCounts, StoreError>;

    /// Where the devices of each of these jobs are. Those that were removed count nowhere.
    async fn job_places(&self, jobs: &[JobId], reach: &Reach)
    -> Result<HashMap<JobId, JobPlace>, StoreError>;

    /// Messages that were committed and not yet [`Batch::sent`], in order.
    async fn outgoing(&self) -> Result<Vec<Outgoing>, StoreError>;

    /// Puts committed events into order where there is enough of them or they are ten minutes old
    /// ([`MemtableLimits`]), merges what lies in pieces, packs the journal, and deletes data older than the retention.
    /// Called now and then; may take a while, and blocks no other call.
    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Keeps how far the clock is doubted, for the next start.
    async fn doubt(&self, doubt: ClockDoubt) -> Result<(), StoreError>;

    /// The users, keys, sessions and the audit in it.
    fn access(self: Arc<Self>) -> Arc<dyn AccessStore>;
}
