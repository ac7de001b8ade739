//! The store in an SQL database, through sea-orm. SQLite so far; code for SQLite alone is in `sqlite.rs`.
//!
//! # Why a commit writes one row, and is compacted later
//! Readings are the many, so the shape of their table decides the speed of everything. Three shapes were
//! filled with the same ten million readings (3,369,600 messages of 1,000 devices in turn, three readings
//! each) in the same batches of 256 messages, each batch durable (`synchronous=FULL`) before the next, and
//! asked for one device's day of 8,640 messages in 5-minute means of all its sensors, and for the last 100
//! messages of another (`examples/store_shapes.rs`, release build, two busy cores, one run):
//!
//! | shape | messages/s | readings/s | on disk | day | last 100 |
//! |---|--:|--:|--:|--:|--:|
//! | (a) a row a reading, by series and time, small keys | 9,190 | 27,571 | 306 MB | 5.5 ms | 0.03 ms |
//! | (b) a row a message, packed, by device and time | 39,161 | 117,483 | 173 MB | 1.5 ms | 0.01 ms |
//! | (c) a row a batch, compacted later, compaction included: this store | 116,335 | 349,004 | 343 MB | 6.3 ms | 0.38 ms |
//!
//! (a) and (b) are bare statements by rusqlite; they touch as many pages a batch as it has devices, and each
//! goes to the log whole. (c) is measured through [`Store`], and keeps more: units, causes, times of receipt,
//! numbers with their digits, and the journal beside the chunks until its retention is over. It takes in
//! three times what (b) does, and answers in milliseconds where 50 are allowed, so (c) it is.
//!
//! # How it holds together
//! - `commit` writes a batch in one transaction: its events as one row of the journal, and rows for the few changes
//!   that are no readings. Its events stay in memory, in the `memtable`.
//! - A transaction of a commit is gathered and sent whole to a thread that does nothing else (`write_thread`); all other
//!   writes go through sea-orm, and turns keep them apart (`write_connection`). The log is written into the database
//!   between commits (`checkpoints`).
//! - Commands are rows of their own, one each, in their present state (`commands`). The columns of twins for lists are
//!   written only where they differ (`list_columns`). A request for a command, its sending included, is a commit of half a
//!   millisecond beside the disk's own time, and its answer one of less (`examples/command_cost.rs`).
//! - The fleet's data is rows: few records, and one row for each device of a job (`fleet`).
//! - Automation's data is rows, too, written where it changed (`automation`, `runs`, `alarms`, `deliveries`).
//! - `compaction` writes the memtable's readings into pieces by device and catches the twins' rows up, behind, once there
//!   are enough of them; `merging` makes chunks of the pieces, and `packing` compressed blocks of the journal's rows. All
//!   of it goes by slices that hold the writer for a few milliseconds (`pace`).
//! - Every read (`history`, `events`, `replay`, `devices`) is of rows and memtable together, of pieces and chunks at one
//!   moment. `memtable` says how each event is met exactly once during a compaction; `compaction` says why a crash in its
//!   midst is harmless.

mod access;
mod alarms;
mod automation;
mod certificates;
mod checkpoints;
mod chunks;
mod commands;
mod commit;
mod compaction;
mod deliveries;
mod device_data;
mod devices;
mod entities;
mod event_windows;
mod events;
mod expiry;
mod fleet;
mod head;
mod history;
mod integrity;
mod keeping;
mod layers;
mod list_columns;
mod memtable;
mod merging;
mod pace;
mod packing;
mod page;
mod pieces;
mod prune;
mod reach;
mod replay;
mod retained;
mod rows;
mod runs;
mod sealed;
mod sizes;
mod snapshot;
mod sqlite;
mod statistics;
mod summaries;
mod unused_layers;
mod write;
mod write_connection;
mod write_thread;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{Database, DatabaseConnection};
use tokio::sync::Mutex;
use twinhub_migrations::{Migrator, MigratorTrait};

pub use self::compaction::MemtableLimits;
use self::entities::meta;
use self::expiry::Expiry;
pub use self::keeping::Keeping;
use self::memtable::Memtable;
use self::merging::MergeQueue;
use self::pace::Paces;
use self::packing::PackedPlace;
use self::rows::failed;
pub use self::sizes::{TableKind, bytes_by_kind};
pub use self::snapshot::{StoredAmount, copy_database};
use self::unused_layers::UnusedLayerScan;
use self::write_connection::WriteConnection;
pub use self::write_thread::WriteCounts;
use super::{
    AccessStore, AlarmPage, AlarmQuery, AutomationState, Batch, BatchPlace, CertificateEnd, ClockDoubt,
    CommandPage, CommandQuery, CommandRecord, Deadline, DeliveryPage, DeliveryQuery, DeviceDataCounts,
    DevicePage, DevicePlace, DeviceQuery, EventQuery, FleetRecord, Head, JobCounts, JobDevicePage,
    JobDeviceQuery, JobPlace, Replayed, RunPage, RunQuery, Store, StoreError,
};
use crate::batch::CommitPlaces;
use crate::layers::LayerCache;
use crate::seal::Seal;
use twinhub_access::Reach;
use twinhub_domain::Outgoing;
use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::fleet::{JobId, RecordKind};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::series::{Bucket, HistoryQuery, SeriesByName, StatisticsQuery, StoredReading};
use twinhub_domain::{CommandId, DeviceId, DeviceNumber, ReadingTime, Recorded, Timestamp, Twin};

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    pub keeping: Keeping,
    /// Connections that read, beside the one that writes.
    pub readers: u32,
    /// The key that seals rules, templates and requests outward; none: they are written in clear.
    pub seal: Option<Arc<Seal>>,
    /// Bring the tables, and what is sealed in them, up to date first. False: the tables must be so already, as another
    /// program may be using them, and nothing is changed.
    pub migrate: bool,
    /// The longest wait where another process has locked the database.
    pub busy_timeout: Duration,
    /// The events that are held in memory before they are put into order.
    pub limits: MemtableLimits,
}

/// A store in an SQL database.
pub struct SqlStore {
    keeping: RwLock<Keeping>,
    seal: Option<Arc<Seal>>,
    writer: WriteConnection,
    readers: DatabaseConnection,
    memtable: Memtable,
    limits: MemtableLimits,
    paces: Paces,
    merging: MergeQueue,
    packed: PackedPlace,
    /// The memtable was compacted since the start, or an earlier run left nothing in it.
    has_compacted: AtomicBool,
    layers: Arc<LayerCache>,
    commit_places: CommitPlaces,
    /// A commit's answer got lost: before the next, it must be found out whether it took place.
    in_doubt: AtomicBool,
    /// One compaction at a time.
    maintaining: Mutex<()>,
    /// The time of the last deletion of old readings.
    readings_pruned: Mutex<prune::ReadingsSweep>,
    expiring: Expiry,
    /// When layers that are not used any more were looked for.
    unused_layers: UnusedLayerScan,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            keeping: Keeping::default(),
            readers: 2,
            seal: None,
            migrate: true,
            busy_timeout: Duration::from_secs(5),
            limits: MemtableLimits::default(),
        }
    }
}

impl SqlStore {
    /// Closes all connections, once queries under way have ended. One that is dropped after the runtime has ended
    /// panics.
    pub async fn close(&self) {
        let _ = self.readers.close_by_ref().await; // it is not used any more either way
        self.writer.close().await;
    }

    /// Opens the database at `url` (`sqlite:data/twinhub.db`), makes it or brings it up to date, and reads events that
    /// are not compacted yet into memory.
    ///
    /// # Errors
    /// The URL is of no supported kind, the database cannot be opened or migrated, or is damaged.
    pub async fn open(url: &str, options: SqlOptions) -> Result<Arc<Self>, StoreError> {
        const OPEN: &str = "open the database";
        // Without the URL, which may have a password in it.
        sqlite::check_url(url)
            .map_err(|detail| StoreError::Failed { operation: OPEN, detail: detail.to_owned() })?;
        // One alone first: where two connections at once give a new file its write-ahead log, one can find it locked.
        let first =
            Database::connect(sqlite::writer(url, options.busy_timeout)).await.map_err(failed(OPEN))?;
        let connect = sqlite::readers(url, options.readers, options.busy_timeout);
        let readers = Database::connect(connect).await.map_err(failed(OPEN))?;
        first.close().await.map_err(failed(OPEN))?;
        if options.migrate {
            Migrator::up(&readers, None).await.map_err(failed("migrate the database"))?;
        } else if !Migrator::get_pending_migrations(&readers).await.map_err(failed(OPEN))?.is_empty() {
            let detail =
                "its tables are of an older version: a start of the hub brings them up to date".to_owned();
            return Err(StoreError::Failed { operation: OPEN, detail });
        }
        match &options.seal {
            Some(seal) if options.migrate => sealed::seal_rows(url, options.busy_timeout, seal).await?,
            Some(seal) => sealed::check_key(&readers, seal).await.map(drop)?,
            None => {}
        }
        let layers = Arc::new(LayerCache::default());
        layers::load(&readers, &layers).await?;
        let memtable = head::load_memtable(&readers, &layers).await?;
        let has_nothing = memtable.oldest().is_none();
        let outgoing = head::meta_value(&readers, meta::OUTGOING).await?.unwrap_or_default();
        let writer = WriteConnection::new(url, options.busy_timeout)
            .map_err(|detail| StoreError::Failed { operation: OPEN, detail })?;
        Ok(Arc::new(Self {
            writer,
            commit_places: CommitPlaces::after(rows::uint(outgoing)),
            readers,
            memtable,
            limits: options.limits,
            paces: Paces::default(),
            merging: MergeQueue::default(),
            packed: PackedPlace::default(),
            has_compacted: AtomicBool::new(has_nothing),
            layers,
            in_doubt: AtomicBool::new(false),
            maintaining: Mutex::new(()),
            readings_pruned: Mutex::default(),
            expiring: Expiry::default(),
            unused_layers: UnusedLayerScan::default(),
            seal: options.seal,
            keeping: RwLock::new(options.keeping),
        }))
    }

    /// The damages of the database's file, in the database's own words; none where it is whole. It reads all of the file.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn damages(&self) -> Result<Vec<String>, StoreError> {
        integrity::damages(&self.readers).await
    }

    /// Reads all events and readings, and says how many there are. `progress` is told how many rows of how many are read.
    ///
    /// # Errors
    /// The database cannot be read, or what is stored is damaged: the error names the first place.
    pub async fn look_through(
        &self,
        progress: impl FnMut(u64, u64) + Send,
    ) -> Result<StoredAmount, StoreError> {
        snapshot::look_through(self, progress).await
    }

    /// Counts of what commits did.
    #[must_use]
    pub fn write_counts(&self) -> WriteCounts {
        self.writer.thread().counts()
    }

    /// The length of the write-ahead log after the last commit.
    #[cfg(test)]
    #[expect(clippy::missing_panics_doc, reason = "a test that finds no writer ends there")]
    pub async fn log_pages(&self) -> i32 {
        self.writer.thread().look(|_| write_thread::log_pages()).await.unwrap()
    }

    /// The number of messages that were written anew since the start, to merge a device's readings.
    #[must_use]
    pub fn rewritten(&self) -> u64 {
        self.merging.rewritten()
    }

    /// Sets the retention periods from now on.
    pub fn keep(&self, keeping: Keeping) {
        *self.keeping.write().unwrap_or_else(PoisonError::into_inner) = keeping; // it is whole whatever happens
    }

    /// Is there so much in memory that putting it into order must not rest?
    fn is_behind(&self) -> bool {
        self.memtable.bytes() / 2 > self.limits.bytes
    }

    fn keeping(&self) -> Keeping {
        *self.keeping.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for SqlStore {
    fn access(self: Arc<Self>) -> Arc<dyn AccessStore> {
        self
    }

    async fn head(&self) -> Result<Head, StoreError> {
        head::head(&self.readers).await
    }

    async fn commit(&self, batch: &mut Batch) -> Result<BatchPlace, StoreError> {
        commit::commit(self, batch).await
    }

    async fn load(&self, ids: &[DeviceId]) -> Result<Vec<Twin>, StoreError> {
        devices::load(self, ids).await
    }

    async fn devices(&self, query: &DeviceQuery) -> Result<DevicePage, StoreError> {
        devices::devices(self, query).await
    }

    async fn numbers(&self, query: &DeviceQuery) -> Result<Vec<DeviceNumber>, StoreError> {
        devices::numbers_of(self, query).await
    }

    async fn twins(&self, numbers: &[DeviceNumber]) -> Result<Vec<Twin>, StoreError> {
        devices::twins(self, numbers).await
    }

    async fn places(&self) -> Result<Vec<DevicePlace>, StoreError> {
        reach::places(self).await
    }

    async fn find_serial(&self, serial: &str) -> Result<Option<Twin>, StoreError> {
        devices::find_serial(self, serial).await
    }

    async fn find_token(&self, hash: &str) -> Result<Option<DeviceId>, StoreError> {
        devices::find_token(self, hash).await
    }

    async fn find_certificate(&self, fingerprint: &str) -> Result<Option<DeviceId>, StoreError> {
        certificates::find(self, fingerprint).await
    }

    async fn certificates_ending(
        &self,
        before: Timestamp,
        limit: u64,
    ) -> Result<Vec<CertificateEnd>, StoreError> {
        certificates::ending(self, before, limit).await
    }

    async fn raw_history(&self, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError> {
        history::raw(self, query).await
    }

    async fn statistics(&self, query: &StatisticsQuery) -> Result<SeriesByName, StoreError> {
        statistics::of_device(self, query).await
    }

    async fn bucket_history(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError> {
        history::buckets(self, query).await
    }

    async fn has_messages(
        &self,
        device: DeviceNumber,
        messages: &[(ReadingTime, u64)],
    ) -> Result<HashSet<u64>, StoreError> {
        history::has_messages(self, device, messages).await
    }

    async fn extent(&self, device: DeviceNumber) -> Result<DeviceDataCounts, StoreError> {
        device_data::extent(self, device).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<Arc<Recorded>>, StoreError> {
        events::events(self, query).await
    }

    async fn replay(&self, after: u64, up_to: u64, limit: usize) -> Result<Replayed, StoreError> {
        replay::replay(self, after, up_to, limit).await
    }

    async fn commands(&self, query: &CommandQuery) -> Result<CommandPage, StoreError> {
        commands::commands(self, query).await
    }

    async fn command(&self, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
        commands::command(self, id).await
    }

    async fn command_with_key(
        &self,
        device: DeviceNumber,
        key: &str,
    ) -> Result<Option<CommandRecord>, StoreError> {
        commands::with_key(self, device, key).await
    }

    async fn deadlines(&self, after: DeviceNumber, limit: u64) -> Result<Vec<Deadline>, StoreError> {
        devices::deadlines(self, after, limit).await
    }

    async fn automation(&self) -> Result<AutomationState, StoreError> {
        automation::state(self).await
    }

    async fn past(
        &self,
        devices: Option<&[DeviceNumber]>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        event_windows::past(self, devices, after, limit).await
    }

    async fn runs(&self, query: &RunQuery) -> Result<RunPage, StoreError> {
        runs::runs(self, query).await
    }

    async fn run(&self, id: RunId) -> Result<Option<RunEntry>, StoreError> {
        runs::run(self, id).await
    }

    async fn last_runs(&self, rules: &[RuleId]) -> Result<Vec<RunEntry>, StoreError> {
        runs::last_runs(self, rules).await
    }

    async fn alarms(&self, query: &AlarmQuery) -> Result<AlarmPage, StoreError> {
        alarms::alarms(self, query).await
    }

    async fn alarm(&self, id: AlarmId) -> Result<Option<Alarm>, StoreError> {
        alarms::alarm(self, id).await
    }

    async fn deliveries(&self, query: &DeliveryQuery) -> Result<DeliveryPage, StoreError> {
        deliveries::deliveries(self, query).await
    }

    async fn records(&self, kind: RecordKind) -> Result<Vec<FleetRecord>, StoreError> {
        fleet::records(self, kind).await
    }

    async fn job_devices(&self, query: &JobDeviceQuery) -> Result<JobDevicePage, StoreError> {
        fleet::job_devices(self, query).await
    }

    async fn job_counts(&self, job: JobId, places: Option<(u64, u64)>) -> Result<JobCounts, StoreError> {
        fleet::job_counts(self, job, places).await
    }

    async fn job_places(
        &self,
        jobs: &[JobId],
        reach: &Reach,
    ) -> Result<HashMap<JobId, JobPlace>, StoreError> {
        fleet::job_places(self, jobs, reach).await
    }

    async fn outgoing(&self) -> Result<Vec<Outgoing>, StoreError> {
        head::outgoing(&self.readers).await
    }

    async fn maintain(&self, now: Timestamp) -> Result<(), StoreError> {
        let _alone = self.maintaining.lock().await;
        let with_readings = compaction::compact(self, now).await?;
        // Each by itself: a damaged row, or a full disk, must not keep old data from being deleted.
        let done = [
            merging::merge(self, &with_readings, now).await,
            packing::pack(self, now).await,
            prune::journal(self, now).await,
            prune::readings(self, now).await,
            expiry::expire(self, now).await,
            unused_layers::expire(self, now).await,
        ];
        done.into_iter().collect()
    }

    async fn doubt(&self, doubt: ClockDoubt) -> Result<(), StoreError> {
        head::doubt(self, doubt).await
    }
}
