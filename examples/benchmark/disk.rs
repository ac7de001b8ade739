//! What the disk alone takes: no commit is faster than that.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::{Aim, Report, at, millis};

/// As many writes as the percentiles need.
const WRITES: u32 = 500;
/// About what a commit of a few events writes.
const BYTES: usize = 8 * 1024;

/// The times of appending a little to a file in `dir` and making that durable with fdatasync.
pub fn syncs(dir: &Path) -> Result<Vec<Duration>> {
    let mut file = File::create(dir.join("sync"))?;
    let mut times = Vec::new();
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0x5A; BYTES])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Adds their percentiles to the report.
pub fn report(report: &mut Report, dir: &Path, beside: &str) -> Result<()> {
    let times = syncs(dir)?;
    for percent in [50, 99] {
        let name = format!("  write and fdatasync alone, {beside}, p{percent}");
        report.add(name, millis(at(&times, percent)), "ms", Aim::None);
    }
    Ok(())
}
