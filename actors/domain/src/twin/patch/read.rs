//! Parts of a change from JSON, as they were stored. What makes no sense under its name, such as a mode that this
//! program does not know, is no reason to lose a twin's history, and must not become something else unseen: it is kept
//! as a note, which shows it and changes nothing.

use std::sync::Arc;

use super::{Field, LifecycleStep, Part, Patch, Skip, WrongClock};
use crate::Mode;
use crate::clock::{ReadingTime, Timestamp};
use crate::fleet::{FirmwareStep, Layer, Lifecycle, Limits};
use crate::json::{Json, Object};
use crate::schedule::ScheduleEntries;
use crate::settings::DeviceSettings;

impl Patch {
    /// The change that a document by section says.
    #[must_use]
    pub fn read(document: Object) -> Self {
        // In the order of their names already.
        Self(document.into_iter().map(|(name, value)| Part::read(name, value)).collect())
    }
}

impl Part {
    fn read(name: Box<str>, value: Json) -> Self {
        match Self::typed(&name, &value) {
            Some(part) => part,
            None => Self::section(name, value),
        }
    }

    /// The parts that are more than documents.
    fn typed(name: &str, value: &Json) -> Option<Self> {
        Some(match name {
            "claimed" => Self::Claimed(flag(value)?),
            "told" => Self::Told(flag(value)?),
            "mode" => Self::Mode(Mode::parse(value.as_str()?)?),
            "mode_until" => Self::ModeUntil(or_null(value, time)?),
            "schedule_done" => Self::ScheduleDone(time(value)?),
            "schedule" => Self::Schedule(or_null(value, ScheduleEntries::stored)?),
            "skipped" => Self::Skipped(skipped(value)?),
            "lifecycle" => Self::Lifecycle(Box::new(LifecycleStep::read(value.as_object()?)?)),
            "template" => {
                Self::Template(or_null(value, |layer| Layer::read(layer.as_object()?).map(Arc::new))?)
            }
            "device_clock" => {
                Self::DeviceClock(or_null(value, |clock| WrongClock::read(clock.as_object()?))?)
            }
            "clock_moved" => Self::ClockMoved(value.as_number()?.as_str().parse().ok()?),
            "firmware" => Self::Firmware(Box::new(FirmwareStep::read(value.as_object()?)?)),
            name => Self::Text(Field::of(name)?, or_null(value, |text| text.as_str().map(Into::into))?),
        })
    }

    /// A merge patch onto a section; a note where there is no such section, or this is no patch onto it.
    fn section(name: Box<str>, value: Json) -> Self {
        match (&*name, value) {
            ("reported", Json::Object(patch)) => Self::Reported(patch),
            ("desired", Json::Object(patch)) => Self::Desired(patch),
            ("tags", Json::Object(patch)) => Self::Tags(patch),
            ("configuration", Json::Object(patch)) => Self::Configuration(patch),
            ("failed", Json::Object(reasons)) => Self::Failed(reasons),
            ("units", Json::Object(units)) => Self::Units(units),
            ("settings", Json::Object(patch)) if DeviceSettings::default().patched(&patch).is_ok() => {
                Self::Settings(patch)
            }
            ("limits", Json::Object(patch)) if Limits::default().patched(&patch).is_ok() => {
                Self::Limits(patch)
            }
            (_, value) => Self::Note(name, value),
        }
    }
}

impl LifecycleStep {
    fn read(step: &Object) -> Option<Self> {
        let text = |name| step.get(name).and_then(Json::as_str);
        Some(Self {
            state: Lifecycle::parse(text("state")?)?,
            was: text("was").and_then(Lifecycle::parse),
            reason: text("reason").unwrap_or_default().into(),
            credentials_removed: text("credentials") == Some("removed"),
        })
    }
}

impl Skip {
    fn read(skip: &Object) -> Option<Self> {
        Some(Self {
            entry: skip.get("entry")?.as_number()?.as_str().parse().ok()?,
            at: time(skip.get("at")?)?,
            reason: skip.get("reason")?.as_str()?.into(),
        })
    }
}

impl WrongClock {
    fn read(clock: &Object) -> Option<Self> {
        let since = clock.get("at").or_else(|| clock.get("since"))?; // as earlier versions wrote it
        let claimed_at = clock.get("claimed_at")?.as_str().and_then(ReadingTime::parse)?;
        Some(Self { claimed_at, since: time(since)? })
    }
}

fn skipped(value: &Json) -> Option<Box<[Skip]>> {
    let Json::Array(skipped) = value else { return None };
    skipped.iter().map(|skip| Skip::read(skip.as_object()?)).collect()
}

fn flag(value: &Json) -> Option<bool> {
    if let Json::Bool(flag) = value { Some(*flag) } else { None }
}

fn time(value: &Json) -> Option<Timestamp> {
    value.as_str().and_then(Timestamp::parse)
}

/// Null is none of it. None where it is something else altogether.
fn or_null<T>(value: &Json, read: impl FnOnce(&Json) -> Option<T>) -> Option<Option<T>> {
    if *value == Json::Null { Some(None) } else { read(value).map(Some) }
}
