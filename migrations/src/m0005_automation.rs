//! Automation: what the engine keeps of its rules, the runs it made, alarms, and requests outward.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::{ID, KEY, big, key, maybe, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Indexes of lists of runs, which are by time. A rule's runs are few (their number is bounded), so they are found by
/// the rule and sorted. An outcome changes as a run goes on, so it is in one index alone, in which a list of all runs
/// of an outcome is read through.
const RUN_INDEXES: [&[&str]; 3] =
    [&["rule", "telling", "began", "id"], &["began", "id", "outcome"], &["parent"]];
const ALARM_INDEXES: [&[&str]; 4] = [
    &["active", "raised_at", "id"],
    &["device", "raised_at", "id"],
    &["rule", "raised_at", "id"],
    &["raised_at", "id"],
];
const DELIVERY_INDEXES: [&[&str]; 3] = [&["status", "created_at", "id"], &["run"], &["created_at", "id"]];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let scopes = Table::create()
            .table("scopes")
            .col(key("rule", ID))
            .col(big("device"))
            .col(big("fingerprint"))
            .col(text(manager, "body"))
            .primary_key(Index::create().col("rule").col("device"))
            .take();
        manager.create_table(scopes).await?;
        index(manager, "scopes", &["device"]).await?;

        let rules = Table::create()
            .table("rules")
            .col(key("id", ID).primary_key())
            // The body that was sent, JSON; empty where the rule stands in a file.
            .col(text(manager, "body"))
            .col(ColumnDef::new("enabled").boolean())
            .col(big("created_at"))
            .col(big("updated_at"))
            .take();
        manager.create_table(rules).await?;

        let runs = Table::create()
            .table("runs")
            .col(uuid("id").not_null().primary_key())
            .col(key("rule", ID))
            .col(big("device"))
            .col(big("began"))
            .col(big("last_at"))
            .col(key("outcome", 16))
            .col(ColumnDef::new("telling").boolean().not_null())
            .col(uuid("parent"))
            .col(text(manager, "body"))
            .take();
        manager.create_table(runs).await?;
        for columns in RUN_INDEXES {
            index(manager, "runs", columns).await?;
        }

        // Which devices had a part in a run: the one that fired it, and those that it acted upon.
        let parts = Table::create()
            .table("run_devices")
            .col(uuid("run").not_null())
            .col(big("device"))
            .col(big("began"))
            .primary_key(Index::create().col("run").col("device"))
            .extra(match manager.get_database_backend() {
                // The key is the table: one tree less to write.
                DbBackend::Sqlite => "WITHOUT ROWID",
                _ => "",
            })
            .take();
        manager.create_table(parts).await?;
        index(manager, "run_devices", &["device", "began", "run"]).await?;

        let alarms = Table::create()
            .table("alarms")
            .col(uuid("id").not_null().primary_key())
            .col(big("device"))
            .col(ColumnDef::new("rule").string_len(ID))
            .col(key("type", KEY))
            .col(big("severity"))
            .col(ColumnDef::new("active").boolean().not_null())
            .col(ColumnDef::new("acknowledged").boolean().not_null())
            .col(big("raised_at"))
            .col(maybe("cleared_at"))
            .col(text(manager, "body"))
            .take();
        manager.create_table(alarms).await?;
        for columns in ALARM_INDEXES {
            index(manager, "alarms", columns).await?;
        }

        let deliveries = Table::create()
            .table("deliveries")
            .col(uuid("id").not_null().primary_key())
            .col(uuid("run").not_null())
            .col(key("status", 16))
            .col(big("created_at"))
            .col(maybe("ended_at"))
            .col(text(manager, "body"))
            .take();
        manager.create_table(deliveries).await?;
        for columns in DELIVERY_INDEXES {
            index(manager, "deliveries", columns).await?;
        }

        // Alarms and rules are few among the events, and are asked for by themselves.
        index(manager, "events", &["kind", "seq"]).await?;
        // Which stretches of a device's readings reach across a place in the sequence is seen in the index alone.
        let narrow = Index::drop().name("chunks_device_last_seq").table("chunks").to_owned();
        manager.drop_index(narrow).await?;
        index(manager, "chunks", &["device", "last_seq", "first_seq"]).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A UUID's bytes: in every database they sort as the ids do.
fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).binary_len(16).take()
}

async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut index = Index::create().name(format!("{table}_{}", columns.join("_"))).table(table).take();
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}
