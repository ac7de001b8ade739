//! The fleet: groups, templates, firmware images and jobs, and how far each job has come with each of its devices;
//! and beside each device where it stands in its life.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{ID, big, key, text};

/// `last_seen` of a device that was never heard.
const NEVER: i64 = i64::MIN;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Few, and all of them in memory while the hub runs: what they say is JSON.
        let records = Table::create()
            .table("fleet")
            .col(key("kind", 16))
            .col(key("id", ID))
            .col(big("updated_at"))
            .col(text(manager, "body"))
            .primary_key(Index::create().col("kind").col("id"))
            .take();
        manager.create_table(records).await?;

        let devices = Table::create()
            .table("job_devices")
            .col(uuid("job").not_null())
            .col(big("device"))
            .col(big("place"))
            .col(key("device_id", ID))
            .col(key("state", 16))
            .col(text(manager, "detail"))
            .col(ColumnDef::new("percent").small_integer())
            .col(uuid("command"))
            .col(big("at"))
            .primary_key(Index::create().col("job").col("device"))
            .extra(match manager.get_database_backend() {
                // The key is the table: one tree less to write.
                DbBackend::Sqlite => "WITHOUT ROWID",
                _ => "",
            })
            .take();
        manager.create_table(devices).await?;
        for columns in [&["job", "place"][..], &["job", "state", "place"]] {
            let mut index = Index::create().name(format!("job_devices_{}", columns.join("_"))).take();
            index.table("job_devices");
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }

        let template = ColumnDef::new("template").string_len(ID).take();
        manager.alter_table(Table::alter().table("devices").add_column(template).take()).await?;
        let by_template = Index::create()
            .name("devices_template_number")
            .table("devices")
            .col("template")
            .col("number")
            .take();
        manager.create_index(by_template).await?;

        // A device that is there is in service, but for one that was registered and never heard.
        let lifecycle = key("lifecycle", 16).default("active").take();
        manager.alter_table(Table::alter().table("devices").add_column(lifecycle).take()).await?;
        let provisioned = Query::update()
            .table("devices")
            .value("lifecycle", "provisioned")
            .and_where(Expr::col("claimed").eq(true))
            .and_where(Expr::col("last_seen").eq(NEVER))
            .to_owned();
        manager.exec_stmt(provisioned).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A UUID's bytes: in every database they sort as the ids do.
fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).binary_len(16).take()
}
