//! The disk under the data: how much of it is free, what the hub's data take, and when it will be full.

mod forecast;
mod look;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twinhub_domain::Timestamp;
use twinhub_domain::alarm::Severity;
use twinhub_store::sql::TableKind;

use self::forecast::FreeSpaceHistory;
pub use self::look::{DiskSpace, StoredFiles};

/// With less than this a commit may fail at any moment, in bytes.
pub const TOO_LITTLE: u64 = 64 << 20;
/// Less than this is too little for a day of an ordinary hub, in bytes.
pub const LITTLE: u64 = 1 << 30;
/// A disk that will be full within this time is told of, in ms,
const SOON_MS: i64 = 14 * DAY_MS;
/// and again within this.
const VERY_SOON_MS: i64 = 3 * DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// The places of what the hub keeps.
#[derive(Clone, Debug)]
pub struct DataPlaces {
    pub data_dir: PathBuf,
    /// The database's file; none where it lies elsewhere.
    pub database: Option<PathBuf>,
    pub backups: PathBuf,
}

/// The disk and what lies on it, as it was looked at last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskState {
    pub space: DiskSpace,
    pub files: StoredFiles,
    /// The bytes of the database by kind, as they were counted last; empty until then.
    pub kinds: Vec<(TableKind, u64)>,
    /// The time until it is full, in ms, at the pace of the last days; none while that is not known, or far away.
    pub full_in_ms: Option<i64>,
}

impl DiskState {
    /// The urgency of making room; none while there is enough.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        let is_within = |ms| self.full_in_ms.is_some_and(|left| left < ms);
        match self.space.free {
            free if free < TOO_LITTLE => Some(Severity::Critical),
            _ if is_within(VERY_SOON_MS) => Some(Severity::Major),
            free if free < LITTLE || is_within(SOON_MS) => Some(Severity::Warning),
            _ => None,
        }
    }

    /// The status for `/health`: `ok`, `filling` where room should be made, or `full`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.severity() {
            None => "ok",
            Some(Severity::Critical) => "full",
            Some(_) => "filling",
        }
    }
}

/// The watch over the disk.
#[derive(Debug, Default)]
pub struct DiskWatch(Mutex<WatchedDisk>);

#[derive(Debug, Default)]
struct WatchedDisk {
    /// None until it was looked at.
    state: Option<DiskState>,
    history: FreeSpaceHistory,
}

impl DiskWatch {
    /// The disk as it was looked at last; none before, and where it cannot be seen.
    #[must_use]
    pub fn state(&self) -> Option<DiskState> {
        self.lock().state.clone()
    }

    /// Looks at the disk. Reads the lists of folders, so it blocks a moment.
    pub fn look(&self, places: &DataPlaces, now: Timestamp) {
        let Some(space) = DiskSpace::at(places) else { return };
        let files = StoredFiles::at(places);
        let mut watched = self.lock();
        watched.history.add(now, space.free);
        let full_in_ms = watched.history.full_in_ms(space.free);
        let kinds = watched.state.take().map(|state| state.kinds).unwrap_or_default();
        watched.state = Some(DiskState { space, files, kinds, full_in_ms });
    }

    /// Takes over the bytes of the database by kind.
    pub fn counted(&self, kinds: Vec<(TableKind, u64)>) {
        if let Some(state) = &mut self.lock().state {
            state.kinds = kinds;
        }
    }

    fn lock(&self) -> MutexGuard<'_, WatchedDisk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // it is whole whatever happens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgency_grows_with_the_need() {
        let check = |free, days: Option<i64>, expected: Option<Severity>, status: &str| {
            let space = DiskSpace { free, total: 1 << 40, free_files: None };
            let full_in_ms = days.map(|days| days * DAY_MS);
            let state = DiskState { space, full_in_ms, ..DiskState::default() };
            assert_eq!((state.severity(), state.status()), (expected, status), "{free} {days:?}");
        };
        check(1 << 35, None, None, "ok");
        check(1 << 35, Some(14), None, "ok");
        check(1 << 35, Some(13), Some(Severity::Warning), "filling");
        check(1 << 35, Some(2), Some(Severity::Major), "filling");
        check(LITTLE - 1, None, Some(Severity::Warning), "filling");
        check(LITTLE - 1, Some(1), Some(Severity::Major), "filling");
        check(TOO_LITTLE - 1, None, Some(Severity::Critical), "full");
    }
}
