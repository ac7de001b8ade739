use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::Poll;

use rusqlite::ffi;
use sea_orm::DbBackend;

use super::*;

fn writer(folder: &tempfile::TempDir) -> WriteThread {
    let path = folder.path().join("test.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY)").unwrap();
    WriteThread::new(&path, Duration::ZERO)
}

fn plan(fence: Option<i64>, statements: &[&str]) -> PlannedTransaction {
    let statement = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql);
    let refusal = StoreError::Conflict { operation: "test", detail: "refused".into() };
    let fence = fence.map(|most| Fence { query: statement("SELECT max(a) FROM t"), most, refusal });
    let statements = statements.iter().map(|sql| ("test", statement(sql))).collect();
    PlannedTransaction { operation: "test", fence, statements }
}

async fn rows(writer: &WriteThread) -> i64 {
    let count = |sql: &Connection| sql.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
    writer.look(count).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_transaction_is_done_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    let (one, two, again) =
        ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)");
    for (fence, statements, is_done, left) in [
        (None, &[one][..], true, 1),
        (None, &[again], false, 1),
        (None, &[two, again], false, 1),
        (Some(0), &[two], false, 1),
        (Some(1), &[two], true, 2),
        (None, &["INSERT INTO away VALUES (1)"], false, 2),
        (None, &[], true, 2),
    ] {
        let (turn, result) = writer.write("the turn", plan(fence, statements)).await;
        assert_eq!(turn, Some("the turn"));
        assert_eq!(result.is_ok(), is_done, "{statements:?}: {result:?}");
        let refused = matches!(result, Err(StoreError::Conflict { .. }));
        assert_eq!(refused, fence == Some(0), "{result:?}");
        assert!(!matches!(result, Err(StoreError::Unknown { .. })), "{result:?}");
        assert_eq!(rows(&writer).await, left, "{statements:?}");
    }
}

/// Where its caller goes away a transaction is done all the same, and until then nobody else has the turn.
#[tokio::test]
async fn a_turn_ends_with_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder);
    let (turn, is_over) = channel::<()>();
    let mut going = Box::pin(writer.write(turn, plan(None, &["INSERT INTO t VALUES (1)"])));
    poll_fn(|context| {
        let _ = going.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    drop(going);
    assert!(is_over.recv().is_err(), "it is let go");
    assert_eq!(rows(&writer).await, 1);
}

#[tokio::test]
async fn the_threads_end_with_the_store() {
    thread_local! {
        static ALIVE: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
    }
    let folder = tempfile::tempdir().unwrap();
    for closed in [false, true] {
        let writer = writer(&folder);
        let (alive, ended) = channel();
        writer.look(move |_| ALIVE.set(Some(alive))).await.unwrap();
        if closed {
            writer.close().await;
        } else {
            drop(writer);
        }
        assert!(ended.recv().is_err());
        std::fs::remove_file(folder.path().join("test.db")).unwrap();
    }
}

/// A statement that commits by itself: whatever the disk may have done is not known.
#[test]
fn an_error_of_the_disk_leaves_a_doubt() {
    for (code, is_certain) in [
        (ffi::SQLITE_BUSY, true),
        (ffi::SQLITE_LOCKED, true),
        (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, true),
        (ffi::SQLITE_CONSTRAINT_TRIGGER, true),
        (ffi::SQLITE_ERROR, true),
        (ffi::SQLITE_READONLY, true),
        (ffi::SQLITE_CANTOPEN, true),
        (ffi::SQLITE_FULL, false),
        (ffi::SQLITE_IOERR_FSYNC, false),
        (ffi::SQLITE_IOERR_WRITE, false),
        (ffi::SQLITE_NOMEM, false),
        (ffi::SQLITE_CORRUPT, false),
    ] {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(was_nothing_done(&error), is_certain, "{error}");
    }
}
