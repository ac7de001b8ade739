//! The further contract of the durable store: survive doubt, locks, damage and time, and keep its shape.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::random::broken_off;
use super::support::*;
use crate::Keeping;
use crate::{EventQuery, SqlOptions, SqlStore, StoreError};
use twinhub_domain::EventKind;
use twinhub_domain::series::HistoryQuery;

#[tokio::test]
async fn a_commit_broken_off_anywhere_is_made_good_by_trying_again() {
    for polls in 0..30 {
        let mut fixture = Fixture::sql().await;
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        world.tell("a", r#"{"t": 2}"#);
        world.send("x");
        let command = world.command("a", &asked(r#"{"command_type": "reboot"}"#));
        let kept = super::samples::kept("cool", world.number("a"), Some("1"));
        world.automation.kept = vec![kept.clone()];
        let ran = super::samples::run(1, "cool", None);
        world.automation.runs = vec![ran.clone()];
        let mut batch = world.batch();
        broken_off(fixture.store.commit(&mut batch), polls).await;
        fixture.commit(&mut batch).await;
        world.tell("a", r#"{"t": 3}"#);
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let told = fixture.store.raw_history(&history(world.number("a"))).await.unwrap();
            assert_eq!(told.len(), 3, "after {polls} polls");
            assert_eq!(fixture.store.replay(0, u64::MAX, 99).await.unwrap().events.len() as u64, world.seq);
            assert_eq!(fixture.store.outgoing().await.unwrap().len(), 1);
            let asked = fixture.store.command(command).await.unwrap();
            assert_eq!(asked.as_ref(), world.commands.get(&command));
            assert_eq!(fixture.store.automation().await.unwrap().kept, std::slice::from_ref(&kept));
            assert_eq!(fixture.store.run(ran.id).await.unwrap().as_ref(), Some(&ran));
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_locked_database_fails_cleanly_and_comes_back() {
    let options = SqlOptions { busy_timeout: Duration::from_millis(20), ..SqlOptions::default() };
    let fixture = Fixture::sql_with(options).await;
    let mut world = TestFleet::new();
    world.tell("a", r#"{"t": 1}"#);
    let mut batch = world.batch();
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..3 {
        let error = fixture.store.commit(&mut batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
        assert!(fixture.store.replay(0, 9, 9).await.unwrap().events.is_empty());
    }
    other.execute_batch("ROLLBACK").unwrap();
    fixture.commit(&mut batch).await;
    assert_eq!(fixture.store.replay(0, 9, 9).await.unwrap().events.len(), 3);
}

/// As SQLite does on some errors, a full disk among them: the writer must not be stuck in a transaction that is no
/// more.
#[tokio::test]
async fn a_transaction_that_the_database_ends_by_itself_fails_cleanly() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.tell("a", r#"{"t": 1}"#);
    fixture.commit(&mut world.batch()).await;
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    let trigger =
        "CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END";
    other.execute_batch(trigger).unwrap();
    world.tell("a", r#"{"t": 2}"#);
    let mut batch = world.batch();
    for _ in 0..3 {
        let error = fixture.store.commit(&mut batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    }
    other.execute_batch("DROP TRIGGER full").unwrap();
    fixture.commit(&mut batch).await;
    assert_eq!(fixture.store.raw_history(&history(world.number("a"))).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_past_is_pruned_and_reported_so() {
    let hour = 60 * 60 * 1000;
    let mut fixture = Fixture::sql_with(keeping_journal(Duration::from_hours(3))).await;
    let mut world = TestFleet::new();
    world.tell("gone", r#"{"t": 0}"#);
    fixture.commit(&mut world.batch()).await;
    world.remove("gone");
    fixture.commit(&mut world.batch()).await;
    for _ in 0..6 {
        world.wait(hour);
        world.tell("a", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
    }
    assert!(!fixture.store.replay(0, u64::MAX, 99).await.unwrap().pruned);
    for _ in 0..2 {
        fixture.store.maintain(world.now).await.unwrap();
        fixture.store.maintain(world.now).await.unwrap(); // a second time finds nothing to do
        let replayed = fixture.store.replay(0, u64::MAX, 99).await.unwrap();
        assert!(replayed.pruned);
        let kept = seqs(&replayed.events);
        assert_eq!(kept, (world.seq - 3..=world.seq).collect::<Vec<_>>());
        assert!(!fixture.store.replay(kept[0] - 1, u64::MAX, 99).await.unwrap().pruned);
        assert!(fixture.store.replay(kept[0] - 2, u64::MAX, 99).await.unwrap().pruned);
        assert!(fixture.store.replay(0, 2, 99).await.unwrap().pruned, "nothing is left of it");
        assert!(
            !fixture.store.replay(world.seq, u64::MAX, 99).await.unwrap().pruned,
            "there is nothing to tell"
        );

        let readings = fixture.store.raw_history(&history(world.number("a"))).await.unwrap();
        assert_eq!(readings.len(), 6, "readings are kept all the same");
        let twins = EventQuery { kinds: vec![EventKind::Twin], ..log() };
        assert_eq!(fixture.store.events(&twins).await.unwrap().len(), 2, "and what is no telemetry");
        let oldest = EventQuery { limit: 1, ..log() };
        let newest_first = EventQuery { newest_first: true, ..log() };
        let first = fixture.store.events(&oldest).await.unwrap();
        assert_eq!(fixture.store.events(&newest_first).await.unwrap().last().unwrap().seq, first[0].seq);
        let head = fixture.store.head().await.unwrap();
        assert_eq!((head.seq, head.number), (world.seq, 2));
        fixture.reopen().await;
    }
    world.remove("a");
    fixture.commit(&mut world.batch()).await;
    world.wait(9 * hour);
    for _ in 0..2 {
        fixture.store.maintain(world.now).await.unwrap();
        fixture.reopen().await;
    }
    let head = fixture.store.head().await.unwrap();
    assert_eq!((head.seq, head.number), (world.seq, 2), "no number is given twice, even if nobody has it");
}

#[tokio::test]
async fn readings_are_kept_for_their_retention() {
    let day = Duration::from_hours(24);
    let fixture = Fixture::sql_with(SqlOptions {
        keeping: Keeping { readings: Some(2 * day), ..Keeping::default() },
        ..SqlOptions::default()
    })
    .await;
    let mut world = TestFleet::new();
    for _ in 0..5 {
        world.tell("a", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        world.wait(24 * 60 * 60 * 1000);
    }
    let left = fixture.store.raw_history(&history(world.number("a"))).await.unwrap();
    assert_eq!(left.len(), 3);
}

/// A chunk with readings from before the limit and from after it stays as it is: none goes too early.
#[tokio::test]
async fn no_reading_goes_before_its_time() {
    let hour = 60 * 60 * 1000;
    let keep = Some(Duration::from_hours(48));
    let fixture = Fixture::sql_with(SqlOptions {
        keeping: Keeping { readings: keep, ..Keeping::default() },
        ..SqlOptions::default()
    })
    .await;
    let mut world = TestFleet::new();
    for _ in 0..2 {
        world.tell("a", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        world.wait(hour);
    }
    fixture.store.maintain(world.now).await.unwrap();
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    let pieces: i64 = other.query_row("SELECT count(*) FROM pieces", [], |row| row.get(0)).unwrap();
    assert_eq!(pieces, 1, "both lie together");
    let left = async || fixture.store.raw_history(&history(world.number("a"))).await.unwrap().len();
    for (hours, expected) in [(47, 2), (49, 0)] {
        fixture.store.maintain(world.now.plus_millis(hours * hour - hour / 2)).await.unwrap();
        assert_eq!(left().await, expected, "{hours}");
    }
}

#[tokio::test]
async fn a_slow_device_does_not_get_a_row_for_each_message() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    for _ in 0..20 {
        world.wait(60_000);
        world.tell("a", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
    }
    assert_eq!(rows(&fixture, "chunks"), 2, "20 messages, 8 to a chunk in tests");
    assert_eq!(rows(&fixture, "pieces"), 1, "the other four");
}

#[tokio::test]
async fn damage_is_reported_and_harms_no_other_device() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.tell("a", r#"{"t": 1}"#);
    world.tell("b", r#"{"t": 1}"#);
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    let (a, b) = (world.number("a"), world.number("b"));
    other.execute("UPDATE pieces SET body = substr(body, 1, 20) WHERE device = ?1", [a.0]).unwrap();
    let error = fixture.store.raw_history(&history(a)).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(fixture.store.raw_history(&history(b)).await.unwrap().len(), 1);

    let reboot = asked(r#"{"command_type": "reboot"}"#);
    let (of_a, of_b) = (world.command("a", &reboot), world.command("b", &reboot));
    fixture.commit(&mut world.batch()).await;
    other.execute("UPDATE commands SET body = substr(body, 1, 20) WHERE device = ?1", [a.0]).unwrap();
    let error = fixture.store.command(of_a).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(fixture.store.command(of_b).await.unwrap().is_some());
}

#[tokio::test]
async fn refuses_databases_that_it_cannot_keep_things_in() {
    for url in ["sqlite::memory:", "postgres://localhost/x", "nonsense", "sqlite:/nowhere/at/all.db"] {
        let error = SqlStore::open(url, SqlOptions::default()).await.err().unwrap();
        assert!(matches!(error, StoreError::Failed { .. }), "{url}: {error}");
    }
}

/// While commits and the making of order go on, every reader meets each acknowledged message once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_meet_each_message_once_during_compaction() {
    const BATCHES: u64 = 120;
    let fixture = Fixture::sql().await;
    let store = Arc::clone(&fixture.store);
    let mut world = TestFleet::new();
    for device in ["a", "b", "c"] {
        world.register(device, "{}");
        world.tell(device, r#"{"t": 0}"#);
    }
    fixture.commit(&mut world.batch()).await;
    let device = world.number("a");
    let acknowledged = Arc::new(AtomicU64::new(1));
    let over = Arc::new(AtomicBool::new(false));

    let maintain = tokio::spawn({
        let (store, over, now) = (Arc::clone(&store), Arc::clone(&over), world.now);
        async move {
            while !over.load(Ordering::SeqCst) {
                store.maintain(now).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let readers: Vec<_> = [false, true]
        .into_iter()
        .map(|newest_first| {
            let (store, over, acknowledged) =
                (Arc::clone(&store), Arc::clone(&over), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut rounds = 0;
                while !over.load(Ordering::SeqCst) {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let query = HistoryQuery { newest_first, ..history(device) };
                    let readings = store.raw_history(&query).await.unwrap();
                    let different: HashSet<u64> = readings.iter().map(|reading| reading.seq).collect();
                    assert_eq!(different.len(), readings.len(), "one twice");
                    assert!(readings.len() as u64 >= at_least, "{} of {at_least}", readings.len());
                    let telemetry = EventQuery {
                        device: Some(device),
                        kinds: vec![EventKind::Telemetry],
                        newest_first,
                        ..log()
                    };
                    let events = store.events(&telemetry).await.unwrap();
                    assert!(events.len() >= readings.len());
                    let twins = store.devices(&list()).await.unwrap().twins;
                    assert!(twins[0].intake.messages >= at_least);
                    let seqs = seqs(&store.replay(0, u64::MAX, usize::MAX).await.unwrap().events);
                    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "replay has a gap");
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for batch in 1..=BATCHES {
        world.wait(500);
        for device in ["a", "b", "c"] {
            world.tell(device, &format!(r#"{{"t": {batch}}}"#));
        }
        store.commit(&mut world.batch()).await.unwrap();
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    maintain.await.unwrap();
    assert_eq!(store.raw_history(&history(device)).await.unwrap().len() as u64, BATCHES + 1);
}
