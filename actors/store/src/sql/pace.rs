//! The pace of work beside the commits: slices that hold the writer for a few milliseconds each, and a rest after each.
//!
//! A commit that comes during a slice waits for its end, so the slice's time is what its size is made by: a disk that
//! takes long for each page, or devices with long states, make it smaller.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::DatabaseTransaction;
use tokio::time::Instant;

use super::SqlStore;
use crate::StoreError;

/// The time that a slice may hold the writer: what a commit waits for at most, beside the disk.
const SLICE: Duration = Duration::from_millis(3);
/// No slice is smaller than this part of the largest: on a busy machine everything takes long.
const LEAST: usize = 40;
/// After a slice, as many times as long is left to others, and this at most.
const REST: u32 = 3;
const LONGEST_REST: Duration = Duration::from_millis(20);
/// The time that one kind of work takes of a [`crate::Store::maintain`], its rests included; the next goes on with it. In
/// tests there is no end.
const TURN: Duration = Duration::from_millis(if cfg!(test) { 600_000 } else { 1_000 });

/// The size of one kind of slices.
pub struct SlicePace {
    size: AtomicUsize,
    most: usize,
}

/// The paces of all kinds of work beside the commits.
pub struct Paces {
    /// Devices.
    pub compaction: SlicePace,
    /// Messages.
    pub merging: SlicePace,
    /// Messages.
    pub packing: SlicePace,
    /// Rows.
    pub pruning: SlicePace,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            // In tests few, so that a few devices make several slices.
            compaction: SlicePace::new(20, if cfg!(test) { 2 } else { 400 }),
            merging: SlicePace::new(2_000, if cfg!(test) { 8 } else { 20_000 }),
            packing: SlicePace::new(4_000, if cfg!(test) { 8 } else { 40_000 }),
            pruning: SlicePace::new(50, if cfg!(test) { 2 } else { 400 }),
        }
    }
}

impl SlicePace {
    const fn new(first: usize, most: usize) -> Self {
        Self { size: AtomicUsize::new(if first < most { first } else { most }), most }
    }

    /// The things in the next slice at most.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Writes a slice of `items` things in a transaction of its own, and rests.
    pub async fn write<F>(
        &self,
        store: &SqlStore,
        operation: &'static str,
        items: usize,
        write: F,
    ) -> Result<(), StoreError>
    where
        F: AsyncFnOnce(&DatabaseTransaction) -> Result<(), StoreError>,
    {
        let turn = store.writer.begin(operation).await?;
        let began = Instant::now();
        write(turn.sql()).await?;
        self.note(items, began.elapsed());
        drop(turn.finish().await?);
        rest(store, began.elapsed()).await;
        Ok(())
    }

    /// The statements of a slice of `items` things took so long: the next is made by it. The wait for the disk at the
    /// end does not count: it is as long for a slice of one thing.
    pub fn note(&self, items: usize, took: Duration) {
        let next = next_size(self.size(), items, took);
        self.size.store(next.clamp(self.most.div_ceil(LEAST), self.most), Ordering::Relaxed);
    }
}

/// Leaves time to others after a slice that held the writer so long, unless there is a hurry.
pub async fn rest(store: &SqlStore, took: Duration) {
    if cfg!(test) || store.is_behind() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep((took * REST).min(LONGEST_REST)).await;
    }
}

/// Does work of some milliseconds beside this thread, on which others wait.
pub async fn aside<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Failed { operation, detail: error.to_string() })
}

/// The end of a turn.
pub struct WorkTurn(Instant);

impl WorkTurn {
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    pub fn is_over(&self) -> bool {
        self.0.elapsed() >= TURN
    }
}

/// The size of the next slice, where one of `items` things took so long: as many as [`SLICE`] has time for, twice as
/// many at most. One that was not full says nothing where it was short.
fn next_size(size: usize, items: usize, took: Duration) -> usize {
    if items == 0 || (items < size && took <= SLICE) {
        return size;
    }
    let fits = SLICE.as_nanos() * items as u128 / took.as_nanos().max(1);
    usize::try_from(fits).unwrap_or(usize::MAX).clamp(1, size.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_as_large_as_its_time_allows() {
        let check = |size, items, micros, expected| {
            let next = next_size(size, items, Duration::from_micros(micros));
            assert_eq!(next, expected, "{items} of {size} in {micros} us");
        };
        check(100, 100, 3_000, 100);
        check(100, 100, 6_000, 50);
        check(100, 100, 2_000, 150);
        check(100, 100, 100, 200); // not by one that went fast
        check(100, 100, 0, 200);
        check(100, 100, 3_000_000, 1);
        check(100, 0, 90_000, 100);
        check(100, 3, 100, 100); // the last few
        check(100, 3, 9_000, 1);
        check(1, 1, 9_000, 1);
        check(usize::MAX, usize::MAX, 1, usize::MAX);
    }
}
