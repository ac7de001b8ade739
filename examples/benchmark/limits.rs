//! The limits of the machine, measured in the same run: what a commit costs that is nothing but one row into SQLite, in
//! memory and on disk, and what fdatasync alone takes. No hub that commits each message can be faster.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use crate::Bench;
use crate::disk;
use crate::report::{Aim, BenchmarkReport, at, millis};

/// About what the journal has of a message with three readings.
const BODY: [u8; 120] = [0x5A; 120];
/// Commits in a measurement end after so many, or after [`LONGEST`].
const COMMITS: u32 = 20_000;
const LONGEST: Duration = Duration::from_millis(500);

/// Times in microseconds.
#[derive(Clone, Copy)]
pub struct MachineLimits {
    /// The mean of a commit of one row, the store in memory; none where there is no memory file system.
    pub commit_in_memory: Option<f64>,
    pub commit_on_disk: f64,
    /// The median of writing a little and fdatasync.
    pub sync: f64,
}

impl MachineLimits {
    /// Measures and reports them.
    pub async fn measure(bench: &Bench, report: &mut BenchmarkReport) -> Result<Self> {
        let (memory, disk) = (bench.memory_dir()?, bench.disk_dir()?);
        let measured = spawn_blocking(move || {
            let commit_in_memory = memory.map(|dir| autocommit(dir.path())).transpose()?;
            let commit_on_disk = autocommit(disk.path())?;
            let mut syncs = disk::alone(disk.path())?;
            syncs.sort_unstable();
            anyhow::Ok(Self { commit_in_memory, commit_on_disk, sync: millis(at(&syncs, 50)) * 1_000.0 })
        });
        let limits = measured.await??;
        let rows = [
            ("limit: one row into SQLite, committed, in memory", limits.commit_in_memory),
            ("limit: one row into SQLite, committed, on disk", Some(limits.commit_on_disk)),
            ("limit: write and fdatasync on disk", Some(limits.sync)),
        ];
        for (name, micros) in rows {
            let Some(micros) = micros else { continue };
            report.add(name, micros, "µs", Aim::None);
            report.add(format!("  {name}"), 1e6 / micros, "/s", Aim::None);
        }
        Ok(limits)
    }

    /// The time of a bare commit there, in µs; none where it was not measured.
    pub fn commit(&self, in_memory: bool) -> Option<f64> {
        if in_memory { self.commit_in_memory } else { Some(self.commit_on_disk) }
    }
}

/// The mean time of a commit of one row by a prepared statement, in µs.
fn autocommit(dir: &Path) -> Result<f64> {
    let database = Connection::open(dir.join("limit.db"))?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.execute_batch("CREATE TABLE journal (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let mut insert = database.prepare("INSERT INTO journal VALUES (?, ?)")?;
    let began = Instant::now();
    let done = (1..=COMMITS).find_map(|seq| match insert.execute((seq, BODY)) {
        Ok(_) => (seq == COMMITS || began.elapsed() > LONGEST).then_some(Ok(seq)),
        Err(error) => Some(Err(error)),
    });
    let done = done.context("there is a last one")??;
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(done))
}
