//! Deletes data older than its retention.

use std::ops::Range;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::time::Instant;

use super::entities::{chunk, journal, meta, piece, tombstone, twin};
use super::pace::{self, WorkTurn};
use super::rows::{failed, int, uint};
use super::{SqlStore, head, write};
use crate::StoreError;
use twinhub_domain::Timestamp;

/// A row this far in the future was written by a wrong clock.
pub const WRONG_MS: i64 = 24 * 60 * 60 * 1000;
const READINGS: &str = "delete old readings";
/// Readings expire by the chunk, so there is no need to look more often.
const READINGS_EVERY_MS: i64 = 60 * 60 * 1000;

/// Deletes journal rows that are compacted and older than their retention, and tombstones that no row of
/// the journal needs.
pub async fn journal(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    const PRUNE: &str = "prune journal";
    let until = now.plus_millis(-millis(store.keeping().journal)).millis();
    // Not all is compacted, though compaction ran just before: commits go on meanwhile.
    let ordered = int(store.memtable.view().after());
    let work = WorkTurn::begin();
    while !work.is_over() {
        let at_once = store.paces.pruning.size() as u64;
        let oldest: Vec<(i64, i64, i64)> = journal::Entity::find()
            .select_only()
            .columns([journal::Column::FirstSeq, journal::Column::LastSeq, journal::Column::At])
            .order_by_asc(journal::Column::FirstSeq)
            .limit(at_once)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(PRUNE))?;
        let Some((first, last)) = last_old(&oldest, ordered, until, now) else { return Ok(()) };
        let rows = oldest.iter().filter(|(first_seq, ..)| *first_seq <= first).count();
        let turn = store.writer.begin(PRUNE).await?;
        let began = Instant::now();
        journal::Entity::delete_many()
            .filter(journal::Column::FirstSeq.lte(first))
            .exec(turn.sql())
            .await
            .map_err(failed(PRUNE))?;
        forget_tombstones(turn.sql(), last).await?;
        store.paces.pruning.note(rows, began.elapsed());
        let done = turn.finish().await?;
        store.memtable.forget_removed(uint(last));
        drop(done);
        pace::rest(store, began.elapsed()).await;
    }
    Ok(())
}

/// The place to which readings were looked through.
#[derive(Default)]
pub struct ReadingsSweep {
    /// When the last look ended.
    ended: Option<Timestamp>,
    /// The device with which it goes on, where it is not at its end.
    from: i64,
}

/// The last row that is old, of the `oldest` (their first and last places, and their times), as far as all before it
/// may go too. A row written in the future, by a clock that was set back since, is as old as the row behind it.
fn last_old(oldest: &[(i64, i64, i64)], ordered: i64, until: i64, now: Timestamp) -> Option<(i64, i64)> {
    let latest = now.plus_millis(WRONG_MS).millis();
    let may_go = oldest.iter().take_while(|(_, last, at)| *last <= ordered && (*at < until || *at > latest));
    may_go.filter(|(.., at)| *at < until).last().map(|(first, last, _)| (*first, *last))
}

/// Deletes chunks and pieces of readings that ended before the retention, where there is one.
pub async fn readings(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    let Some(keep) = store.keeping().readings else { return Ok(()) };
    let mut sweep = store.readings_pruned.lock().await;
    let is_new = |ended: Timestamp| (0..READINGS_EVERY_MS).contains(&(now.millis() - ended.millis()));
    if sweep.from == 0 && sweep.ended.is_some_and(is_new) {
        return Ok(());
    }
    let until = now.plus_millis(-millis(keep)).millis();
    let last = head::largest(&store.readers, twin::Entity, twin::Column::Number).await?;
    let work = WorkTurn::begin();
    while sweep.from <= last {
        let devices = sweep.from..sweep.from.saturating_add(int(write::AT_ONCE as u64));
        let is_done = prune_devices::<chunk::Entity>(store, CHUNKS, devices.clone(), until, &work).await?
            && prune_devices::<piece::Entity>(store, PIECES, devices.clone(), until, &work).await?;
        if !is_done {
            return Ok(());
        }
        sweep.from = devices.end;
    }
    *sweep = ReadingsSweep { ended: Some(now), from: 0 };
    Ok(())
}

/// The columns of a table of readings by which they are pruned: the device, `first_seq` and `last_at`.
type PrunedColumns<E> = [<E as EntityTrait>::Column; 3];
const CHUNKS: PrunedColumns<chunk::Entity> =
    [chunk::Column::Device, chunk::Column::FirstSeq, chunk::Column::LastAt];
const PIECES: PrunedColumns<piece::Entity> =
    [piece::Column::Device, piece::Column::FirstSeq, piece::Column::LastAt];

/// Deletes rows that ended before `until`, a few at a time. They are found beside the writer. False where the turn is over
/// before all are gone.
async fn prune_devices<E: EntityTrait>(
    store: &SqlStore,
    [device, first_seq, last_at]: PrunedColumns<E>,
    devices: Range<i64>,
    until: i64,
    work: &WorkTurn,
) -> Result<bool, StoreError> {
    while !work.is_over() {
        let at_once = store.paces.pruning.size();
        let mut old: Vec<(i64, i64)> = E::find()
            .filter(device.is_in(devices.clone()))
            .filter(last_at.lt(until))
            .select_only()
            .columns([device, first_seq])
            .limit(at_once as u64)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(READINGS))?;
        if old.is_empty() {
            return Ok(true);
        }
        old.sort_unstable();
        let write = async |sql: &DatabaseTransaction| {
            for of_one in old.chunk_by(|one, other| one.0 == other.0) {
                let Some((number, _)) = of_one.first() else { continue };
                E::delete_many()
                    .filter(device.eq(*number))
                    .filter(first_seq.is_in(of_one.iter().map(|(_, seq)| *seq)))
                    .exec(sql)
                    .await
                    .map_err(failed(READINGS))?;
            }
            Ok(())
        };
        store.paces.pruning.write(store, READINGS, old.len(), write).await?;
        if old.len() < at_once {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of a device that nothing else remembers must not be given again.
async fn forget_tombstones(sql: &DatabaseTransaction, until: i64) -> Result<(), StoreError> {
    const FORGET: &str = "forget removed devices";
    let gone: Option<i64> = tombstone::Entity::find()
        .filter(tombstone::Column::Seq.lte(until))
        .select_only()
        .column(tombstone::Column::Device)
        .order_by_desc(tombstone::Column::Device)
        .limit(1)
        .into_tuple()
        .one(sql)
        .await
        .map_err(failed(FORGET))?;
    let Some(largest) = gone else { return Ok(()) };
    let before = head::meta_value(sql, meta::FORGOTTEN_NUMBER).await?.unwrap_or_default();
    write::meta(sql, meta::FORGOTTEN_NUMBER, largest.max(before)).await?;
    tombstone::Entity::delete_many()
        .filter(tombstone::Column::Seq.lte(until))
        .exec(sql)
        .await
        .map(drop)
        .map_err(failed(FORGET))
}

/// As times are counted.
pub fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::support::{SqlFixture, TestFleet, history};
    use crate::sql::compaction::compact;
    use crate::{Batch, Store as _};

    /// Events that are committed during a compaction are not compacted when the journal is pruned, and by a wrong clock
    /// they may look old: nothing but the journal has their readings yet.
    #[tokio::test]
    async fn what_is_not_in_order_yet_stays_however_old_it_is() {
        let fixture = SqlFixture::new();
        let store = fixture.open().await;
        let mut world = TestFleet::new();
        let now = world.now;
        let mut commit = async |value: i64| {
            world.tell("a", &format!(r#"{{"t": {value}}}"#));
            let mut batch: Batch = world.batch();
            store.commit(&mut batch).await.unwrap();
            world.number("a")
        };
        commit(1).await;
        compact(&store, now).await.unwrap();
        let device = commit(2).await;
        let later = Timestamp::from_millis(crate::contract::support::NOON + 400 * WRONG_MS);
        let values = async |store: &SqlStore| {
            let readings = store.raw_history(&history(device)).await.unwrap();
            readings.iter().map(|reading| format!("{:?}", reading.value)).collect::<Vec<_>>()
        };
        let both = values(&store).await;
        assert_eq!(both.len(), 2);
        let rows = async || journal::Entity::find().all(&store.readers).await.unwrap().len();
        assert_eq!(rows().await, 2);
        journal(&store, later).await.unwrap();
        assert_eq!(rows().await, 1, "what is in compact goes, and nothing else");
        assert_eq!(values(&store).await, both);
        assert_eq!(values(&*fixture.open().await).await, both, "also after a crash");
        compact(&store, now).await.unwrap();
        journal(&store, later).await.unwrap();
        assert_eq!(rows().await, 0);
        assert_eq!(values(&store).await, both);
    }

    #[test]
    fn what_was_written_in_the_future_goes_with_what_stands_behind_it() {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let check = |days: &[i64], expected: Option<i64>| {
            let rows: Vec<_> = (1..).zip(days).map(|(seq, day)| (seq, seq, day * DAY)).collect();
            let now = Timestamp::from_millis(100 * DAY);
            let last = last_old(&rows, 1_000, 93 * DAY, now).map(|(first, _)| first);
            assert_eq!(last, expected, "{days:?}");
        };
        check(&[], None);
        check(&[90, 92, 94, 99], Some(2));
        check(&[94, 1, 2], None); // a clock that began in 1970, a moment ago
        check(&[900, 901, 99], None); // a clock that was ahead: nobody knows when, but yesterday is not old
        check(&[900, 901, 92, 99], Some(3));
        check(&[900, 90, 901, 99], Some(2));
    }
}
