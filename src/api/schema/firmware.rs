//! Shapes of firmware and of what becomes of it, and of a device's life.

use utoipa::ToSchema;

/// What a device runs, and how far it has come with what it is to run.
#[derive(ToSchema)]
pub struct DeviceFirmware {
    /// What it runs by its own word.
    #[schema(example = "1.4.2")]
    version: Option<String>,
    /// What it is to come to, or was last; left out with all that follows where there never was anything.
    target: Option<String>,
    /// `queued`, `notified`, `downloading`, `downloaded`, `verified`, `updating`, `updated` or `failed`.
    state: Option<String>,
    /// How far it has come within the state.
    percent: Option<u8>,
    /// When it came to the state.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// Why it failed.
    reason: Option<String>,
    /// The image's id.
    image: Option<String>,
    /// The roll-out's id.
    job: Option<String>,
}

/// Where a device stands in its life.
#[derive(ToSchema)]
pub struct DeviceLifecycle {
    device_id: String,
    /// `provisioned`, `active`, `suspended` or `retired`.
    lifecycle: String,
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
