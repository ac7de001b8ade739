//! Commands: each a row, as of the last commit. Lists choose by the narrow columns, in an index where there is
//! one for the question, and read the bodies of one page.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select};

use super::entities::command;
use super::rows::{self, failed, uint};
use super::{SqlStore, write};
use crate::domain::{CommandId, DeviceNumber};
use crate::store::{CommandPage, CommandQuery, CommandRecord, StoreError, select};

const READ: &str = "read commands";

/// See [`crate::store::Store::commands`].
pub async fn commands(store: &SqlStore, query: &CommandQuery) -> Result<CommandPage, StoreError> {
    let selected = command::Entity::find().filter(condition(query));
    let total = count(store, selected.clone()).await?;
    if query.offset >= total || query.limit == 0 {
        return Ok(CommandPage { commands: Vec::new(), total });
    }
    let order = if query.newest_first { Order::Desc } else { Order::Asc };
    let ids: Vec<Vec<u8>> = sorted(selected, &order)
        .offset(query.offset)
        .limit(rows::bound(query.limit))
        .select_only()
        .column(command::Column::Id)
        .into_tuple()
        .all(&store.readers)
        .await
        .map_err(failed(READ))?;
    let mut commands = read(store, ids).await?;
    // One that a commit has just brought further may be no more what was asked for.
    commands.retain(|record| select::is_asked_for(query, record));
    Ok(CommandPage { commands, total })
}

/// See [`crate::store::Store::command`].
pub async fn command(store: &SqlStore, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
    let row = command::Entity::find_by_id(id.0.as_bytes().to_vec())
        .one(&store.readers)
        .await
        .map_err(failed(READ))?;
    row.as_ref().map(rows::to_command).transpose()
}

/// See [`crate::store::Store::command_with_key`].
pub async fn with_key(
    store: &SqlStore,
    device: DeviceNumber,
    key: &str,
) -> Result<Option<CommandRecord>, StoreError> {
    let alike = command::Entity::find()
        .filter(command::Column::Device.eq(device.0))
        .filter(command::Column::IdempotencyKey.eq(select::key(key)));
    let mut rows = sorted(alike, &Order::Desc).stream(&store.readers).await.map_err(failed(READ))?;
    while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
        let record = rows::to_command(&row)?;
        if record.command.request.idempotency_key.as_deref() == Some(key) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The commands with these ids, in this order. One that went meanwhile is left out.
async fn read(store: &SqlStore, ids: Vec<Vec<u8>>) -> Result<Vec<CommandRecord>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    for some in ids.chunks(write::AT_ONCE) {
        let rows = command::Entity::find()
            .filter(command::Column::Id.is_in(some.iter().cloned()))
            .all(&store.readers)
            .await
            .map_err(failed(READ))?;
        for row in rows {
            let record = rows::to_command(&row)?;
            found.insert(row.id, record);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Counts by a column that every index has, so that one can do it alone.
async fn count(store: &SqlStore, selected: Select<command::Entity>) -> Result<u64, StoreError> {
    let count: Option<i64> = selected
        .select_only()
        .column_as(command::Column::Id.count(), "count")
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed("count commands"))?;
    Ok(uint(count.unwrap_or_default()))
}

fn condition(query: &CommandQuery) -> Condition {
    let CommandQuery { device, status, command_type, from, to, .. } = query;
    let words = || status.iter().map(|status| status.as_str());
    Condition::all()
        .add_option(device.map(|device| command::Column::Device.eq(device.0)))
        .add_option((!status.is_empty()).then(|| command::Column::Status.is_in(words())))
        .add_option(
            command_type.as_deref().map(|wanted| command::Column::CommandType.eq(select::key(wanted))),
        )
        .add_option(from.map(|from| command::Column::CreatedAt.gte(from.millis())))
        .add_option(to.map(|to| command::Column::CreatedAt.lt(to.millis())))
}

/// Both columns in one direction, as the indexes have them.
fn sorted(selected: Select<command::Entity>, order: &Order) -> Select<command::Entity> {
    selected.order_by(command::Column::CreatedAt, order.clone()).order_by(command::Column::Id, order.clone())
}
