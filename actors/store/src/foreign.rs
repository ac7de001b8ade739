//! Another program's SQLite file, which is read and never written: also while that program has it open.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

/// The time that the other program may keep the file locked; its own commits take milliseconds.
const BUSY: Duration = Duration::from_secs(30);

/// The file of another program.
pub struct ForeignDatabase {
    sql: Connection,
}

/// A table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignTable {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: u64,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignRow {
    /// The number by which SQLite knows it.
    pub rowid: i64,
    pub values: Vec<ForeignValue>,
}

/// A value as SQLite has it, whatever its column was declared as.
#[derive(Clone, Debug, PartialEq)]
pub enum ForeignValue {
    Null,
    Whole(i64),
    Real(f64),
    /// Bytes in it that are no UTF-8 are replaced.
    Text(String),
    /// So many bytes.
    Bytes(usize),
}

/// The file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    #[error("it cannot be opened")]
    Open(#[source] rusqlite::Error),
    #[error("it is no SQLite database, or cannot be read")]
    Look(#[source] rusqlite::Error),
    /// SQLite keeps an index of the write-ahead log beside the file, for those who read it, too.
    #[error(
        "its folder cannot be written, where SQLite needs a file beside it: copy it, and its -wal, into another"
    )]
    Folder(#[source] rusqlite::Error),
    #[error("its table `{table}` cannot be read")]
    Table {
        table: String,
        #[source]
        error: rusqlite::Error,
    },
}

impl ForeignDatabase {
    /// Opens the file.
    ///
    /// # Errors
    /// There is no such file, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, ForeignError> {
        // Another program may write to the file: so SQLite is not told that it never changes.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = Connection::open_with_flags(path, flags).map_err(ForeignError::Open)?;
        sql.busy_timeout(BUSY).map_err(ForeignError::Open)?;
        Ok(Self { sql })
    }

    /// Its tables, by name.
    ///
    /// # Errors
    /// It is no database.
    pub fn tables(&self) -> Result<Vec<ForeignTable>, ForeignError> {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
            ORDER BY name";
        let names = texts(&self.sql, names, []).map_err(ForeignError::of_look)?;
        let table = |name: String| {
            let columns = texts(&self.sql, "SELECT name FROM pragma_table_info(?1)", [&name])?;
            let count = format!("SELECT count(*) FROM {}", quoted(&name));
            let rows = self.sql.query_row(&count, [], |row| row.get::<_, i64>(0))?;
            Ok(ForeignTable { name, columns, rows: u64::try_from(rows).unwrap_or_default() })
        };
        names.into_iter().map(table).collect::<Result<_, _>>().map_err(ForeignError::Look)
    }

    /// The next rows of a table, in the order of their numbers and `limit` at most, with these columns; one that is none
    /// is null in all of them. No transaction is left open, so the other program is not held up.
    ///
    /// # Errors
    /// There is no such table or column, or the file is damaged.
    pub fn rows(
        &self,
        table: &str,
        columns: &[Option<&str>],
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ForeignRow>, ForeignError> {
        let wanted = columns.iter().map(|column| column.map_or_else(|| "NULL".to_owned(), quoted));
        let wanted = std::iter::once("rowid".to_owned()).chain(wanted).collect::<Vec<_>>().join(", ");
        let first = if after.is_some() { "rowid > ?1" } else { "?1 IS NULL" };
        let query =
            format!("SELECT {wanted} FROM {} WHERE {first} ORDER BY rowid LIMIT {limit}", quoted(table));
        let read = || {
            let mut statement = self.sql.prepare_cached(&query)?;
            let rows = statement.query_map([after], |row| read_row(row, columns.len()))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| ForeignError::Table { table: table.to_owned(), error })
    }
}

fn read_row(row: &Row<'_>, columns: usize) -> rusqlite::Result<ForeignRow> {
    let values = (1..=columns).map(|index| Ok(ForeignValue::of(row.get_ref(index)?)));
    Ok(ForeignRow { rowid: row.get(0)?, values: values.collect::<rusqlite::Result<_>>()? })
}

fn texts(sql: &Connection, query: &str, bound: impl rusqlite::Params) -> rusqlite::Result<Vec<String>> {
    sql.prepare(query)?.query_map(bound, |row| row.get(0))?.collect()
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl ForeignError {
    fn of_look(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Self::Folder(error),
            _ => Self::Look(error),
        }
    }
}

impl ForeignValue {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(whole) => Self::Whole(whole),
            ValueRef::Real(real) => Self::Real(real),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_as_sqlite_has_them_page_by_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old file.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE \"a \"\" b\" (id TEXT PRIMARY KEY, \"the value\" REAL, extra);
                 INSERT INTO \"a \"\" b\" VALUES ('x', 1, NULL), ('y', 'warm', x'00ff'), (NULL, 0.1, CAST(x'41ff' AS TEXT));
                 DELETE FROM \"a \"\" b\" WHERE id = 'x';",
            )
            .unwrap();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO \"a \"\" b\" VALUES ('later', 3, 4)").unwrap();
        let database = ForeignDatabase::open(&path).unwrap();
        let [table] = &database.tables().unwrap()[..] else { panic!("there is one table") };
        let ForeignTable { name, columns, rows } = table;
        assert_eq!(
            (name.as_str(), columns.len(), *rows),
            ("a \" b", 3, 2),
            "a commit that is none does not count"
        );
        let page = |after| {
            let columns = [Some("the value"), None, Some("extra")];
            database.rows(name, &columns, after, 1).unwrap().into_iter().next()
        };
        let (text, bytes) = (ForeignValue::Text("warm".into()), ForeignValue::Bytes(2));
        assert_eq!(page(None), Some(ForeignRow { rowid: 2, values: vec![text, ForeignValue::Null, bytes] }));
        let (real, text) = (ForeignValue::Real(0.1), ForeignValue::Text("A\u{fffd}".into()));
        assert_eq!(
            page(Some(2)),
            Some(ForeignRow { rowid: 3, values: vec![real, ForeignValue::Null, text] })
        );
        assert_eq!(page(Some(3)), None);
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(page(Some(3)).map(|row| row.rowid), Some(4));
        assert!(database.sql.execute_batch("DELETE FROM \"a \"\" b\"").is_err(), "it is read alone");
    }

    #[test]
    fn a_file_that_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.db");
        assert!(matches!(ForeignDatabase::open(&path), Err(ForeignError::Open(_))));
        assert!(!path.exists());
        std::fs::write(&path, "this is no database, however long the text may be that is in it").unwrap();
        let opened = ForeignDatabase::open(&path).unwrap();
        assert!(matches!(opened.tables(), Err(ForeignError::Look(_))));
        let read_only_folder = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY_DIRECTORY);
        let error = rusqlite::Error::SqliteFailure(read_only_folder, None);
        assert!(matches!(ForeignError::of_look(error), ForeignError::Folder(_)));
    }
}
