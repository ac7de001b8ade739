//! The disk, as `/health` tells of it.

use std::collections::BTreeMap;

use serde::Serialize;
use twinhub_domain::duration::duration_text;
use utoipa::ToSchema;

use crate::api::schema::words;
use crate::disk::DiskState;

/// The disk with the data.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DiskPart {
    /// `ok`; `filling`: room should be made, an alarm says how soon; or `full`.
    #[schema(value_type = words::DiskStatus)]
    status: &'static str,
    free_bytes: u64,
    total_bytes: u64,
    /// The time until it is full, at the pace of the last days. Null until the hub has run for six hours, and where that is far away.
    #[schema(example = "12d 4h")]
    full_in: Option<String>,
    /// The database with its log.
    database_bytes: u64,
    /// Firmware images.
    firmware_bytes: u64,
    /// The backups that the hub writes by itself.
    backup_bytes: u64,
    /// The parts of the database by kind: `readings`, `journal`, `events`, `commands`, `automation`, `alarms`, `audit`, `devices`
    /// and `others`. Counted about once an hour, of a large database less often.
    #[schema(value_type = BTreeMap<String, u64>)]
    database_kinds: BTreeMap<&'static str, u64>,
}

impl DiskPart {
    pub(super) fn of(state: DiskState) -> Self {
        let hours = |ms: i64| duration_text(ms / 3_600_000 * 3_600_000);
        Self {
            status: state.status(),
            free_bytes: state.space.free,
            total_bytes: state.space.total,
            full_in: state.full_in_ms.map(hours),
            database_bytes: state.files.database,
            firmware_bytes: state.files.firmware,
            backup_bytes: state.files.backups,
            database_kinds: state.kinds.into_iter().map(|(kind, bytes)| (kind.as_str(), bytes)).collect(),
        }
    }

    /// Can nothing be written any more?
    pub(super) fn is_full(&self) -> bool {
        self.status == "full"
    }
}
