//! Shapes of jobs over many devices.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::schema::Object;
use crate::api::schema::words::{JobDeviceState, JobKind, JobStatus};

/// A dry run.
#[derive(ToSchema)]
pub struct BulkPreview {
    dry_run: bool,
    kind: JobKind,
    /// How many devices it would be done to.
    total: u64,
    /// The first ten.
    first: Vec<BulkPreviewItem>,
    /// Ids that are no device's.
    unknown: Vec<String>,
    /// Where the filter names what no device has.
    #[schema(nullable = false)]
    warnings: Option<Vec<QueryWarningItem>>,
}

/// What is allowed, and probably not what was meant.
#[derive(ToSchema)]
pub struct QueryWarningItem {
    /// `unknown_name`: no device has what is named; `quotes_missing`: nor this, which stands where a text may.
    #[schema(example = "unknown_name")]
    code: String,
    /// `filter` or `sort`.
    #[schema(example = "filter")]
    field: String,
    #[schema(example = "no device reports `batery`; did you mean `battery`?")]
    detail: String,
}

/// A device that something would be done to.
#[derive(ToSchema)]
pub struct BulkPreviewItem {
    id: String,
    device_id: String,
    name: String,
    /// What would change, as a merge patch onto the twin; empty where all is so already.
    #[schema(example = json!({"desired": {"power": "on"}}))]
    change: Object,
}

/// A job.
#[derive(ToSchema)]
pub struct JobItem {
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    id: String,
    kind: JobKind,
    #[schema(example = json!({"desired": {"power": "on"}}))]
    action: Object,
    description: String,
    /// Who made it: `user:ann`, or the door: `rest`.
    by: String,
    /// `failed`: nothing was done (no device matched), or a roll-out was broken off because too many of its devices
    /// failed; `reason` says which.
    status: JobStatus,
    reason: Option<String>,
    /// How many devices it is for.
    total: u64,
    /// How many are in which state: `{"queued": 900, "done": 98, "failed": 2}`.
    counts: BTreeMap<String, u64>,
    /// With how many of a hundred it has come to an end, well or not.
    percent: u8,
    /// Devices a second at most; null: as fast as it goes.
    rate: Option<f64>,
    /// Devices a second that it has come to its end with lately.
    devices_per_second: Option<f64>,
    /// When it will be done at this speed.
    #[schema(format = DateTime)]
    eta: Option<String>,
    /// 1, and one more with each retry.
    round: u32,
    /// Of a roll-out: the stage that it is in, from 1.
    stage: Option<u32>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Told when it is made: ids that are no device's, where there are some.
    #[schema(nullable = false)]
    unknown: Option<Vec<String>>,
    /// Told when it is made: where the filter names what no device has.
    #[schema(nullable = false)]
    warnings: Option<Vec<QueryWarningItem>>,
}

/// A device of a job.
#[derive(ToSchema)]
pub struct JobDeviceItem {
    #[schema(example = "pump-1")]
    device_id: String,
    state: JobDeviceState,
    /// Why it failed, was left out, or is held while a roll-out is paused.
    #[schema(example = "there is no device `pump-1`")]
    reason: Option<String>,
    /// How far the device has come by its own word.
    percent: Option<u8>,
    /// The command that it has to carry out.
    command_id: Option<String>,
    #[schema(format = DateTime)]
    at: String,
}

/// A removal's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobRemoved {
    pub id: String,
    pub deleted: bool,
}

/// Which jobs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobListing {
    /// `preparing`, `running`, `paused`, `done`, `canceled` or `failed`; one or several, parted by commas.
    status: Option<String>,
    /// `desired`, `command`, `mode`, `tags`, `configuration`, `group`, `template`, `refresh`, `delete` or `firmware`; one
    /// or several, parted by commas.
    kind: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
