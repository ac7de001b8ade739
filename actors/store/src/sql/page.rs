//! Pages of rows whose key is a UUID: chosen by narrow columns, in an index where there is one for the
//! question, and only then read whole.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, ModelTrait, QueryFilter, QuerySelect, Select};

use super::rows::{self, failed, uint};
use super::{SqlStore, write};
use crate::StoreError;

/// The number of rows, counted by a column that every index has, so that one can do it alone.
pub async fn count<E: EntityTrait>(
    store: &SqlStore,
    operation: &'static str,
    selected: Select<E>,
    id: E::Column,
) -> Result<u64, StoreError> {
    let count: Option<i64> = selected
        .select_only()
        .column_as(id.count(), "count")
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed(operation))?;
    Ok(uint(count.unwrap_or_default()))
}

/// The rows on a page of `sorted`, in its order. One that went meanwhile is left out.
pub async fn rows<E: EntityTrait>(
    store: &SqlStore,
    operation: &'static str,
    sorted: Select<E>,
    id: E::Column,
    window: (u64, u64),
) -> Result<Vec<E::Model>, StoreError> {
    let ids = ids(store, operation, sorted, id, window).await?;
    with_ids::<E>(store, operation, id, &ids).await
}

/// The ids on a page of `sorted`, in its order, from its column `id`.
pub async fn ids<E: EntityTrait>(
    store: &SqlStore,
    operation: &'static str,
    sorted: Select<E>,
    id: E::Column,
    (offset, limit): (u64, u64),
) -> Result<Vec<Vec<u8>>, StoreError> {
    sorted
        .offset(rows::bound(offset))
        .limit(rows::bound(limit))
        .select_only()
        .column(id)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(operation))
}

/// The rows with these ids, in this order.
pub async fn with_ids<E: EntityTrait>(
    store: &SqlStore,
    operation: &'static str,
    id: E::Column,
    ids: &[Vec<u8>],
) -> Result<Vec<E::Model>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    for some in ids.chunks(write::AT_ONCE) {
        let alike = E::find().filter(id.is_in(some.iter().cloned()));
        for row in alike.all(&store.readers).await.map_err(failed(operation))? {
            // The key of such a table: bytes, and never null.
            found.insert(row.get(id).unwrap::<Vec<u8>>(), row);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}
