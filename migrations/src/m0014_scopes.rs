//! The owners of devices, as a column for lists, and the authors of rules.

use sea_orm_migration::prelude::*;

use crate::columns::{KEY, key};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No device had an owner before: there was no way to give it one.
        let owner = key("owner_id", KEY).default("").take();
        manager.alter_table(Table::alter().table("devices").add_column(owner).take()).await?;
        let by_owner = Index::create()
            .name("devices_owner_id_number")
            .table("devices")
            .col("owner_id")
            .col("number")
            .take();
        manager.create_index(by_owner).await?;
        // JSON; none: the hub's own rule, or one from before there were authors.
        let author = ColumnDef::new("author").text().take();
        manager.alter_table(Table::alter().table("rules").add_column(author).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
