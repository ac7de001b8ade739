//! Acknowledged batches outlive the loss of everything that was not synced, whenever the power goes, with pages torn. A
//! process is killed with its system's cache still there; so here a store's writes to its files are recorded in a
//! process of its own (`recorder.c`, preloaded, so on Linux alone), and the disk is laid out as it may be found after
//! any step of it.

mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;

use self::disk::{Chance, Disk, FileAct, FileActKind, Unsynced, acts};
use super::support::*;
use crate::{Batch, CommandRecord, MemoryStore, RetainedStore, SqlOptions, SqlStore, Store};
use twinhub_domain::Outgoing;
use twinhub_domain::retained::{RetainedChange, RetainedMessage};
use twinhub_domain::series::StoredReading;
use twinhub_domain::{Event, Timestamp, Twin};

/// Tells the process that is recorded where to work.
const FOLDER: &str = "RECORDED_FOLDER";
const DATABASE: &str = "twinhub.db";
/// The file to which each acknowledgement is written after its commit.
const ACKNOWLEDGED: &str = "acknowledged";
/// Enough for the log to be written into the database more than once, which SQLite does at 1,000 pages.
const BATCHES: usize = 240;
/// After that many the store is closed and opened again.
const REOPENED: usize = 90;
/// Moments at which the power goes; and as many while the database itself is written. Each takes half a second.
const CUTS: usize = 6;
/// The environment variable with another number of cuts.
const MORE_CUTS: &str = "TWINHUB_POWER_CUTS";

/// The events between two commits, always the same.
fn next(world: &mut TestFleet, step: usize) -> Batch {
    world.wait(1_000);
    let device = format!("d{}", step % 5);
    let long = "x".repeat(12_000 + step);
    world.tell(&device, &format!(r#"{{"t": {step}, "long": "{long}"}}"#));
    if step.is_multiple_of(3) {
        world.change(&device, &format!(r#"{{"desired": {{"x": {step}}}}}"#));
        world.send("x");
    }
    if step.is_multiple_of(4) {
        let command = world.command(&device, &asked(r#"{"command_type": "reboot"}"#));
        world.answer(command, r#"{"status": "executed"}"#);
    }
    if step % 9 == 8 {
        world.sent(u64::try_from(step / 9 + 1).unwrap());
    }
    world.batch()
}

/// The retained messages after a batch: the last of each of three topics.
fn retained(step: usize) -> Option<RetainedMessage> {
    step.is_multiple_of(5).then(|| RetainedMessage {
        topic: format!("home/{}", step % 3).into(),
        payload: step.to_string().into(),
        qos: 1,
        properties: Bytes::new(),
        stored_at: Timestamp::from_millis(NOON),
        expires_at: None,
    })
}

fn all_retained(batches: usize) -> Vec<RetainedMessage> {
    let kept = (0..batches).filter_map(retained).map(|message| (Arc::clone(&message.topic), message));
    kept.collect::<BTreeMap<_, _>>().into_values().collect()
}

async fn open(folder: &Path) -> Arc<SqlStore> {
    let url = format!("sqlite:{}", folder.join(DATABASE).display());
    SqlStore::open(&url, SqlOptions::default()).await.unwrap()
}

/// The work that is recorded.
async fn work(folder: &Path) {
    let mut store = open(folder).await;
    let mut world = TestFleet::new();
    for step in 0..BATCHES {
        store.commit(&mut next(&mut world, step)).await.unwrap();
        if let Some(message) = retained(step) {
            store.change_retained(&[RetainedChange::Keep(Arc::new(message))]).await.unwrap();
        }
        std::fs::write(folder.join(ACKNOWLEDGED), step.to_string()).unwrap();
        if step % 25 == 24 {
            store.maintain(world.now).await.unwrap();
        }
        if step == REOPENED {
            store.close().await;
            store = open(folder).await;
        }
    }
    store.close().await;
}

/// Has this test do its work in a process that is recorded, and gives the recorded steps.
fn recorded() -> Vec<FileAct> {
    let folder = tempfile::tempdir().unwrap();
    let (shim, record) = (folder.path().join("recorder.so"), folder.path().join("record"));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract/power/recorder.c");
    // The compiler that SQLite itself is built with.
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &source]).status();
    assert!(compiled.unwrap().success());
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = format!("{module}::what_was_acknowledged_outlives_a_loss_of_power");
    let worked = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env("LD_PRELOAD", &shim)
        .env("RECORD_TO", &record)
        .env(FOLDER, data.canonicalize().unwrap())
        .stdout(Stdio::null())
        .status();
    assert!(worked.unwrap().success());
    acts(&std::fs::read(record).unwrap())
}

/// The content of a store.
#[derive(PartialEq)]
struct StoreContents {
    /// The last event, device and message for one.
    last: (u64, i64, u64),
    events: Vec<(u64, Event)>,
    twins: Vec<Twin>,
    commands: Vec<CommandRecord>,
    outgoing: Vec<Outgoing>,
    readings: Vec<Vec<StoredReading>>,
}

async fn found(store: &dyn Store) -> StoreContents {
    let head = store.head().await.unwrap();
    let events = store.replay(0, u64::MAX, usize::MAX).await.unwrap().events;
    let twins = store.devices(&list()).await.unwrap().twins;
    let mut readings = Vec::new();
    for twin in &twins {
        readings.push(store.raw_history(&history(twin.number)).await.unwrap());
    }
    StoreContents {
        last: (head.seq, head.number, head.outgoing),
        events: events.iter().map(|recorded| (recorded.seq, recorded.event.clone())).collect(),
        twins,
        commands: store.commands(&commands()).await.unwrap().commands,
        outgoing: store.outgoing().await.unwrap(),
        readings,
    }
}

/// The content that is committed after each number of batches.
struct CommittedContents {
    batches: Vec<Batch>,
    after: BTreeMap<usize, StoreContents>,
}

impl CommittedContents {
    async fn after(&mut self, count: usize) -> &StoreContents {
        if !self.after.contains_key(&count) {
            let memory = MemoryStore::default();
            for batch in &self.batches[..count] {
                memory.commit(&mut batch.clone()).await.unwrap();
            }
            self.after.insert(count, found(&memory).await);
        }
        &self.after[&count]
    }

    /// Opens the store as it is found after the power was gone, when this many batches had been acknowledged.
    async fn check(&mut self, disk: &Disk, acknowledged: usize, unsynced: Unsynced, when: &str) {
        let folder = tempfile::tempdir().unwrap();
        disk.lay_out(folder.path(), unsynced);
        let store = open(folder.path()).await;
        let seq = store.head().await.unwrap().seq;
        let there = self.batches.iter().take_while(|batch| batch.events.last().unwrap().seq <= seq).count();
        assert!(there >= acknowledged, "{when}: {acknowledged} were acknowledged, and {there} are there");
        assert!(there <= acknowledged + 1, "{when}: {acknowledged} were acknowledged, and one was under way");
        let mut kept = store.retained().await.unwrap();
        kept.sort_by(|one, other| one.topic.cmp(&other.topic));
        let as_said = (acknowledged..=there).any(|batches| kept == all_retained(batches));
        assert!(as_said, "{when}: {kept:?} is retained");
        let alike = found(&*store).await == *self.after(there).await;
        assert!(alike, "{when}: other things are found than were committed");
        if let (Unsynced::Torn(_), Some(batch)) = (unsynced, self.batches.get(there)) {
            store.commit(&mut batch.clone()).await.unwrap();
            store.maintain(batch.at).await.unwrap();
            let alike = found(&*store).await == *self.after(there + 1).await;
            assert!(alike, "{when}: it does not go on as if nothing had been");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_loss_of_power() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return work(Path::new(&folder)).await;
    }
    let acts = recorded();
    let mut world = TestFleet::new();
    let batches = (0..BATCHES).map(|step| next(&mut world, step)).collect();
    let mut committed = CommittedContents { batches, after: BTreeMap::new() };
    let mut chance = Chance(13);
    let (mut disk, mut acknowledged) = (Disk::default(), 0);
    let first = acts.iter().position(|act| act.file == ACKNOWLEDGED).unwrap();
    let count = std::env::var(MORE_CUTS).map_or(CUTS, |count| count.parse().unwrap());
    let mut cuts: Vec<usize> = (0..count).map(|_| first + chance.next(acts.len() - first)).collect();
    let of_database = acts.iter().enumerate().skip(first).filter(|(_, act)| act.file == DATABASE);
    let of_database: Vec<usize> = of_database.map(|(n, _)| n).collect();
    assert!(
        of_database.len() > 200,
        "the log is written into the database: {} of {}",
        of_database.len(),
        acts.len()
    );
    cuts.extend(of_database.iter().step_by(of_database.len() / count));
    for (n, act) in acts.iter().enumerate() {
        match &act.what {
            FileActKind::Write { bytes, .. } if act.file == ACKNOWLEDGED => {
                let last: usize = std::str::from_utf8(bytes).unwrap().parse().unwrap();
                acknowledged = last + 1;
            }
            _ if act.file == ACKNOWLEDGED || act.file.ends_with("-shm") => {}
            _ => disk.take(act),
        }
        if cuts.contains(&n) {
            for unsynced in [Unsynced::Gone, Unsynced::Torn(n as u64), Unsynced::Kept] {
                let when = format!("after {n} of {} steps, {unsynced:?}", acts.len());
                committed.check(&disk, acknowledged, unsynced, &when).await;
            }
        }
    }
    assert_eq!(acknowledged, BATCHES);
}
