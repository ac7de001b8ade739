//! Runs of rules in the order in which they were written: a number that grows with each, so that of two runs of one
//! millisecond the later one stands behind the earlier one in every list.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::big;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Each index with the column that it had until now, and what it has instead.
const INDEXES: [(&str, [&str; 2], &[&str]); 3] = [
    ("runs", ["runs_began_id_outcome", "runs_began_seq_outcome"], &["began", "seq", "outcome", "id"]),
    (
        "runs",
        ["runs_rule_telling_began_id", "runs_rule_telling_began_seq"],
        &["rule", "telling", "began", "seq", "id"],
    ),
    (
        "run_devices",
        ["run_devices_device_began_run", "run_devices_device_began_seq"],
        &["device", "began", "seq", "run"],
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["runs", "run_devices"] {
            let seq = big("seq").default(0).take();
            manager.alter_table(Table::alter().table(table).add_column(seq).take()).await?;
        }
        let sql = manager.get_connection();
        // The runs that are there have been read in this order until now.
        let order = "SELECT id, ROW_NUMBER() OVER (ORDER BY began, id) AS place FROM runs";
        let places = match manager.get_database_backend() {
            DbBackend::MySql => format!("UPDATE runs, ({order}) AS o SET seq = o.place WHERE o.id = runs.id"),
            _ => format!("UPDATE runs SET seq = o.place FROM ({order}) AS o WHERE o.id = runs.id"),
        };
        sql.execute_unprepared(&places).await?;
        sql.execute_unprepared(
            "UPDATE run_devices SET seq = COALESCE((SELECT seq FROM runs WHERE runs.id = run_devices.run), 0)",
        )
        .await?;
        sql.execute_unprepared("DELETE FROM meta WHERE name = 'run_seq'").await?;
        sql.execute_unprepared(
            "INSERT INTO meta (name, value) SELECT 'run_seq', COALESCE(MAX(seq), 0) FROM runs",
        )
        .await?;
        for (table, [before, now], columns) in INDEXES {
            manager.drop_index(Index::drop().name(before).table(table).to_owned()).await?;
            let mut index = Index::create().name(now).table(table).take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
