//! Shapes of what drives a device: settings, modes and schedules.

use utoipa::ToSchema;

use super::Object;

/// What is set for one device; what is not said is as usual.
#[derive(ToSchema)]
pub struct DeviceSettings {
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

/// Who drives the twin.
#[derive(ToSchema)]
pub struct DeviceMode {
    device_id: String,
    /// `manual` or `schedule`.
    mode: String,
    /// When manual mode ends by itself.
    #[schema(format = DateTime)]
    mode_until: Option<String>,
    version: u64,
}

/// Who is to drive the twin; `for` and `until` are two ways to say when manual mode ends.
#[derive(ToSchema)]
#[schema(example = json!({"mode": "manual", "for": "2h"}))]
pub struct NewMode {
    /// `manual` or `schedule`.
    mode: String,
    /// A duration, or seconds.
    r#for: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
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
    /// What becomes of a run that was missed: `skip` (by default) or `run_once`.
    missed: Option<String>,
    enabled: Option<bool>,
    /// The next three, RFC 3339, UTC. Shown, and passed over where it is sent.
    next_runs: Vec<String>,
}

/// A schedule as a whole: entries, or a timetable by days in Spanish or English.
#[derive(ToSchema)]
#[schema(example = json!([{"cron": "0 0 7 * * Mon-Fri", "timezone": "Europe/Madrid", "set": {"power": "on"}}]))]
#[serde(untagged)]
pub enum NewSchedule {
    Entries(Vec<ScheduleEntry>),
    /// Entries or a timetable under a name.
    Named {
        schedule: Object,
    },
    /// `{"lunes": [["07:00", true], ["22:30", false]], "timezone": "Europe/Madrid"}`
    Timetable(Object),
}
