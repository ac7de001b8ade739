//! An index of the sensors, in memory: answers about all of them take no look at their histories. It begins with the first
//! request for it, so that hubs without such sensors have none, and follows the feed from then on.

mod book;
mod follower;
mod history;
mod tally;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use twinhub_actors::HubError;
use twinhub_actors::access::{Caller, Grant};
use twinhub_actors::counters::get;
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, Timestamp};

use crate::http::Access;
use crate::http::problem::ApiError;
use book::SensorBook;

pub use book::{SensorStats, TimedReading};
pub use history::{HistoryStretch, HistoryUnread};
pub use tally::ReadingCount;

/// The longest wait for the index: it has to be true to the last commit, and may be in the making.
const PATIENCE: Duration = Duration::from_secs(10);

/// The index, shared by all requests.
#[derive(Debug, Default)]
pub struct SensorIndex {
    book: Mutex<SensorBook>,
    progress: watch::Sender<IndexProgress>,
}

/// The stage of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexStage {
    /// No request has asked for it yet, or what made it has ended.
    #[default]
    Unasked,
    Reading,
    /// The newest readings are known.
    Newest,
    /// The counts and anomalies of the last week are known too.
    Whole,
}

/// The state of the index.
#[derive(Clone, Copy, Debug, Default)]
struct IndexProgress {
    stage: IndexStage,
    /// The events up to this place are in it.
    seq: u64,
}

/// The index as one caller may see it.
pub struct SensorView<'a> {
    index: &'a SensorIndex,
    /// None: all devices.
    reached: Option<HashSet<DeviceId>>,
}

impl SensorIndex {
    /// The sensors that the caller reaches, once the index is at this stage and has all that was committed before.
    ///
    /// # Errors
    /// It takes too long, the caller may not read, or the hub is shutting down.
    pub async fn view<'a>(
        self: &'a Arc<Self>,
        access: &Access,
        stage: IndexStage,
    ) -> Result<SensorView<'a>, ApiError> {
        let seq = get(&access.counters().seq);
        self.begin(&access.state.hub().of(Caller::Program, Source::Hub));
        let mut progress = self.progress.subscribe();
        let is_there = |progress: &IndexProgress| progress.stage >= stage && progress.seq >= seq;
        if tokio::time::timeout(PATIENCE, progress.wait_for(is_there)).await.is_err() {
            return Err(HubError::Unavailable("the readings of the last days are being counted").into());
        }
        let reached = match access.reaches_everywhere() {
            true => None,
            false => {
                let devices = self.book().devices();
                Some(access.within_reach(devices))
            }
        };
        Ok(SensorView { index: self, reached })
    }

    /// Begins to make the index, unless somebody else has.
    fn begin(self: &Arc<Self>, hub: &Grant) {
        let is_first = self.progress.send_if_modified(|progress| {
            let is_first = progress.stage == IndexStage::Unasked;
            if is_first {
                progress.stage = IndexStage::Reading;
            }
            is_first
        });
        if is_first {
            follower::start(Arc::clone(self), hub.clone());
        }
    }

    fn book(&self) -> MutexGuard<'_, SensorBook> {
        // Nothing that can panic half-way is done under the lock.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index is at this stage, or further.
    fn reach(&self, stage: IndexStage) {
        self.progress.send_modify(|progress| progress.stage = progress.stage.max(stage));
    }

    /// All events up to this place are in the index.
    fn reach_seq(&self, seq: u64) {
        self.progress.send_modify(|progress| progress.seq = seq);
    }

    /// Empties the index: the next request has it made again.
    fn end(&self) {
        *self.book() = SensorBook::default();
        self.progress.send_replace(IndexProgress::default());
    }
}

impl SensorView<'_> {
    /// The newest reading of each sensor, the newest of all first.
    pub fn newest(&self) -> Vec<Arc<TimedReading>> {
        self.index.book().newest(self.reached.as_ref())
    }

    /// The last message of each topic.
    pub fn live(&self) -> BTreeMap<String, Arc<TimedReading>> {
        self.index.book().live(self.reached.as_ref())
    }

    /// The anomalies of a stretch of time, the newest first.
    pub fn anomalies(&self, from: Timestamp, to: Timestamp, limit: usize) -> Vec<Arc<TimedReading>> {
        self.index.book().anomalies(self.reached.as_ref(), from, to, limit)
    }

    /// The counts of a stretch of time.
    pub fn stats(&self, from: Timestamp, to: Timestamp) -> SensorStats {
        self.index.book().stats(self.reached.as_ref(), from, to)
    }
}
