//! The twins: a row each with what lists filter and sort by, and the state whole.

use sea_orm_migration::prelude::*;

use crate::columns::{ID, KEY, SEARCH, big, key, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// What a list of devices filters by (in the order of numbers) or sorts by. `search` is here because a
/// search reads all of it, and an index is a tenth of the table.
const LIST_INDEXES: [&[&str]; 11] = [
    &["status", "number"],
    &["type", "number"],
    &["group_id", "number"],
    &["claimed", "number"],
    &["serial_number", "number"],
    &["name", "number"],
    &["last_seen", "number"],
    &["created_at", "number"],
    &["updated_at", "number"],
    &["search"],
    // Counts any mix of filters without a look at the table.
    &["status", "type", "group_id", "claimed", "mode"],
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let twins = Table::create()
            .table("twins")
            .col(big("number").primary_key())
            .col(key("id", ID).unique_key())
            .col(key("serial_number", KEY))
            .col(key("name", KEY))
            .col(key("type", KEY))
            .col(key("group_id", KEY))
            .col(key("status", 16))
            .col(key("mode", 16))
            .col(ColumnDef::new("claimed").boolean().not_null())
            .col(big("last_seen"))
            .col(big("created_at"))
            .col(big("updated_at"))
            .col(key("search", SEARCH))
            .col(big("seq"))
            .col(big("ordered_seq"))
            .col(text(manager, "state"))
            .take();
        manager.create_table(twins).await?;
        for columns in LIST_INDEXES {
            let mut index = Index::create().name(format!("twins_{}", columns.join("_"))).table("twins").take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }

        let tags = Table::create()
            .table("tags")
            .col(big("device"))
            .col(key("name", KEY))
            .col(key("value", KEY))
            .primary_key(Index::create().col("device").col("name"))
            .take();
        manager.create_table(tags).await?;
        let by_value = Index::create().name("tags_name_value").table("tags").col("name").col("value").col("device").take();
        manager.create_index(by_value).await?;

        let tombstones =
            Table::create().table("tombstones").col(big("device").primary_key()).col(big("seq")).take();
        manager.create_table(tombstones).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
