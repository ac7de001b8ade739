//! Events as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::words::EventKind;
use crate::api::schema::{EventCause, Object};

/// An event.
#[derive(ToSchema)]
pub struct EventItem {
    /// The event's place, to go on behind it by `since`: in lists, and in `event` frames. Of a message of a stream the `id`
    /// is it.
    #[schema(nullable = false)]
    cursor: Option<String>,
    /// The place as a number, for callers who see all devices: it tells how much happens in all.
    #[schema(nullable = false)]
    seq: Option<u64>,
    kind: EventKind,
    /// Null where it is no device's: of rules that a time or a person set off, and of what comes to rules from
    /// beyond the devices.
    device_id: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    /// By kind: readings by name; what changed; a command's step; an alarm's step and the alarm; a rule's run, as
    /// `/api/automation/runs/{id}` shows it, or `{"signal": …}`.
    data: Object,
    /// Of telemetry, the units of the readings that named one: `{"temperature": "°C"}`.
    #[schema(nullable = false)]
    units: Option<BTreeMap<String, String>>,
    /// Of telemetry, the time that the device said, where that is not believed: `at` is when it came then.
    #[schema(nullable = false, format = DateTime)]
    claimed_at: Option<String>,
    /// The cause of the event.
    cause: EventCause,
}

/// A query for events.
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
    /// Only what came after this place in the sequence, oldest first: a `cursor`, or, for callers who see all devices, a
    /// `seq`; 0 is the beginning.
    since: Option<String>,
    /// Only what came before this place in the sequence, a `cursor` or a `seq` as `since`: so the `next` of a page goes on
    /// that has the newest first.
    before: Option<String>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
    /// `desc` (by default, without `since`) or `asc`.
    order: Option<String>,
}
