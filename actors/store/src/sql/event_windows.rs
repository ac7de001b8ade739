//! The past for a backtest: readings from chunks and all else from rows, in the order of the sequence.
//!
//! It goes by windows of the sequence. A window ends where as many chunks of the devices have begun as make a page; its
//! events are in the chunks that begin in it and in those that reach into it from before, and in the rows of its
//! events. So a page reads little beyond its own events, wherever in the past it is, and however late messages came.
//! While chunks are written anew beside it, one event may be met in two of them, never in none: those made of a chunk
//! begin no earlier than it did.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entities::{chunk, event};
use super::rows::{self, failed, int, uint};
use super::{SqlStore, chunks, events, replay, write};
use crate::{EventQuery, StoreError, select};
use twinhub_domain::{DeviceNumber, Recorded};

const READ: &str = "read the past";

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
        let chunks = limit / chunks::MOST_MESSAGES + 1;
        self.until = self.end(store, devices, chunks).await?;
        let mut found = Vec::new();
        for some in devices.chunks(write::AT_ONCE) {
            let rows = self.rows(some, limit).all(&store.readers).await.map_err(failed(READ))?;
            if rows.len() >= limit {
                self.until = rows.last().map_or(self.until, |row| uint(row.seq));
            }
            for row in rows {
                found.extend(store.events(READ, row.seq, &row.body).await?);
            }
        }
        for some in devices.chunks(write::AT_ONCE) {
            for select in [self.reaching_in(some), self.beginning(some)] {
                // One statement after the other, whole: a stream would keep the log from being cut meanwhile.
                for row in select.all(&store.readers).await.map_err(failed(READ))? {
                    found.extend(rows::messages(READ, row.first_seq, &row.body)?);
                }
            }
        }
        found.retain(|recorded| recorded.seq > self.after && recorded.seq <= self.until);
        found.sort_unstable_by_key(|recorded| recorded.seq);
        found.dedup_by_key(|recorded| recorded.seq);
        Ok((found, self.until))
    }

    /// The end of the window in which this many chunks begin.
    async fn end(
        &self,
        store: &SqlStore,
        devices: &[DeviceNumber],
        chunks: usize,
    ) -> Result<u64, StoreError> {
        let mut begin: Vec<i64> = Vec::new();
        for some in devices.chunks(write::AT_ONCE) {
            let first: Vec<i64> = self
                .beginning(some)
                .order_by_asc(chunk::Column::FirstSeq)
                .limit(rows::bound(chunks as u64))
                .select_only()
                .column(chunk::Column::FirstSeq)
                .into_tuple()
                .all(&store.readers)
                .await
                .map_err(failed(READ))?;
            begin.extend(first);
        }
        begin.sort_unstable();
        Ok(begin.get(chunks - 1).map_or(self.until, |seq| uint(*seq)))
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
