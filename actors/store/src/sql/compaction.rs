//! Compaction, behind the commits: the memtable's readings go into chunks by device, its events into the twins' rows.
//!
//! It goes by slices of devices. A slice is read and made ready beside the writer, then written in one short
//! transaction, so commits wait for the writing alone. A crash between two slices does no harm: each twin's row has the
//! `seq` up to which its state (`seq`) and its chunks (`ordered_seq`) have come, and events at or below that are passed
//! over when the slice comes again. Only when all slices are written does the watermark of the whole move, and then the
//! memtable drops the compacted events.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use super::chunks::{self, Rewrite};
use super::entities::{device, meta, twin};
use super::memtable::MemtableView;
use super::rows::{self, failed, int, uint};
use super::{SqlStore, list_columns, write};
use crate::StoreError;
use twinhub_domain::{DeviceNumber, EventBody, Recorded, Twin};

/// Devices and messages in one slice at most: some milliseconds of writing, which is as long as a commit
/// may have to wait. In tests few, so that a few devices make several slices.
const SLICE_DEVICES: usize = if cfg!(test) { 2 } else { 200 };
const SLICE_MESSAGES: usize = 8_000;

/// Compacts the events that the memtable held when this began.
pub async fn compact(store: &SqlStore) -> Result<(), StoreError> {
    let until = store.memtable.last();
    while let Some(frozen) = store.memtable.freeze() {
        compact_generations(store, &frozen).await?;
        if frozen.last() >= until {
            break;
        }
    }
    Ok(())
}

async fn compact_generations(store: &SqlStore, frozen: &MemtableView) -> Result<(), StoreError> {
    let mut slice = Vec::new();
    let mut messages = 0;
    for device in frozen.devices() {
        let events = frozen.of_device(device);
        messages += events.len();
        slice.push((device, events));
        if slice.len() >= SLICE_DEVICES || messages >= SLICE_MESSAGES {
            compact_slice(store, frozen, std::mem::take(&mut slice)).await?;
            messages = 0;
        }
    }
    compact_slice(store, frozen, slice).await?;
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
    chunks: Vec<Rewrite>,
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
        // A device of which nothing is compacted yet has no chunks to look for.
        let reader = (ordered > 0).then_some(&store.readers);
        let chunks = chunks::prepare(reader, device, readings).await?;
        let rows = fold(store, row.as_ref(), &events, frozen.last())?;
        if rows.is_some() || !chunks.is_empty() {
            prepared.push(PreparedDevice { number: device, rows, chunks });
        }
    }
    // Messages to devices change their rows with their own commit, many at once in a job: nothing to do for them.
    if prepared.is_empty() {
        return Ok(());
    }
    let devices: Vec<DeviceNumber> = prepared.iter().map(|prepared| prepared.number).collect();
    let turn = store.writer.begin("put into order").await?;
    write_slice(store, turn.sql(), &devices, prepared, frozen.last()).await?;
    turn.finish().await.map(drop)
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
    let (mut newer, mut rewrites) = (Vec::new(), Vec::new());
    for PreparedDevice { number, rows, chunks } in prepared {
        let now = now.get(&number.0).copied();
        if now.is_none() && store.memtable.removed(number).is_some() {
            continue;
        }
        rewrites.extend(chunks);
        // Where a commit was faster than we, its row has all of this in it too.
        let Some(DeviceRows { twin, device, .. }) = rows.filter(|rows| now.is_none() || now == rows.before)
        else {
            newer.push(number.0); // its chunks are new
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
    chunks::write(sql, rewrites).await
}
