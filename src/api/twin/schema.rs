//! Shapes of what drives a device: settings, modes and schedules.
#![expect(dead_code, reason = "described, never made")]

use utoipa::ToSchema;

use crate::api::devices::texts::WithTexts;
use crate::api::firmware::schema::DeviceFirmware;
use crate::api::schema::Object;
use crate::api::schema::words::{Lifecycle, Missed, Mode, Presence};
use crate::api::templates::schema::TemplateOfDevice;

/// The settings of one device; members that are left out have their defaults.
#[derive(ToSchema)]
pub struct DeviceSettingsItem {
    /// The devices that it speaks for with its own token, where it is a gateway.
    gateway: Option<GatewayItem>,
    /// After how long a silence it counts as offline: a duration, seconds, or `never`. Three of its median
    /// intervals by default, a minute at least.
    #[schema(example = "5m")]
    heartbeat: Option<String>,
    /// Commands with the device at once: 1 by default, 100 at most.
    #[schema(maximum = 100)]
    in_flight: Option<u8>,
    /// The zone of the times that it sends without one: `UTC`, or a name as below. Unset, such times are refused.
    #[schema(example = "Europe/Madrid")]
    timezone: Option<String>,
    /// The words for false and true that its properties have: with `["OFF", "ON"]`, desired `true` and reported `"on"` are
    /// the same. Two different texts or numbers; `words` in `limits` are those of one property.
    #[schema(example = json!(["OFF", "ON"]))]
    words: Option<Vec<String>>,
}

/// A device that speaks for others.
#[derive(ToSchema)]
pub struct GatewayItem {
    /// The ids of these devices: `*` stands for any characters, `?` for one.
    #[schema(example = json!(["gw1-*"]))]
    ids: Vec<String>,
}

/// The mode of the twin, which says who drives it.
#[derive(ToSchema)]
pub struct DeviceMode {
    device_id: String,
    mode: Mode,
    /// When manual mode ends by itself.
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    version: u64,
}

/// An entry of a schedule.
#[derive(ToSchema)]
pub struct ScheduleEntry {
    /// Seconds first; five fields are taken too. Days of the week by name.
    #[schema(example = "0 0 7 * * Mon-Fri")]
    cron: String,
    #[schema(example = "Europe/Madrid")]
    timezone: Option<String>,
    /// A merge patch onto `desired`; or else `command`.
    #[schema(example = json!({"power": "on"}))]
    set: Option<Object>,
    /// A command, as it is sent to the device's commands; or else `set`.
    command: Option<Object>,
    /// The treatment of a run that was missed: `skip` (by default) or `run_once`.
    missed: Option<String>,
    enabled: Option<bool>,
    /// The next three, RFC 3339, UTC. Shown, and passed over where it is sent.
    next_runs: Vec<String>,
}

/// An entry of a schedule as it is kept.
#[derive(ToSchema)]
pub struct ScheduleKept {
    #[schema(example = "0 0 7 * * Mon-Fri")]
    cron: String,
    #[schema(example = "Europe/Madrid")]
    timezone: String,
    /// A merge patch onto `desired`; or else `command`.
    #[schema(example = json!({"power": "on"}), nullable = false)]
    set: Option<Object>,
    #[schema(nullable = false)]
    command: Option<Object>,
    missed: Missed,
    enabled: bool,
}

/// The same, with when it runs.
#[derive(ToSchema)]
pub struct ScheduleShown {
    #[schema(inline)]
    #[serde(flatten)]
    entry: ScheduleKept,
    /// The next three, RFC 3339, UTC.
    next_runs: Vec<String>,
}

/// A clock of a device that is wrong.
#[derive(ToSchema)]
pub struct ClockTrouble {
    /// `wrong`
    state: String,
    /// The time that the device said.
    claimed_at: Option<String>,
    /// When it was first found wrong.
    #[schema(format = DateTime)]
    at: String,
}

/// Entries or a timetable under a name.
#[derive(ToSchema)]
pub struct NamedSchedule {
    schedule: Object,
}

/// A schedule as a whole: entries, or a timetable by days in Spanish or English.
#[derive(ToSchema)]
#[schema(example = json!([{"cron": "0 0 7 * * Mon-Fri", "timezone": "Europe/Madrid", "set": {"power": "on"}}]))]
#[serde(untagged)]
pub enum NewSchedule {
    Entries(Vec<ScheduleEntry>),
    Named(NamedSchedule),
    /// `{"lunes": [["07:00", true], ["22:30", false]], "timezone": "Europe/Madrid"}`
    Timetable(Object),
}

/// A twin.
pub type TwinDocument = WithTexts<TwinParts>;

/// A twin.
#[derive(ToSchema)]
#[schema(as = TwinDocument)]
pub struct TwinParts {
    #[schema(example = "pump-1")]
    id: String,
    number: i64,
    tags: Object,
    configuration: Object,
    template: Option<TemplateOfDevice>,
    claimed: bool,
    lifecycle: Lifecycle,
    status: Presence,
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    mode: Mode,
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    /// Grows by one with every change; the `ETag`.
    version: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The state that the device reports.
    reported: Object,
    /// The state that people and rules want it to have.
    desired: Object,
    /// The part of `desired` that it has not reported. Equal numbers are equal however they are written, `motor.rpm`
    /// and `{"motor": {"rpm": …}}` are one place, and declared `words` mean the same.
    delta: Object,
    /// `{"reported": {"temperature": {"reported_at", "changed_at", "quality", "unit", "claimed_at"}}, "desired": {"power": {"at", "by",
    /// "sync"}}}`: `unit` where one was named (`units` by path within an object), `claimed_at` where the device's time is not believed; and of `configuration`, `tags`, `settings`, `limits` and `schedule` whose each is:
    /// `{"configuration": {"interval": {"from": "device" | "template" | "both"}}}`
    metadata: Object,
    schedule: Vec<ScheduleKept>,
    settings: DeviceSettingsItem,
    /// Expectations of its readings: `{"temperature": {"min": -10, "max": 40, "margin": 0.5, "for": "30s", "unit": "°C", "interval": "60s"}}`,
    /// and their words for false and true: `{"power": {"words": ["OFF", "ON"]}}`
    limits: Object,
    firmware: DeviceFirmware,
    /// Null while the device's clock is right: `{"state": "wrong", "claimed_at", "at"}`.
    clock: Option<ClockTrouble>,
}
