//! Parts of a change as JSON: what events show and the store keeps.

use std::fmt;

use super::{LifecycleStep, Part, Patch, Skip, WrongClock};
use crate::json::{Json, Object};
use crate::schedule::ScheduleEntries;

impl Patch {
    /// The change by section: `{"reported": {"power": "on"}, "name": "Pump"}`. A template shows by its id and version.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.parts().map(|part| (part.name(), part.to_json())).collect()
    }
}

impl Part {
    /// The member of the document, or of the event, that it stands in.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Text(field, _) => field.name,
            Self::Claimed(_) => "claimed",
            Self::Lifecycle(_) => "lifecycle",
            Self::Mode(_) => "mode",
            Self::ModeUntil(_) => "mode_until",
            Self::Reported(_) => "reported",
            Self::Desired(_) => "desired",
            Self::Tags(_) => "tags",
            Self::Configuration(_) => "configuration",
            Self::Settings(_) => "settings",
            Self::Limits(_) => "limits",
            Self::Schedule(_) => "schedule",
            Self::ScheduleDone(_) => "schedule_done",
            Self::Skipped(_) => "skipped",
            Self::Template(_) => "template",
            Self::Told(_) => "told",
            Self::Failed(_) => "failed",
            Self::Units(_) => "units",
            Self::DeviceClock(_) => "device_clock",
            Self::ClockMoved(_) => "clock_moved",
            Self::Firmware(_) => "firmware",
            Self::Note(name, _) => name,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Text(_, text) => text.clone().map_or(Json::Null, Json::String),
            Self::Claimed(is) | Self::Told(is) => (*is).into(),
            Self::Lifecycle(step) => step.to_json(),
            Self::Mode(mode) => mode.as_str().into(),
            Self::ModeUntil(until) => until.map_or(Json::Null, time),
            Self::Reported(patch)
            | Self::Desired(patch)
            | Self::Tags(patch)
            | Self::Configuration(patch)
            | Self::Settings(patch)
            | Self::Limits(patch)
            | Self::Failed(patch)
            | Self::Units(patch) => patch.clone().into(),
            Self::Schedule(entries) => entries.as_ref().map_or(Json::Null, ScheduleEntries::to_json),
            Self::ScheduleDone(done) => time(*done),
            Self::Skipped(skipped) => Json::Array(skipped.iter().map(Skip::to_json).collect()),
            Self::Template(layer) => layer.as_ref().map_or(Json::Null, |layer| layer.shown().into()),
            Self::DeviceClock(clock) => clock.as_ref().map_or(Json::Null, WrongClock::to_json),
            Self::ClockMoved(by) => (*by).into(),
            Self::Firmware(step) => step.to_object().into(),
            Self::Note(_, note) => note.clone(),
        }
    }
}

impl LifecycleStep {
    fn to_json(&self) -> Json {
        let Self { state, was, reason, credentials_removed } = self;
        let mut step: Object = [("state", Json::from(state.as_str()))].into_iter().collect();
        if let Some(was) = was {
            step.insert("was", was.as_str().into());
        }
        if !reason.is_empty() {
            step.insert("reason", Json::String(reason.clone()));
        }
        if *credentials_removed {
            step.insert("credentials", "removed".into());
        }
        step.into()
    }
}

impl Skip {
    fn to_json(&self) -> Json {
        let Self { entry, at, reason } = self;
        let entry = i64::try_from(*entry).unwrap_or(i64::MAX);
        let skip = [("entry", entry.into()), ("at", time(*at)), ("reason", Json::String(reason.clone()))];
        Json::Object(skip.into_iter().collect())
    }
}

impl WrongClock {
    fn to_json(&self) -> Json {
        let Self { claimed_at, since } = self;
        Json::Object([("claimed_at", time(*claimed_at)), ("at", time(*since))].into_iter().collect())
    }
}

fn time(at: impl fmt::Display) -> Json {
    at.to_string().into()
}
