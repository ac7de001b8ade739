//! Shapes for the description at `/api/openapi.json`: of documents whose fields the domain writes, of
//! bodies that are read field by field, and of query parameters. Nothing else uses them; a test holds
//! them against what is really written and read.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use super::device::DeviceMetrics;
use super::status::{Connection, Connectivity, Convergence, DeviceHealth, Waiting};
use commands::CommandItem;
use firmware::DeviceFirmware;
use steering::{DeviceSettings, ScheduleEntry};
use templates::TemplateOfDevice;

pub mod alarms;
pub mod automation;
pub mod commands;
pub mod files;
pub mod firmware;
pub mod groups;
pub mod jobs;
pub mod steering;
pub mod templates;

/// A device as lists show it.
#[derive(ToSchema)]
pub struct DeviceItem {
    #[schema(example = "pump-1")]
    id: String,
    device_id: String,
    /// The hub's own small number for it.
    number: i64,
    serial_number: String,
    name: String,
    #[schema(example = "pump")]
    r#type: String,
    model: String,
    description: String,
    group_id: Option<String>,
    owner_id: Option<String>,
    ip_address: Option<String>,
    mac_address: Option<String>,
    firmware_version: Option<String>,
    tags: Object,
    configuration: Object,
    template: Option<TemplateOfDevice>,
    /// False while it was only seen on MQTT.
    claimed: bool,
    /// `provisioned`, `active`, `suspended` or `retired`.
    lifecycle: String,
    /// `online` or `offline`. One that was never heard is offline, and its `last_seen` is null.
    status: String,
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    /// `manual` or `schedule`.
    mode: String,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// What it last reported: `{"temperature": {"value": 23.5, "timestamp": "…", "quality": "good", "unit": "°C"}}`;
    /// `unit` where it named one, `units` by path where it named some of what lies in an object.
    readings: Object,
    /// °C, where it reports one.
    temperature: Option<f64>,
    /// %, where it reports one.
    humidity: Option<f64>,
    /// hPa, where it reports one.
    pressure: Option<f64>,
}

/// A twin.
#[derive(ToSchema)]
pub struct TwinDocument {
    #[schema(example = "pump-1")]
    id: String,
    number: i64,
    serial_number: String,
    name: String,
    r#type: String,
    model: String,
    description: String,
    group_id: Option<String>,
    owner_id: Option<String>,
    ip_address: Option<String>,
    mac_address: Option<String>,
    firmware_version: Option<String>,
    tags: Object,
    configuration: Object,
    template: Option<TemplateOfDevice>,
    claimed: bool,
    lifecycle: String,
    status: String,
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    mode: String,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    /// Grows by one with every change; the `ETag`.
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// What the device says it is.
    reported: Object,
    /// What people and rules want it to be.
    desired: Object,
    /// What of `desired` it has not reported. Equal numbers are equal however they are written, `motor.rpm` and
    /// `{"motor": {"rpm": …}}` are one place, and declared `words` mean the same.
    delta: Object,
    /// `{"reported": {"temperature": {"reported_at", "changed_at", "quality", "unit", "claimed_at"}}, "desired": {"power": {"at", "by",
    /// "sync"}}}`: `unit` where one was named (`units` by path within an object), `claimed_at` where the device's time is not believed; and of `configuration`, `tags`, `settings`, `limits` and `schedule` whose each is:
    /// `{"configuration": {"interval": {"from": "device" | "template" | "both"}}}`
    metadata: Object,
    schedule: Vec<Object>,
    settings: DeviceSettings,
    /// What its readings are expected to be: `{"temperature": {"min": -10, "max": 40, "unit": "°C", "interval": "60s"}}`,
    /// and their words for false and true: `{"power": {"words": ["OFF", "ON"]}}`
    limits: Object,
    firmware: DeviceFirmware,
    /// Null while the device's clock is right: `{"state": "wrong", "claimed_at", "since"}`.
    clock: Option<Object>,
}

/// A device with what it did lately: the twin, and this.
#[derive(ToSchema)]
pub struct DeviceDetail {
    #[schema(inline)]
    #[serde(flatten)]
    twin: TwinDocument,
    device_id: String,
    readings: Object,
    /// The last 20 readings, newest first.
    recent_data: Vec<ReadingItem>,
    /// The last 10, newest first.
    recent_commands: Vec<CommandItem>,
    metrics: DeviceMetrics,
}

/// Connectivity, health, mode and operational state.
#[derive(ToSchema)]
pub struct DeviceStatus {
    id: String,
    device_id: String,
    lifecycle: String,
    status: String,
    mode: String,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    /// What it reports.
    operational_state: Object,
    version: u64,
    connectivity: Connectivity,
    connection: Connection,
    commands: Waiting,
    convergence: Convergence,
    health: DeviceHealth,
    /// Messages refused since the device went out of service, or since the hub started.
    refused_messages: u64,
}

/// A registration.
#[derive(ToSchema)]
pub struct NewDevice {
    #[schema(example = "Pump in the hall")]
    name: String,
    /// 1 to 128 of `A-Z a-z 0-9 . _ : -`; made when none is given.
    #[schema(example = "pump-1")]
    device_id: Option<String>,
    serial_number: Option<String>,
    r#type: Option<String>,
    description: Option<String>,
    model: Option<String>,
    ip_address: Option<String>,
    mac_address: Option<String>,
    /// 16 to 256 bytes; made when none is given.
    auth_token: Option<String>,
    group_id: Option<String>,
    tags: Option<Object>,
    configuration: Option<Object>,
    /// `heartbeat`, `in_flight` and `timezone` are the hub's; all others are merged into `configuration`.
    settings: Option<Object>,
    /// Entries, or a timetable by days; see `…/schedule`.
    schedule: Option<Vec<ScheduleEntry>>,
    /// By reading what it is expected to be, over what its template says.
    limits: Option<Object>,
    /// The id of its template. Null means none, also where one is meant for it.
    template: Option<String>,
}

/// A change of a device; what is left out stays, null takes away.
#[derive(ToSchema)]
pub struct DeviceChange {
    name: Option<String>,
    serial_number: Option<String>,
    r#type: Option<String>,
    description: Option<String>,
    model: Option<String>,
    ip_address: Option<String>,
    mac_address: Option<String>,
    group_id: Option<String>,
    tags: Option<Object>,
    desired: Option<Object>,
    configuration: Option<Object>,
    /// `heartbeat`, `in_flight` and `timezone` are the hub's; all others are merged into `configuration`.
    settings: Option<Object>,
    /// Entries, or a timetable by days; see `…/schedule`.
    schedule: Option<Vec<ScheduleEntry>>,
    /// By reading what it is expected to be, over what its template says.
    limits: Option<Object>,
    /// The id of its template. Null means none, also where one is meant for it.
    template: Option<String>,
}

/// A claim.
#[derive(ToSchema)]
pub struct Claim {
    #[schema(example = "TMP0603IF1WD")]
    serial_number: String,
    name: Option<String>,
    r#type: Option<String>,
    description: Option<String>,
    model: Option<String>,
    group_id: Option<String>,
    tags: Option<Object>,
    configuration: Option<Object>,
    /// `heartbeat`, `in_flight` and `timezone` are the hub's; all others are merged into `configuration`.
    settings: Option<Object>,
    /// By reading what it is expected to be, over what its template says.
    limits: Option<Object>,
    /// The id of its template. Null means none, also where one is meant for it.
    template: Option<String>,
}

/// A merge patch (RFC 7396) onto the twin.
#[derive(ToSchema)]
#[schema(example = json!({"desired": {"power": "on"}}))]
pub struct TwinPatch {
    desired: Option<Object>,
    tags: Option<Object>,
    configuration: Option<Object>,
}

/// Readings of one moment, or a batch of them: at most 1,000 readings in all.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum ReadingsBody {
    One(Readings),
    Batch(Vec<Readings>),
}

/// Readings: flat, by name, or as a list. Numbers, booleans and texts; nested ones are joined with dots.
#[derive(ToSchema)]
#[schema(example = json!({"temperature": 23.5, "humidity": 55, "pressure": 1013.25}))]
pub struct Readings {
    /// When they were taken: RFC 3339 (also `+0100`, or without a zone where `settings.timezone` says which), or epoch
    /// seconds, ms, µs or ns. Left out, it is now. One that no clock can mean is kept as `claimed_at`, and it is now.
    timestamp: Option<String>,
    /// By which a repeat is known.
    message_id: Option<String>,
    /// Units by name, for the flat form.
    units: Option<Object>,
    sensor_readings: Option<Vec<SensorReading>>,
    /// A batch: each item as a body of its own, or one of `sensor_readings`.
    readings: Option<Vec<Object>>,
    device_status: Option<String>,
}

/// A reading of the list form.
#[derive(ToSchema)]
pub struct SensorReading {
    #[schema(example = "temperature")]
    sensor_type: String,
    /// A number, a boolean or a text.
    #[schema(example = 23.5)]
    value: f64,
    #[schema(example = "°C")]
    unit: Option<String>,
    /// 0 to 100.
    quality_score: Option<u8>,
    /// When it was taken, where that is not `timestamp` of the whole.
    timestamp: Option<String>,
}

/// A reading as it was stored.
#[derive(ToSchema)]
pub struct ReadingItem {
    sensor_type: String,
    /// A number, a boolean or a text.
    #[schema(example = 23.5)]
    value: f64,
    unit: Option<String>,
    quality_score: Option<u8>,
    #[schema(format = DateTime)]
    timestamp: String,
    /// The time that the device said, where that cannot be: `timestamp` is when the reading came then.
    #[schema(format = DateTime)]
    claimed_at: Option<String>,
    seq: u64,
}

/// One sensor's readings within one clock-aligned interval.
#[derive(ToSchema)]
pub struct BucketItem {
    sensor_type: String,
    /// The start of the interval.
    #[schema(format = DateTime)]
    timestamp: String,
    value: f64,
    count: u64,
    min: f64,
    max: f64,
}

/// A history: readings, or buckets where an interval was asked for.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum HistoryAnswer {
    Readings(Vec<ReadingItem>),
    Buckets(Vec<BucketItem>),
}

/// An event.
#[derive(ToSchema)]
pub struct EventItem {
    seq: u64,
    /// `telemetry`, `twin`, `command`, `presence`, `alarm`, `rule`, `fleet` (groups, templates, firmware), `job`
    /// or `hub` (its clock was set: `{"signal": "clock_moved", "from", "to", "by_ms"}`).
    kind: String,
    /// Null where it is no device's: of rules that a time or a person set off, and of what comes to rules from
    /// beyond the devices.
    device_id: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    /// By kind: readings by name; what changed; a command's step; an alarm's step and the alarm; a rule's run, as
    /// `/api/automation/runs/{id}` shows it, or `{"signal": …}`.
    data: Object,
    /// Of telemetry, the units of the readings that named one: `{"temperature": "°C"}`.
    units: Option<Object>,
    /// What brought it about: `{"source": "mqtt", "by": "iot/devices/pump-1/data"}`. Where a rule did, `run` is
    /// its run, and `depth` how many runs stand above that.
    cause: Object,
}

/// A message that could not be read.
#[derive(ToSchema)]
pub struct RejectedItem {
    #[schema(format = DateTime)]
    at: String,
    topic: String,
    #[schema(example = "not_json")]
    reason: String,
    detail: String,
    /// Its first 256 bytes.
    payload: String,
    bytes: usize,
}

/// Messages on topics that nobody reads, by the first level of their topics.
#[derive(ToSchema)]
pub struct UnreadItem {
    /// `(others)` for what comes beyond the first 100.
    #[schema(example = "iot")]
    first_level: String,
    count: u64,
    #[schema(example = "iot/devices/esp/temperature")]
    last_topic: String,
    #[schema(format = DateTime)]
    last_at: String,
    /// The last of them that was close to a topic that is read.
    close_topic: Option<String>,
    /// What may be meant by it.
    hint: Option<String>,
}

/// Which devices, in which order, which page.
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
    /// Those of this group and of all groups under it.
    group: Option<String>,
    /// `false`: those of `group` itself alone.
    subtree: Option<bool>,
    /// The id of a template: those that have it.
    template: Option<String>,
    claimed: Option<bool>,
    /// `manual` or `schedule`.
    mode: Option<String>,
    /// Part of the id, name or serial number, 600 characters at most. (And `tag.<name>=<value>` for tags.)
    q: Option<String>,
    /// An expression (CEL, as in conditions of rules) over everything in the twin: `battery` or `reported.battery`,
    /// `desired.x`, `delta.x`, `tag.floor`, `configuration.x`, `settings.x`, `limits.x`, `firmware.state`, `status`,
    /// `lifecycle`, `mode`, `type`, `name`, `group_id`, `template`, `id`, `number`, `version`, `claimed`,
    /// `last_seen`, `age` (seconds), `model`, `serial_number`, `firmware_version`, `description`, `ip_address`,
    /// `mac_address`, `owner_id`, `created_at`, `updated_at`, `mode_until`, `drifting_since`, `schedule`, `now`;
    /// `.quality`, `.unit`, `.age`, `.at` and `.changed_at` after a property, `.sync` after a desired one; `has(x)`. Found is
    /// what it is true of: what a twin does not have makes a comparison neither true nor false.
    #[param(example = r#"reported.battery < 20 && status == "online" && tag.floor == "2""#)]
    filter: Option<String>,
    /// `number`, `id`, `name`, `type`, `status`, `last_seen`, `created_at`, `updated_at`, or anything that a filter
    /// can name: `reported.temperature`, `tags.floor`; `-` turns it round. Numbers come before texts, and devices
    /// that do not have it last, in both directions.
    #[param(example = "-reported.temperature")]
    sort: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}

/// Which stretch of a history, and what to make of it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct History {
    /// Inclusive. RFC 3339, a date, or epoch seconds.
    start_date: Option<String>,
    /// Exclusive; a date means to the end of that day.
    end_date: Option<String>,
    /// One or several, parted by commas.
    sensor_type: Option<String>,
    /// A duration: clock-aligned stretches.
    #[param(example = "5m")]
    interval: Option<String>,
    /// `avg` (by default), `min`, `max`, `sum`, `count`, `first`, `last`, `p50` or `p95`.
    agg: Option<String>,
    /// 1,000 by default, 10,000 at most.
    limit: Option<u64>,
    /// `desc` (by default) or `asc`.
    order: Option<String>,
    /// Where the page before ended, as its `Link` with `rel="next"` says it.
    after: Option<String>,
    /// From 1, in place of `after`: the first 100,000 readings can be reached so.
    page: Option<u64>,
}

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventListing {
    /// One or several kinds, parted by commas.
    kind: Option<String>,
    /// Alarms of this severity or worse alone: `info`, `warning`, `minor`, `major` or `critical`.
    severity: Option<String>,
    /// Inclusive.
    from: Option<String>,
    /// Exclusive.
    to: Option<String>,
    /// Only what came after this place in the sequence, oldest first.
    since: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
    /// `desc` (by default, without `since`) or `asc`.
    order: Option<String>,
}

/// Any JSON object.
pub struct Object;
