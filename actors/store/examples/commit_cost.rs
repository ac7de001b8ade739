//! The cost of a commit of telemetry: by this store, by the same rows through sea-orm's pool (begin, insert, commit), and
//! by the least that there can be, one prepared statement on the calling thread.
//!
//! ```sh
//! cargo run --release -p twinhub-store --example commit_cost [folder] [commits]
//! ```
//! Each commit is durable (`synchronous=FULL`) before the next, in a folder of the system's for temporary files or the one
//! that is named: `/dev/shm` has no disk beneath it. The store's log is written into the database beside the commits;
//! the others leave that to SQLite, which does it within a commit.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait,
};
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Registration;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Input, Object, Recorded, Timestamp, Twin, payload};
use twinhub_store::layers::LayerCache;
use twinhub_store::{Batch, SqlOptions, SqlStore, Store, codec};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DEVICES: i64 = 1_000;
const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const COLUMNS: &str = "first_seq, last_seq, at, first_at, last_at, body";

/// The cost of commits.
#[derive(Default)]
struct Spent {
    walls: Vec<Duration>,
    cpu: Duration,
    switches: u64,
}

/// The cost of the process so far.
struct ProcessUsage {
    cpu: Duration,
    switches: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let folder = std::env::args().nth(1);
    let commits: u64 = std::env::args().nth(2).map_or(Ok(3_000), |text| text.parse())?;
    println!(
        "{:24} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "", "messages", "p50 µs", "p99 µs", "most µs", "CPU µs", "switches"
    );
    for messages in [1, 10, 100, 1_000] {
        let commits = (commits / if messages < 1_000 { 1 } else { 4 }).max(1);
        let dir = match &folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        through_store(&dir.path().join("store.db"), commits, messages).await?.print("this store", messages);
        through_pool(&dir.path().join("pool.db"), commits, messages).await?.print("sea-orm's pool", messages);
        bare(&dir.path().join("bare.db"), commits, messages)?.print("one bare statement", messages);
    }
    Ok(())
}

impl Spent {
    fn print(mut self, how: &str, messages: u64) {
        self.walls.sort_unstable();
        let commits = self.walls.len();
        let at = |share: usize| micros(self.walls[(commits * share / 1_000).min(commits - 1)]);
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let each = |total: f64| total / commits as f64;
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let switches = each(self.switches as f64);
        println!(
            "{how:24} {messages:>9} {:>8.0} {:>8.0} {:>8.0} {:>8.1} {switches:>9.2}",
            at(500),
            at(990),
            at(1_000),
            each(micros(self.cpu)),
        );
    }
}

impl ProcessUsage {
    /// Of all threads, from the system's account.
    fn now() -> Outcome<Self> {
        let (mut cpu, mut switches) = (0, 0);
        for task in std::fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            let ran = std::fs::read_to_string(task.join("schedstat"))?;
            cpu += ran.split(' ').next().map_or(Ok(0), str::parse)?;
            let status = std::fs::read_to_string(task.join("status"))?;
            let own = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            switches += own.map(|(_, count)| count.trim().parse::<u64>().unwrap_or_default()).sum::<u64>();
        }
        Ok(Self { cpu: Duration::from_nanos(cpu), switches })
    }

    fn since(&self) -> Outcome<(Duration, u64)> {
        let now = Self::now()?;
        Ok((now.cpu.saturating_sub(self.cpu), now.switches.saturating_sub(self.switches)))
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A thousand devices that tell three readings each in turn.
struct MeasuredFleet {
    twins: Vec<Twin>,
    told: u64,
}

impl MeasuredFleet {
    fn new() -> Outcome<Self> {
        let now = Timestamp::from_millis(START);
        let twin = |n: i64| Ok(Twin::new(DeviceId::parse(&format!("device-{n}"))?, DeviceNumber(n), now));
        let twins: Outcome<Vec<Twin>> = (1..=DEVICES).map(twin).collect();
        Ok(Self { twins: twins?, told: 0 })
    }

    fn registered(&mut self) -> Outcome<Batch> {
        let now = Timestamp::from_millis(START);
        let (mut events, mut twins) = (Vec::new(), Vec::new());
        for twin in &mut self.twins {
            let registration = Registration { patch: Object::default() };
            let outcome = twin.apply(Input::Register(Box::new(registration)), now, &Cause::hub());
            for event in outcome.map_err(|error| format!("{error:?}"))?.events {
                events.push(Arc::new(Recorded::new(events.len() as u64 + 1, event)));
            }
            twins.push((events.len() as u64, twin.clone()));
        }
        Ok(Batch { events: events.into(), twins, ..Batch::empty(now) })
    }

    /// The events of a commit.
    fn told(&mut self, messages: u64) -> Outcome<Arc<[Arc<Recorded>]>> {
        let mut events = Vec::new();
        for _ in 0..messages {
            self.told += 1;
            let told = i64::try_from(self.told)?;
            let place = usize::try_from(told % DEVICES)?;
            let now = Timestamp::from_millis(START + told);
            let tenths = told.wrapping_mul(0x9e37) % 97;
            let payload = format!(
                r#"{{"temperature": 2{}.{}, "humidity": 55.{}, "pressure": 1013.25}}"#,
                tenths / 10,
                tenths % 10,
                told % 10
            );
            let telemetry = payload::telemetry(payload.as_bytes()).map_err(|error| format!("{error:?}"))?;
            let cause = Cause::new(Source::Mqtt, &format!("iot/devices/device-{}/data", place + 1));
            let outcome = self.twins[place].apply(Input::Telemetry(telemetry), now, &cause);
            for event in outcome.map_err(|error| format!("{error:?}"))?.events {
                events.push(Arc::new(Recorded::new(events.len() as u64 + 1, event)));
            }
        }
        Ok(events.into())
    }
}

async fn through_store(path: &Path, commits: u64, messages: u64) -> Outcome<Spent> {
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), SqlOptions::default()).await?;
    let mut fleet = MeasuredFleet::new()?;
    store.commit(&mut fleet.registered()?).await?;
    let mut spent = Spent::default();
    for _ in 0..commits {
        let at = Timestamp::from_millis(START);
        let mut batch = Batch { events: fleet.told(messages)?, ..Batch::empty(at) };
        let before = ProcessUsage::now()?;
        let began = Instant::now();
        store.commit(&mut batch).await?;
        spent.walls.push(began.elapsed());
        spent.add(&before)?;
    }
    store.close().await;
    Ok(spent)
}

impl Spent {
    fn add(&mut self, before: &ProcessUsage) -> Outcome<()> {
        let (cpu, switches) = before.since()?;
        self.cpu += cpu;
        self.switches += switches;
        Ok(())
    }
}

/// As the store did it before it had a thread of its own for commits.
async fn through_pool(path: &Path, commits: u64, messages: u64) -> Outcome<Spent> {
    let mut options = ConnectOptions::new(format!("sqlite:{}", path.display()));
    options.max_connections(1).test_before_acquire(false).sqlx_logging(false).map_sqlx_sqlite_opts(
        |sqlite| {
            sqlite
                .create_if_missing(true)
                .page_size(8_192)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
        },
    );
    let pool: DatabaseConnection = Database::connect(options).await?;
    pool.execute_unprepared(&table()).await?;
    let sql = format!("INSERT INTO journal ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)");
    let mut fleet = MeasuredFleet::new()?;
    fleet.registered()?;
    let mut spent = Spent::default();
    for commit in 0..commits {
        let events = fleet.told(messages)?;
        let before = ProcessUsage::now()?;
        let began = Instant::now();
        let body = codec::encode(events.iter().map(|event| &**event), &LayerCache::default());
        let first = i64::try_from(commit * messages + 1)?;
        let last = first + i64::try_from(messages)? - 1;
        let values = [first.into(), last.into(), START.into(), START.into(), START.into(), body.into()];
        let transaction = pool.begin().await?;
        transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, &sql, values)).await?;
        transaction.commit().await?;
        spent.walls.push(began.elapsed());
        spent.add(&before)?;
    }
    pool.close().await?;
    Ok(spent)
}

fn bare(path: &Path, commits: u64, messages: u64) -> Outcome<Spent> {
    let sql = Connection::open(path)?;
    sql.pragma_update(None, "page_size", 8_192)?;
    sql.pragma_update(None, "journal_mode", "WAL")?;
    sql.pragma_update(None, "synchronous", "FULL")?;
    sql.execute_batch(&table())?;
    let mut insert = sql.prepare(&format!("INSERT INTO journal ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"))?;
    let mut fleet = MeasuredFleet::new()?;
    fleet.registered()?;
    let mut spent = Spent::default();
    for commit in 0..commits {
        let events = fleet.told(messages)?;
        let before = ProcessUsage::now()?;
        let began = Instant::now();
        let body = codec::encode(events.iter().map(|event| &**event), &LayerCache::default());
        let first = i64::try_from(commit * messages + 1)?;
        insert.execute(params![first, first + i64::try_from(messages)? - 1, START, START, START, body])?;
        spent.walls.push(began.elapsed());
        spent.add(&before)?;
    }
    Ok(spent)
}

/// The journal's, as the migrations make it.
fn table() -> String {
    format!("CREATE TABLE journal ({})", COLUMNS.replace("first_seq", "first_seq INTEGER PRIMARY KEY"))
}
