//! The contract of places: the store gives each batch its own, once, whatever becomes of answers.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{Batch, BatchPlace, SqlOptions, StoreError};
use twinhub_domain::Recorded;

/// The same batch before any store has seen it.
fn relative(batch: &Batch) -> Batch {
    let events = batch.events.iter().zip(1..).map(|(event, seq)| Recorded::new(seq, event.event.clone()));
    let mut outgoing = batch.outgoing.clone();
    outgoing.iter_mut().zip(1..).for_each(|(message, id)| message.id = id);
    let first = batch.events.first().map_or(1, |first| first.seq);
    Batch {
        events: events.map(Arc::new).collect(),
        twins: batch.twins.iter().map(|(seq, twin)| (seq + 1 - first, twin.clone())).collect(),
        removed: batch.removed.iter().map(|(seq, number)| (seq + 1 - first, *number)).collect(),
        outgoing,
        ..batch.clone()
    }
}

#[tokio::test]
async fn a_batch_gets_its_place_behind_the_last_one() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for round in 0..3 {
            world.tell("a", &format!(r#"{{"t": {round}}}"#));
            world.register(&format!("b{round}"), r#"{"name": "Pump"}"#);
            world.send("x");
            world.send("y");
            if round == 2 {
                world.remove("b0");
            }
            let absolute = world.batch();
            let mut batch = relative(&absolute);
            let place = fixture.store.commit(&mut batch).await.unwrap();
            let first_seq = absolute.events[0].seq;
            assert_eq!(place, BatchPlace { first_seq, first_outgoing: 2 * round + 1 });
            assert_eq!(seqs(&batch.events), seqs(&absolute.events));
            assert_eq!(batch.outgoing, absolute.outgoing);
            assert_eq!(batch.removed, absolute.removed);
            fixture.reopen().await;
        }
        let replayed = fixture.store.replay(0, u64::MAX, 99).await.unwrap().events;
        assert_eq!(seqs(&replayed).last(), Some(&world.seq));
        let ids: Vec<u64> =
            fixture.store.outgoing().await.unwrap().iter().map(|message| message.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
        let twins = fixture.store.devices(&list()).await.unwrap().twins;
        assert_eq!(twins, world.twins_by_number());
    }
}

/// Two with the same content are two; one that comes again is one.
#[tokio::test]
async fn a_batch_that_comes_again_has_the_place_that_it_had() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        world.send("x");
        let batch = relative(&world.batch());
        let (mut one, mut other) = (batch.clone(), batch);
        let place = fixture.store.commit(&mut one).await.unwrap();
        let next = fixture.store.commit(&mut other).await.unwrap();
        assert_eq!(next.first_seq, place.first_seq + one.events.len() as u64);
        assert_eq!(next.first_outgoing, place.first_outgoing + 1);
        for _ in 0..2 {
            assert_eq!(fixture.store.commit(&mut one).await.unwrap(), place);
            assert_eq!(fixture.store.commit(&mut other).await.unwrap(), next);
        }
        assert_eq!(fixture.store.head().await.unwrap().seq, 2 * one.events.len() as u64);
    }
}

/// One that has no events may be there although its answer got lost: its ids are nobody else's.
#[tokio::test]
async fn ids_of_messages_are_given_once_even_where_a_commit_fails() {
    let options = SqlOptions { busy_timeout: Duration::from_millis(20), ..SqlOptions::default() };
    let mut fixture = Fixture::sql_with(options).await;
    let mut world = TestFleet::new();
    world.send("lost");
    let mut lost = relative(&world.batch());
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fixture.store.commit(&mut lost).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    world.send("next");
    let mut next = relative(&world.batch());
    assert_eq!(fixture.store.commit(&mut next).await.unwrap().first_outgoing, 2);
    assert_eq!(fixture.store.commit(&mut lost).await.unwrap().first_outgoing, 1);
    let topics: Vec<_> =
        fixture.store.outgoing().await.unwrap().into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["lost", "next"]);
    fixture.reopen().await;
    world.send("more");
    let mut more = relative(&world.batch());
    assert_eq!(fixture.store.commit(&mut more).await.unwrap().first_outgoing, 3);
}
