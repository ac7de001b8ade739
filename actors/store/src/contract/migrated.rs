//! A database that an earlier version has made: everything in it stays.

use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use twinhub_migrations::{Migrator, MigratorTrait};

use super::query_dump::dump_all;
use super::random::broken_off;
use super::samples;
use super::support::*;
use crate::layers::LayerCache;
use crate::{
    AuditQuery, AuditStore as _, DeviceQuery, DeviceSort, RunQuery, SqlOptions, SqlStore, Store,
    UserStore as _, UserWrite,
};
use crate::{codec, history};
use twinhub_domain::fleet::Lifecycle;
use twinhub_domain::run::RunEntry;
use twinhub_domain::{DeviceNumber, Json, Outgoing, Status};

/// The tables before there were commands, and their columns.
const BEFORE_COMMANDS: [(&str, &str); 9] = [
    ("journal", "first_seq, last_seq, at, first_at, last_at, body"),
    ("outbox", "id, topic, payload, retain"),
    ("meta", "name, value"),
    ("twins", "number, seq, ordered_seq, state"),
    (
        "devices",
        "number, id, serial_number, name, type, group_id, status, mode, claimed, last_seen, created_at, \
         updated_at, search",
    ),
    ("tags", "device, name, value"),
    ("tombstones", "device, seq"),
    ("chunks", "device, first_at, first_seq, last_at, last_seq, count, body"),
    ("events", "seq, device, kind, at, body"),
];
/// Members that a twin's state did not have then.
const NOT_YET_SAID: [&str; 3] = ["rhythm", "line", "unmet"];

#[tokio::test]
async fn what_was_there_before_commands_stays() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.register(
        "pump",
        r#"{"name": "room 10", "token_hash": "ab12", "tags": {"floor": 2}, "desired": {"power": "on"}}"#,
    );
    world.tell("pump", r#"{"t": 23.50}"#);
    world.tell("gone", r#"{"t": 1}"#);
    world.presence("fan", true);
    world.register("new", "{\"name\": \"room 2 Bu\u{308}ro\"}");
    world.send("iot/devices/pump/desired");
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    world.remove("gone");
    world.tell("pump", r#"{"t": 24}"#);
    fixture.commit(&mut world.batch()).await;

    let old = fixture.path().with_file_name("old.db");
    let url = format!("sqlite:{}?mode=rwc", old.display());
    let before = Database::connect(&url).await.unwrap();
    Migrator::up(&before, Some(3)).await.unwrap();
    before.close().await.unwrap();
    copy(&fixture.path(), &old);

    for _ in 0..2 {
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let (new, old) = (store.head().await.unwrap(), fixture.store.head().await.unwrap());
        assert_eq!((new.seq, new.number, new.outgoing), (old.seq, old.number, old.outgoing));
        let mut twins = store.devices(&list()).await.unwrap().twins;
        assert_eq!(twins.len(), 3);
        let provisioned = DeviceQuery { lifecycle: vec![Lifecycle::Provisioned], ..list() };
        assert_eq!(store.devices(&provisioned).await.unwrap().twins[0].id.as_str(), "new");
        let active = DeviceQuery { lifecycle: vec![Lifecycle::Active], ..list() };
        assert_eq!(store.devices(&active).await.unwrap().total, 2);
        assert_eq!((twins[0].presence.status, twins[0].intake.messages), (Status::Online, 2));
        assert_eq!(twins.remove(0).reported, world.twins["pump"].reported);
        let tagged = DeviceQuery { tags: vec![("floor".into(), "2".into())], ..list() };
        assert_eq!(store.devices(&tagged).await.unwrap().total, 1);
        let readings = store.raw_history(&history(world.number("pump"))).await.unwrap();
        let told: Vec<String> = readings.iter().map(|reading| reading.value.to_string()).collect();
        assert_eq!(told, ["23.50", "24"]);
        let replayed = store.replay(0, u64::MAX, 999).await.unwrap().events;
        assert_eq!(seqs(&replayed), seqs(&fixture.store.replay(0, u64::MAX, 999).await.unwrap().events));
        let without_purpose = |message| Outgoing { purpose: None, ..message };
        let kept = fixture.store.outgoing().await.unwrap().into_iter().map(without_purpose);
        assert_eq!(store.outgoing().await.unwrap(), kept.collect::<Vec<_>>());
        assert_eq!(store.commands(&commands()).await.unwrap().total, 0);
        assert_eq!(store.find_token("ab12").await.unwrap().unwrap().as_str(), "pump");
        let by_name = DeviceQuery { sort: DeviceSort::Name, ..list() };
        let names: Vec<String> = store
            .devices(&by_name)
            .await
            .unwrap()
            .twins
            .iter()
            .map(|twin| twin.display_name().into())
            .collect();
        assert_eq!(names, ["fan", "room 2 Bu\u{308}ro", "room 10"]);
        let found = DeviceQuery { q: Some("b\u{fc}ro".into()), ..list() };
        assert_eq!(store.devices(&found).await.unwrap().total, 1, "it was stored as it was typed");
        assert_eq!(store.deadlines(DeviceNumber(0), 9).await.unwrap(), [], "nothing is known to wait yet");
    }

    // With the next message its row is as any other.
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    world.tell("pump", r#"{"t": 25}"#);
    store.commit(&mut world.batch()).await.unwrap();
    store.maintain(world.now).await.unwrap();
    let waiting = store.deadlines(DeviceNumber(0), 9).await.unwrap();
    let numbers: Vec<DeviceNumber> = waiting.iter().map(|deadline| deadline.number).collect();
    assert_eq!(numbers, [world.number("pump")]);
}

/// The text of a database that an old program left: nothing of today's program makes it.
const FROZEN: &str = include_str!("migrated/before_commands.sql");

#[tokio::test]
async fn a_frozen_database_is_migrated_and_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("frozen.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(FROZEN).unwrap();
    let url = format!("sqlite:{}", path.display());
    for _ in 0..2 {
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let head = store.head().await.unwrap();
        assert_eq!((head.seq, head.number, head.outgoing), (11, 4, 1));
        let twins = store.devices(&list()).await.unwrap().twins;
        let told: Vec<_> =
            twins.iter().map(|twin| (twin.id.as_str(), twin.presence.status, twin.intake.messages)).collect();
        let expected = [("pump", Status::Online, 2), ("fan", Status::Online, 0), ("new", Status::Offline, 0)];
        assert_eq!(told, expected);
        let pump = &twins[0];
        assert_eq!(pump.display_name(), "room 10");
        assert_eq!(pump.reported.get("t").unwrap().value.to_string(), "24", "also what came last");
        assert_eq!(pump.desired.get("power").unwrap().value, Json::from("on"));
        assert_eq!(pump.setup.tags.get("floor"), Some(&Json::from(2)));
        assert_eq!(store.find_token("ab12").await.unwrap().unwrap().as_str(), "pump");
        let readings = store.raw_history(&history(pump.number)).await.unwrap();
        let told: Vec<String> = readings.iter().map(|reading| reading.value.to_string()).collect();
        assert_eq!(told, ["23.50", "24"]);
        let events = store.replay(0, u64::MAX, 999).await.unwrap().events;
        assert_eq!(seqs(&events), [1, 2, 3, 7, 8, 9, 10, 11], "a removed device's past goes with it");
        assert_eq!(events[6].event.device.as_str(), "gone", "and that it was removed stays");
        let waiting = store.outgoing().await.unwrap();
        assert_eq!(
            (waiting.len(), &*waiting[0].topic, waiting[0].retain),
            (1, "iot/devices/pump/desired", true)
        );
        let offline = DeviceQuery { status: vec![Status::Offline], ..list() };
        assert_eq!(store.devices(&offline).await.unwrap().total, 1, "whoever was never heard was `unknown`");
        let provisioned = DeviceQuery { lifecycle: vec![Lifecycle::Provisioned], ..list() };
        assert_eq!(store.devices(&provisioned).await.unwrap().total, 1);
        let found = DeviceQuery { q: Some("b\u{fc}ro".into()), ..list() };
        assert_eq!(store.devices(&found).await.unwrap().total, 1, "it was stored as it was typed");
        store.maintain(head.at.unwrap()).await.unwrap();
        assert_eq!(store.users().await.unwrap(), []);
        assert_eq!(store.audit(&AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap().records, []);
    }
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    let ann = samples::user(1, "ann");
    assert_eq!(store.put_user(&ann, &[]).await.unwrap(), UserWrite::Done);
    assert_eq!(store.users().await.unwrap(), [ann]);
}

/// The last step before there were users.
const BEFORE_ACCESS: u32 = 10;

#[tokio::test]
async fn a_database_from_before_there_were_users_takes_them() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("old.db").display());
    let before = Database::connect(&url).await.unwrap();
    Migrator::up(&before, Some(BEFORE_ACCESS)).await.unwrap();
    assert!(!Migrator::get_pending_migrations(&before).await.unwrap().is_empty());
    before.close().await.unwrap();
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    assert_eq!(store.users().await.unwrap(), []);
    let entry = samples::entry(1, "user:ann", twinhub_access::Action::UserCreated);
    assert_eq!(store.put_user(&samples::user(1, "ann"), &[entry]).await.unwrap(), UserWrite::Done);
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    assert_eq!(store.users().await.unwrap(), [samples::user(1, "ann")]);
    let page = store.audit(&AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(page.records.len(), 1);
}

/// The last step before runs were counted.
const BEFORE_RUN_SEQ: u32 = 11;

/// The runs that are there keep their order, by their time and then by their id, and new ones stand behind them.
#[tokio::test]
async fn runs_from_before_they_were_counted_stand_in_their_order() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("old.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let before = Database::connect(&url).await.unwrap();
    Migrator::up(&before, Some(BEFORE_RUN_SEQ)).await.unwrap();
    before.close().await.unwrap();
    let mut world = TestFleet::new();
    world.register("a", "{}");
    let a = ("a", world.number("a"));
    let run = |n| samples::run(n, "cool", Some(a));
    let at_once = |n| RunEntry { at: samples::after_noon(5), last_at: samples::after_noon(5), ..run(n) };
    {
        let sql = rusqlite::Connection::open(&path).unwrap();
        for entry in [at_once(9), at_once(3), run(2), run(7)] {
            let id = entry.id.0.as_bytes().to_vec();
            let (began, body) = (entry.at.millis(), serde_json::to_string(&entry).unwrap());
            let insert = "INSERT INTO runs (id, rule, device, began, last_at, outcome, telling, body) \
                          VALUES (?1, 'cool', ?2, ?3, ?3, 'done', 1, ?4)";
            sql.execute(insert, rusqlite::params![id, a.1.0, began, body]).unwrap();
            let part = "INSERT INTO run_devices (run, device, began) VALUES (?1, ?2, ?3)";
            sql.execute(part, rusqlite::params![id, a.1.0, began]).unwrap();
        }
    }
    let mut expected = vec![2, 3, 9, 7];
    let mut store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    for late in [None, Some(1)] {
        if let Some(late) = late {
            world.automation.runs = vec![at_once(late)];
            store.commit(&mut world.batch()).await.unwrap();
            expected.insert(3, late);
        }
        for _ in 0..2 {
            for device in [None, Some(a.1)] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let query = RunQuery { device, after, limit: 1, ..samples::runs() };
                    let page = store.runs(&query).await.unwrap();
                    found.extend(page.runs.iter().map(|entry| entry.id));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(
                    found,
                    expected.iter().map(|n| samples::run_id(u128::from(*n))).collect::<Vec<_>>()
                );
            }
            store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn types_and_tags_from_before_they_stood_in_one_form_are_found() {
    let fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    let typed =
        "{\"type\": \"Ku\u{308}hler\", \"tags\": {\"ho\u{308}he\": \"Bu\u{308}ro\", \"plain\": \"a\"}}";
    world.register("one", typed);
    world.register("two", r#"{"type": "plain", "tags": {"plain": "a"}}"#);
    fixture.commit(&mut world.batch()).await;
    fixture.store.maintain(world.now).await.unwrap();
    let old = fixture.path().with_file_name("old.db");
    {
        // As it was stored then, which only the last steps know differently.
        let sql = rusqlite::Connection::open(fixture.path()).unwrap();
        sql.execute("VACUUM INTO ?1", [old.to_str().unwrap()]).unwrap();
        let sql = rusqlite::Connection::open(&old).unwrap();
        sql.execute("UPDATE devices SET type = ?1 WHERE id = 'one'", ["Ku\u{308}hler"]).unwrap();
        let both = ["ho\u{308}he", "Bu\u{308}ro"];
        sql.execute("UPDATE tags SET name = ?1, value = ?2 WHERE name <> 'plain'", both).unwrap();
        // A name that was typed in both forms.
        let twice =
            "INSERT INTO tags (device, name, value) SELECT number, ?1, 'other' FROM devices WHERE id = 'one'";
        sql.execute(twice, ["h\u{f6}he"]).unwrap();
    }
    let url = format!("sqlite:{}", old.display());
    let before = Database::connect(&url).await.unwrap();
    before.execute_unprepared("DELETE FROM seaql_migrations WHERE version = 'm0013_composed'").await.unwrap();
    assert_eq!(Migrator::get_pending_migrations(&before).await.unwrap().len(), 1);
    before.close().await.unwrap();
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    let found = async |query: DeviceQuery| {
        let twins = store.devices(&query).await.unwrap().twins;
        twins.iter().map(|twin| twin.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    let tagged = |name: &str, value: &str| DeviceQuery { tags: vec![(name.into(), value.into())], ..list() };
    assert_eq!(found(DeviceQuery { device_type: Some("K\u{fc}hler".into()), ..list() }).await, ["one"]);
    assert_eq!(found(tagged("h\u{f6}he", "B\u{fc}ro")).await, ["one"]);
    assert_eq!(found(tagged("h\u{f6}he", "other")).await, [""; 0]);
    assert_eq!(found(tagged("plain", "a")).await, ["one", "two"]);
}

/// Fills an old database with the rows of an old program.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let sql = rusqlite::Connection::open(to).unwrap();
    sql.execute("ATTACH ?1 AS new", [from.to_str().unwrap()]).unwrap();
    for (table, columns) in BEFORE_COMMANDS {
        let copy = format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}");
        sql.execute(&copy, []).unwrap();
    }
    old_chunks(&sql);
    // The texts that a search looked into were as they were typed.
    sql.execute("UPDATE devices SET search = replace(search, '\u{fc}', 'u\u{308}')", []).unwrap();
    for name in NOT_YET_SAID {
        sql.execute("UPDATE twins SET state = json_remove(state, '$.' || ?1)", [name]).unwrap();
    }
}

/// Makes chunks as they were written row by row, of the pieces and chunks in `new`.
fn old_chunks(sql: &rusqlite::Connection) {
    sql.execute("DELETE FROM main.chunks", []).unwrap();
    sql.execute("DELETE FROM main.meta WHERE name = 'sealed_device'", []).unwrap();
    let columns = "device, first_at, first_seq, last_at, last_seq, count";
    let all =
        format!("SELECT {columns}, body FROM new.pieces UNION ALL SELECT {columns}, sealed FROM new.chunks");
    let mut rows = sql.prepare(&all).unwrap();
    let mut rows = rows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let numbers: Vec<i64> = (0..6).map(|n| row.get(n).unwrap()).collect();
        let messages = history::decode_chunk(&row.get::<_, Vec<u8>>(6).unwrap()).unwrap();
        let body = codec::encode(&messages, &LayerCache::default());
        let insert = format!("INSERT INTO main.chunks ({columns}, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        let [device, first_at, first_seq, last_at, last_seq, count] = numbers[..] else { panic!() };
        sql.execute(&insert, rusqlite::params![device, first_at, first_seq, last_at, last_seq, count, body])
            .unwrap();
    }
}

/// The last step before there were pieces.
const BEFORE_PIECES: u32 = 17;

/// Chunks that an earlier version wrote are read as they are, and are written anew behind, however often that is broken
/// off.
#[tokio::test]
async fn chunks_from_before_there_were_pieces_are_written_anew_and_answer_the_same() {
    let fixture = Fixture::sql().await;
    let memory = Fixture::memory();
    let mut world = TestFleet::new();
    for round in 0..70i64 {
        world.wait(2_100_000);
        for device in ["a", "b", "gone"] {
            let late = if round % 9 == 5 { 90_000_000 } else { 0 };
            let at = world.now.millis() - late;
            world.tell_believed(device, &format!(r#"{{"t": {round}.50, "on": true, "timestamp": {at}}}"#));
        }
        let mut batch = world.batch();
        fixture.commit(&mut batch).await;
        memory.commit(&mut batch).await;
        fixture.store.maintain(world.now).await.unwrap();
    }
    let old = fixture.path().with_file_name("old.db");
    let url = format!("sqlite:{}?mode=rwc", old.display());
    let before = Database::connect(&url).await.unwrap();
    Migrator::up(&before, Some(BEFORE_PIECES)).await.unwrap();
    before.close().await.unwrap();
    copy_all(&fixture.path(), &old);

    let devices: Vec<_> = ["a", "b"].into_iter().map(|id| (id.to_owned(), world.number(id))).collect();
    let left = || -> i64 {
        let sql = rusqlite::Connection::open(&old).unwrap();
        sql.query_row("SELECT count(*) FROM chunks WHERE sealed IS NULL", [], |row| row.get(0)).unwrap()
    };
    let now = world.now.plus_millis(86_400_000);
    world.remove("gone");
    let mut removal = world.batch();
    memory.commit(&mut removal).await;
    let expected = dump_all(&*memory.store, &devices, now).await;
    let mut found = vec![];
    for polls in (0..64).map(|n| n * 4) {
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        found.push(left());
        if polls == 0 {
            store.commit(&mut removal).await.unwrap();
        }
        assert_eq!(dump_all(&*store, &devices, now).await, expected, "{found:?}");
        broken_off(store.maintain(now), polls).await;
        assert_eq!(dump_all(&*store, &devices, now).await, expected, "{found:?}, after {polls} polls");
        store.close().await;
        found.push(left());
    }
    assert!(found[0] > 60 && found.is_sorted_by(|one, next| one >= next), "none comes back: {found:?}");
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    store.maintain(now).await.unwrap();
    assert_eq!(left(), 0);
    assert_eq!(dump_all(&*store, &devices, now).await, expected);
}

/// Fills a database with the rows of another, as far as it has tables and columns for them.
fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let sql = rusqlite::Connection::open(to).unwrap();
    sql.execute("ATTACH ?1 AS new", [from.to_str().unwrap()]).unwrap();
    let list = |asked: &str| -> Vec<String> {
        let mut rows = sql.prepare(asked).unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'seaql%'";
    for table in list(tables) {
        let columns = list(&format!("SELECT name FROM pragma_table_info('{table}', 'main')"));
        let columns: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        let columns = columns.join(", ");
        let copy = format!(
            "INSERT OR REPLACE INTO main.\"{table}\" ({columns}) SELECT {columns} FROM new.\"{table}\""
        );
        sql.execute(&copy, []).unwrap();
    }
    old_chunks(&sql);
}
