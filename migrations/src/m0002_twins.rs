//! The twins: their states whole, and beside them what lists filter and sort by, in narrow rows.

use sea_orm_migration::prelude::*;

use crate::columns::{ID, KEY, SEARCH, big, key, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Indexes that lists are sorted by, with few matches skipped over until a page is full. There is none for each filter:
/// a narrow table, or the index that holds all filters, is read through faster than half of it is looked up.
/// `search` is here because a search reads all of it.
const LIST_INDEXES: [&[&str]; 7] = [
    &["serial_number"],
    &["name", "number"],
    &["last_seen", "number"],
    &["created_at", "number"],
    &["updated_at", "number"],
    // To be read through, not to be looked up in: what is asked for least stands first, so that a list
    // by time of what is online is made by the index of that time.
    &["mode", "claimed", "status", "type", "group_id"],
    &["search"],
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let twins = Table::create()
            .table("twins")
            .col(big("number").primary_key())
            .col(big("seq"))
            .col(big("ordered_seq"))
            .col(text(manager, "state"))
            .take();
        manager.create_table(twins).await?;

        let devices = Table::create()
            .table("devices")
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
            .take();
        manager.create_table(devices).await?;
        for columns in LIST_INDEXES {
            let mut index =
                Index::create().name(format!("devices_{}", columns.join("_"))).table("devices").take();
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
        let by_value = Index::create()
            .name("tags_name_value")
            .table("tags")
            .col("name")
            .col("value")
            .col("device")
            .take();
        manager.create_index(by_value).await?;

        let tombstones =
            Table::create().table("tombstones").col(big("device").primary_key()).col(big("seq")).take();
        manager.create_table(tombstones).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
