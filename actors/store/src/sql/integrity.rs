//! Whether the database's file is whole.

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use super::rows::failed;
use crate::StoreError;

const LOOK: &str = "check the database";

/// The damages of the database's file, in the database's own words; none where it is whole. It reads all of the file.
pub async fn damages(sql: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let asked = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA quick_check".to_owned());
    let rows = sql.query_all_raw(asked).await.map_err(failed(LOOK))?;
    let mut told = Vec::new();
    for row in rows {
        told.push(row.try_get_by::<String, _>(0).map_err(failed(LOOK))?);
    }
    told.retain(|line| line != "ok");
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use tempfile::TempDir;

    use crate::contract::support::TestFleet;
    use crate::{SqlOptions, SqlStore, Store as _};

    #[tokio::test]
    async fn a_page_that_was_written_over_is_found() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("twinhub.db");
        let url = format!("sqlite:{}", path.display());
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let mut world = TestFleet::new();
        for number in 0..200 {
            world.register(&format!("pump-{number}"), r#"{"name": "Pump"}"#);
        }
        store.commit(&mut world.batch()).await.unwrap();
        assert_eq!(store.damages().await.unwrap(), [""; 0]);
        store.close().await;
        // Pages in the middle of the file, each with nonsense where its entries begin.
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let pages = file.metadata().unwrap().len() / 8_192;
        for page in pages / 2..pages {
            file.seek(SeekFrom::Start(page * 8_192)).unwrap();
            file.write_all(&[0xff; 512]).unwrap();
        }
        drop(file);
        let options = SqlOptions { migrate: false, ..SqlOptions::default() };
        let found = match SqlStore::open(&url, options).await {
            Ok(store) => store.damages().await,
            Err(error) => Err(error),
        };
        assert!(found.is_err() || found.is_ok_and(|damages| !damages.is_empty()));
    }
}
