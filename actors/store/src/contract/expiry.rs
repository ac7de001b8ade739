//! Automation's data is deleted when it is old or too much.

use std::collections::BTreeSet;
use std::time::Duration;

use super::samples::*;
use super::support::*;
use crate::{DeliveryRecord, DeliveryStatus, EventQuery, Keeping, RunQuery, SqlOptions};
use twinhub_domain::EventKind;
use twinhub_domain::alarm::Alarm;
use twinhub_domain::run::{RunEntry, RunOutcome};

const DAY: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn each_rule_keeps_its_last_runs_and_dull_ones_push_out_none() {
    let mut fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    let running = RunEntry { outcome: RunOutcome::Running, ended_at: None, ..run(1, "cool", None) };
    world.automation.runs = vec![running.clone(), run(2, "heat", None)];
    world.automation.runs.extend((10..1_015).map(|n| run(n, "cool", None)));
    world.automation.runs.extend((2_000..2_205).map(|n| dull(n, "cool", None)));
    fixture.commit(&mut world.batch()).await;
    let counts = async |fixture: &Fixture| {
        let of = |rule_name: &str, outcome: &str| RunQuery {
            rule: Some(rule(rule_name)),
            outcomes: vec![outcome.to_owned()],
            ..runs()
        };
        let total = async |query| fixture.store.runs(&query).await.unwrap().total;
        [
            total(of("cool", "done")).await,
            total(of("cool", "not_run")).await,
            total(of("cool", "running")).await,
            total(of("heat", "done")).await,
        ]
    };
    assert_eq!(counts(&fixture).await, [1_005, 205, 1, 1]);
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(counts(&fixture).await, [1_000, 200, 1, 1]);
    let oldest =
        fixture.store.runs(&RunQuery { rule: Some(rule("cool")), limit: 2, ..runs() }).await.unwrap();
    assert_eq!(oldest.runs, [running, run(15, "cool", None)], "what runs stays, however old");

    world.automation.runs = (3_000..3_010).map(|n| dull(n, "cool", None)).collect();
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(counts(&fixture).await[1], 210, "not at once");
    world.wait(60_000);
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(counts(&fixture).await, [1_000, 200, 1, 1]);

    world.automation.runs = (3_100..3_110).map(|n| dull(n, "cool", None)).collect();
    fixture.commit(&mut world.batch()).await;
    fixture.reopen().await;
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(counts(&fixture).await, [1_000, 200, 1, 1], "of what ran before a start nothing is known");
}

#[tokio::test]
async fn what_is_old_goes() {
    let options = SqlOptions {
        keeping: Keeping { readings: Some(Duration::from_hours(60 * 24)), ..Keeping::default() },
        ..SqlOptions::default()
    };
    let fixture = Fixture::sql_with(options).await;
    let mut world = TestFleet::new();
    let counted = RunEntry { last_at: after_noon(10 * DAY), count: 9, ..dull(2, "cool", None) };
    let running = RunEntry { outcome: RunOutcome::Running, ended_at: None, ..run(3, "cool", None) };
    world.automation.runs = vec![run(1, "cool", None), counted.clone(), running.clone()];
    let over = |n| Alarm { active: false, cleared_at: Some(after_noon(DAY)), ..rule_alarm(n, "cool") };
    world.automation.alarms = vec![over(1), rule_alarm(2, "cool")];
    let sent = |n| DeliveryRecord {
        status: DeliveryStatus::Delivered,
        ended_at: Some(after_noon(DAY)),
        ..delivery(n, run_id(1))
    };
    let failed = DeliveryRecord { status: DeliveryStatus::Failed, ..sent(3) };
    world.automation.deliveries = vec![sent(1), delivery(2, run_id(1)), failed];
    let told = world.happen(None, told_run(run(1, "cool", None)));
    let signal = world.happen(None, signal("x"));
    let of_rule = world.happen(None, told_alarm(rule_alarm(2, "cool")));
    fixture.commit(&mut world.batch()).await;
    let left = async || {
        let runs: Vec<_> = fixture.store.runs(&runs()).await.unwrap().runs;
        let alarms: Vec<_> = fixture.store.alarms(&alarms()).await.unwrap().alarms;
        let deliveries = fixture.store.deliveries(&deliveries()).await.unwrap().total;
        let events = EventQuery { kinds: vec![EventKind::Rule, EventKind::Alarm], ..log() };
        (runs, alarms, deliveries, seqs(&fixture.store.events(&events).await.unwrap()))
    };
    let mut at = async |day: i64| {
        world.now = after_noon(day * DAY);
        fixture.store.maintain(world.now).await.unwrap();
        left().await
    };
    let all = vec![run(1, "cool", None), counted.clone(), running.clone()];
    let both = vec![rule_alarm(2, "cool"), over(1)];
    assert_eq!(at(0).await, (all.clone(), both.clone(), 3, vec![told, signal, of_rule]));
    assert_eq!(at(7).await, (all.clone(), both.clone(), 3, vec![told, signal, of_rule]));
    assert_eq!(at(9).await, (all, both.clone(), 1, vec![told, signal, of_rule]));
    assert_eq!(at(31).await, (vec![counted, running.clone()], both.clone(), 1, vec![signal, of_rule]));
    assert_eq!(at(61).await, (vec![running.clone()], both.clone(), 1, vec![of_rule]));
    assert_eq!(at(366).await, (vec![running.clone()], both, 1, vec![of_rule]), "by when it was cleared");
    assert_eq!(at(367).await, (vec![running], vec![rule_alarm(2, "cool")], 1, vec![of_rule]));
}

#[tokio::test]
async fn commands_go_once_they_are_over_and_events_by_their_own_time() {
    let keeping = Keeping {
        journal: Duration::from_hours(30 * 24),
        commands: Some(Duration::from_hours(10 * 24)),
        events: Some(Duration::from_hours(20 * 24)),
        ..Keeping::default()
    };
    let mut fixture = Fixture::sql_with(SqlOptions { keeping, ..SqlOptions::default() }).await;
    let mut world = TestFleet::new();
    world.register("a", "{}");
    world.tell("a", r#"{"t": 1}"#);
    world.presence("a", true);
    let request = asked_once(r#"{"command_type": "reboot"}"#, "order-66");
    let over = world.command("a", &request);
    world.cancel(over);
    let waiting = world.command("a", &asked(r#"{"command_type": "reboot"}"#));
    world.happen(None, told_alarm(rule_alarm(1, "cool")));
    let first_part = world.seq;
    fixture.commit(&mut world.batch()).await;
    world.wait(15 * DAY);
    let late = world.command("a", &asked(r#"{"command_type": "reboot"}"#));
    world.cancel(late);
    fixture.commit(&mut world.batch()).await;
    assert!(
        world.commands[&over].command.status.is_final()
            && !world.commands[&waiting].command.status.is_final()
    );
    let (a, last) = (world.number("a"), world.seq);

    for (day, commands_left, events_left) in [
        (10, vec![over, waiting, late], 1..=last),
        (11, vec![waiting, late], 1..=last),
        (21, vec![waiting, late], first_part + 1..=last),
        (26, vec![waiting], first_part + 1..=last),
        (36, vec![waiting], last + 1..=last),
    ] {
        world.now = after_noon(day * DAY);
        fixture.store.maintain(world.now).await.unwrap();
        fixture.store.maintain(world.now).await.unwrap(); // a second time finds nothing to do
        let all = fixture.store.commands(&commands()).await.unwrap();
        let there: BTreeSet<_> = all.commands.iter().map(|record| record.command.id).collect();
        assert_eq!(there, commands_left.iter().copied().collect(), "day {day}");
        assert_eq!(all.total, commands_left.len() as u64, "day {day}");
        for id in [over, waiting, late] {
            let one = fixture.store.command(id).await.unwrap();
            assert_eq!(one.is_some(), commands_left.contains(&id), "day {day}");
        }
        let with_key = fixture.store.command_with_key(a, "order-66").await.unwrap();
        assert_eq!(
            with_key.is_some(),
            commands_left.contains(&over),
            "a key goes with its command, day {day}"
        );
        let kinds = vec![EventKind::Twin, EventKind::Presence, EventKind::Command, EventKind::Alarm];
        let told = fixture.store.events(&EventQuery { kinds, ..log() }).await.unwrap();
        assert!(told.iter().all(|event| events_left.contains(&event.seq)), "day {day}");
        assert_eq!(told.is_empty(), events_left.is_empty(), "day {day}");
        // A subscriber resumes within the retention of the journal, whatever went from the lists.
        let replayed = fixture.store.replay(0, u64::MAX, 99).await.unwrap();
        assert_eq!(replayed.pruned, day > 30, "day {day}");
        if day < 30 {
            assert_eq!(seqs(&replayed.events), (1..=last).collect::<Vec<_>>(), "day {day}");
        }
        assert_eq!(
            fixture.store.raw_history(&history(a)).await.unwrap().len(),
            1,
            "readings stay, day {day}"
        );
        fixture.reopen().await;
    }
}

#[tokio::test]
async fn whose_a_run_is_goes_with_it() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.register("a", "{}");
    world.register("fan", "{}");
    let a = ("a", world.number("a"));
    let acting = |n| RunEntry { actions: vec![action("fan")], ..run(n, "cool", Some(a)) };
    let counted = RunEntry { last_at: after_noon(20 * DAY), count: 9, ..dull(3_000, "cool", Some(a)) };
    world.automation.runs = (0..1_600).map(acting).chain([counted.clone()]).collect();
    fixture.commit(&mut world.batch()).await;
    let rows = || {
        let sql = rusqlite::Connection::open(fixture.path()).unwrap();
        let count = |table: &str| -> i64 {
            sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        (count("runs"), count("run_devices"))
    };
    assert_eq!(rows(), (1_601, 3_201));
    fixture.store.maintain(world.now).await.unwrap();
    assert_eq!(rows(), (1_001, 2_001), "too many");
    let of = |name| RunQuery { device: Some(world.number(name)), limit: 0, ..runs() };
    assert_eq!(fixture.store.runs(&of("a")).await.unwrap().total, 1_001);
    assert_eq!(fixture.store.runs(&of("fan")).await.unwrap().total, 1_000);
    fixture.store.maintain(after_noon(31 * DAY)).await.unwrap();
    assert_eq!(rows(), (1, 1), "too old");
    world.remove("a");
    fixture.commit(&mut world.batch()).await;
    assert_eq!(rows(), (1, 0), "it is nobody's");
}
