//! A stretch of the sequence: from memory while it is there, from the journal's rows otherwise.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::journal;
use super::rows::{failed, int, uint};
use super::{SqlStore, chunks};
use crate::{Replayed, StoreError};
use twinhub_domain::Recorded;

const REPLAY: &str = "replay";

/// See [`crate::Store::replay`].
pub async fn replay(store: &SqlStore, after: u64, up_to: u64, limit: usize) -> Result<Replayed, StoreError> {
    let view = store.memtable.view();
    let up_to = up_to.min(view.last());
    if after >= up_to || limit == 0 {
        return Ok(Replayed::default());
    }
    if after >= view.after() {
        return Ok(Replayed { events: view.range(after, up_to, limit), pruned: false });
    }
    let mut events: Vec<Arc<Recorded>> = Vec::new();
    let mut pruned = None;
    // Both as of one moment: rows are packed into others meanwhile.
    let sql = chunks::snapshot(store, REPLAY).await?;
    let mut rows = journal::Entity::find()
        .filter(journal::Column::FirstSeq.gte(row_with(&sql, after + 1).await?))
        .filter(journal::Column::FirstSeq.lte(int(up_to)))
        .order_by_asc(journal::Column::FirstSeq)
        .stream(&sql)
        .await
        .map_err(failed(REPLAY))?;
    while let Some(row) = rows.try_next().await.map_err(failed(REPLAY))? {
        pruned.get_or_insert(uint(row.first_seq) > after + 1);
        if uint(row.last_seq) <= after {
            continue;
        }
        for recorded in store.events_after(REPLAY, row.first_seq, &row.body, after).await? {
            if recorded.seq <= up_to && view.is_visible(&recorded) {
                events.push(Arc::new(recorded));
            }
        }
        if events.len() >= limit {
            events.truncate(limit);
            break;
        }
    }
    // Where there was no row at all, everything up to `up_to` was pruned.
    Ok(Replayed { events, pruned: pruned.unwrap_or(true) })
}

/// The key of the row that `seq` is in, if it is still there.
async fn row_with(sql: &impl ConnectionTrait, seq: u64) -> Result<i64, StoreError> {
    let first: Option<i64> = journal::Entity::find()
        .filter(journal::Column::FirstSeq.lte(int(seq)))
        .select_only()
        .column(journal::Column::FirstSeq)
        .order_by_desc(journal::Column::FirstSeq)
        .limit(1)
        .into_tuple()
        .one(sql)
        .await
        .map_err(failed(REPLAY))?;
    Ok(first.unwrap_or_default())
}
