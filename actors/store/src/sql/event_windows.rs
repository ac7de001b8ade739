//! The past for a backtest: readings from chunks and all else from rows, in the order of the sequence.
//!
//! It goes by windows of the sequence. A window ends where the pieces and chunks of the devices that have begun hold as
//! many messages as make a page; its events are in those that begin in it and in those that reach into it from before,
//! and in the rows of its events. So a page reads little beyond its own events, wherever in the past it is, and however
//! late messages came. Pieces and chunks are read at one moment: merged meanwhile, one may begin before the window that
//! began in it.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::chunks::{self, Stretch};
use super::entities::{chunk, event, piece};
use super::rows::{self, failed, int, uint};
use super::{SqlStore, events, pieces, replay, write};
use crate::{EventQuery, StoreError, select};
use twinhub_domain::{DeviceNumber, Recorded};

const READ: &str = "read the past";
/// Beginnings of chunks, or of pieces, that are looked at for the end of a window.
const MOST_BEGINNINGS: u64 = if cfg!(test) { 3 } else { 1_000 };

/// See [`crate::Store::past`].
pub async fn past(
    store: &SqlStore,
    devices: Option<&[DeviceNumber]>,
    after: u64,
    limit: usize,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    match devices {
        Some(devices) => of_devices(store, devices, after, limit).await,
        None => of_all(store, after, limit).await,
    }
}

async fn of_devices(
    store: &SqlStore,
    devices: &[DeviceNumber],
    after: u64,
    limit: usize,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let mut devices = devices.to_vec();
    devices.push(select::NOBODY);
    devices.sort_unstable();
    devices.dedup();
    let view = store.memtable.view();
    let mut found = Vec::new();
    let mut done = after;
    while done < view.after() && found.len() < limit {
        let window = SequenceWindow { after: done, until: view.after() };
        let (more, until) = window.read(store, &devices, limit - found.len()).await?;
        found.extend(more.into_iter().filter(|recorded| view.is_visible(recorded)).map(Arc::new));
        done = until;
    }
    found.truncate(limit);
    while done < view.last() && found.len() < limit {
        // In steps: of all that is there, most may be other devices'.
        let some = view.range(done, u64::MAX, limit);
        let Some(last) = some.last() else { break };
        done = last.seq;
        let wanted = |recorded: &Arc<Recorded>| devices.binary_search(&recorded.event.number).is_ok();
        found.extend(some.into_iter().filter(wanted));
    }
    found.truncate(limit);
    Ok(found)
}

/// The journal has all, as far back as it goes; before that there are rows of the events that are no telemetry.
async fn of_all(store: &SqlStore, after: u64, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
    loop {
        let view = store.memtable.view();
        let kept_from = events::first_in_journal(store).await?.unwrap_or_else(|| view.last() + 1);
        let mut found = Vec::new();
        if after < kept_from - 1 {
            let query = EventQuery { limit, ..EventQuery::default() };
            found = events::by_row(store, &query, after, kept_from - 1).await?;
            found.retain(|recorded| view.is_visible(recorded));
        }
        if found.len() < limit {
            let left = limit - found.len();
            let replayed = replay::replay(store, std::cmp::max(after, kept_from - 1), u64::MAX, left).await?;
            if replayed.pruned {
                continue; // just now: what it had is to be looked for in the rows
            }
            found.extend(replayed.events);
        }
        return Ok(found);
    }
}

/// A stretch of the sequence: `after < seq <= until`, all of it in order in the database.
#[derive(Clone, Copy)]
struct SequenceWindow {
    after: u64,
    until: u64,
}

impl SequenceWindow {
    /// The events of `devices` from its beginning, some `limit` of them, and up to where these are all.
    async fn read(
        mut self,
        store: &SqlStore,
        devices: &[DeviceNumber],
        limit: usize,
    ) -> Result<(Vec<Recorded>, u64), StoreError> {
        let sql = chunks::snapshot(store, READ).await?;
        self.until = self.end(&sql, devices, limit).await?;
        let mut log = Vec::new();
        for some in devices.chunks(write::AT_ONCE) {
            let rows = self.rows(some, limit).all(&sql).await.map_err(failed(READ))?;
            if rows.len() >= limit {
                self.until = rows.last().map_or(self.until, |row| uint(row.seq));
            }
            log.extend(rows);
        }
        let mut stretches = Vec::new();
        for some in devices.chunks(write::AT_ONCE) {
            let pieces = pieces::stretches(self.pieces(some));
            stretches.extend(pieces.into_model::<Stretch>().all(&sql).await.map_err(failed(READ))?);
            for select in [self.reaching_in(some), self.beginning(some)] {
                let chunks = chunks::stretches(select).into_model::<Stretch>();
                stretches.extend(chunks.all(&sql).await.map_err(failed(READ))?);
            }
        }
        drop(sql); // what follows is work, and would keep the log from being cut meanwhile
        let mut found = Vec::new();
        for row in log {
            found.extend(store.events(READ, row.seq, &row.body).await?);
        }
        for stretch in stretches {
            found.extend(stretch.messages(READ)?);
        }
        found.retain(|recorded| recorded.seq > self.after && recorded.seq <= self.until);
        found.sort_unstable_by_key(|recorded| recorded.seq);
        Ok((found, self.until))
    }

    /// The end of the window in which pieces and chunks with about this many messages begin.
    async fn end(
        &self,
        sql: &impl ConnectionTrait,
        devices: &[DeviceNumber],
        limit: usize,
    ) -> Result<u64, StoreError> {
        let mut begin: Vec<(i64, i64)> = Vec::new();
        // Where there are more, the first that is left out of a list may begin right behind its last.
        let mut until = int(self.until);
        for some in devices.chunks(write::AT_ONCE) {
            let chunks = self
                .beginning(some)
                .order_by_asc(chunk::Column::FirstSeq)
                .limit(MOST_BEGINNINGS)
                .select_only()
                .columns([chunk::Column::FirstSeq, chunk::Column::Count])
                .into_tuple::<(i64, i64)>();
            let pieces = self
                .pieces(some)
                .filter(piece::Column::FirstSeq.gt(int(self.after)))
                .order_by_asc(piece::Column::FirstSeq)
                .limit(MOST_BEGINNINGS)
                .select_only()
                .columns([piece::Column::FirstSeq, piece::Column::Count])
                .into_tuple::<(i64, i64)>();
            for selected in [chunks, pieces] {
                let first = selected.all(sql).await.map_err(failed(READ))?;
                if first.len() as u64 >= MOST_BEGINNINGS {
                    until = Ord::min(until, first.last().map_or(until, |(seq, _)| *seq));
                }
                begin.extend(first);
            }
        }
        begin.sort_unstable();
        let mut messages = 0;
        for (seq, count) in begin {
            messages += uint(count);
            if messages >= limit as u64 {
                until = Ord::min(until, seq);
            }
        }
        Ok(uint(until))
    }

    fn beginning(&self, devices: &[DeviceNumber]) -> Select<chunk::Entity> {
        chunk::Entity::find()
            .filter(chunk::Column::Device.is_in(rows::numbers(devices)))
            .filter(chunk::Column::FirstSeq.gt(int(self.after)))
            .filter(chunk::Column::FirstSeq.lte(int(self.until)))
    }

    /// Found by their ends alone, so in an index that has both ends: the beginning is hidden from the others.
    fn reaching_in(&self, devices: &[DeviceNumber]) -> Select<chunk::Entity> {
        let first_seq = Func::coalesce([Expr::col(chunk::Column::FirstSeq), Expr::val(0i64)]);
        chunk::Entity::find()
            .filter(chunk::Column::Device.is_in(rows::numbers(devices)))
            .filter(chunk::Column::LastSeq.gt(int(self.after)))
            .filter(first_seq.lte(int(self.after)))
    }

    /// Of pieces a device has few.
    fn pieces(&self, devices: &[DeviceNumber]) -> Select<piece::Entity> {
        piece::Entity::find()
            .filter(piece::Column::Device.is_in(rows::numbers(devices)))
            .filter(piece::Column::LastSeq.gt(int(self.after)))
            .filter(piece::Column::FirstSeq.lte(int(self.until)))
    }

    fn rows(&self, devices: &[DeviceNumber], limit: usize) -> Select<event::Entity> {
        event::Entity::find()
            .filter(event::Column::Device.is_in(rows::numbers(devices)))
            .filter(event::Column::Seq.gt(int(self.after)))
            .filter(event::Column::Seq.lte(int(self.until)))
            .order_by_asc(event::Column::Seq)
            .limit(rows::bound(limit as u64))
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QueryTrait};

    use super::*;
    use crate::contract::support::{Fixture, plan};

    #[tokio::test]
    async fn a_window_is_found_by_indexes() {
        let fixture = Fixture::sql().await;
        let window = SequenceWindow { after: 5, until: 500 };
        for devices in [&[DeviceNumber(1)][..], &[DeviceNumber(0), DeviceNumber(1), DeviceNumber(2)]] {
            let reaching_in = window.reaching_in(devices).build(DbBackend::Sqlite).to_string();
            let reaching_in = plan(&fixture, &reaching_in);
            let index = "chunks_device_last_seq_first_seq (device=? AND last_seq>?)";
            assert!(reaching_in.contains(index), "{reaching_in}");
            let beginning = window.beginning(devices).build(DbBackend::Sqlite).to_string();
            let beginning = plan(&fixture, &beginning);
            let index = "chunks_device_first_seq (device=? AND first_seq>? AND first_seq<?)";
            assert!(beginning.contains(index), "{beginning}");
            let rows = plan(&fixture, &window.rows(devices, 9).build(DbBackend::Sqlite).to_string());
            assert!(rows.contains("events_device_seq (device=? AND"), "{rows}");
        }
    }
}
