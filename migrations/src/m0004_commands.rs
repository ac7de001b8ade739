//! Commands, and what wakes a twin: rows for what is asked of devices, and beside each twin when it is to be
//! woken and since when it has not come to what is desired.
//!
//! Rows that were there stay as they were. A twin's new columns are empty until its row is written again, by the next
//! message it is heard with: until then a device that was online is not missed however long it is silent.

use sea_orm_migration::prelude::*;

use crate::columns::{ID, KEY, big, key, maybe, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Commands are listed by time: those of a device, those of a status (dead letters), and all; the type is in
/// each, so that those of one type are counted without their bodies. Status and body are what changes, so one
/// index alone is written again with each step of a command.
const LIST_INDEXES: [&[&str]; 4] = [
    &["device", "created_at", "id", "type"],
    &["status", "created_at", "id", "type"],
    &["created_at", "id", "type"],
    &["device", "idempotency_key", "created_at", "id"],
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let commands = Table::create()
            .table("commands")
            // A UUID's bytes: in every database they sort as the ids do.
            .col(ColumnDef::new("id").binary_len(16).not_null().primary_key())
            .col(big("device"))
            .col(key("device_id", ID))
            .col(key("type", KEY))
            .col(key("status", 16))
            .col(ColumnDef::new("idempotency_key").string_len(KEY))
            .col(big("created_at"))
            .col(text(manager, "body"))
            .take();
        manager.create_table(commands).await?;
        for columns in LIST_INDEXES {
            let mut index =
                Index::create().name(format!("commands_{}", columns.join("_"))).table("commands").take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }

        // A statement each: SQLite adds one column at a time.
        for (table, column) in [
            ("outbox", "until"),
            ("devices", "wake_at"),
            ("devices", "silence_ms"),
            ("devices", "drifting_since"),
        ] {
            let add = Table::alter().table(table).add_column(maybe(column)).take();
            manager.alter_table(add).await?;
        }
        let drifting = Index::create()
            .name("devices_drifting_since_number")
            .table("devices")
            .col("drifting_since")
            .col("number")
            .take();
        manager.create_index(drifting).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
