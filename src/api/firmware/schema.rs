//! Shapes of firmware and of what becomes of it, and of a device's life.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::jobs::schema::QueryWarningItem;
use crate::api::schema::words::{FirmwareState, Lifecycle};

/// The firmware that a device runs, and its progress with the one that it is to run.
#[derive(ToSchema)]
pub struct DeviceFirmware {
    /// The version that it runs, as it reports it.
    #[schema(example = "1.4.2")]
    version: Option<String>,
    /// The version that it is to run, or was last; left out with all that follows where there never was one.
    #[schema(nullable = false)]
    target: Option<String>,
    #[schema(nullable = false)]
    state: Option<FirmwareState>,
    /// The progress within the state, in percent.
    #[schema(default = json!(null))]
    percent: Option<u8>,
    /// When it came to the state.
    #[schema(format = DateTime, nullable = false)]
    at: Option<String>,
    /// The reason why it failed.
    #[schema(default = json!(null))]
    reason: Option<String>,
    /// The image's id.
    #[schema(nullable = false)]
    image_id: Option<String>,
    /// The roll-out's id.
    #[schema(default = json!(null))]
    job_id: Option<String>,
}

/// The stage of a device's life.
#[derive(ToSchema)]
pub struct DeviceLifecycle {
    device_id: String,
    lifecycle: Lifecycle,
    version: u64,
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

/// A query for images: the filter and the page.
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

/// The properties of an image whose bytes are the body.
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

/// A dry run of a roll-out.
#[derive(ToSchema)]
pub struct RolloutPreview {
    dry_run: bool,
    version: String,
    /// The number of devices that get it.
    total: u64,
    /// The first ten.
    first: Vec<RolloutDevice>,
    /// The number of devices that do not get it.
    skipped: u64,
    /// The first ten of those.
    first_skipped: Vec<RolloutSkipped>,
    stages: Vec<RolloutStage>,
    /// Where the filter names what no device has.
    #[schema(nullable = false)]
    warnings: Option<Vec<QueryWarningItem>>,
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
