//! Commands: each a row, as of the last commit. Lists choose by the narrow columns, in an index where there is
//! one for the question, and read the bodies of one page.

use futures_util::TryStreamExt;
use sea_orm::sea_query::{Expr, ExprTrait, Func};
use sea_orm::{ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, Select};

use super::entities::command;
use super::rows::{self, failed};
use super::{SqlStore, page, reach};
use crate::{CommandPage, CommandQuery, CommandRecord, StoreError, select};
use twinhub_domain::{CommandId, DeviceNumber};

const READ: &str = "read commands";

/// See [`crate::Store::commands`].
pub async fn commands(store: &SqlStore, query: &CommandQuery) -> Result<CommandPage, StoreError> {
    let selected = command::Entity::find().filter(condition(query));
    let total = page::count(store, "count commands", selected.clone(), command::Column::Id).await?;
    if query.offset >= total || query.limit == 0 {
        return Ok(CommandPage { commands: Vec::new(), total });
    }
    let order = if query.newest_first { Order::Desc } else { Order::Asc };
    let on_page = (query.offset, query.limit);
    let rows = page::rows(store, READ, sorted(selected, &order), command::Column::Id, on_page).await?;
    let commands: Result<Vec<CommandRecord>, _> = rows.iter().map(rows::to_command).collect();
    let mut commands = commands?;
    // One that a commit has just brought further may be no more what was asked for.
    commands.retain(|record| select::is_asked_for(query, record));
    Ok(CommandPage { commands, total })
}

/// See [`crate::Store::command`].
pub async fn command(store: &SqlStore, id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
    let row = command::Entity::find_by_id(id.0.as_bytes().to_vec())
        .one(&store.readers)
        .await
        .map_err(failed(READ))?;
    row.as_ref().map(rows::to_command).transpose()
}

/// See [`crate::Store::command_with_key`].
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

fn condition(query: &CommandQuery) -> Condition {
    let CommandQuery { device, status, command_type, from, to, .. } = query;
    let words = status.iter().map(|status| status.as_str());
    let of_status = match device {
        None => command::Column::Status.is_in(words),
        // A device's commands are few beside those of a status, which a database without statistics does not
        // know: told so, it would look through all that were ever executed. No index has this expression.
        Some(_) => {
            let status = Expr::col(command::Column::Status);
            Func::coalesce([status, Expr::val("")]).is_in(words)
        }
    };
    Condition::all()
        .add_option(reach::within(command::Column::Device, &query.reach))
        .add_option(device.map(|device| command::Column::Device.eq(device.0)))
        .add_option((!status.is_empty()).then_some(of_status))
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

#[cfg(test)]
mod tests {
    use sea_orm::{DbBackend, QuerySelect, QueryTrait};

    use super::*;
    use crate::contract::support::{Fixture, plan};
    use twinhub_domain::{CommandStatus, Timestamp};

    /// The most frequent query is answered from an index alone, in its order; and one about a device, from its
    /// commands.
    #[tokio::test]
    async fn lists_read_no_more_than_an_index() {
        let fixture = Fixture::sql().await;
        let device = Some(DeviceNumber(1));
        let failed = || vec![CommandStatus::Failed];
        let reboot = || Some("reboot".to_owned());
        let time = Some(Timestamp::from_millis(0));
        let all = CommandQuery::default;
        for (query, index) in [
            (all(), "commands_created_at"),
            (CommandQuery { from: time, to: time, ..all() }, "commands_created_at"),
            (CommandQuery { command_type: reboot(), ..all() }, "commands_created_at"),
            (CommandQuery { device, ..all() }, "commands_device_created_at"),
            (CommandQuery { device, from: time, ..all() }, "commands_device_created_at"),
            (CommandQuery { device, command_type: reboot(), ..all() }, "commands_device_created_at"),
            (CommandQuery { status: failed(), ..all() }, "commands_status_created_at"),
            (CommandQuery { status: failed(), to: time, ..all() }, "commands_status_created_at"),
            (
                CommandQuery { status: failed(), command_type: reboot(), ..all() },
                "commands_status_created_at",
            ),
        ] {
            let selected = command::Entity::find().filter(condition(&query)).select_only();
            for order in [Order::Asc, Order::Desc] {
                let page = sorted(selected.clone(), &order).column(command::Column::Id).limit(20);
                let plan = plan(&fixture, &page.build(DbBackend::Sqlite).to_string());
                assert!(plan.contains(&format!("USING COVERING INDEX {index}")), "{query:?}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
            }
            let count = selected.column_as(command::Column::Id.count(), "count");
            let plan = plan(&fixture, &count.build(DbBackend::Sqlite).to_string());
            assert!(plan.contains("USING COVERING INDEX"), "{query:?}: {plan}");
        }
        let of_both = CommandQuery { device, status: failed(), ..all() };
        let selected = command::Entity::find().filter(condition(&of_both));
        let plan = plan(&fixture, &selected.build(DbBackend::Sqlite).to_string());
        assert!(plan.contains("(device=?)"), "{plan}");
    }
}
