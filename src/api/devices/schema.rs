//! Devices as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, ToSchema};

use super::device::DeviceMetrics;
use super::status::{Connectivity, Convergence, DeviceConnection, DeviceHealth, UnfinishedCommands};
use super::texts::WithTexts;
use crate::api::commands::schema::CommandItem;
use crate::api::data::schema::ReadingItem;
use crate::api::schema::Object;
use crate::api::schema::words::{Lifecycle, Mode, Presence, Quality};
use crate::api::templates::schema::TemplateOfDevice;
use crate::api::twin::schema::TwinDocument;

/// A device as lists show it.
pub type DeviceItem = WithTexts<DeviceItemParts>;

/// A device as lists show it.
#[derive(ToSchema)]
#[schema(as = DeviceItem)]
pub struct DeviceItemParts {
    #[schema(example = "pump-1")]
    id: String,
    device_id: String,
    /// The hub's own small number for it.
    number: i64,
    tags: Object,
    configuration: Object,
    template: Option<TemplateOfDevice>,
    /// False while it was only seen on MQTT.
    claimed: bool,
    lifecycle: Lifecycle,
    status: Presence,
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    mode: Mode,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The latest readings, by name.
    readings: BTreeMap<String, LatestReading>,
    /// °C; null where it reports none.
    temperature: serde_json::Value,
    /// %; null where it reports none.
    humidity: serde_json::Value,
    /// hPa; null where it reports none.
    pressure: serde_json::Value,
}

/// A property as the device reported it last.
#[derive(ToSchema)]
pub struct LatestReading {
    /// Any JSON: a number, mostly.
    value: serde_json::Value,
    #[schema(format = DateTime)]
    timestamp: String,
    quality: Quality,
    /// Where it named one.
    #[schema(nullable = false, example = "°C")]
    unit: Option<String>,
    /// By path, where it named some of what lies in an object.
    #[schema(nullable = false)]
    units: Option<BTreeMap<String, String>>,
}

/// A device with what it did lately: the twin, and this.
#[derive(ToSchema)]
pub struct DeviceDetail {
    #[schema(inline)]
    #[serde(flatten)]
    twin: TwinDocument,
    device_id: String,
    readings: BTreeMap<String, LatestReading>,
    /// As in the list.
    temperature: serde_json::Value,
    humidity: serde_json::Value,
    pressure: serde_json::Value,
    /// The last 20 readings, newest first.
    recent_data: Vec<ReadingItem>,
    /// The last 10, newest first.
    recent_commands: Vec<CommandItem>,
    metrics: DeviceMetrics,
}

/// A device that was claimed: the twin, and this.
#[derive(ToSchema)]
pub struct DeviceClaimed {
    #[schema(inline)]
    #[serde(flatten)]
    twin: TwinDocument,
    device_id: String,
    readings: BTreeMap<String, LatestReading>,
    temperature: serde_json::Value,
    humidity: serde_json::Value,
    pressure: serde_json::Value,
    message: String,
}

/// Connectivity, health, mode and operational state.
#[derive(ToSchema)]
pub struct DeviceStatus {
    id: String,
    device_id: String,
    lifecycle: Lifecycle,
    status: Presence,
    mode: Mode,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    /// The properties that it reports.
    operational_state: Object,
    version: u64,
    connectivity: Connectivity,
    connection: DeviceConnection,
    commands: UnfinishedCommands,
    convergence: Convergence,
    health: DeviceHealth,
    /// Messages refused since the device went out of service, or since the hub started.
    refused_messages: u64,
}

/// A query for devices: the filter, the order and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// `online` or `offline`; one or several, parted by commas or given often.
    #[param(example = "offline")]
    status: Option<String>,
    /// `provisioned`, `active`, `suspended` or `retired`; one or several.
    lifecycle: Option<String>,
    /// Only devices that have not come to all that is desired for so long: a duration.
    #[param(example = "10m")]
    drift: Option<String>,
    r#type: Option<String>,
    /// The same, in another system's word.
    device_type: Option<String>,
    /// Only devices of this group and of all groups under it.
    group_id: Option<String>,
    /// `false`: only devices of `group_id` itself.
    subtree: Option<bool>,
    /// Only devices that have this template.
    template_id: Option<String>,
    claimed: Option<bool>,
    /// `manual` or `schedule`.
    mode: Option<String>,
    /// Part of the id, name or serial number, 600 characters at most. (And `tag.<name>=<value>` for tags.)
    q: Option<String>,
    /// An expression (CEL, as in conditions of rules) over everything in the twin: `battery` or `reported.battery`,
    /// `desired.x`, `delta.x`, `tag.floor`, `configuration.x`, `settings.x`, `limits.x`, `firmware.state`, `status`,
    /// `lifecycle`, `mode`, `template`, `id`, `number`, `version`, `claimed`, `last_seen`, `age` (seconds),
    /// `created_at`, `updated_at`, `mode_until`, `drifting_since`, `schedule`, `now`, and each text that a document
    /// shows of a device: `type`, `name`, `model`, `group_id`, `firmware_version`…;
    /// `.quality`, `.unit`, `.age`, `.at` and `.changed_at` after a property, `.sync` after a desired one; `has(x)`. Found is
    /// what it is true of: what a twin does not have makes a comparison neither true nor false.
    #[param(example = r#"reported.battery < 20 && status == "online" && tag.floor == "2""#)]
    filter: Option<String>,
    /// `number`, `id`, `name`, `type`, `status`, `last_seen`, `created_at`, `updated_at`, or anything that a filter
    /// can name: `reported.temperature`, `tags.floor`; `-` turns it round. Numbers come before texts, and devices
    /// that do not have it last, in both directions.
    #[param(example = "-reported.temperature")]
    sort: Option<String>,
    /// From 1. Without it and `limit` `/api/devices` gives all devices, and the other lists the first page.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
