//! Tables that a group commit writes: the journal, the outbox, and what must outlive their rows.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, key};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let journal = Table::create()
            .table("journal")
            .col(big("first_seq").primary_key())
            .col(big("last_seq"))
            .col(big("at"))
            .col(big("first_at"))
            .col(big("last_at"))
            .col(bytes(manager, "body"))
            .take();
        manager.create_table(journal).await?;

        let outbox = Table::create()
            .table("outbox")
            .col(big("id").primary_key())
            .col(crate::columns::text(manager, "topic"))
            .col(bytes(manager, "payload"))
            .col(ColumnDef::new("retain").boolean().not_null())
            .take();
        manager.create_table(outbox).await?;

        let meta = Table::create().table("meta").col(key("name", 40).primary_key()).col(big("value")).take();
        manager.create_table(meta).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
