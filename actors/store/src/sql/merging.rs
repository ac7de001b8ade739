//! Merging, behind the commits: pieces of a device become larger ones, and chunks, as [`pieces::plan`] says; and chunks
//! of earlier versions are written anew.
//!
//! Readings are read and merged beside the writer. The new rows are written and the old ones deleted in one
//! transaction, so a crash leaves one or the other. Nothing but this makes or merges pieces while it goes on; a commit
//! that removes a device does delete them, and then there is nothing to write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::chunks::{self, DAY_MS, MOST_MESSAGES};
use super::entities::{chunk, meta, piece};
use super::pace::{self, WorkTurn};
use super::pieces::{self, APPENDED, MERGED, MergeKind, NewRows, PieceEntry};
use super::rows::{self, failed, int, uint};
use super::{SqlStore, head, write};
use crate::StoreError;
use twinhub_domain::{DeviceNumber, Recorded, Timestamp};

const MERGE: &str = "merge readings";
/// The interval between two looks for days that are over. At a day's end its last readings may still come.
const SWEEP_EVERY_MS: i64 = 60 * 60 * 1000;
const AFTER_MIDNIGHT_MS: i64 = 60 * 60 * 1000;
/// A device is looked at once it got so many pieces. So many messages count as one more.
const LOOK_AFTER: usize = if cfg!(test) { 1 } else { 8 };
const MANY_MESSAGES: usize = MOST_MESSAGES / 8;
/// Chunks of an earlier version that are written anew together at most; each holds 256 messages at most.
const OLD_AT_ONCE: u64 = if cfg!(test) { 3 } else { 8 };

/// The merges that are due.
#[derive(Default)]
pub struct MergeQueue {
    state: Mutex<MergeState>,
    rewritten: AtomicU64,
}

#[derive(Default)]
struct MergeState {
    /// The devices that got pieces since they were looked at, and how many.
    noted: BTreeMap<i64, usize>,
    /// The device after which the look at days that are over goes on; none where there is no such look under way.
    sweep: Option<i64>,
    swept: Option<Timestamp>,
    /// Where the chunks of earlier versions go on; none before it is looked for.
    old: Option<OldChunks>,
}

/// The place from which on chunks may be of an earlier version.
#[derive(Clone, Copy)]
struct OldChunks {
    device: i64,
    first_at: i64,
}

/// Of no device: none is of an earlier version.
const NO_OLD: OldChunks = OldChunks { device: i64::MAX, first_at: i64::MAX };

impl MergeQueue {
    /// No code in here can panic half way through a change.
    fn state(&self) -> MutexGuard<'_, MergeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of messages that were written anew.
    pub fn rewritten(&self) -> u64 {
        self.rewritten.load(Ordering::Relaxed)
    }

    /// Some of the devices that got a few pieces.
    fn take_noted(&self) -> Vec<i64> {
        let mut state = self.state();
        let enough = state.noted.iter().filter(|(_, pieces)| **pieces >= LOOK_AFTER);
        let some: Vec<i64> = enough.map(|(device, _)| *device).take(write::AT_ONCE).collect();
        for device in &some {
            state.noted.remove(device);
        }
        some
    }

    fn note(&self, with_readings: &[(DeviceNumber, usize)]) {
        let mut state = self.state();
        for (device, messages) in with_readings {
            *state.noted.entry(device.0).or_default() += 1 + messages / MANY_MESSAGES;
        }
    }
}

/// Merges what is due, of these devices that got so many messages just now and of those left from before, as far as
/// there is time.
pub async fn merge(
    store: &SqlStore,
    with_readings: &[(DeviceNumber, usize)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let queue = &store.merging;
    queue.note(with_readings);
    let turn = WorkTurn::begin();
    let today = chunks::day(now.plus_millis(-AFTER_MIDNIGHT_MS).millis());
    loop {
        let devices = queue.take_noted();
        if devices.is_empty() {
            break;
        }
        merge_devices(store, &devices, today, false).await?;
        if turn.is_over() {
            return Ok(());
        }
    }
    begin_sweep(queue, now);
    loop {
        let Some(after) = queue.state().sweep else { break };
        let devices = with_days_over(store, after, today).await?;
        merge_devices(store, &devices, today, true).await?;
        let is_last = devices.len() < write::AT_ONCE;
        queue.state().sweep = devices.last().copied().filter(|_| !is_last);
        if turn.is_over() {
            return Ok(());
        }
    }
    while seal_old(store, today).await? && !turn.is_over() {}
    Ok(())
}

fn begin_sweep(queue: &MergeQueue, now: Timestamp) {
    let mut state = queue.state();
    let is_recent = |last: Timestamp| (0..SWEEP_EVERY_MS).contains(&(now.millis() - last.millis()));
    if state.sweep.is_none() && !state.swept.is_some_and(is_recent) {
        (state.sweep, state.swept) = (Some(i64::MIN), Some(now));
    }
}

/// Devices after this one with pieces of days that are over. The index of pieces has all that is asked.
async fn with_days_over(store: &SqlStore, after: i64, today: i64) -> Result<Vec<i64>, StoreError> {
    piece::Entity::find()
        .filter(piece::Column::Device.gt(after))
        .filter(piece::Column::FirstAt.lt(today.saturating_mul(DAY_MS)))
        .select_only()
        .column(piece::Column::Device)
        .distinct()
        .order_by_asc(piece::Column::Device)
        .limit(write::AT_ONCE as u64)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(MERGE))
}

/// The merge of a day of one device: what goes, and what comes in its place.
struct DayMerge {
    device: i64,
    /// By their `first_seq`.
    pieces: Vec<i64>,
    chunks: Vec<i64>,
    new: NewRows,
}

async fn merge_devices(
    store: &SqlStore,
    devices: &[i64],
    today: i64,
    and_days_over: bool,
) -> Result<(), StoreError> {
    let (mut slice, mut messages) = (Vec::new(), 0);
    for (device, pieces) in entries(store, devices).await? {
        for (day, kind) in pieces::plan(&pieces, today, and_days_over) {
            let (merge, count) = merge_day(store, device, day, kind).await?;
            slice.push(merge);
            messages += count;
            if messages >= store.paces.merging.size() {
                write_slice(store, std::mem::take(&mut slice), messages).await?;
                messages = 0;
            }
            tokio::task::yield_now().await; // others are on this thread, too
        }
    }
    write_slice(store, slice, messages).await
}

/// The pieces of these devices, without their content.
async fn entries(store: &SqlStore, devices: &[i64]) -> Result<BTreeMap<i64, Vec<PieceEntry>>, StoreError> {
    use piece::Column::{Count, Device, FirstAt, Level};

    let mut found: BTreeMap<i64, Vec<PieceEntry>> = BTreeMap::new();
    if devices.is_empty() {
        return Ok(found);
    }
    let rows: Vec<(i64, i64, i64, i64)> = piece::Entity::find()
        .filter(Device.is_in(devices.iter().copied()))
        .select_only()
        .columns([Device, FirstAt, Level, Count])
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(MERGE))?;
    for (device, first_at, level, count) in rows {
        let entry = PieceEntry { day: chunks::day(first_at), level, count: uint(count) };
        found.entry(device).or_default().push(entry);
    }
    Ok(found)
}

/// Reads what is to be merged, and makes what comes in its place; with the number of messages in it.
async fn merge_day(
    store: &SqlStore,
    device: i64,
    day: i64,
    kind: MergeKind,
) -> Result<(DayMerge, usize), StoreError> {
    let (from, to) = (day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS));
    let of_day = Condition::all()
        .add(piece::Column::Device.eq(device))
        .add(piece::Column::FirstAt.gte(from))
        .add(piece::Column::FirstAt.lt(to))
        .add_option((kind == MergeKind::Gather).then(|| piece::Column::Level.eq(APPENDED)));
    let found = piece::Entity::find().filter(of_day).all(&store.readers).await.map_err(failed(MERGE))?;
    let mut with = Vec::new();
    if kind == MergeKind::SealDay {
        let mut messages: i64 = found.iter().map(|piece| piece.count).sum();
        for chunk in small_chunks(store, device, (from, to)).await? {
            // Late messages: what is written anew for them is no more than they are, so the whole at least doubles.
            if chunk.count <= messages {
                messages += chunk.count;
                with.push(chunk);
            }
        }
    }
    let is_over = kind == MergeKind::SealDay;
    pace::aside(MERGE, move || merged(device, &found, &with, is_over)).await?
}

/// The merge of these, all of one day.
fn merged(
    device: i64,
    pieces: &[piece::Model],
    chunks: &[chunk::Model],
    is_over: bool,
) -> Result<(DayMerge, usize), StoreError> {
    let mut messages: Vec<Recorded> = Vec::new();
    for piece in pieces {
        messages.extend(rows::messages(MERGE, piece.first_seq, &piece.body)?);
    }
    for chunk in chunks {
        messages.extend(chunks::messages(MERGE, chunk)?);
    }
    messages.sort_by(chunks::by_time);
    let sorted: Vec<&Recorded> = messages.iter().collect();
    let merge = DayMerge {
        device,
        pieces: pieces.iter().map(|piece| piece.first_seq).collect(),
        chunks: chunks.iter().map(|chunk| chunk.first_seq).collect(),
        new: pieces::part(DeviceNumber(device), &sorted, is_over, MERGED),
    };
    Ok((merge, messages.len()))
}

/// Chunks of a day that are far from full, the smallest first.
async fn small_chunks(
    store: &SqlStore,
    device: i64,
    (from, to): (i64, i64),
) -> Result<Vec<chunk::Model>, StoreError> {
    chunk::Entity::find()
        .filter(chunk::Column::Device.eq(device))
        .filter(chunk::Column::FirstAt.gte(from))
        .filter(chunk::Column::FirstAt.lt(to))
        .filter(chunk::Column::Count.lt(int(MOST_MESSAGES as u64 / 2)))
        .filter(chunk::Column::Sealed.is_not_null())
        .order_by_asc(chunk::Column::Count)
        .limit(pieces::MOST_PIECES as u64)
        .all(&store.readers)
        .await
        .map_err(failed(MERGE))
}

async fn write_slice(store: &SqlStore, merges: Vec<DayMerge>, messages: usize) -> Result<(), StoreError> {
    if merges.is_empty() {
        return Ok(());
    }
    let write = async |sql: &DatabaseTransaction| {
        let mut new = NewRows::default();
        for merge in merges {
            if replace(sql, &merge).await? {
                new.extend(merge.new);
            }
        }
        new.write(sql).await
    };
    store.paces.merging.write(store, MERGE, messages, write).await?;
    store.merging.rewritten.fetch_add(messages as u64, Ordering::Relaxed);
    Ok(())
}

/// Deletes what was merged. False where the device was removed meanwhile.
async fn replace(sql: &DatabaseTransaction, merge: &DayMerge) -> Result<bool, StoreError> {
    let mut gone = 0;
    for some in merge.pieces.chunks(write::AT_ONCE) {
        let pieces = piece::Entity::delete_many()
            .filter(piece::Column::Device.eq(merge.device))
            .filter(piece::Column::FirstSeq.is_in(some.iter().copied()));
        gone += pieces.exec(sql).await.map_err(failed(MERGE))?.rows_affected;
    }
    for some in merge.chunks.chunks(write::AT_ONCE) {
        let chunks = chunk::Entity::delete_many()
            .filter(chunk::Column::Device.eq(merge.device))
            .filter(chunk::Column::FirstSeq.is_in(some.iter().copied()));
        gone += chunks.exec(sql).await.map_err(failed(MERGE))?.rows_affected;
    }
    let expected = (merge.pieces.len() + merge.chunks.len()) as u64;
    if gone != 0 && gone != expected {
        let detail = format!("{gone} of {expected} rows of device {} are left", merge.device);
        return Err(StoreError::Failed { operation: MERGE, detail }); // with nothing written
    }
    Ok(gone == expected)
}

/// Writes the next chunks of an earlier version anew. False where there are none.
async fn seal_old(store: &SqlStore, today: i64) -> Result<bool, StoreError> {
    let known = store.merging.state().old;
    let from = match known {
        Some(known) => known,
        None => {
            let done = head::meta_value(&store.readers, meta::SEALED_DEVICE).await?.unwrap_or(i64::MIN);
            OldChunks { device: done, first_at: i64::MAX }
        }
    };
    if from.device == NO_OLD.device {
        store.merging.state().old = Some(NO_OLD);
        return Ok(false);
    }
    let found = old_from(store, from).await?;
    let next =
        found.first().map_or(NO_OLD, |first| OldChunks { device: first.device, first_at: first.first_at });
    if next.device != from.device && next.device != i64::MIN {
        // Up to there all are done: so it goes on after a start.
        let write = async |sql: &DatabaseTransaction| {
            write::meta(
                sql,
                meta::SEALED_DEVICE,
                if next.device == i64::MAX { i64::MAX } else { next.device - 1 },
            )
            .await
        };
        store.paces.merging.write(store, MERGE, 0, write).await?;
    }
    store.merging.state().old = Some(next);
    if found.is_empty() {
        return Ok(false);
    }
    let day = chunks::day(next.first_at);
    let all = found.len();
    let mut of_day = found;
    of_day.retain(|row| row.device == next.device && chunks::day(row.first_at) == day);
    let is_all = of_day.len() < all || (all as u64) < OLD_AT_ONCE;
    let is_over = is_all && day < today;
    let (merge, messages) = pace::aside(MERGE, move || merged(next.device, &[], &of_day, is_over)).await??;
    write_slice(store, vec![merge], messages).await?;
    Ok(true)
}

/// The first chunks of an earlier version from there on.
async fn old_from(store: &SqlStore, from: OldChunks) -> Result<Vec<chunk::Model>, StoreError> {
    let of_device = Condition::all()
        .add(chunk::Column::Device.eq(from.device))
        .add(chunk::Column::FirstAt.gte(from.first_at));
    for (condition, is_last) in
        [(of_device, false), (Condition::all().add(chunk::Column::Device.gt(from.device)), true)]
    {
        let found = chunk::Entity::find()
            .filter(condition)
            .filter(chunk::Column::Sealed.is_null())
            .order_by_asc(chunk::Column::Device)
            .order_by_asc(chunk::Column::FirstAt)
            .limit(OLD_AT_ONCE)
            .all(&store.readers)
            .await
            .map_err(failed(MERGE))?;
        if is_last || !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}
