//! Readings in the database: appended in pieces, merged a few times, summarised; and the journal in blocks.

use super::query_dump::describe;
use super::samples::after_noon;
use super::support::*;
use crate::{EventQuery, SqlOptions, Store};
use chrono_tz::Tz;
use std::task::Poll;
use std::time::Duration;
use twinhub_domain::series::{
    Aggregate, CalendarUnit, HistoryQuery, Interval, ReadingPosition, SeriesByName, SeriesStatistics,
    StatisticsQuery,
};
use twinhub_domain::{DeviceNumber, EventKind, Number, ReadingTime, Timestamp};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Both answer alike to all that is asked of readings.
async fn assert_alike(sql: &dyn Store, memory: &dyn Store, devices: &[DeviceNumber], when: &str) {
    for device in devices {
        for (limit, newest_first) in [(1_000_000, false), (1_000_000, true), (7, false), (7, true)] {
            for (from, to) in
                [(None, None), (Some(NOON - DAY), None), (Some(NOON + HOUR / 2), Some(NOON + 2 * DAY))]
            {
                let time = |at| ReadingTime::from(Timestamp::from_millis(at));
                let (from, to) = (from.map(time), to.map(time));
                let asked = HistoryQuery { limit, newest_first, from, to, ..history(*device) };
                for min_quality in [None, Some(50)] {
                    let asked = HistoryQuery { min_quality, ..asked.clone() };
                    let (found, expected) = (sql.raw_history(&asked).await, memory.raw_history(&asked).await);
                    assert_eq!(found.unwrap(), expected.unwrap(), "{when}: {asked:?}");
                }
                for word in
                    ["avg", "min", "max", "sum", "count", "first", "last", "p5", "p95", "increase", "rate"]
                {
                    for interval in [
                        Interval::Fixed(HOUR / 7),
                        Interval::Fixed(HOUR),
                        Interval::Fixed(DAY),
                        Interval::Fixed(365 * DAY),
                        Interval::Local(CalendarUnit::Day, Tz::Asia__Kathmandu),
                        Interval::Local(CalendarUnit::Week, Tz::Europe__Berlin),
                    ] {
                        let interval = Some(interval);
                        let aggregate = Aggregate::parse(word).unwrap();
                        let min_quality = (limit == 7).then_some(50);
                        let asked = HistoryQuery { interval, aggregate, min_quality, ..asked.clone() };
                        let (found, expected) =
                            (sql.bucket_history(&asked).await, memory.bucket_history(&asked).await);
                        assert_eq!(found.unwrap(), expected.unwrap(), "{when}: {asked:?}");
                    }
                }
                for points in [true, false] {
                    let query = StatisticsQuery {
                        device: *device,
                        from: from.unwrap_or(after_noon(-900 * DAY).into()),
                        to: to.unwrap_or(after_noon(900 * DAY).into()),
                        sensors: asked.sensors.clone(),
                        min_quality: points.then_some(50),
                        points,
                    };
                    let (found, expected) = (sql.statistics(&query).await, memory.statistics(&query).await);
                    is_same(&found.unwrap(), &expected.unwrap(), &format!("{when}: {query:?}"));
                }
                let (device, kinds) = (Some(*device), vec![EventKind::Telemetry]);
                let asked = EventQuery { device, kinds, limit, newest_first, from, to, ..log() };
                let (found, expected) =
                    (sql.events(&asked).await.unwrap(), memory.events(&asked).await.unwrap());
                assert_eq!(seqs(&found), seqs(&expected), "{when}: {asked:?}");
            }
        }
        assert_eq!(sql.extent(*device).await.unwrap(), memory.extent(*device).await.unwrap(), "{when}");
    }
}

/// Statistics are alike, but for the last digits of doubles.
fn is_same(found: &SeriesByName, expected: &SeriesByName, when: &str) {
    let names = |series: &SeriesByName| series.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{when}");
    for (found, expected) in found.values().zip(expected.values()) {
        let counted = |one: &SeriesStatistics| (one.texts, one.uncertain, one.bad, one.readings());
        assert_eq!(counted(found), counted(expected), "{when}");
        let mut points = [found.points.clone(), expected.points.clone()];
        points.iter_mut().for_each(|points| {
            points.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        });
        assert_eq!(points[0], points[1], "{when}");
        let (Some(found), Some(expected)) = (&found.numbers, &expected.numbers) else {
            assert_eq!(found.numbers, expected.numbers, "{when}");
            continue;
        };
        assert_eq!(
            (found.min.as_f64(), found.max.as_f64()),
            (expected.min.as_f64(), expected.max.as_f64()),
            "{when}"
        );
        let edge =
            |((at, seq, _), number): &(ReadingPosition, Number)| (*at, *seq, number.as_str().to_owned());
        assert_eq!(edge(&found.first), edge(&expected.first), "{when}");
        assert_eq!(edge(&found.last), edge(&expected.last), "{when}");
        let (found, expected) = (found.moments, expected.moments);
        assert_eq!(found.count, expected.count, "{when}");
        let size = expected.squares.max(expected.mean.powi(2)).max(1.0);
        let time = expected.time_squares.max(1.0);
        for (found, expected, size) in [
            (found.mean, expected.mean, size.sqrt()),
            (found.squares, expected.squares, size * 1e3),
            (found.time, expected.time, expected.time),
            (found.time_squares, expected.time_squares, time),
            (found.products, expected.products, (size * time).sqrt() * 1e3),
        ] {
            assert!((found - expected).abs() <= 1e-6 * size, "{when}: {found} {expected} of {size}");
        }
    }
}

/// Numbers with few and with many digits, words, switches, and what comes late.
fn tell(world: &mut TestFleet, round: i64) {
    let late = match round % 23 {
        5 => 3 * HOUR,
        17 => 30 * HOUR,
        _ => 0,
    };
    let at = world.now.millis() - late;
    let odd = ["1e-7", "0.1", "12345678901234567890", "-0.30", "7"][usize::try_from(round % 5).unwrap()];
    let word = if round % 4 == 0 { "\"off\"" } else { "true" };
    world.tell_believed(
        "a",
        &format!(r#"{{"t": {}.{}, "odd": {odd}, "timestamp": {at}}}"#, 20 + round % 9, round % 10),
    );
    world.tell_believed("b", &format!(r#"{{"power": {word}, "t": {round}, "timestamp": {at}}}"#));
}

/// Over days, with late messages, in whatever state of merging: before a merge and after it, and after a crash.
#[tokio::test]
async fn however_far_readings_are_merged_the_answers_are_the_same() {
    let (mut sql, memory) = (Fixture::sql().await, Fixture::memory());
    let mut world = TestFleet::new();
    for round in 0..220i64 {
        world.wait(17 * 60_000);
        tell(&mut world, round);
        let mut batch = world.batch();
        sql.commit(&mut batch).await;
        memory.commit(&mut batch).await;
        if round % 3 == 0 {
            sql.store.maintain(world.now).await.unwrap();
        }
        if round % 50 == 49 {
            let devices = [world.number("a"), world.number("b")];
            assert_alike(&*sql.store, &*memory.store, &devices, &format!("round {round}")).await;
            sql.reopen().await;
        }
    }
    assert!(rows(&sql, "chunks") > 20);
    let devices = [world.number("a"), world.number("b")];
    for hours in [0, 30] {
        sql.store.maintain(world.now.plus_millis(hours * HOUR)).await.unwrap();
        assert_alike(&*sql.store, &*memory.store, &devices, "at the end").await;
    }
    assert_eq!(rows(&sql, "pieces"), 0, "all days are over");
}

/// However many messages are put into order at a time.
#[tokio::test]
async fn a_reading_is_written_anew_about_twice_at_most() {
    for at_once in [1, 2, 3, 5, 20] {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let mut world = TestFleet::new();
        let mut told = 0u64;
        while told < 600 {
            for _ in 0..at_once {
                world.wait(7 * 60_000);
                world.tell("a", r#"{"t": 1}"#);
                told += 1;
            }
            store.commit(&mut world.batch()).await.unwrap();
            store.maintain(world.now).await.unwrap();
            assert!(rows(&fixture, "pieces") < 4 * 4, "{at_once} at once: too many pieces of two days");
        }
        store.maintain(world.now.plus_millis(2 * DAY)).await.unwrap();
        let rewritten = store.rewritten();
        assert!(rewritten <= told * 3, "{at_once} at once: {rewritten} of {told}");
        let chunks = u64::try_from(rows(&fixture, "chunks")).unwrap();
        assert!(chunks * 3 <= told, "{at_once} at once: {chunks} chunks of {told}");
    }
}

/// Messages that come a day late, one by one, find their way into that day's chunks at a bounded cost.
#[tokio::test]
async fn late_readings_do_not_write_a_day_anew_each_time() {
    let fixture = Fixture::sql().await;
    let memory = Fixture::memory();
    let store = open(&fixture).await;
    let mut world = TestFleet::new();
    let mut told = 0u64;
    for late in [0, 0, 0, 26 * HOUR] {
        for _ in 0..100 {
            world.wait(5 * 60_000);
            let at = world.now.millis() - late;
            world.tell_believed("a", &format!(r#"{{"t": {told}, "timestamp": {at}}}"#));
            told += 1;
            let mut batch = world.batch();
            store.commit(&mut batch).await.unwrap();
            memory.commit(&mut batch).await;
            store.maintain(world.now).await.unwrap();
        }
    }
    store.maintain(world.now.plus_millis(2 * DAY)).await.unwrap();
    let rewritten = store.rewritten();
    assert!(rewritten <= told * 4, "{rewritten} of {told}");
    let chunks = u64::try_from(rows(&fixture, "chunks")).unwrap();
    assert!(chunks * 3 <= told, "{chunks} chunks of {told} messages");
    assert_alike(&*store, &*memory.store, &[world.number("a")], "late").await;
}

/// A commit may remove a device while its readings are being merged.
#[tokio::test]
async fn a_device_that_is_removed_during_a_merge_leaves_nothing() {
    for polls in (0..200).step_by(3) {
        let fixture = Fixture::sql().await;
        let mut world = TestFleet::new();
        for _ in 0..4 {
            world.wait(60_000);
            world.tell("a", r#"{"t": 1}"#);
            world.tell("b", r#"{"t": 1}"#);
            fixture.commit(&mut world.batch()).await;
            if rows(&fixture, "pieces") < 6 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        let now = world.now.plus_millis(2 * DAY);
        let mut maintain = std::pin::pin!(fixture.store.maintain(now));
        let mut maintained = None;
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(maintain.as_mut().poll(context))).await;
            if let Poll::Ready(done) = polled {
                maintained = Some(done);
                break;
            }
            tokio::task::yield_now().await;
        }
        world.remove("a");
        let mut removal = world.batch();
        if let Some(done) = maintained {
            done.unwrap();
            fixture.commit(&mut removal).await;
        } else {
            let (done, committed) = tokio::join!(maintain, fixture.store.commit(&mut removal));
            done.unwrap();
            committed.unwrap();
        }
        fixture.store.maintain(now).await.unwrap();
        let sql = rusqlite::Connection::open(fixture.path()).unwrap();
        for table in ["pieces", "chunks"] {
            let asked = format!("SELECT count(*) FROM {table} WHERE device <> 2");
            let left: i64 = sql.query_row(&asked, [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "after {polls} polls: {table}");
        }
        assert_eq!(fixture.store.raw_history(&history(world.number("b"))).await.unwrap().len(), 4);
    }
}

/// The limits are those of the program: so many messages, or so old.
#[tokio::test]
async fn order_is_made_once_there_is_enough_of_it() {
    let limits = crate::MemtableLimits { bytes: 64 * 1024, age: Duration::from_mins(10) };
    let mut fixture = Fixture::sql_with(SqlOptions { limits, ..SqlOptions::default() }).await;
    let mut world = TestFleet::new();
    let mut messages = 0;
    // One every ten seconds.
    for _ in 0..180 {
        world.wait(10_000);
        world.tell("a", r#"{"t": 1}"#);
        messages += 1;
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
    }
    let sql = rusqlite::Connection::open(fixture.path()).unwrap();
    let stored = || -> i64 {
        let all = "SELECT (SELECT coalesce(sum(count), 0) FROM pieces) + (SELECT coalesce(sum(count), 0) FROM chunks)";
        sql.query_row(all, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(stored(), 122, "after ten minutes each time, and what came at that moment");
    for _ in 0..1_000 {
        world.tell("a", r#"{"t": 1}"#);
        messages += 1;
    }
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(stored(), messages, "so much at once");
    world.tell("a", r#"{"t": 1}"#);
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(stored(), messages, "one may wait");
    fixture.reopen().await;
    fixture.store.maintain(world.now.plus_millis(-DAY)).await.unwrap();
    assert_eq!(stored(), messages + 1, "not for a clock that is behind");
}

/// Blocks are replayed, listed and pruned as rows are.
#[tokio::test]
async fn a_journal_in_blocks_is_the_same() {
    let hours = Duration::from_hours;
    let (mut sql, memory) = {
        let [memory, sql] = Fixture::both_keeping_journal(hours(1_000)).await;
        (sql, memory)
    };
    let mut world = TestFleet::new();
    for round in 0..90i64 {
        world.wait(40_000);
        world.tell("a", &format!(r#"{{"t": {round}}}"#));
        if round % 5 == 0 {
            world.change("a", &format!(r#"{{"desired": {{"x": {round}}}}}"#));
        }
        if round % 31 == 0 {
            world.tell("gone", r#"{"t": 1}"#);
        }
        let mut batch = world.batch();
        sql.commit(&mut batch).await;
        memory.commit(&mut batch).await;
        sql.store.maintain(world.now).await.unwrap();
    }
    world.remove("gone");
    let mut batch = world.batch();
    sql.commit(&mut batch).await;
    memory.commit(&mut batch).await;
    let count = rows(&sql, "journal");
    assert!(count < 30, "of 91 rows {count} are left");
    for round in 0..3 {
        for after in 0..=world.seq {
            for limit in [1, 13, 1_000] {
                let (found, expected) = (
                    sql.store.replay(after, u64::MAX, limit).await.unwrap(),
                    memory.store.replay(after, u64::MAX, limit).await.unwrap(),
                );
                let (told, wanted) = (describe(&found.events), describe(&expected.events));
                assert_eq!(told, wanted, "after {after}, round {round}");
                assert_eq!(found.pruned, expected.pruned);
            }
        }
        for (limit, newest_first) in [(5, true), (5, false), (1_000, true)] {
            for since in [None, Some(world.seq / 2)] {
                let asked = EventQuery { limit, newest_first, since, ..log() };
                let (found, expected) =
                    (sql.store.events(&asked).await.unwrap(), memory.store.events(&asked).await.unwrap());
                assert_eq!(describe(&found), describe(&expected), "{asked:?}");
            }
        }
        assert_eq!(sql.store.head().await.unwrap().at, Some(world.now));
        sql.reopen().await;
        sql.store.maintain(world.now.plus_millis(round * HOUR)).await.unwrap();
    }
    assert!(rows(&sql, "journal") <= 16, "all is packed by now");
    // Pruned by block, and no event before its time.
    let kept = world.now.plus_millis(1_000 * HOUR - 30 * 40_000);
    sql.store.maintain(kept).await.unwrap();
    memory.store.maintain(kept).await.unwrap();
    let found = sql.store.replay(0, u64::MAX, 1_000).await.unwrap();
    let expected = memory.store.replay(0, u64::MAX, 1_000).await.unwrap();
    assert!(found.pruned && found.events.len() >= expected.events.len());
    assert!(found.events.len() <= expected.events.len() + 16, "a block more at most");
    sql.store.maintain(kept.plus_millis(DAY)).await.unwrap();
    assert_eq!(rows(&sql, "journal"), 0);
}
