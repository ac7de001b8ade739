//! `twinhub migrate`: see, and bring up to date, the tables of the database. Serving does it too.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use sea_orm::DatabaseConnection;
use twinhub_migrations::{MigrationStatus, Migrator, MigratorTrait as _};

use crate::config::Database;
use crate::startup::lock::{LockError, Locks};

/// The action of `migrate`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum MigrateAction {
    /// List the steps and whether each is done
    Status,
    /// Do the steps that are not done yet
    Up,
}

/// Does it, and says what there is to say.
///
/// # Errors
/// The database cannot be reached, a hub uses it ([`LockError`]), or a step failed.
pub async fn run(database: &Database, action: MigrateAction) -> Result<String> {
    if let (Database::File(path), MigrateAction::Status) = (database, action)
        && !path.exists()
    {
        bail!("there is no database at {} yet", path.display());
    }
    if let (Database::File(path), MigrateAction::Up) = (database, action)
        && let Some(dir) = path.parent()
    {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the data folder {}", dir.display()))?;
    }
    // The tables of a hub that runs must not change under it.
    let _locks = match action {
        MigrateAction::Up => Some(Locks::of_database(database)?),
        MigrateAction::Status => None,
    };
    let connection = sea_orm::Database::connect(database.url())
        .await
        .with_context(|| format!("cannot use the database {database}"))?;
    if matches!(action, MigrateAction::Up) {
        Migrator::up(&connection, None).await.context("a step failed")?;
    }
    status(&connection).await
}

/// Is the database in use by another process?
#[must_use]
pub fn is_locked(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LockError>().is_some()
}

async fn status(connection: &DatabaseConnection) -> Result<String> {
    let steps =
        Migrator::get_migration_with_status(connection).await.context("cannot read which steps are done")?;
    let lines = steps.iter().map(|step| {
        let done = if step.status() == MigrationStatus::Applied { "done   " } else { "pending" };
        format!("{done}  {}", step.name())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
