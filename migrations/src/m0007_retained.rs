//! Messages that the embedded broker keeps for later subscribers.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, maybe, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let retained = Table::create()
            .table("retained")
            // A topic may have 65,535 bytes, which no database indexes: the key is its SHA-256.
            .col(ColumnDef::new("topic_hash").binary_len(32).not_null().primary_key())
            .col(text(manager, "topic"))
            .col(bytes(manager, "payload"))
            .col(ColumnDef::new("qos").small_integer().not_null())
            .col(bytes(manager, "properties"))
            .col(big("stored_at"))
            .col(maybe("expires_at"))
            .take();
        manager.create_table(retained).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
