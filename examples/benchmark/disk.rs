//! The time that the disk alone takes: no commit is faster than that.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::report::{Aim, BenchmarkReport, at, millis};

/// As many writes as the percentiles need.
const WRITES: u32 = 500;
/// About what a commit of a few events writes.
const BYTES: usize = 8 * 1024;
/// Between two looks at a disk that others use: seldom enough not to be in their way.
const EVERY: Duration = Duration::from_millis(50);

/// The times of appending a little to a file in `dir` and making that durable with fdatasync.
pub fn alone(dir: &Path) -> Result<Vec<Duration>> {
    let mut file = File::create(dir.join("sync"))?;
    (0..WRITES).map(|_| write_and_sync(&mut file)).collect()
}

/// The same now and then, into `times`, until it is dropped.
pub async fn meanwhile(dir: &Path, times: &mut Vec<Duration>) -> Result<()> {
    let mut file = File::create(dir.join("sync-meanwhile"))?;
    loop {
        tokio::time::sleep(EVERY).await;
        let took;
        (took, file) = spawn_blocking(move || (write_and_sync(&mut file), file)).await?;
        times.push(took?);
    }
}

/// Adds the percentiles of such times to the report.
pub fn report(report: &mut BenchmarkReport, when: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for percent in [50, 99] {
        let name = format!("  write and fdatasync {when}, p{percent}");
        report.add(name, millis(at(&times, percent)), "ms", Aim::None);
    }
}

fn write_and_sync(file: &mut File) -> Result<Duration> {
    let began = Instant::now();
    file.write_all(&[0x5A; BYTES])?;
    file.sync_data()?;
    Ok(began.elapsed())
}
