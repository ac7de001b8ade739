//! Tables of the history by device: readings in chunks, and everything else row by row.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, key};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let chunks = Table::create()
            .table("chunks")
            .col(big("device"))
            .col(big("first_at"))
            .col(big("first_seq"))
            .col(big("last_at"))
            .col(big("last_seq"))
            .col(big("count"))
            .col(bytes(manager, "body"))
            .primary_key(Index::create().col("device").col("first_at").col("first_seq"))
            .take();
        manager.create_table(chunks).await?;
        // The key serves reading from the oldest on; these serve the other three orders.
        for column in ["last_at", "first_seq", "last_seq"] {
            let index = Index::create()
                .name(format!("chunks_device_{column}"))
                .table("chunks")
                .col("device")
                .col(column)
                .take();
            manager.create_index(index).await?;
        }

        let events = Table::create()
            .table("events")
            .col(big("seq").primary_key())
            .col(big("device"))
            .col(key("kind", 16))
            .col(big("at"))
            .col(bytes(manager, "body"))
            .take();
        manager.create_table(events).await?;
        let by_device =
            Index::create().name("events_device_seq").table("events").col("device").col("seq").take();
        manager.create_index(by_device).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
