//! Events as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::Object;

/// An event.
#[derive(ToSchema)]
pub struct EventItem {
    seq: u64,
    /// `telemetry`, `twin`, `command`, `presence`, `alarm`, `rule`, `fleet` (groups, templates, firmware), `job`
    /// or `hub` (its clock was set: `{"signal": "clock_moved", "from", "to", "by"}`).
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
    /// What brought it about: `{"source": "mqtt", "by": "iot/devices/pump-1/data"}`. Where a rule did, `run_id` is
    /// its run, and `depth` how many runs stand above that.
    cause: Object,
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
    /// Only what came before this place in the sequence: so the `next` of a page goes on that has the newest first.
    before: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
    /// `desc` (by default, without `since`) or `asc`.
    order: Option<String>,
}
