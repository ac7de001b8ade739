//! The past for a backtest, in every store.

use std::sync::Arc;

use super::samples::*;
use super::support::*;
use crate::Store;
use twinhub_domain::{DeviceNumber, Recorded};

/// All pages of `limit`, one after the other.
pub async fn pages(
    store: &dyn Store,
    devices: Option<&[DeviceNumber]>,
    after: u64,
    limit: usize,
) -> Vec<Arc<Recorded>> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let page = store.past(devices, after, limit).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return all };
        let full = page.len() == limit;
        after = last.seq;
        all.extend(page);
        if !full {
            let rest = store.past(devices, after, limit).await.unwrap();
            assert!(rest.is_empty(), "a page that is not full is the last");
            return all;
        }
    }
}

/// Three devices with late messages, and events of no device between; gives the `seq`s by device, and those of none.
fn doings(world: &mut TestFleet) -> Vec<(DeviceNumber, u64)> {
    let mut told = Vec::new();
    for round in 0..60i64 {
        world.wait(1_000);
        for (place, id) in ["a", "b", "c"].into_iter().enumerate() {
            if round % 7 == i64::try_from(place).unwrap() {
                continue;
            }
            let before = world.seq;
            // Now and then one that is minutes or days late, and lands in an old chunk.
            let late = if round % 5 == 3 { (round % 11) * 7_000_000 } else { 0 };
            let at = world.now.millis() - late;
            world.tell(id, &format!(r#"{{"t": {round}, "timestamp": {at}}}"#));
            let number = world.number(id);
            told.extend((before + 1..=world.seq).map(|seq| (number, seq)));
        }
        if round % 6 == 0 {
            told.push((NOBODY, world.happen(None, signal("x"))));
            let a = ("a", world.number("b"));
            let seq = world.happen(Some(a), told_alarm(alarm(1, "hot", a)));
            told.push((a.1, seq));
        }
    }
    told
}

#[tokio::test]
async fn gives_every_event_once_and_in_order() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let mut told = Vec::new();
        for part in 0..3 {
            told.extend(doings(&mut world));
            fixture.commit(&mut world.batch()).await;
            if part < 2 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        let [a, b, c] = ["a", "b", "c"].map(|id| world.number(id));
        for round in 0..3 {
            for devices in [&[a][..], &[b, c], &[c, a, NOBODY, a], &[], &[DeviceNumber(77)], &[a, b, c]] {
                for (after, limit) in
                    [(0, 1_000), (0, 1), (0, 7), (3, 40), (world.seq / 2, 13), (world.seq, 5)]
                {
                    let found = seqs(&pages(&*fixture.store, Some(devices), after, limit).await);
                    let theirs = told.iter().filter(|(device, seq)| {
                        *seq > after && (*device == NOBODY || devices.contains(device))
                    });
                    let expected: Vec<u64> = theirs.map(|(_, seq)| *seq).collect();
                    assert_eq!(found, expected, "{devices:?} after {after} by {limit}, round {round}");
                }
            }
            for (after, limit) in [(0, 1_000), (0, 17), (world.seq - 3, 2)] {
                let found = seqs(&pages(&*fixture.store, None, after, limit).await);
                assert_eq!(found, (after + 1..=world.seq).collect::<Vec<_>>());
            }
            assert!(fixture.store.past(None, 0, 0).await.unwrap().is_empty());
            assert!(fixture.store.past(Some(&[a]), 0, 0).await.unwrap().is_empty());
            fixture.reopen().await;
            if round == 1 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        world.remove("b");
        let removal = world.seq;
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let found = pages(&*fixture.store, Some(&[b]), 0, 9).await;
            let of_b: Vec<u64> = found.iter().filter(|e| e.event.number == b).map(|e| e.seq).collect();
            assert_eq!(of_b, [removal], "what it did is told no more");
            fixture.store.maintain(world.now).await.unwrap();
        }
    }
}

/// Where the journal is gone, all devices' past is its rows; some devices' has its readings still.
#[tokio::test]
async fn goes_back_beyond_the_journal() {
    let fixture = Fixture::sql_with(keeping_journal(std::time::Duration::from_secs(10))).await;
    let mut world = TestFleet::new();
    let told = doings(&mut world);
    fixture.commit(&mut world.batch()).await;
    world.wait(60_000);
    fixture.store.maintain(world.now).await.unwrap();
    let kept_from = world.seq + 1;
    world.tell("a", r#"{"t": 1}"#);
    fixture.commit(&mut world.batch()).await;
    assert!(fixture.store.replay(0, u64::MAX, 9).await.unwrap().pruned);
    let a = world.number("a");
    for limit in [5, 1_000] {
        let found = seqs(&pages(&*fixture.store, Some(&[a]), 0, limit).await);
        let theirs = told.iter().filter(|(device, _)| [a, NOBODY].contains(device)).map(|(_, seq)| *seq);
        assert_eq!(found, theirs.chain([kept_from]).collect::<Vec<_>>());
        let all = pages(&*fixture.store, None, 0, limit).await;
        let readings = all.iter().filter(|e| e.event.kind() == twinhub_domain::EventKind::Telemetry);
        assert_eq!(readings.map(|e| e.seq).collect::<Vec<_>>(), [kept_from]);
        assert!(all.len() > 20 && all.is_sorted_by_key(|e| e.seq));
    }
}

/// A backtest goes on while messages come, late ones too, and are put into order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_or_met_twice_during_compaction() {
    let fixture = Fixture::sql().await;
    let store = Arc::clone(&fixture.store);
    let mut world = TestFleet::new();
    doings(&mut world);
    store.commit(&mut world.batch()).await.unwrap();
    store.maintain(world.now).await.unwrap();
    let devices = ["a", "b"].map(|id| world.number(id));
    let reader = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let (mut after, mut found) = (0, Vec::new());
            for _ in 0..400 {
                let page = store.past(Some(&devices), after, 5).await.unwrap();
                after = page.last().map_or(after, |last| last.seq);
                found.extend(page);
            }
            found
        }
    });
    for _ in 0..12 {
        doings(&mut world);
        store.commit(&mut world.batch()).await.unwrap();
        store.maintain(world.now).await.unwrap();
    }
    let found = seqs(&reader.await.unwrap());
    let until = *found.last().unwrap();
    let all = seqs(&store.past(Some(&devices), 0, usize::MAX).await.unwrap());
    let expected: Vec<u64> = all.into_iter().take_while(|seq| *seq <= until).collect();
    assert!(expected.len() > 100);
    assert_eq!(found, expected);
}
