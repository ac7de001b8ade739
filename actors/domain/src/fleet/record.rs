//! Groups, templates, firmware images and jobs in events: they belong to no device.

use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::json::{Json, Object};

/// The kinds of durable records beside the devices, few of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    Group,
    Template,
    Firmware,
    Job,
    /// A dialect's state for a restart. It makes no events.
    Dialect,
    /// The layout of a dashboard. Its events have its id alone.
    Layout,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetChange {
    pub what: RecordKind,
    pub id: Box<str>,
    pub change: RecordChange,
    /// As it is after it; as it was where it is removed.
    pub body: Object,
}

/// The ways in which they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordChange {
    Made,
    Changed,
    Removed,
    /// A job went on.
    Progressed,
}

impl RecordKind {
    /// The word for it on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Template => "template",
            Self::Firmware => "firmware",
            Self::Job => "job",
            Self::Dialect => "dialect",
            Self::Layout => "layout",
        }
    }

    /// The kind of its events.
    #[must_use]
    pub fn kind(self) -> EventKind {
        if self == Self::Job { EventKind::Job } else { EventKind::Fleet }
    }
}

impl RecordChange {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Progressed => "progressed",
        }
    }
}

impl FleetChange {
    /// The event's `data` on the wire: `{"change": "made", "group": {…}}`.
    #[must_use]
    pub fn data(&self) -> Object {
        let body = Json::Object(self.body.clone());
        [("change", self.change.as_str().into()), (self.what.as_str(), body)].into_iter().collect()
    }
}
