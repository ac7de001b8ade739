//! The steps that make twinhub's database, one file each. History is frozen: a step that has been released
//! is never changed, and nothing in here knows the rest of the program.

mod columns;
mod m0001_journal;
mod m0002_twins;
mod m0003_history;
mod m0004_commands;
mod m0005_automation;
mod m0006_fleet;
mod m0007_retained;
mod m0008_order;
mod m0009_offline;
mod m0010_purpose;
mod m0011_access;
mod m0012_run_seq;
mod m0013_composed;
mod m0014_scopes;
mod m0015_device_access;
mod m0016_web_tokens;
mod m0017_certificates;
mod m0018_pieces;

use sea_orm_migration::prelude::{MigrationTrait, async_trait};
pub use sea_orm_migration::{MigrationStatus, prelude::MigratorTrait};

/// All steps, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_journal::Migration),
            Box::new(m0002_twins::Migration),
            Box::new(m0003_history::Migration),
            Box::new(m0004_commands::Migration),
            Box::new(m0005_automation::Migration),
            Box::new(m0006_fleet::Migration),
            Box::new(m0007_retained::Migration),
            Box::new(m0008_order::Migration),
            Box::new(m0009_offline::Migration),
            Box::new(m0010_purpose::Migration),
            Box::new(m0011_access::Migration),
            Box::new(m0012_run_seq::Migration),
            Box::new(m0013_composed::Migration),
            Box::new(m0014_scopes::Migration),
            Box::new(m0015_device_access::Migration),
            Box::new(m0016_web_tokens::Migration),
            Box::new(m0017_certificates::Migration),
            Box::new(m0018_pieces::Migration),
        ]
    }
}
