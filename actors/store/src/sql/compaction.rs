//! Compaction, behind the commits: the memtable's readings become pieces by device, its events go into the twins' rows.
//!
//! It waits until the memtable is large or old ([`MemtableLimits`]): whatever it writes for a device (its row, its columns for
//! lists, a piece) costs the same for one message as for fifty. It goes by slices of devices. A slice is made ready
//! beside the writer, then written in one short transaction, so commits wait for the writing alone. A crash between two
//! slices does no harm: each twin's row has the `seq` up to which its state (`seq`) and its readings (`ordered_seq`)
//! have come, and events at or below that are passed over when the slice comes again. Only when all slices are written
//! does the watermark of the whole move, and then the memtable drops the compacted events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use super::entities::{device, meta, twin};
use super::memtable::MemtableView;
use super::pieces::{self, NewRows};
use super::prune::millis;
use super::rows::{self, failed, int, uint};
use super::{SqlStore, list_columns, write};
use crate::StoreError;
use twinhub_domain::{DeviceNumber, EventBody, Recorded, Timestamp, Twin};

/// Messages in one slice at most.
const SLICE_MESSAGES: usize = 8_000;

/// The limits of the memtable, at which it is compacted.
#[derive(Clone, Copy, Debug)]
pub struct MemtableLimits {
    /// Its size in memory, as far as that is reckoned.
    pub bytes: usize,
    /// The age of its oldest event.
    pub age: Duration,
}

impl Default for MemtableLimits {
    /// 8 MiB are some 15,000 messages of three readings, which a start after a crash reads again within a tenth of a
    /// second, and ten minutes sixty of a device that sends every ten seconds. In tests each call compacts.
    fn default() -> Self {
        if cfg!(test) {
            return Self { bytes: 0, age: Duration::ZERO };
        }
        Self { bytes: 8 * 1024 * 1024, age: Duration::from_mins(10) }
    }
}

/// Compacts the events that the memtable held when this began, where it is time for that. The answer is the devices
/// that got readings, and how many messages of them.
pub async fn compact(store: &SqlStore, now: Timestamp) -> Result<Vec<(DeviceNumber, usize)>, StoreError> {
    let mut devices = Vec::new();
    if !is_due(store, now) {
        return Ok(devices);
    }
    let until = store.memtable.last();
    while let Some(frozen) = store.memtable.freeze() {
        compact_generations(store, &frozen, &mut devices).await?;
        if frozen.last() >= until {
            break;
        }
    }
    Ok(devices)
}

fn is_due(store: &SqlStore, now: Timestamp) -> bool {
    let Some(oldest) = store.memtable.oldest() else { return false };
    if !store.has_compacted.swap(true, Ordering::AcqRel) {
        return true; // events of an earlier run may be older than is kept
    }
    let MemtableLimits { bytes, age } = store.limits;
    // Events that are to be deleted soon must be in order before.
    let keeping = store.keeping();
    let age = age.min(keeping.journal).min(keeping.readings.unwrap_or(Duration::MAX));
    // Of a time in the future a wrong clock is the reason, or one that is not believed now.
    store.memtable.bytes() >= bytes || !(0..millis(age)).contains(&(now.millis() - oldest.millis()))
}

async fn compact_generations(
    store: &SqlStore,
    frozen: &MemtableView,
    with_readings: &mut Vec<(DeviceNumber, usize)>,
) -> Result<(), StoreError> {
    let mut slice = Vec::new();
    let mut messages = 0;
    for device in frozen.devices() {
        let events = frozen.of_device(device);
        messages += events.len();
        slice.push((device, events));
        if slice.len() >= store.paces.compaction.size() || messages >= SLICE_MESSAGES {
            compact_slice(store, frozen, std::mem::take(&mut slice), with_readings).await?;
            messages = 0;
        }
    }
    compact_slice(store, frozen, slice, with_readings).await?;
    let turn = store.writer.begin("move the watermark").await?;
    write::meta(turn.sql(), meta::ORDERED_SEQ, int(frozen.last())).await?;
    drop(turn.finish().await?);
    store.memtable.release(frozen.last());
    Ok(())
}

/// The progress of a device's row.
struct DeviceProgress {
    seq: i64,
    ordered: u64,
    /// The row, where events of the memtable are still to be folded onto it.
    behind: Option<twin::Model>,
}

/// The rows to write for one device.
struct PreparedDevice {
    number: DeviceNumber,
    /// None where the rows have all of the memtable's events in them: so it is with each new device, whose first
    /// commit writes its state.
    rows: Option<DeviceRows>,
    readings: NewRows,
}

/// The rows with the memtable's events folded in.
struct DeviceRows {
    twin: twin::Model,
    device: device::Model,
    /// The `seq` that the twin's row had before; none where there was no row.
    before: Option<i64>,
}

async fn compact_slice(
    store: &SqlStore,
    frozen: &MemtableView,
    slice: Vec<(DeviceNumber, Vec<Arc<Recorded>>)>,
    with_readings: &mut Vec<(DeviceNumber, usize)>,
) -> Result<(), StoreError> {
    if slice.is_empty() {
        return Ok(());
    }
    let mut found = progress_of(store, &slice).await?;
    let mut prepared = Vec::with_capacity(slice.len());
    for (device, events) in slice {
        let row = found.remove(&device.0);
        let ordered = row.as_ref().map_or(0, |row| row.ordered);
        let readings: Vec<_> = events
            .iter()
            .filter(|e| e.seq > ordered && matches!(e.event.body, EventBody::Telemetry { .. }))
            .cloned()
            .collect();
        let messages = readings.len();
        let readings = pieces::append(device, readings);
        let rows = fold(store, row.as_ref(), &events, frozen.last())?;
        if !readings.is_empty() {
            with_readings.push((device, messages));
        }
        if rows.is_some() || !readings.is_empty() {
            prepared.push(PreparedDevice { number: device, rows, readings });
        }
        tokio::task::yield_now().await; // others are on this thread, too
    }
    // Messages to devices change their rows with their own commit, many at once in a job: nothing to do for them.
    if prepared.is_empty() {
        return Ok(());
    }
    let devices: Vec<DeviceNumber> = prepared.iter().map(|prepared| prepared.number).collect();
    let pace = &store.paces.compaction;
    let write =
        async |sql: &DatabaseTransaction| write_slice(store, sql, &devices, prepared, frozen.last()).await;
    pace.write(store, "put into order", devices.len(), write).await
}

/// The progress of the rows of a slice's devices.
async fn progress_of(
    store: &SqlStore,
    slice: &[(DeviceNumber, Vec<Arc<Recorded>>)],
) -> Result<HashMap<i64, DeviceProgress>, StoreError> {
    let devices: Vec<DeviceNumber> = slice.iter().map(|(device, _)| *device).collect();
    let mut found: HashMap<i64, DeviceProgress> = twin::Entity::find()
        .filter(twin::Column::Number.is_in(rows::numbers(&devices)))
        .select_only()
        .columns([twin::Column::Number, twin::Column::Seq, twin::Column::OrderedSeq])
        .into_tuple::<(i64, i64, i64)>()
        .all(&store.readers)
        .await
        .map_err(failed("read twins"))?
        .into_iter()
        .map(|(number, seq, ordered)| (number, DeviceProgress { seq, ordered: uint(ordered), behind: None }))
        .collect();
    // Only what is behind is read whole.
    let is_behind = |(device, events): &&(DeviceNumber, Vec<Arc<Recorded>>)| {
        let last = events.last().map_or(0, |last| last.seq);
        found.get(&device.0).is_some_and(|row| uint(row.seq) < last)
    };
    let behind: Vec<DeviceNumber> = slice.iter().filter(is_behind).map(|(device, _)| *device).collect();
    if behind.is_empty() {
        return Ok(found);
    }
    let rows = twin::Entity::find()
        .filter(twin::Column::Number.is_in(rows::numbers(&behind)))
        .all(&store.readers)
        .await
        .map_err(failed("read twins"))?;
    for row in rows {
        let number = row.number;
        let come_to = DeviceProgress { seq: row.seq, ordered: uint(row.ordered_seq), behind: Some(row) };
        found.insert(number, come_to);
    }
    Ok(found)
}

/// The rows with `events` folded onto them; none where they have them all.
fn fold(
    store: &SqlStore,
    row: Option<&DeviceProgress>,
    events: &[Arc<Recorded>],
    ordered: u64,
) -> Result<Option<DeviceRows>, StoreError> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(None) };
    let before = row.map(|row| row.seq);
    if before.is_some_and(|before| uint(before) >= last.seq) {
        return Ok(None);
    }
    let mut twin = match row.and_then(|row| row.behind.as_ref()) {
        Some(row) => rows::to_twin(row, &store.layers)?,
        None => Twin::new(first.event.device.clone(), first.event.number, first.event.received_at),
    };
    for event in events.iter().filter(|event| before.is_none_or(|before| event.seq > uint(before))) {
        twin.redo(&event.event);
    }
    Ok(Some(DeviceRows {
        device: rows::of_device(&twin),
        twin: rows::of_twin(last.seq, ordered, &twin)?,
        before,
    }))
}

/// Writes the prepared rows, unless a commit got there first: a twin's row that is newer by now stays, and a device
/// that was removed meanwhile stays so.
async fn write_slice(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    devices: &[DeviceNumber],
    prepared: Vec<PreparedDevice>,
    ordered: u64,
) -> Result<(), StoreError> {
    let now: HashMap<i64, i64> = twin::Entity::find()
        .filter(twin::Column::Number.is_in(rows::numbers(devices)))
        .select_only()
        .column(twin::Column::Number)
        .column(twin::Column::Seq)
        .into_tuple::<(i64, i64)>()
        .all(sql)
        .await
        .map_err(failed("read twins"))?
        .into_iter()
        .collect();
    let (mut twins, mut lists) = (Vec::new(), Vec::new());
    let (mut newer, mut new) = (Vec::new(), NewRows::default());
    for PreparedDevice { number, rows, readings } in prepared {
        let now = now.get(&number.0).copied();
        if now.is_none() && store.memtable.removed(number).is_some() {
            continue;
        }
        new.extend(readings);
        // Where a commit was faster than we, its row has all of this in it too.
        let Some(DeviceRows { twin, device, .. }) = rows.filter(|rows| now.is_none() || now == rows.before)
        else {
            newer.push(number.0); // its readings are new
            continue;
        };
        twins.push(twin);
        lists.push(device);
    }
    write::twins(sql, twins, &[twin::Column::Seq, twin::Column::OrderedSeq, twin::Column::State]).await?;
    list_columns::devices(sql, lists).await?;
    for some in newer.chunks(write::AT_ONCE) {
        twin::Entity::update_many()
            .col_expr(twin::Column::OrderedSeq, int(ordered).into())
            .filter(twin::Column::Number.is_in(some.iter().copied()))
            .exec(sql)
            .await
            .map_err(failed("write twins"))?;
    }
    new.write(sql).await
}
