//! Shapes of firmware and of what becomes of it, and of a device's life.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::jobs::schema::QueryWarning;
use crate::api::schema::Object;
use crate::api::schema::words::{FirmwareState, Lifecycle};

/// What a device runs, and how far it has come with what it is to run.
#[derive(ToSchema)]
pub struct DeviceFirmware {
    /// What it runs by its own word.
    #[schema(example = "1.4.2")]
    version: Option<String>,
    /// What it is to come to, or was last; left out with all that follows where there never was anything.
    #[schema(nullable = false)]
    target: Option<String>,
    #[schema(nullable = false)]
    state: Option<FirmwareState>,
    /// How far it has come within the state.
    #[schema(default = json!(null))]
    percent: Option<u8>,
    /// When it came to the state.
    #[schema(format = DateTime, nullable = false)]
    at: Option<String>,
    /// Why it failed.
    #[schema(default = json!(null))]
    reason: Option<String>,
    /// The image's id.
    #[schema(nullable = false)]
    image: Option<String>,
    /// The roll-out's id.
    #[schema(default = json!(null))]
    job: Option<String>,
}

/// Where a device stands in its life.
#[derive(ToSchema)]
pub struct DeviceLifecycle {
    device_id: String,
    lifecycle: Lifecycle,
    version: u64,
}

/// Where a device is to stand in its life.
#[derive(ToSchema)]
#[schema(example = json!({"state": "suspended", "reason": "it floods us"}))]
pub struct NewLifecycle {
    /// `active`, `suspended` or `retired`; from `retired` there is no way back.
    state: String,
    reason: Option<String>,
}

/// A firmware image.
#[derive(ToSchema)]
pub struct FirmwareItem {
    id: String,
    #[schema(example = "1.5.0")]
    version: String,
    /// The models that it is for, as devices say theirs; `*` in one stands for anything.
    models: Vec<String>,
    /// Where devices get it.
    url: String,
    sha256: String,
    /// Bytes.
    size: u64,
    notes: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// The hub has its bytes and serves them.
    file: bool,
}

/// An image that lies elsewhere.
#[derive(ToSchema)]
pub struct NewFirmware {
    /// Dotted numbers, and what semantic versioning puts behind them.
    #[schema(example = "1.5.0")]
    version: String,
    /// Or `models`.
    #[schema(example = "P-100")]
    model: Option<String>,
    models: Option<Vec<String>>,
    #[schema(example = "https://example.com/pump-1.5.0.bin")]
    url: String,
    /// 64 hexadecimal digits.
    sha256: String,
    /// Bytes.
    size: u64,
    notes: Option<String>,
}

/// Which images, which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FirmwareListing {
    /// Only images for devices of this model.
    model: Option<String>,
    version: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}

/// What is said of an image whose bytes are the body.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Upload {
    #[param(example = "1.5.0")]
    version: String,
    /// One or several, parted by commas or given often.
    #[param(example = "P-100")]
    model: String,
    /// Refused where the bytes hash to something else.
    sha256: Option<String>,
    notes: Option<String>,
}

/// How an image is to be rolled out: to devices in `ids`, or to all that fit.
#[derive(ToSchema)]
#[schema(example = json!({"where": {"type": "pump"}, "stages": [5, 25, 100], "abort": {"rate": 0.2, "min": 5}}))]
pub struct NewRollout {
    ids: Option<Vec<String>>,
    /// An expression over the twin, as in rules.
    filter: Option<String>,
    /// The filters of the list of devices; an empty one means all, an empty value in it is refused.
    r#where: Option<Object>,
    /// Up to how many percent of the devices each stage goes: `[5, 25, 100]` by default.
    stages: Option<Vec<u8>>,
    /// `{"rate": 0.2, "min": 5}` by default: it is broken off when of those that are through a fifth has failed, once
    /// five are through. Null: never.
    abort: Option<Object>,
    /// Also devices that run something newer, or that do not say what they run.
    allow_downgrade: Option<bool>,
    /// After how long without any progress a device has failed: a duration, or seconds; `1h` by default.
    #[schema(example = "1h")]
    timeout: Option<String>,
    /// Who has not begun by then has failed: a duration, seconds, or a time; `7d` by default.
    #[schema(example = "7d")]
    expires: Option<String>,
    /// Devices a second at most.
    rate: Option<f64>,
    description: Option<String>,
    /// Only say who would get it, and who would not and why.
    dry_run: Option<bool>,
}

/// A dry run of a roll-out.
#[derive(ToSchema)]
pub struct RolloutPreview {
    dry_run: bool,
    version: String,
    /// How many devices get it.
    total: u64,
    /// The first ten.
    first: Vec<RolloutDevice>,
    /// How many do not.
    skipped: u64,
    /// The first ten of those.
    first_skipped: Vec<RolloutSkipped>,
    stages: Vec<RolloutStage>,
    /// Where the filter names what no device has.
    #[schema(nullable = false)]
    warnings: Option<Vec<QueryWarning>>,
}

/// A device that would get it.
#[derive(ToSchema)]
pub struct RolloutDevice {
    id: String,
    device_id: String,
    model: String,
    firmware_version: Option<String>,
}

/// A device that would not.
#[derive(ToSchema)]
pub struct RolloutSkipped {
    id: String,
    device_id: String,
    reason: String,
}

/// Up to how many devices a stage goes.
#[derive(ToSchema)]
pub struct RolloutStage {
    percent: u8,
    devices: u64,
}
