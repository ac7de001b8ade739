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
    /// The number of devices that it would be done to.
    total: u64,
    /// The first ten.
    first: Vec<BulkPreviewItem>,
    /// Ids that are no device's.
    unknown: Vec<String>,
    /// Where the filter names what no device has.
    #[schema(nullable = false)]
    warnings: Option<Vec<QueryWarningItem>>,
}

/// A warning of something that is allowed, and probably not what was meant.
#[derive(ToSchema)]
pub struct QueryWarningItem {
    /// `unknown_name`: no device has what is named; `quotes_missing`: nor this, which is where a text may be.
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
    /// The change, as a merge patch onto the twin; empty where all is so already.
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
    /// The user who made it, `user:ann`, or the source: `rest`.
    by: String,
    /// `failed`: nothing was done (no device matched), or a roll-out was broken off because too many of its devices
    /// failed; `reason` says which.
    status: JobStatus,
    reason: Option<String>,
    /// The number of devices that it is for.
    total: u64,
    /// The number of devices by state: `{"queued": 900, "done": 98, "failed": 2}`.
    counts: BTreeMap<String, u64>,
    /// The share of devices that it has come to an end with, well or not, in percent.
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
    /// The reason why it failed, was left out, or is held while a roll-out is paused.
    #[schema(example = "there is no device `pump-1`")]
    reason: Option<String>,
    /// The progress of the device in percent, as it reports it.
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

/// A query for jobs.
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
