//! The machine: its clock, its disk, and the file handles that it gives.

use twinhub_domain::Timestamp;

use super::finding::Finding;
use crate::disk::{DiskSpace, LITTLE, TOO_LITTLE};

const CLOCK: &str = "clock";
const DISK: &str = "disk";
const HANDLES: &str = "file handles";
/// A clock that is so far behind what it said before was set back.
const SET_BACK_MS: i64 = 5_000;

/// The machine, as it was found.
#[derive(Clone, Debug, Default)]
pub struct MachineFacts {
    pub now: Timestamp,
    /// When the program's file was made.
    pub built_at: Option<Timestamp>,
    /// The time of the last thing that the hub has written.
    pub last_written: Option<Timestamp>,
    /// Whether a time server keeps the clock right; none where that cannot be seen.
    pub is_synchronized: Option<bool>,
    /// Where the data lie.
    pub disk: Option<DiskFacts>,
    pub handles: HandleFacts,
}

/// The disk with the data.
#[derive(Clone, Copy, Debug)]
pub struct DiskFacts {
    pub space: DiskSpace,
    /// The database's files, together.
    pub database_bytes: u64,
}

/// File handles.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandleFacts {
    pub limit: u64,
    /// MQTT clients that there are handles for, and that were asked for.
    pub mqtt: usize,
    pub mqtt_asked: usize,
}

/// Checks it.
pub fn check(facts: &MachineFacts) -> Vec<Finding> {
    let mut found = vec![check_clock(facts)];
    found.extend(facts.disk.as_ref().map(check_disk));
    found.push(check_handles(facts.handles));
    found
}

fn check_clock(facts: &MachineFacts) -> Finding {
    let MachineFacts { now, built_at, last_written, is_synchronized, .. } = facts;
    let set = "set it, and let a time server keep it right (systemd-timesyncd, chrony)";
    if built_at.is_some_and(|built| now < &built) {
        return Finding::fail(CLOCK, format!("it says {now}, and that is before this program was made"), set);
    }
    if let Some(last) = last_written.filter(|last| now.millis() + SET_BACK_MS < last.millis()) {
        let detail =
            format!("it says {now}, and the hub has written at {last} already: one of them is wrong");
        return Finding::fail(CLOCK, detail, set);
    }
    match is_synchronized {
        Some(true) => Finding::ok(CLOCK, format!("it says {now}, and a time server keeps it right")),
        Some(false) => {
            Finding::warn(CLOCK, format!("it says {now}, and no time server keeps it right yet"), set)
        }
        None => {
            Finding::ok(CLOCK, format!("it says {now}; whether a time server keeps it right is not seen"))
        }
    }
}

fn check_disk(disk: &DiskFacts) -> Finding {
    let DiskFacts { space: DiskSpace { free, total, free_files }, database_bytes } = *disk;
    let detail =
        format!("{} of {} are free, the database has {}", size(free), size(total), size(database_bytes));
    let remedy = "make room, or keep less: keep-readings, keep-runs, retention";
    if free_files == Some(0) {
        return Finding::fail(
            DISK,
            "no file can be made any more: the file system has no inodes left",
            "make room",
        );
    }
    match free {
        ..TOO_LITTLE => Finding::fail(DISK, detail, remedy),
        // A database that is compacted, or brought up to date, may need as much once more.
        free if free < LITTLE || free < database_bytes / 4 => Finding::warn(DISK, detail, remedy),
        _ => Finding::ok(DISK, detail),
    }
}

fn check_handles(HandleFacts { limit, mqtt, mqtt_asked }: HandleFacts) -> Finding {
    if mqtt < mqtt_asked {
        return Finding::warn(
            HANDLES,
            format!("{limit} are enough for {mqtt} MQTT clients, and mqtt-connections is {mqtt_asked}"),
            "raise the limit (ulimit -Hn, LimitNOFILE=65536)",
        );
    }
    Finding::ok(HANDLES, format!("{limit} are enough for {mqtt} MQTT clients"))
}

/// `1.5 GB`, `12 MB`.
fn size(bytes: u64) -> String {
    let (megabytes, tenths) = (bytes / 1_000_000, bytes / 100_000_000);
    if megabytes < 1_000 { format!("{megabytes} MB") } else { format!("{}.{} GB", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::testing::bad;

    const GB: u64 = 1_000_000_000;

    fn well() -> MachineFacts {
        MachineFacts {
            now: Timestamp::from_millis(1_800_000_000_000),
            built_at: Some(Timestamp::from_millis(1_700_000_000_000)),
            last_written: Some(Timestamp::from_millis(1_800_000_000_000 - 1)),
            is_synchronized: Some(true),
            disk: Some(DiskFacts {
                space: DiskSpace { free: 100 * GB, total: 200 * GB, free_files: Some(1_000) },
                database_bytes: GB,
            }),
            handles: HandleFacts { limit: 65_536, mqtt: 10_000, mqtt_asked: 10_000 },
        }
    }

    fn expect(facts: &MachineFacts, expected: &str) {
        let found = bad(&check(facts)).join("\n");
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}");
    }

    #[test]
    fn a_wrong_clock_is_found() {
        expect(&well(), "");
        expect(&MachineFacts { is_synchronized: None, last_written: None, built_at: None, ..well() }, "");
        let loose = MachineFacts { is_synchronized: Some(false), ..well() };
        expect(&loose, "warn  clock: it says 2027-01-15T08:00:00.000Z, and no time server");
        let early = MachineFacts { now: Timestamp::from_millis(1_000), ..well() };
        expect(&early, "fail  clock: it says 1970-01-01T00:00:01.000Z, and that is before this program");
        let back = MachineFacts { last_written: Some(well().now.plus_millis(5_001)), ..well() };
        expect(
            &back,
            "fail  clock: it says 2027-01-15T08:00:00.000Z, and the hub has written at 2027-01-15T08:00:05.001Z",
        );
        expect(&MachineFacts { last_written: Some(well().now.plus_millis(5_000)), ..well() }, "");
    }

    #[test]
    fn a_full_disk_is_found() {
        let with = |free, database_bytes, free_files| MachineFacts {
            disk: Some(DiskFacts { space: DiskSpace { free, total: 200 * GB, free_files }, database_bytes }),
            ..well()
        };
        expect(&with(2 * GB, 7 * GB, None), "");
        expect(
            &with(2 * GB, 9 * GB, None),
            "warn  disk: 2.0 GB of 200.0 GB are free, the database has 9.0 GB",
        );
        expect(&with(GB, GB, None), "warn  disk: 1.0 GB");
        expect(
            &with(60_000_000, GB, None),
            "fail  disk: 60 MB of 200.0 GB are free, the database has 1.0 GB",
        );
        expect(&with(100 * GB, GB, Some(0)), "fail  disk: no file can be made");
    }

    #[test]
    fn too_few_handles_are_found() {
        let handles = HandleFacts { limit: 1_024, mqtt: 500, mqtt_asked: 10_000 };
        expect(
            &MachineFacts { handles, ..well() },
            "warn  file handles: 1024 are enough for 500 MQTT clients, and",
        );
    }
}
