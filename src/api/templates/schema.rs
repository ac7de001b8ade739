//! Shapes of templates.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::Object;
use crate::api::twin::schema::{DeviceSettingsItem, ScheduleKept};

/// The template of a device, and its version.
#[derive(ToSchema)]
pub struct TemplateOfDevice {
    #[schema(example = "pump")]
    id: String,
    /// The version of the template by which what devices take last changed.
    version: u64,
}

/// A filter for devices that take a template by themselves when they appear, or when it becomes known what they are.
/// All members that are set must fit.
#[derive(ToSchema)]
pub struct TemplateMatch {
    #[schema(example = "pump")]
    r#type: Option<String>,
    /// A pattern of ids: `*`, `?`, `[a-z]`, `{a,b}`.
    #[schema(example = "pump-*")]
    id: Option<String>,
    model: Option<String>,
    /// Of several that fit, the one with the highest wins, then the one that says more; 0 where nothing is said.
    priority: Option<i32>,
}

/// A template.
#[derive(ToSchema)]
pub struct TemplateItem {
    id: String,
    name: String,
    description: String,
    applies_to: Option<TemplateMatch>,
    configuration: Object,
    /// Null where it has none.
    schedule: Option<Vec<ScheduleKept>>,
    tags: Object,
    limits: Object,
    settings: DeviceSettingsItem,
    rules: Object,
    /// Grows by one with every change; the `ETag`.
    version: u64,
    /// The version by which what devices take last changed: those that are up to date show it.
    layer_version: u64,
    /// The number of devices that have it.
    device_count: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// A template after a change, or what a change would do.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum TemplateChanged {
    Changed(TemplateWithJob),
    DryRun(TemplateTrial),
}

/// A template after a change.
#[derive(ToSchema)]
pub struct TemplateWithJob {
    #[schema(inline)]
    #[serde(flatten)]
    template: TemplateItem,
    /// The job that brings the change to the devices; null where none has anything to take.
    job_id: Option<String>,
}

/// The effects that a change would have.
#[derive(ToSchema)]
pub struct TemplateTrial {
    dry_run: bool,
    /// As it would be.
    template: TemplateItem,
    /// The number of devices that have it.
    device_count: u64,
    /// The number of these devices that would change.
    changed_count: u64,
    /// Some of these, in the order of their numbers.
    changes: Vec<TemplateDifference>,
}

/// The changes that a device would have.
#[derive(ToSchema)]
pub struct TemplateDifference {
    device_id: String,
    /// By section and key: `{"configuration": {"interval": {"from": 60, "to": 30}}}`; `schedule` as a whole.
    changes: Object,
}

/// A template that is gone.
#[derive(ToSchema)]
pub struct TemplateRemoved {
    id: String,
    deleted: bool,
    /// The number of devices that had it.
    device_count: u64,
    /// The job that takes it off them.
    job_id: Option<String>,
    message: String,
}

/// A query for templates.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TemplateListing {
    /// Part of the id, name or description.
    q: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
