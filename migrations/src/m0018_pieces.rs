//! Pieces: what each making of order adds to a device's readings, until they are merged into chunks that stay as they
//! are. Chunks get their summary, and their content in a column behind it, so that a database that keeps a row in order
//! of its columns finds the one without reading the other. What was there before stays in `body`, readable, and is
//! written anew in the background: as many gigabytes are not copied at a start.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{big, bytes};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let pieces = Table::create()
            .table("pieces")
            .col(big("device"))
            .col(big("first_at"))
            .col(big("first_seq"))
            .col(big("last_at"))
            .col(big("last_seq"))
            .col(big("level"))
            .col(big("count"))
            .col(bytes(manager, "body"))
            .primary_key(Index::create().col("device").col("first_at").col("first_seq"))
            .take();
        manager.create_table(pieces).await?;
        // All that is asked to know what to merge, without the bodies.
        let to_merge = Index::create()
            .name("pieces_device_first_at_level_count")
            .table("pieces")
            .col("device")
            .col("first_at")
            .col("level")
            .col("count")
            .take();
        manager.create_index(to_merge).await?;
        for column in ["summary", "sealed"] {
            let column = maybe_bytes(manager, column);
            manager.alter_table(Table::alter().table("chunks").add_column(column).take()).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Bytes of any number, or none.
fn maybe_bytes(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    match manager.get_database_backend() {
        DbBackend::MySql => column.custom("longblob"),
        _ => column.blob(),
    };
    column.null().take()
}
