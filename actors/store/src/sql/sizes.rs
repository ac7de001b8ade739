//! The bytes of the database by kind of what is stored, indexes included.

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use super::SqlStore;
use super::rows::{failed, uint};
use crate::StoreError;

const COUNT: &str = "count the bytes of the database";

/// A kind of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    Readings,
    /// The sequence of all events, as far back as subscribers can resume.
    Journal,
    /// The log of each device, without its readings.
    Events,
    Commands,
    /// Runs of rules, requests outward and rules.
    Automation,
    Alarms,
    Audit,
    /// Twins with their tags, groups, templates and jobs.
    Devices,
    /// Users, keys, sessions and all else.
    Others,
}

impl TableKind {
    /// Its name: `readings`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Journal => "journal",
            Self::Events => "events",
            Self::Commands => "commands",
            Self::Automation => "automation",
            Self::Alarms => "alarms",
            Self::Audit => "audit",
            Self::Devices => "devices",
            Self::Others => "others",
        }
    }

    fn of_table(name: &str) -> Self {
        match name {
            "chunks" | "pieces" => Self::Readings,
            "journal" => Self::Journal,
            "events" => Self::Events,
            "commands" => Self::Commands,
            "rules" | "runs" | "run_devices" | "deliveries" => Self::Automation,
            "alarms" => Self::Alarms,
            "audit" => Self::Audit,
            "twins" | "tags" | "devices" | "tombstones" | "fleet" | "job_devices" | "scopes" => Self::Devices,
            _ => Self::Others,
        }
    }
}

/// The bytes of each kind, those with the most first. It looks at every page of the database, so it is for now and then.
///
/// # Errors
/// The database cannot be read.
pub async fn bytes_by_kind(store: &SqlStore) -> Result<Vec<(TableKind, u64)>, StoreError> {
    let asked = "SELECT schema.tbl_name AS name, sum(pages.pgsize) AS bytes FROM dbstat AS pages \
        LEFT JOIN sqlite_schema AS schema ON schema.name = pages.name WHERE pages.aggregate = 1 GROUP BY 1";
    let asked = Statement::from_string(DatabaseBackend::Sqlite, asked);
    let rows = store.readers.query_all_raw(asked).await.map_err(failed(COUNT))?;
    let mut kinds: Vec<(TableKind, u64)> = Vec::new();
    for row in rows {
        let name: Option<String> = row.try_get_by("name").map_err(failed(COUNT))?;
        let kind = TableKind::of_table(name.as_deref().unwrap_or_default());
        let bytes = uint(row.try_get_by("bytes").map_err(failed(COUNT))?);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += bytes,
            None => kinds.push((kind, bytes)),
        }
    }
    kinds.sort_by_key(|(kind, bytes)| (std::cmp::Reverse(*bytes), *kind));
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::contract::support::TestFleet;
    use crate::{SqlOptions, Store as _};

    #[tokio::test]
    async fn every_page_is_of_some_kind() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("twinhub.db");
        let url = format!("sqlite:{}", path.display());
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let mut world = TestFleet::new();
        for number in 0..2_000 {
            world.register(&format!("pump-{number}"), r#"{"name": "Pump"}"#);
        }
        store.commit(&mut world.batch()).await.unwrap();
        let kinds = bytes_by_kind(&store).await.unwrap();
        let pages = |name: &'static str| {
            let path = path.clone();
            async move {
                let sql = rusqlite::Connection::open(path).unwrap();
                sql.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap()
            }
        };
        let used = (pages("page_count").await - pages("freelist_count").await) * pages("page_size").await;
        let all: u64 = kinds.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(all, used.unsigned_abs(), "{kinds:?}");
        let bytes = |kind| kinds.iter().find(|(of, _)| *of == kind).map_or(0, |(_, bytes)| *bytes);
        assert!(bytes(TableKind::Devices) > 100_000 && bytes(TableKind::Journal) > 10_000, "{kinds:?}");
    }
}
