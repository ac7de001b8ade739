//! The cost of commits, in what does not depend on time: trips to the thread that writes, statements, and checkpoints.

use super::support::*;
use crate::Store as _;
use crate::sql::WriteCounts;

#[tokio::test]
async fn a_commit_is_one_trip_and_one_of_telemetry_is_one_statement() {
    let fixture = Fixture::sql().await;
    let store = open(&fixture).await;
    let mut world = TestFleet::new();
    for device in ["a", "b", "c"] {
        world.register(device, "{}");
        world.tell(device, r#"{"t": 0}"#); // with the first they come online
    }
    store.commit(&mut world.batch()).await.unwrap();
    for messages in [1, 10, 1_000] {
        let before = store.write_counts();
        for _ in 0..10 {
            for n in 0..messages {
                world.tell(["a", "b", "c"][n % 3], &format!(r#"{{"t": {n}}}"#));
            }
            store.commit(&mut world.batch()).await.unwrap();
        }
        let WriteCounts { trips, statements } = store.write_counts();
        assert_eq!((trips - before.trips, statements - before.statements), (10, 10), "{messages} messages");
    }

    // Of changes too, whatever they are.
    world.change("a", r#"{"desired": {"x": 1}, "tags": {"floor": "2"}}"#);
    let command = world.command("b", &asked(r#"{"command_type": "reboot"}"#));
    world.automation.runs = vec![super::samples::run(1, "cool", None)];
    world.send("x");
    let before = store.write_counts();
    store.commit(&mut world.batch()).await.unwrap();
    let after = store.write_counts();
    assert_eq!(after.trips - before.trips, 1);
    assert!(after.statements - before.statements > 5, "{after:?}");
    assert!(store.command(command).await.unwrap().is_some());
    // Without events, the fence is looked at within the transaction.
    world.sent(1);
    let before = store.write_counts();
    store.commit(&mut world.batch()).await.unwrap();
    let after = store.write_counts();
    assert_eq!((after.trips - before.trips, after.statements - before.statements), (1, 4));
}

/// The log is written into the database although no commit does it.
#[tokio::test]
async fn the_log_begins_anew_after_a_checkpoint() {
    const MOST_COMMITS: usize = 20_000;
    let fixture = Fixture::sql().await;
    let store = open(&fixture).await;
    let mut world = TestFleet::new();
    let long = "x".repeat(12_000);
    let mut longest = 0;
    for _ in 0..MOST_COMMITS {
        world.tell("a", &format!(r#"{{"long": "{long}"}}"#));
        store.commit(&mut world.batch()).await.unwrap();
        let pages = store.log_pages().await;
        if pages < longest {
            assert!(longest >= 1_000, "it began anew after {longest} pages");
            return;
        }
        longest = pages;
    }
    panic!("the log has {longest} pages");
}
